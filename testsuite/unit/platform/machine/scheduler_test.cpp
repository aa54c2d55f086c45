// Turns, wake-ups, idle skips and outcomes of the deterministic scheduler, with scripted
// processors.
#include "platform/machine/scheduler.h"

#include <doctest/doctest.h>

#include <string>

using namespace rm;
using namespace rm::platform;

namespace {

// Executes one tick per "instruction"; `step` is its program. Logs the time of every turn.
class FakeProcessor final : public Processor, public CpuPins {
public:
    CpuPins& pins() override { return *this; }
    Stop run(u64 until) override {
        stop = until;
        if (is_halted && !intr) return Stop::kHalted;
        is_halted = false;
        turns.push_back(at);
        while (at < stop) {
            if (step) {
                const Stop s = step();
                ++at;
                ++executed;
                if (s != Stop::kDeadline) {
                    is_halted = s == Stop::kHalted;
                    return s;
                }
            } else {
                executed += stop - at;
                at = stop;
            }
        }
        return Stop::kDeadline;
    }
    u64 ticks() const override { return at; }
    void skip_to(u64 ticks) override {
        CHECK(ticks >= at);
        at = ticks;
    }
    void stop_at(u64 ticks) override { stop = std::max(ticks, at); }
    bool halted() const override { return is_halted; }
    void reset() override {}
    void set_a20(bool) override {}
    u64 wake_at() const override { return is_halted ? wake : ~u64{0}; }

    void set_intr(bool asserted) override { intr = asserted; }
    void pulse_nmi() override { intr = true; }
    void pulse_smi() override {}
    void pulse_init() override {}
    void startup_ipi(u8) override { is_halted = false; }

    std::function<Stop()> step;
    std::vector<u64> turns;
    u64 at = 0, stop = 0, executed = 0, wake = ~u64{0};
    bool is_halted = false, intr = false;
};

using Reason = Scheduler::Reason;
const std::atomic<bool> kNoInterrupt{false};

}  // namespace

TEST_CASE("one processor runs straight to the deadline") {
    EventQueue events;
    FakeProcessor cpu;
    Scheduler scheduler(events, {&cpu});
    Timer end(events, [&] { scheduler.stop(); });
    end.arm_at_ns(400'000);
    CHECK(scheduler.run(kNoInterrupt).reason == Reason::kStopRequested);
    CHECK(cpu.at == 100'000);
    CHECK(cpu.turns == std::vector<u64>{0});
}

TEST_CASE("several processors take turns and time never runs backwards") {
    EventQueue events;
    FakeProcessor a, b, c;
    c.is_halted = true;
    Scheduler scheduler(events, {&a, &b, &c}, 1000);
    Timer end(events, [&] { scheduler.stop(); });
    end.arm_at_ns(4 * 3500);
    scheduler.run(kNoInterrupt);
    CHECK(a.turns == std::vector<u64>{0, 2000});
    CHECK(b.turns == std::vector<u64>{1000, 3000});
    CHECK(a.executed == 2000);
    CHECK(b.executed == 1500);
    CHECK(a.at == 3500);
    CHECK(c.at == 3500);
    CHECK(c.executed == 0);
}

TEST_CASE("an event armed in mid-turn ends the turn in time") {
    EventQueue events;
    FakeProcessor cpu;
    Scheduler scheduler(events, {&cpu});
    u64 fired_at = 0;
    Timer timer(events, [&] {
        fired_at = events.now_ticks();
        scheduler.stop();
    });
    cpu.step = [&] {
        if (cpu.at == 50) timer.arm_in_ns(400);
        return Processor::Stop::kDeadline;
    };
    scheduler.run(kNoInterrupt);
    CHECK(fired_at == 150);
}

TEST_CASE("a signal to a halted processor ends the sender's turn and wakes it") {
    EventQueue events;
    FakeProcessor a, b;
    Scheduler scheduler(events, {&a, &b}, 1000);
    a.step = [&] {
        if (a.at == 100) scheduler.pins(1).set_intr(true);
        return Processor::Stop::kDeadline;
    };
    b.is_halted = true;
    b.step = [&] {
        scheduler.stop();
        return Processor::Stop::kDeadline;
    };
    const auto outcome = scheduler.run(kNoInterrupt);
    CHECK(outcome.reason == Reason::kStopRequested);
    CHECK(b.turns == std::vector<u64>{101});
    CHECK(b.at == 102);
    CHECK(a.executed == 101);
}

TEST_CASE("idle time is skipped; nothing due is idle forever") {
    EventQueue events;
    FakeProcessor a, b;
    a.is_halted = b.is_halted = true;
    Scheduler scheduler(events, {&a, &b});
    CHECK(scheduler.run(kNoInterrupt).reason == Reason::kIdleForever);
    Timer timer(events, [&] { scheduler.pins(0).set_intr(true); });
    timer.arm_at_ns(4'000'000'000);
    a.step = [&] {
        a.intr = false;
        return Processor::Stop::kHalted;
    };
    CHECK(scheduler.run(kNoInterrupt).reason == Reason::kIdleForever);
    CHECK(a.turns == std::vector<u64>{1'000'000'000});
    CHECK(b.at == a.at);
    b.wake = 2'000'000'000;
    b.intr = true;  // what the processor itself knows at wake_at()
    b.step = [&] {
        b.intr = false;
        b.wake = ~u64{0};
        return Processor::Stop::kTripleFault;
    };
    const auto outcome = scheduler.run(kNoInterrupt);
    CHECK(outcome.reason == Reason::kTripleFault);
    CHECK(outcome.index == 1);
    CHECK(b.turns == std::vector<u64>{2'000'000'000});
}

TEST_CASE("a debugger's stop does not change later turns") {
    auto record = [](bool with_debugger) {
        EventQueue events;
        FakeProcessor a, b;
        Scheduler scheduler(events, {&a, &b}, 1000);
        bool stopped = false;
        a.step = [&] {
            if (with_debugger && a.at == 300 && !stopped) {
                stopped = true;
                return Processor::Stop::kDebug;
            }
            return Processor::Stop::kDeadline;
        };
        Timer end(events, [&] { scheduler.stop(); });
        end.arm_at_ns(4 * 5000);
        while (scheduler.run(kNoInterrupt).reason == Reason::kDebug) {
        }
        return b.turns;
    };
    CHECK(record(true) == record(false));
}

TEST_CASE("the host's flag and poll are seen between turns") {
    EventQueue events;
    FakeProcessor cpu;
    Scheduler scheduler(events, {&cpu});
    std::atomic<bool> interrupt{false};
    int polls = 0;
    scheduler.set_host_poll([&] {
        if (++polls == 3) interrupt = true;
    });
    CHECK(scheduler.run(interrupt).reason == Reason::kStopRequested);
    CHECK(cpu.at == 3 * Scheduler::kPollTicks);
}
