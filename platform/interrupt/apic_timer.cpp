// Counting and arming; see apic_timer.h.
#include "platform/interrupt/apic_timer.h"

#include <algorithm>
#include <utility>

namespace rm::platform {

static_assert(ApicTimer::kInputHz == 1'000'000'000, "one count of the undivided timer is 1 ns");
static_assert(VirtualClock::kTscHz == 2'000'000'000, "two TSC counts per ns");

ApicTimer::ApicTimer(EventQueue& queue, std::function<void()> expired)
    : queue_(queue), expired_(std::move(expired)), timer_(queue, [this] { fire(); }) {}

void ApicTimer::reset() {
    timer_.cancel();
    mode_ = Mode::kOneShot;
    divide_configuration_ = 0;
    initial_ = 0;
    counting_ = false;
    deadline_ = 0;
}

// SDM 3A figure 11-10: bits 3, 1, 0 = 000 divide by 2 ... 110 by 128, 111 by 1.
u64 ApicTimer::divisor() const {
    const unsigned code = (divide_configuration_ >> 1 & 4) | (divide_configuration_ & 3);
    return code == 7 ? 1 : u64{2} << code;
}

void ApicTimer::set_mode(Mode mode) {
    if (mode == mode_) return;
    const bool deadline_involved = mode == Mode::kTscDeadline || mode_ == Mode::kTscDeadline;
    mode_ = mode;
    if (!deadline_involved) return;  // a running count goes on; only its end differs
    timer_.cancel();
    counting_ = false;
    deadline_ = 0;
}

void ApicTimer::set_divide_configuration(u32 value) {
    const u32 count = current_count();
    divide_configuration_ = value & 0xB;
    if (!counting_) return;
    base_ns_ = queue_.now_ns();
    base_count_ = count;
    timer_.arm_at_ns(expiry_ns());
}

void ApicTimer::set_initial_count(u32 count) {
    if (mode_ == Mode::kTscDeadline) return;
    initial_ = count;
    counting_ = count != 0;
    base_ns_ = queue_.now_ns();
    base_count_ = count;
    if (counting_)
        timer_.arm_at_ns(expiry_ns());
    else
        timer_.cancel();
}

u32 ApicTimer::current_count() const {
    if (!counting_) return 0;
    const u64 elapsed = (queue_.now_ns() - base_ns_) / divisor();
    return elapsed < base_count_ ? static_cast<u32>(base_count_ - elapsed) : 0;
}

void ApicTimer::set_deadline(u64 tsc) {
    if (mode_ != Mode::kTscDeadline) return;
    deadline_ = tsc;
    arm_deadline();
}

void ApicTimer::set_tsc_offset(u64 offset) {
    tsc_offset_ = offset;
    if (deadline_) arm_deadline();
}

void ApicTimer::arm_deadline() {
    timer_.cancel();
    if (!deadline_) return;
    const u64 now = queue_.tsc() + tsc_offset_;
    if (deadline_ <= now)
        fire();
    else
        timer_.arm_in_ns((deadline_ - now) / 2 + (deadline_ - now) % 2);
}

void ApicTimer::fire() {
    if (mode_ == Mode::kPeriodic) {
        const u64 period = initial_ * divisor();
        const u64 expiry = expiry_ns();
        // Expiries closer together than one tick of the clock are one interrupt.
        base_ns_ = expiry + (queue_.now_ns() - expiry) / period * period;
        base_count_ = initial_;
        timer_.arm_at_ns(expiry_ns());
    } else {
        counting_ = false;
        deadline_ = 0;
    }
    expired_();
}

}  // namespace rm::platform
