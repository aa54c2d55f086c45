// Virtual time and the queue of things due at a virtual time. One per machine.
// Time is counted in ticks (instructions); ns = ticks << shift (docs/architecture.md, "Time").
// Events fire in deadline order; equal deadlines fire in the order they were armed.
// With host time (thread=multi) time passes as the host's between start_host_time() and
// stop_host_time(), whatever is executed, and may be asked by any thread; everything else is called
// with the machine's lock held.
// Assumes: one host thread, or the lock. Deadlines more than 2^63 ns away are never reached.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/interfaces.h"

namespace rm::platform {

class EventQueue;

// A one-shot timer owned by a device. Destroying it disarms it. Periodic devices re-arm from their
// own base time in `fire`, so that rounding never accumulates.
class Timer {
public:
    Timer(EventQueue& queue, std::function<void()> fire);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    void arm_at_ns(u64 deadline_ns);  // fires at the first tick whose time is >= deadline
    void arm_in_ns(u64 delay_ns);
    void cancel();
    bool armed() const { return armed_; }
    u64 deadline_ns() const { return deadline_ns_; }

private:
    friend class EventQueue;
    EventQueue& queue_;
    std::function<void()> fire_;
    bool armed_ = false;
    u64 deadline_ns_ = 0;
    u64 order_ = 0;
    std::size_t slot_ = 0;  // index in the queue's heap while armed
};

class EventQueue final : public VirtualClock {
public:
    static constexpr u64 kNever = ~u64{0};

    using HostClock = std::chrono::steady_clock;
    enum class Time : u8 { kExecuted, kHost };

    // ns per tick = 1 << shift.
    explicit EventQueue(unsigned shift = 2, Time time = Time::kExecuted);

    u64 now_ticks() const override {
        if (time_ == Time::kHost) [[unlikely]]
            return now_ns() >> shift_;
        return running_ ? running_->ticks() : at_;
    }
    u64 now_ns() const override {
        if (time_ == Time::kHost) [[unlikely]]
            return runs_ ? host_ns() : stopped_ns_;
        return now_ticks() << shift_;
    }
    std::optional<unsigned> tick_shift() const override {
        if (time_ == Time::kHost) return std::nullopt;
        return shift_;
    }
    // While no processor has a thread.
    void start_host_time() {
        start_ = HostClock::now() - std::chrono::nanoseconds(stopped_ns_);
        runs_ = true;
    }
    void stop_host_time() {
        stopped_ns_ = host_ns();
        runs_ = false;
    }
    // Host time: when the earliest deadline comes, not after `latest`; and who is told when it has
    // become an earlier one.
    HostClock::time_point next_deadline(HostClock::time_point latest) const;
    void set_on_earlier(std::function<void()> earlier) { on_earlier_ = std::move(earlier); }
    unsigned shift() const { return shift_; }

    // The processor now executing: its ticks() is the time. `limit` is where its run() ends by
    // itself, so that only earlier deadlines need to stop it.
    void set_running(Processor* processor, u64 limit = kNever);
    // Ends the running processor's run() after its current instruction; nothing if none runs.
    void stop_running();
    void advance_to(u64 ticks);  // no processor runs; never goes back
    // Earliest armed deadline in ticks; kNever if none.
    u64 next_deadline_ticks() const;
    // Fires everything due at or before now, including what the firing arms for now.
    void fire_due();

private:
    friend class Timer;
    void armed(Timer& timer);  // tells the running processor to stop in time
    void disarmed(Timer& timer);
    static bool before(const Timer& a, const Timer& b);
    void place(std::size_t slot, Timer* timer);
    void sift_up(std::size_t slot);
    void sift_down(std::size_t slot);
    u64 host_ns() const {
        return static_cast<u64>(std::chrono::nanoseconds(HostClock::now() - start_).count());
    }
    u64 to_ticks_up(u64 ns) const {
        return (ns >> shift_) + ((ns & ((u64{1} << shift_) - 1)) != 0);
    }

    unsigned shift_;
    const Time time_;
    HostClock::time_point start_;  // when the time was 0, while it runs
    bool runs_ = false;
    u64 stopped_ns_ = 0;  // the time, while it does not
    std::function<void()> on_earlier_;
    u64 at_ = 0;
    u64 next_order_ = 0;
    u64 limit_ = kNever;
    Processor* running_ = nullptr;
    std::vector<Timer*> heap_;  // binary heap, earliest first
};

}  // namespace rm::platform
