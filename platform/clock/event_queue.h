// Virtual time and the queue of things due at a virtual time. One per machine.
// Time is counted in ticks (instructions); ns = ticks << shift (docs/architecture.md, "Time").
// Events fire in deadline order; equal deadlines fire in the order they were armed.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/interfaces.h"

namespace rm::platform {

class EventQueue;

// A one-shot timer owned by a device. Destroying it disarms it.
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
};

class EventQueue final : public VirtualClock {
public:
    // ns per tick = 1 << shift.
    explicit EventQueue(unsigned shift = 2);

    u64 now_ticks() const override;
    u64 now_ns() const override { return now_ticks() << shift_; }
    unsigned shift() const { return shift_; }

    // The processor now executing: its ticks() is the time. Null between runs, then `at` holds.
    void set_running(Processor* processor) { running_ = processor; }
    void advance_to(u64 ticks);  // no processor runs; never goes back
    // Earliest armed deadline in ticks; ~0 if none.
    u64 next_deadline_ticks() const;
    // Fires everything due at or before now.
    void fire_due();

private:
    friend class Timer;
    void armed(Timer& timer);  // tells the running processor to stop in time
    void disarmed(Timer& timer);
    u64 to_ticks_up(u64 ns) const { return (ns + (u64{1} << shift_) - 1) >> shift_; }

    unsigned shift_;
    u64 at_ = 0;
    u64 next_order_ = 0;
    Processor* running_ = nullptr;
    std::vector<Timer*> heap_;
};

}  // namespace rm::platform
