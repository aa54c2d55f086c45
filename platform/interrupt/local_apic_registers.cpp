// Register accesses of the local APIC: the xAPIC page, the x2APIC MSRs, IA32_TSC_DEADLINE.
#include "platform/interrupt/local_apic_registers.h"
#include "base/bits.h"
#include "base/log.h"
#include "platform/interrupt/local_apic.h"

namespace rm::platform {

using namespace apic;

namespace {

constexpr u32 kMsrTscDeadline = 0x6E0;
constexpr u32 kMsrFirst = 0x800, kMsrLast = 0x8FF;
constexpr unsigned kTimerModeReserved = 3;

unsigned timer_mode(u32 lvt) { return static_cast<unsigned>(bits(lvt, 18, 17)); }

}  // namespace

u32 LocalApic::read_register(unsigned number) const {
    if (number >= kIsr && number < kIsr + 8u) return isr_[number - kIsr];
    if (number >= kTmr && number < kTmr + 8u) return tmr_[number - kTmr];
    if (number >= kIrr && number < kIrr + 8u) return irr_[number - kIrr];
    if (number >= kLvtTimer && number <= kLvtError) return lvt_[number - kLvtTimer];
    switch (number) {
        case kId: return x2apic_mode() ? id_ : id_ << 24;
        case kVersionRegister: return kVersion;
        case kTpr: return tpr_;
        case kApr: return arbitration_priority();
        case kPpr: return ppr();
        case kLdr: return x2apic_mode() ? logical_id() : ldr_;
        case kDfr: return dfr_;
        case kSvr: return svr_;
        case kEsr: return esr_;
        case kIcrLow: return icr_low_;
        case kIcrHigh: return icr_high_;
        case kInitialCount: return timer_.initial_count();
        case kCurrentCount: return timer_.current_count();
        case kDivide: return timer_.divide_configuration();
        default: return 0;
    }
}

// `value` holds only bits that the register's row lets through.
void LocalApic::write_register(unsigned number, u32 value) {
    if (number >= kLvtTimer && number <= kLvtError) {
        write_lvt(static_cast<Lvt>(number - kLvtTimer), value);
        return;
    }
    switch (number) {
        case kId: id_ = value >> 24; break;
        case kTpr: set_tpr(static_cast<u8>(value)); break;
        case kEoi: end_of_interrupt(); break;
        case kLdr: ldr_ = value; break;
        case kDfr: dfr_ = value | 0x0FFFFFFF; break;
        case kSvr:
            svr_ = value;
            if (!software_enabled())  // SDM 3A 11.4.7.2
                for (u32& lvt : lvt_) lvt |= kLvtMasked;
            update_pin();
            break;
        case kEsr:
            esr_ = errors_;
            errors_ = 0;
            break;
        case kIcrLow:
            icr_low_ = value;
            send(value, x2apic_mode() ? icr_high_ : icr_high_ >> 24);
            break;
        case kIcrHigh: icr_high_ = value; break;
        case kInitialCount: timer_.set_initial_count(value); break;
        case kDivide: timer_.set_divide_configuration(value); break;
        case kSelfIpi: send(value | 1 << 18, 0); break;
        default: break;
    }
}

void LocalApic::write_lvt(Lvt entry, u32 value) {
    u32& lvt = lvt_[entry];
    if (!software_enabled()) value |= kLvtMasked;
    if (entry == kTimer) {
        if (!features_.tsc_deadline) value &= ~(u32{1} << 18);
        if (timer_mode(value) == kTimerModeReserved) value &= ~(u32{3} << 17);
        lvt = value;
        timer_.set_mode(static_cast<ApicTimer::Mode>(timer_mode(value)));
        return;
    }
    const bool lint = entry == kLint0 || entry == kLint1;
    const bool keeps_remote_irr = lint && (value & kLvtLevel);
    lvt = value | (keeps_remote_irr ? lvt & kLvtRemoteIrr : 0);
    if (lint) {
        evaluate_lint(entry - kLint0, false);
        update_pin();
    }
}

// --- xAPIC page ---

u64 LocalApic::mmio_read(u64 offset, unsigned size) {
    const unsigned number = static_cast<unsigned>(offset >> 4);
    const RegisterRow* row = find_register(number);
    if (!row || !row->xapic) {
        report_error(kIllegalRegister);
        return 0;
    }
    if (!(row->xapic & kRead) || (offset & 0xF) > 3) return 0;
    return u64{read_register(number)} >> (8 * (offset & 3)) & low_mask(8 * size);
}

void LocalApic::mmio_write(u64 offset, unsigned size, u64 value) {
    const unsigned number = static_cast<unsigned>(offset >> 4);
    const RegisterRow* row = find_register(number);
    if (!row || !row->xapic) {
        report_error(kIllegalRegister);
        return;
    }
    if (!(row->xapic & kWrite)) return;
    if (size < 4 || (offset & 0xF)) {
        log::write(log::Item::kGuestErrors, "apic %u: %u-byte write to offset %03llx ignored\n",
                   id_, size, static_cast<unsigned long long>(offset));
        return;
    }
    write_register(number, static_cast<u32>(value) & row->writable);
}

// --- MSRs ---

bool LocalApic::msr_read(u32 msr, u64& value) {
    if (msr == kMsrTscDeadline) {
        value = timer_.deadline();
        return features_.tsc_deadline;
    }
    if (!x2apic_mode() || msr < kMsrFirst || msr > kMsrLast) return false;
    const unsigned number = msr - kMsrFirst;
    const RegisterRow* row = find_register(number);
    if (!row || !(row->x2apic & kRead)) return false;
    value = read_register(number);
    if (number == kIcrLow) value |= u64{icr_high_} << 32;
    return true;
}

bool LocalApic::msr_write(u32 msr, u64 value) {
    if (msr == kMsrTscDeadline) {
        if (features_.tsc_deadline) timer_.set_deadline(value);
        return features_.tsc_deadline;
    }
    if (!x2apic_mode() || msr < kMsrFirst || msr > kMsrLast) return false;
    const unsigned number = msr - kMsrFirst;
    const RegisterRow* row = find_register(number);
    if (!row || !(row->x2apic & kWrite)) return false;
    u64 allowed = row->writable | row->read_only;
    if (number == kIcrLow) allowed |= u64{0xFFFFFFFF} << 32;
    if (number == kLvtTimer && !features_.tsc_deadline) allowed &= ~bit(18);
    if (value & ~allowed) return false;  // reserved bits (SDM 3A 11.12.1.3)
    if (number == kLvtTimer && timer_mode(static_cast<u32>(value)) == kTimerModeReserved)
        return false;
    if (number == kIcrLow) icr_high_ = static_cast<u32>(value >> 32);
    write_register(number, static_cast<u32>(value) & row->writable);
    return true;
}

}  // namespace rm::platform
