// Acceptance, priorities, delivery and modes of the local APIC. Its register accesses are in
// local_apic_registers.cpp.
#include "platform/interrupt/local_apic.h"

#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "base/log.h"
#include "platform/interrupt/local_apic_registers.h"

namespace rm::platform {

using namespace apic;

namespace {

constexpr u8 kFirstLegalVector = 16;

DeliveryMode lvt_mode(u32 lvt) { return static_cast<DeliveryMode>(bits(lvt, 10, 8)); }
void set_bit(std::array<u32, 8>& set, u8 v) { set[v / 32] |= u32{1} << (v % 32); }
void clear_bit(std::array<u32, 8>& set, u8 v) { set[v / 32] &= ~(u32{1} << (v % 32)); }
bool test_bit(const std::array<u32, 8>& set, u8 v) { return set[v / 32] >> (v % 32) & 1; }

class NoPins final : public CpuPins {
public:
    void set_intr(bool) override {}
    void pulse_nmi() override {}
    void pulse_smi() override {}
    void pulse_init() override {}
    void startup_ipi(u8) override {}
} unconnected;

}  // namespace

LocalApic::LocalApic(u32 id, bool bootstrap, EventQueue& queue, ApicBus& bus, Features features)
    : initial_id_(id),
      bootstrap_(bootstrap),
      features_(features),
      bus_(bus),
      pins_(&unconnected),
      timer_(queue, [this] { deliver_local(kTimer); }),
      base_(kDefaultBase | kEnable | (bootstrap ? kBsp : 0)),
      id_(id) {
    reset_registers();
    bus.attach(*this);
}

void LocalApic::connect(CpuPins& pins) {
    pins_ = &pins;
    pins.set_intr(intr_);
}

// --- reset and modes ---

void LocalApic::reset_registers() {
    timer_.reset();
    tpr_ = 0;
    ldr_ = 0;
    dfr_ = ~u32{0};
    svr_ = kSpuriousReset;
    icr_low_ = icr_high_ = 0;
    esr_ = errors_ = 0;
    lvt_.fill(kLvtMasked);
    if (bootstrap_) lvt_[kLint0] = static_cast<u32>(DeliveryMode::kExtInt) << 8;
    irr_.fill(0);
    isr_.fill(0);
    tmr_.fill(0);
    ext_int_message_ = false;
    update_pin();
}

void LocalApic::reset(bool init) {
    if (!init) {
        base_ = kDefaultBase | kEnable | (bootstrap_ ? kBsp : 0);
        id_ = initial_id_;
        timer_.set_tsc_offset(0);
    }
    reset_registers();
}

// Legal transitions: SDM 3A 11.12.5, figure 11-27.
bool LocalApic::set_apic_base(u64 value) {
    const u64 legal = kBsp | kEnable | (features_.x2apic ? kExtended : 0) |
                      (low_mask(features_.physical_bits) & ~u64{0xFFF});
    if (value & ~legal) return false;
    const bool was_on = enabled(), was_extended = base_ & kExtended;
    const bool on = value & kEnable, extended = value & kExtended;
    if (extended && !on) return false;
    if (was_extended && on && !extended) return false;
    if (!was_on && extended) return false;
    base_ = value;
    if (was_on && !on) {  // back to power-up state, registers gone (SDM 3A 11.4.3)
        id_ = initial_id_;
        reset_registers();
    } else if (extended && !was_extended) {
        id_ = initial_id_;
        icr_high_ = 0;
    }
    update_pin();
    return true;
}

// --- priorities ---

int LocalApic::highest(const VectorSet& set) {
    for (int i = 7; i >= 0; --i)
        if (set[i]) return 32 * i + 31 - std::countl_zero(set[i]);
    return -1;
}

// SDM 3A 11.8.3.1.
u8 LocalApic::ppr() const {
    const u8 in_service = static_cast<u8>(std::max(highest(isr_), 0));
    return (tpr_ & 0xF0) >= (in_service & 0xF0) ? tpr_ : in_service & 0xF0;
}

// SDM 3A 11.6.2.4.
u8 LocalApic::arbitration_priority() const {
    const u8 request = std::max(highest(irr_), 0) & 0xF0;
    const u8 service = std::max(highest(isr_), 0) & 0xF0;
    if ((tpr_ & 0xF0) >= request && (tpr_ & 0xF0) > service) return tpr_;
    return std::max({static_cast<u8>(tpr_ & 0xF0 & service), request, service});
}

int LocalApic::highest_pending() const {
    if (!accepts_fixed()) return -1;
    const int request = highest(irr_);
    return request >= 0 && (request & 0xF0) > (ppr() & 0xF0) ? request : -1;
}

bool LocalApic::ext_int_pending() const {
    if (!enabled()) return lint_[0];  // LINT0 is the processor's INTR pin (SDM 3A 11.4.3)
    const u32 lvt = lvt_[kLint0];
    return ext_int_message_ ||
           (lint_[0] && !(lvt & kLvtMasked) && lvt_mode(lvt) == DeliveryMode::kExtInt);
}

void LocalApic::update_pin() {
    const bool level = highest_pending() >= 0 || ext_int_pending();
    if (level == intr_) return;
    intr_ = level;
    pins_->set_intr(level);
}

void LocalApic::set_tpr(u8 value) {
    tpr_ = value;
    update_pin();
}

u8 LocalApic::acknowledge() {
    if (const int vector = highest_pending(); vector >= 0) {
        clear_bit(irr_, static_cast<u8>(vector));
        set_bit(isr_, static_cast<u8>(vector));
        update_pin();
        return static_cast<u8>(vector);
    }
    if (ext_int_pending()) {
        ext_int_message_ = false;
        const u8 vector = bus_.acknowledge_pic();
        update_pin();
        return vector;
    }
    return static_cast<u8>(svr_);
}

void LocalApic::end_of_interrupt() {
    const int in_service = highest(isr_);
    if (in_service < 0) return;
    const u8 vector = static_cast<u8>(in_service);
    clear_bit(isr_, vector);
    if (test_bit(tmr_, vector)) {
        for (unsigned n = 0; n < 2; ++n) {
            u32& lvt = lvt_[kLint0 + n];
            if (!(lvt & kLvtRemoteIrr) || static_cast<u8>(lvt) != vector) continue;
            lvt &= ~kLvtRemoteIrr;
            evaluate_lint(n, false);
        }
        bus_.end_of_interrupt(vector);
    }
    update_pin();
}

// --- acceptance ---

// SDM 3A 11.6.2.2; x2APIC: 11.12.10.
u32 LocalApic::logical_id() const {
    return x2apic_mode() ? (id_ >> 4) << 16 | u32{1} << (id_ & 15) : ldr_ >> 24;
}

bool LocalApic::matches(const ApicMessage& message) const {
    if (!enabled()) return false;
    const u32 to = message.destination;
    if (to == (message.wide ? ~u32{0} : 0xFF)) return true;
    if (!message.logical) return to == id_;
    const u32 own = logical_id();
    if (x2apic_mode()) return to >> 16 == own >> 16 && (to & own & 0xFFFF);
    if (to > 0xFF) return false;
    if (dfr_ >> 28 == 0xF) return to & own;                              // flat model
    return (to >> 4 == own >> 4 || to >> 4 == 0xF) && (to & own & 0xF);  // cluster model
}

bool LocalApic::accept(const ApicMessage& message) {
    if (!enabled()) return false;
    switch (message.mode) {
        case DeliveryMode::kFixed:
        case DeliveryMode::kLowestPriority:
            if (!software_enabled()) return false;
            break;
        case DeliveryMode::kReserved: return false;
        default: break;
    }
    deliver(message.mode, message.vector, message.level);
    return true;
}

void LocalApic::deliver(DeliveryMode mode, u8 vector, bool level) {
    switch (mode) {
        case DeliveryMode::kFixed:
        case DeliveryMode::kLowestPriority: raise(vector, level); break;
        case DeliveryMode::kSmi: pins_->pulse_smi(); break;
        case DeliveryMode::kNmi: pins_->pulse_nmi(); break;
        case DeliveryMode::kInit: pins_->pulse_init(); break;
        case DeliveryMode::kStartup: pins_->startup_ipi(vector); break;
        case DeliveryMode::kExtInt:
            ext_int_message_ = true;
            update_pin();
            break;
        case DeliveryMode::kReserved: break;
    }
}

void LocalApic::raise(u8 vector, bool level) {
    if (vector < kFirstLegalVector) {
        report_error(kReceiveIllegalVector);
        return;
    }
    set_bit(irr_, vector);
    if (level)
        set_bit(tmr_, vector);
    else
        clear_bit(tmr_, vector);
    update_pin();
}

// SDM 3A 11.5.3. A second error of the same kind raises no interrupt, which also ends the recursion
// of an error entry that itself has an illegal vector.
void LocalApic::report_error(u8 error) {
    if (errors_ & error) return;
    errors_ |= error;
    deliver_local(kError);
}

// Timer, error, thermal and performance entries: edges. LINT entries go through evaluate_lint().
void LocalApic::deliver_local(Lvt entry) {
    const u32 lvt = lvt_[entry];
    if (lvt & kLvtMasked) return;
    const bool fixed_only = entry == kTimer || entry == kError;
    deliver(fixed_only ? DeliveryMode::kFixed : lvt_mode(lvt), static_cast<u8>(lvt), false);
}

void LocalApic::set_lint(unsigned n, bool level) {
    const bool rising = level && !lint_[n];
    lint_[n] = level;
    if (enabled())
        evaluate_lint(n, rising);
    else if (n == 1 && rising)
        pins_->pulse_nmi();  // LINT1 is the processor's NMI pin (SDM 3A 11.4.3)
    update_pin();
}

void LocalApic::evaluate_lint(unsigned n, bool rising) {
    u32& lvt = lvt_[kLint0 + n];
    const DeliveryMode mode = lvt_mode(lvt);
    if ((lvt & kLvtMasked) || mode == DeliveryMode::kExtInt) return;  // ExtINT: ext_int_pending()
    if (mode == DeliveryMode::kFixed && (lvt & kLvtLevel)) {
        if (!lint_[n] || (lvt & kLvtRemoteIrr)) return;
        lvt |= kLvtRemoteIrr;
        deliver(mode, static_cast<u8>(lvt), true);
    } else if (rising) {
        deliver(mode, static_cast<u8>(lvt), false);
    }
}

// --- interrupt commands (SDM 3A 11.6.1, table 11-3) ---

void LocalApic::send(u32 command, u32 destination) {
    const unsigned shorthand = static_cast<unsigned>(bits(command, 19, 18));
    const ApicMessage message{.destination = destination,
                              .logical = has_bit(command, 11),
                              .wide = x2apic_mode(),
                              .mode = static_cast<DeliveryMode>(bits(command, 10, 8)),
                              .vector = static_cast<u8>(command)};
    const bool fixed = message.mode == DeliveryMode::kFixed;
    const bool vectored = fixed || message.mode == DeliveryMode::kLowestPriority;
    const bool to_self = shorthand == 1 || shorthand == 2;
    if (message.mode == DeliveryMode::kReserved || message.mode == DeliveryMode::kExtInt ||
        (to_self && !fixed)) {
        log::write(log::Item::kGuestErrors, "apic %u: ICR command %08x is not valid\n", id_,
                   command);
        return;
    }
    // INIT level de-assert only synchronised arbitration ids of the oldest APICs.
    if (message.mode == DeliveryMode::kInit && has_bit(command, 15) && !has_bit(command, 14))
        return;
    if (vectored && message.vector < kFirstLegalVector) {
        report_error(kSendIllegalVector);
        return;
    }
    switch (shorthand) {
        case 0: bus_.deliver(message); break;
        case 1: accept(message); break;
        default: bus_.deliver_all(message, shorthand == 3 ? this : nullptr);
    }
}

}  // namespace rm::platform
