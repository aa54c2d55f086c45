// VM entry: the basic checks, the rows of entry_checks.def, loading the guest, injecting an event,
// and what follows an entry at once. Source: SDM 3C chapter 26.
#include "base/log.h"
#include "cpu/events/events.h"
#include "cpu/system/system.h"
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using cpu::Cpu;
using cpu::EventType;
using cpu::Insn;
using cpu::Step;

namespace {

constexpr u32 kEntryFailure = bit(31);
constexpr u64 kQualificationPdpte = 2;

u64 failure_qualification(EntryCheck::Group group) {
    switch (group) {
        case EntryCheck::Group::kGuestPdpte: return kQualificationPdpte;
        case EntryCheck::Group::kGuestLink: return 4;
        default: return 0;
    }
}

// Virtual time of one tick in TSC cycles; the clock's ratio is constant.
u64 tsc_per_tick(const Cpu& cpu) {
    const u64 ticks = cpu.clock.now_ticks();
    return ticks ? cpu.clock.now_ns() / ticks * 2 : 8;
}

}  // namespace

// 26.2 and 26.3.1. False: `step` is what VMLAUNCH or VMRESUME ends with.
bool Vmx::entry_checks_pass(Cpu& cpu, const Insn& insn, const CheckContext& context, Step& step) {
    u64 bits = 0;
    if (const EntryCheck* check = first_failure(context, false, &bits)) {
        const VmError error = check->group == EntryCheck::Group::kControls
                                  ? VmError::kEntryControls
                                  : VmError::kEntryHostState;
        report_check(cpu, *check, bits, static_cast<u32>(error), 0, 0);
        step = fail(cpu, insn, error, row(check->field).encoding);
        return false;
    }
    if (const EntryCheck* check = first_failure(context, true, &bits)) {
        const u64 qualification = failure_qualification(check->group);
        const auto reason = ExitReason::ENTRY_FAIL_GUEST_STATE;
        report_check(cpu, *check, bits, 0, static_cast<u32>(reason) | kEntryFailure, qualification);
        step = entry_failed(cpu, reason, qualification);
        return false;
    }
    return true;
}

Step Vmx::vm_entry(Cpu& cpu, const Insn& insn, bool launch) {
    if (current_ == kNoVmcs) return fail_invalid(cpu, insn, 0);
    if (cpu.shadow & cpu::kShadowMovSs) return fail(cpu, insn, VmError::kEntryMovSs, 0);
    if (launch && vmcs_.launched) return fail(cpu, insn, VmError::kVmlaunchNotClear, 0);
    if (!launch && !vmcs_.launched) return fail(cpu, insn, VmError::kVmresumeNotLaunched, 0);

    const CheckContext context(vmcs_, caps_, cpu.long_mode(), cpu.memory);
    pin_ = context.pin;
    proc_ = context.proc;
    proc2_ = context.proc2;
    exitc_ = context.exitc;
    entryc_ = context.entryc;
    entry_launch_ = launch;
    entry_rip_ = cpu.current_rip();
    Step step = Step::kVmExit;
    if (!entry_checks_pass(cpu, insn, context, step)) return step;

    load_guest(cpu);
    if (!load_guest_pdptes(cpu)) {
        common::EntryFailure failure;
        failure.check = "reserved bits of the guest's PDPTEs in memory must be 0";
        failure.section = "SDM 3C 26.3.1.6";
        failure.value = vmcs_[F::GUEST_CR3];
        failure.reason = static_cast<u32>(ExitReason::ENTRY_FAIL_GUEST_STATE) | kEntryFailure;
        failure.qualification = kQualificationPdpte;
        trace_entry_failure(cpu, failure, F::GUEST_CR3, F::GUEST_CR3);
        return entry_failed(cpu, ExitReason::ENTRY_FAIL_GUEST_STATE, kQualificationPdpte);
    }
    const PhysAddr list = vmcs_[F::ENTRY_MSR_LOAD_ADDRESS];
    if (const u32 n = load_msr_list(cpu, list, vmcs_.get32(F::ENTRY_MSR_LOAD_COUNT))) {
        common::EntryFailure failure;
        failure.check = "every entry of the VM-entry MSR-load list must be loadable";
        failure.section = "SDM 3C 26.4";
        failure.value = cpu.memory.load(list + u64{n - 1} * 16, 4);
        failure.reason = static_cast<u32>(ExitReason::ENTRY_FAIL_MSR_LOADING) | kEntryFailure;
        failure.qualification = n;
        trace_entry_failure(cpu, failure, F::ENTRY_MSR_LOAD_ADDRESS, F::ENTRY_MSR_LOAD_COUNT);
        return entry_failed(cpu, ExitReason::ENTRY_FAIL_MSR_LOADING, n);
    }
    vmcs_.launched = true;
    // From here on the processor is between two instructions of the guest.
    cpu.tick_base = cpu.ticks();
    cpu.block_first = cpu.ip;
    cpu.ip = nullptr;
    begin_guest(cpu);
    if (sink_) trace_entry(cpu, launch, entry_rip_);
    start_timers(cpu);
    inject(cpu);
    if (cpu.in_guest()) {
        // Without APIC accesses virtualized this is a check of the entry itself (26.6.7).
        tpr_exit_pending_ =
            tpr_shadow() && (proc2_ & proc2::kVirtualizeApicAccesses) && below_threshold(cpu);
        if (needs_boundary()) cpu.attention |= cpu::kAttnVt;
        cpu.recheck_events();
    }
    return Step::kVmExit;
}

// 26.8: the hypervisor sees an exit whose reason has bit 31; guest state stays as it was in the
// VMCS.
Step Vmx::entry_failed(Cpu& cpu, ExitReason reason, u64 qualification) {
    vmcs_.set(F::EXIT_REASON, static_cast<u32>(reason) | kEntryFailure);
    vmcs_.set(F::EXIT_QUALIFICATION, qualification);
    changes_.clear();
    changed_at_.assign(kFieldCount, 0);
    return_to_host(cpu);
    return Step::kVmExit;
}

void Vmx::start_timers(Cpu& cpu) {
    // The VM-entry instruction itself is one tick: the guest's first instruction runs at `first`.
    const u64 first = cpu.tick_base + 1;
    const u32 info = vmcs_.get32(F::ENTRY_INTERRUPTION_INFO);
    mtf_tick_ = timer_tick_ = kNever;
    ple_last_ = 0;
    // After an injection the exit comes before the handler's first instruction (26.7.8).
    const bool injected = info & common::kInfoValid;
    if (injected && ((info >> 8) & 7) == 7)
        mtf_tick_ = first;
    else if (proc_ & proc::kMonitorTrapFlag)
        mtf_tick_ = injected ? first : first + 1;
    const u64 tsc = cpu.tsc();
    timer_base_ = tsc >> kPreemptionRate;
    if (pin_ & pin::kActivatePreemptionTimer) {
        const u64 target = (timer_base_ + vmcs_[F::PREEMPTION_TIMER_VALUE]) << kPreemptionRate;
        const u64 cycles = target > tsc ? target - tsc : 0;
        const u64 rate = tsc_per_tick(cpu);
        timer_tick_ = std::max(first, cpu.tick_base + (cycles + rate - 1) / rate);
    }
    cpu.vt_due = std::min(mtf_tick_, timer_tick_);
}

// Event injection (26.5) and pending debug exceptions (26.7.3).
void Vmx::inject(Cpu& cpu) {
    const u32 info = vmcs_.get32(F::ENTRY_INTERRUPTION_INFO);
    const bool vectoring = info & common::kInfoValid;
    const unsigned type = (info >> 8) & 7;
    nmi_held_ = cpu.nmi_blocked;
    const bool runs = cpu.activity == cpu::Activity::kActive || cpu.activity == cpu::Activity::kHlt;
    const bool soft = type == 4 || type == 6;
    const bool keeps_debug = vectoring ? soft && (cpu.shadow & cpu::kShadowMovSs) : runs;
    const u64 pending = vmcs_[F::GUEST_PENDING_DEBUG_EXCEPTIONS];
    if (keeps_debug && (pending & (bit(14) | bit(12)))) {
        cpu.pending_db = pending & 0x400F;
        cpu.attention |= cpu::kAttnTrap;
    }
    if (!vectoring || type == 7) return;
    const cpu::Event event = common::event_of(info, vmcs_.get32(F::ENTRY_EXCEPTION_ERROR_CODE),
                                              vmcs_.get32(F::ENTRY_INSTRUCTION_LENGTH));
    cpu.activity = cpu::Activity::kActive;
    cpu.shadow = 0;
    if (event.type == EventType::kNmi) cpu.nmi_blocked = nmi_held_ = true;
    cpu::deliver(cpu, event, true);
}

}  // namespace rm::vt::vmx
