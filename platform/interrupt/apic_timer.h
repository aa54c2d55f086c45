// The local APIC's timer: one-shot, periodic and TSC-deadline.
// Owns: when it expires. Assumes: the LVT entry (vector, mask) belongs to the local APIC, which is
// called at each expiry. Counts at kInputHz divided by the divide configuration; expiries of a
// periodic timer are multiples of its period from the write of the initial count: no drift.
// Source: SDM 3A 11.5.4, 11.5.4.1.
#pragma once
#include <functional>

#include "platform/clock/event_queue.h"

namespace rm::platform {

class ApicTimer {
public:
    static constexpr u64 kInputHz =
        1'000'000'000;  // the APIC bus clock: one count per ns, divide 1

    enum class Mode : u8 { kOneShot = 0, kPeriodic = 1, kTscDeadline = 2 };

    ApicTimer(EventQueue& queue, std::function<void()> expired);

    void reset();
    Mode mode() const { return mode_; }
    void set_mode(Mode mode);  // to or from TSC-deadline disarms
    u32 divide_configuration() const { return divide_configuration_; }
    void set_divide_configuration(u32 value);  // bits 3, 1, 0
    u32 initial_count() const { return initial_; }
    void set_initial_count(u32 count);  // starts; 0 stops; ignored in TSC-deadline mode
    u32 current_count() const;

    u64 deadline() const { return deadline_; }
    void set_deadline(u64 tsc);  // ignored outside TSC-deadline mode; 0 disarms
    void set_tsc_offset(u64 offset);

private:
    u64 divisor() const;
    u64 expiry_ns() const { return base_ns_ + base_count_ * divisor(); }
    void arm_deadline();
    void fire();

    EventQueue& queue_;
    std::function<void()> expired_;
    Timer timer_;
    Mode mode_ = Mode::kOneShot;
    u32 divide_configuration_ = 0;
    u32 initial_ = 0;
    // The count was base_count_ at base_ns_ and goes down from there.
    bool counting_ = false;
    u64 base_ns_ = 0;
    u64 base_count_ = 0;
    u64 deadline_ = 0;    // IA32_TSC_DEADLINE
    u64 tsc_offset_ = 0;  // IA32_TSC - clock TSC
};

}  // namespace rm::platform
