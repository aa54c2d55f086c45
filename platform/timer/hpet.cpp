// Registers and matching of the HPET; see hpet.h.
#include "platform/timer/hpet.h"

#include "base/bits.h"
#include "base/log.h"

namespace rm::platform {

namespace {

// Register offsets (2.3.1).
constexpr u64 kCapabilities = 0x000, kConfig = 0x010, kStatus = 0x020, kCounter = 0x0F0,
              kFirstTimer = 0x100, kTimerStride = 0x20;
constexpr u64 kTimerConfig = 0x00, kTimerMatch = 0x08;
// General capabilities: period in fs, vendor, legacy route, 64-bit counter, last timer, revision.
constexpr u64 kCapabilityValue =
    u64{10'000'000} << 32 | u64{0x8086} << 16 | 1 << 15 | 1 << 13 | (Hpet::kTimers - 1) << 8 | 1;
// Timer configuration (2.3.8).
constexpr u64 kIntLevel = bit(1), kIntEnable = bit(2), kPeriodic = bit(3), kPeriodicCap = bit(4),
              kSizeCap = bit(5), kValueSet = bit(6), k32Bit = bit(8);
constexpr unsigned kRouteLow = 9, kRouteHigh = 13;
constexpr u64 kRouteMask = u64{0x1F} << kRouteLow;
constexpr u64 kTimerCapabilities = kPeriodicCap | kSizeCap | u64{Hpet::kRouteCapability} << 32;
constexpr unsigned kPin2 = 2;
// Matches further away than this (146 years) are never reached.
constexpr u64 kHorizonNs = u64{1} << 62;

}  // namespace

Hpet::Hpet(EventQueue& queue, IrqLine& irq0, IrqLine& irq8, IrqLine& pin2)
    : queue_(queue), irq0_(irq0), irq8_(irq8), pin2_(pin2) {
    for (unsigned n = 0; n < kTimers; ++n) {
        comparators_[n] = std::make_unique<Comparator>(queue, *this, n);
        comparators_[n]->pin2 = &pin2_.add();
    }
    reset();
}

void Hpet::reset() {
    config_ = status_ = count_ = 0;
    for (auto& c : comparators_) {
        c->event.cancel();
        c->config = kTimerCapabilities;
        c->match = ~u64{0};
        c->period = 0;
    }
    update_lines();
}

u64 Hpet::counter() const {
    return running() ? count_ + (queue_.now_ns() - started_ns_) / kNsPerCount : count_;
}

u64 Hpet::width_mask(const Comparator& c) { return c.config & k32Bit ? 0xFFFFFFFF : ~u64{0}; }

// --- matching ---

void Hpet::arm(Comparator& c, bool now_counts) {
    c.event.cancel();
    if (!running()) return;
    const u64 mask = width_mask(c);
    u128 distance = (c.match - counter()) & mask;
    if (distance == 0 && !now_counts) distance = u128{mask} + 1;
    const u128 counts = distance + (queue_.now_ns() - started_ns_) / kNsPerCount;
    const u128 deadline = started_ns_ + counts * kNsPerCount;
    if (deadline < kHorizonNs) c.event.arm_at_ns(static_cast<u64>(deadline));
}

void Hpet::arm_all() {
    for (auto& c : comparators_) arm(*c, false);
}

void Hpet::fire(unsigned n) {
    Comparator& c = *comparators_[n];
    if ((c.config & kPeriodic) && c.period) {
        const u64 mask = width_mask(c);
        const u64 missed = ((counter() - c.match) & mask) / c.period;
        c.match = (c.match + (missed + 1) * c.period) & mask;
    }
    arm(c, false);
    if (c.config & kIntLevel) {
        status_ |= bit(n);
        update_lines();
    } else if (IrqLine* target = line(n); target && (c.config & kIntEnable)) {
        target->pulse();
    }
}

// --- lines ---

IrqLine* Hpet::line(unsigned n) {
    if (legacy() && n < 2) return n == 0 ? &irq0_ : &irq8_;
    const Comparator& c = *comparators_[n];
    return bits(c.config, kRouteHigh, kRouteLow) == kPin2 ? c.pin2 : nullptr;
}

bool Hpet::level_active(unsigned n) const {
    constexpr u64 kBoth = kIntLevel | kIntEnable;
    return running() && has_bit(status_, n) && (comparators_[n]->config & kBoth) == kBoth;
}

void Hpet::update_lines() {
    irq0_.set(legacy() ? level_active(0) : pit_.level);
    irq8_.set(legacy() ? level_active(1) : rtc_.level);
    for (unsigned n = 0; n < kTimers; ++n) {
        IrqLine* pin2 = comparators_[n]->pin2;
        pin2->set(line(n) == pin2 && level_active(n));
    }
}

// --- registers ---

u64 Hpet::read_register(u64 offset) const {
    switch (offset) {
        case kCapabilities: return kCapabilityValue;
        case kConfig: return config_;
        case kStatus: return status_;
        case kCounter: return counter();
        default: break;
    }
    const u64 n = (offset - kFirstTimer) / kTimerStride;
    if (offset < kFirstTimer || n >= kTimers) return 0;
    switch (offset % kTimerStride) {
        case kTimerConfig: return comparators_[n]->config;
        case kTimerMatch: return comparators_[n]->match;
        default: return 0;  // FSB route: not offered
    }
}

void Hpet::write_config(u64 value) {
    const u64 now = counter();
    const bool was_running = running();
    config_ = value & 3;
    if (running() != was_running) {
        count_ = now;
        started_ns_ = queue_.now_ns();
    }
    arm_all();
    update_lines();
}

void Hpet::write_comparator_config(Comparator& c, u64 value) {
    constexpr u64 kWritable = kIntLevel | kIntEnable | kPeriodic | kValueSet | k32Bit | kRouteMask;
    // A route outside the capability does not stick (2.3.8, Tn_INT_ROUTE_CNF).
    const u64 route = bits(value, kRouteHigh, kRouteLow);
    if (!has_bit(kRouteCapability, static_cast<unsigned>(route)))
        value = (value & ~kRouteMask) | (c.config & kRouteMask);
    if (!(value & kPeriodic)) value &= ~kValueSet;
    c.config = kTimerCapabilities | (value & kWritable);
    c.match &= width_mask(c);
    arm(c, false);
    update_lines();
}

// In periodic mode a write sets the period; with VAL_SET it also sets the next match (2.3.9.2.2).
void Hpet::write_match(Comparator& c, u64 value, u64 mask) {
    const bool periodic = c.config & kPeriodic;
    const u64 width = width_mask(c);
    if (!periodic || (c.config & kValueSet)) c.match = ((c.match & ~mask) | value) & width;
    if (periodic) c.period = ((c.period & ~mask) | value) & width;
    c.config &= ~kValueSet;
    arm(c, true);
}

void Hpet::write_register(u64 offset, u64 value, u64 mask) {
    const u64 merged = (read_register(offset) & ~mask) | value;
    switch (offset) {
        case kConfig: write_config(merged); return;
        case kStatus:
            status_ &= ~value;
            update_lines();
            return;
        case kCounter:
            if (running())
                log::write(log::Item::kGuestErrors, "hpet: write to the running counter ignored\n");
            else
                count_ = merged;
            return;
        default: break;
    }
    const u64 n = (offset - kFirstTimer) / kTimerStride;
    if (offset < kFirstTimer || n >= kTimers) return;
    if (offset % kTimerStride == kTimerConfig)
        write_comparator_config(*comparators_[n], merged);
    else if (offset % kTimerStride == kTimerMatch)
        write_match(*comparators_[n], value, mask);
}

// A window access never crosses an 8-byte register: wider or misaligned ones are cut at its end.
u64 Hpet::mmio_read(u64 offset, unsigned size) {
    const unsigned shift = 8 * (offset & 7);
    return read_register(offset & ~u64{7}) >> shift & low_mask(8 * size);
}

void Hpet::mmio_write(u64 offset, unsigned size, u64 value) {
    const unsigned shift = 8 * (offset & 7);
    const u64 mask = low_mask(8 * size) << shift;
    write_register(offset & ~u64{7}, value << shift & mask, mask);
}

}  // namespace rm::platform
