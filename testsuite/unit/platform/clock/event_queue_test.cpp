// Order, cancelling, re-arming and the stop of a running processor (platform/clock/event_queue).
#include "platform/clock/event_queue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "platform/clock/rates.h"

using namespace rm;
using namespace rm::platform;

namespace {
class FakeProcessor final : public Processor {
public:
    CpuPins& pins() override { std::abort(); }
    Stop run(u64) override { return Stop::kDeadline; }
    u64 ticks() const override { return at; }
    void skip_to(u64 ticks) override { at = ticks; }
    void stop_at(u64 ticks) override { stop = ticks; }
    bool halted() const override { return false; }
    void reset() override {}
    void set_a20(bool) override {}
    u64 at = 0, stop = 0;
};
}  // namespace

TEST_CASE("deadline order, then arming order") {
    EventQueue queue;
    std::vector<int> fired;
    Timer a(queue, [&] { fired.push_back(1); });
    Timer b(queue, [&] { fired.push_back(2); });
    Timer c(queue, [&] { fired.push_back(3); });
    c.arm_at_ns(40);
    b.arm_at_ns(80);
    a.arm_at_ns(80);
    CHECK(queue.next_deadline_ticks() == 10);
    queue.advance_to(9);
    queue.fire_due();
    CHECK(fired.empty());
    queue.advance_to(20);
    queue.fire_due();
    CHECK(fired == std::vector<int>{3, 2, 1});
    CHECK(queue.next_deadline_ticks() == EventQueue::kNever);
    CHECK(!a.armed());
}

TEST_CASE("a deadline between two ticks fires at the later one") {
    EventQueue queue;
    Timer t(queue, [] {});
    t.arm_at_ns(41);
    CHECK(queue.next_deadline_ticks() == 11);
    t.arm_at_ns(~u64{0});
    CHECK(queue.next_deadline_ticks() == (u64{1} << 62));
}

TEST_CASE("re-arming inside fire, also for now") {
    EventQueue queue;
    int count = 0;
    std::unique_ptr<Timer> t;
    t = std::make_unique<Timer>(queue, [&] {
        if (++count < 3) t->arm_at_ns(count == 1 ? 0 : queue.now_ns());
    });
    t->arm_in_ns(4);
    queue.advance_to(1);
    queue.fire_due();
    CHECK(count == 3);
    CHECK(!t->armed());
}

TEST_CASE("random arming and cancelling keeps the order") {
    EventQueue queue(0);
    std::mt19937 random(1);
    std::vector<u64> fired;
    std::vector<std::unique_ptr<Timer>> timers;
    for (int i = 0; i < 200; ++i)
        timers.push_back(std::make_unique<Timer>(
            queue, [&fired, &timers, i] { fired.push_back(timers[i]->deadline_ns()); }));
    for (int i = 0; i < 5000; ++i) {
        Timer& t = *timers[random() % timers.size()];
        if (random() % 3 == 0)
            t.cancel();
        else
            t.arm_at_ns(random() % 1000);
    }
    timers.erase(timers.begin() + 150, timers.end());  // destroying disarms
    const auto armed =
        std::count_if(timers.begin(), timers.end(), [](auto& t) { return t->armed(); });
    queue.advance_to(1000);
    queue.fire_due();
    CHECK(fired.size() == static_cast<std::size_t>(armed));
    CHECK(std::is_sorted(fired.begin(), fired.end()));
}

TEST_CASE("the running processor's ticks are the time and earlier deadlines stop it") {
    EventQueue queue;
    FakeProcessor cpu;
    Timer a(queue, [] {}), b(queue, [] {}), c(queue, [] {});
    a.arm_at_ns(4000);
    queue.set_running(&cpu, 1000);
    cpu.at = 100;
    CHECK(queue.now_ns() == 400);
    b.arm_at_ns(8000);
    CHECK(cpu.stop == 0);
    b.arm_in_ns(100);
    CHECK(cpu.stop == 125);
    c.arm_at_ns(0);  // already past: stop now
    CHECK(cpu.stop == 100);
    cpu.at = 101;
    queue.set_running(nullptr);
    CHECK(queue.now_ticks() == 101);
}

TEST_CASE("oscillator cycles are exact") {
    for (u64 k : {u64{0}, u64{1}, u64{7}, u64{1'193'182}, u64{1} << 40}) {
        const u64 ns = ns_of_cycle(k, kPitHz);
        CHECK(cycles_at_ns(ns, kPitHz) == k);
        if (ns) CHECK(cycles_at_ns(ns - 1, kPitHz) == k - 1);
    }
    CHECK(ns_of_cycle(~u64{0}, kPitHz) == ~u64{0});
}
