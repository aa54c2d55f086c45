// Exceptions, interrupts and the other causes of VM exits that are not instructions; what has to be
// looked at between instructions, in order of priority.
// Source: SDM 3C 25.2, 25.4-25.7; qualifications 27.2.1; priorities SDM 3A table 6-2.
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using cpu::Activity;
using cpu::Cpu;
using cpu::Event;
using cpu::EventAnswer;
using cpu::EventType;
using cpu::ExternalEvent;
using memory::Access;
using memory::WalkFault;

namespace {

bool is_exception(const Event& e) {
    return e.type == EventType::kHardwareException || e.type == EventType::kSoftwareException ||
           e.type == EventType::kPrivilegedSoftwareException;
}

}  // namespace

bool Vmx::exception(Cpu& cpu, const Event& event, const Event* during) {
    if (!is_exception(event)) return false;
    bool exits = vmcs_.get32(F::EXCEPTION_BITMAP) >> (event.vector & 31) & 1;
    if (event.vector == cpu::kPf && event.type == EventType::kHardwareException) {
        const bool match = (event.error & vmcs_.get32(F::PAGE_FAULT_ERROR_MASK)) ==
                           vmcs_.get32(F::PAGE_FAULT_ERROR_MATCH);
        exits = exits == match;
    }
    if (!exits) return false;
    const bool hardware = event.type == EventType::kHardwareException;
    ExitInfo info{.reason = ExitReason::EXCEPTION_NMI};
    info.interruption_info = common::interruption_info(event);
    info.interruption_error = event.error;
    info.instruction_length = event.insn_length;
    if (event.vector == cpu::kPf) info.qualification = event.payload;
    if (event.vector == cpu::kDb) info.qualification = event.payload & 0x600F;
    // A double fault that exits directly is not an exit during delivery (27.2.4).
    if (event.vector != cpu::kDf) info.during = during;
    // The value that would be pushed: set for faults, but not by debug exceptions.
    if (hardware && event.vector != cpu::kDb && event.vector != cpu::kDf)
        info.rf = ExitInfo::Rf::kSet;
    vm_exit(cpu, info);
    return true;
}

bool Vmx::triple_fault(Cpu& cpu) {
    vm_exit(cpu, {.reason = ExitReason::TRIPLE_FAULT});
    return true;
}

bool Vmx::task_switch(Cpu& cpu, u16 selector, cpu::TaskSwitchSource source, const Event* during,
                      bool, u32) {
    // For a gate reached by delivery the length, if any, is that of the software event.
    const u32 length = cpu.ip && source != cpu::TaskSwitchSource::kGate ? cpu.ip->length : 0;
    vm_exit(cpu, {.reason = ExitReason::TASK_SWITCH,
                  .qualification = selector | static_cast<u64>(source) << 30,
                  .during = during,
                  .instruction_length = length});
    return true;
}

EventAnswer Vmx::external(Cpu& cpu, ExternalEvent event) {
    if (!on_) return EventAnswer::kDeliver;
    if (!cpu.in_guest()) {
        // INIT is blocked in VMX root operation (23.8); a SIPI has nobody to start.
        if (event == ExternalEvent::kInit) return EventAnswer::kBlocked;
        return event == ExternalEvent::kSipi ? EventAnswer::kDrop : EventAnswer::kDeliver;
    }
    const bool waits_for_sipi = cpu.activity == Activity::kWaitForSipi;
    switch (event) {
        case ExternalEvent::kIntr: {
            if (waits_for_sipi || cpu.activity == Activity::kShutdown) return EventAnswer::kBlocked;
            if (!(pin_ & pin::kExternalInterruptExiting)) return EventAnswer::kDeliver;
            if (cpu.shadow) return EventAnswer::kBlocked;
            ExitInfo info{.reason = ExitReason::EXTERNAL_INTERRUPT};
            if (exitc_ & exitc::kAcknowledgeInterrupt)
                info.interruption_info = cpu.lapic.acknowledge() | common::kInfoValid;
            vm_exit(cpu, info);
            return EventAnswer::kExit;
        }
        case ExternalEvent::kNmi: {
            if (!nmi_exiting()) return EventAnswer::kDeliver;
            const bool held = cpu.nmi_blocked && !virtual_nmis();
            if (waits_for_sipi || held || (cpu.shadow & cpu::kShadowMovSs))
                return EventAnswer::kBlocked;
            constexpr Event kNmi{.vector = cpu::kNmiVector, .type = EventType::kNmi};
            vm_exit(cpu, {.reason = ExitReason::EXCEPTION_NMI,
                          .interruption_info = common::interruption_info(kNmi)});
            cpu.nmi_blocked = true;  // until the hypervisor's IRET (27.5.5)
            return EventAnswer::kExit;
        }
        case ExternalEvent::kSmi: return EventAnswer::kDeliver;
        case ExternalEvent::kInit:
            if (waits_for_sipi) return EventAnswer::kBlocked;
            vm_exit(cpu, {.reason = ExitReason::INIT});
            return EventAnswer::kExit;
        case ExternalEvent::kSipi:
            if (!waits_for_sipi) return EventAnswer::kDrop;
            vm_exit(cpu, {.reason = ExitReason::SIPI, .qualification = cpu.sipi_vector});
            return EventAnswer::kExit;
    }
    return EventAnswer::kDeliver;
}

void Vmx::second_stage_fault(Cpu& cpu, const WalkFault& fault, const Event* during) {
    ExitInfo info{.reason = ExitReason::EPT_VIOLATION};
    info.during = during;
    // The manual leaves the length undefined here, but processors give it for data accesses by an
    // instruction, and hypervisors step over emulated EOI writes with it (SDM 3C 27.2.5).
    if (!during && fault.access != Access::kExecute) info.instruction_length = cpu.faulting_length;
    if (apic_access_.pending) {
        // Table 27-6: offset 11:0, access type 15:12.
        apic_access_.pending = false;
        const u64 type = during                                  ? 3
                         : apic_access_.access == Access::kRead  ? 0
                         : apic_access_.access == Access::kWrite ? 1
                                                                 : 2;
        info.reason = ExitReason::APIC_ACCESS;
        info.qualification = apic_access_.offset | type << 12;
        info.linear_valid = true;
        info.linear = fault.linear;
        vm_exit(cpu, info);
        return;
    }
    info.physical_valid = true;
    info.physical = fault.guest_physical;
    info.linear_valid = fault.linear_valid;
    info.linear = fault.linear;
    if (fault.kind == WalkFault::Kind::kEptMisconfig) {
        info.reason = ExitReason::EPT_MISCONFIG;
    } else {
        // Table 27-7. With EPT's accessed and dirty flags, accesses to paging-structure entries
        // count as reads and writes (28.2.3.2).
        const bool table = fault.walk_access;
        const bool both = table && (vmcs_[F::EPT_POINTER] & 0x40);
        u64 q = fault.access == Access::kRead ? 1 : fault.access == Access::kWrite ? 2 : 4;
        if (both) q = 3;
        q |= u64{fault.ept_permissions} << 3;
        if (fault.linear_valid) q |= bit(7) | (table ? 0 : bit(8));
        info.qualification = q;
    }
    vm_exit(cpu, info);
}

bool Vmx::needs_boundary() const {
    return (proc_ & (proc::kInterruptWindowExiting | proc::kNmiWindowExiting)) ||
           mtf_tick_ != kNever || timer_tick_ != kNever || tpr_exit_pending_;
}

bool Vmx::boundary(Cpu& cpu) {
    cpu.attention &= ~cpu::kAttnVt;
    if (cpu.vt_mode != cpu::VtMode::kVmxGuest || !needs_boundary()) return false;
    if (tpr_exit_pending_) {
        vm_exit(cpu, {.reason = ExitReason::TPR_BELOW_THRESHOLD});
        return true;
    }
    if (cpu.tick_base >= mtf_tick_) {
        vm_exit(cpu, {.reason = ExitReason::MONITOR_TRAP_FLAG});
        return true;
    }
    // Deadlines come to the run loop's notice by deadline_ticks(); windows have to be looked at
    // whenever a block has ended.
    if (proc_ & (proc::kInterruptWindowExiting | proc::kNmiWindowExiting))
        cpu.attention |= cpu::kAttnVt;
    const bool waits_for_sipi = cpu.activity == Activity::kWaitForSipi;
    // Debug traps come before all that follows (25.5.1, 25.6).
    if (waits_for_sipi || (cpu.pending_db && !(cpu.shadow & cpu::kShadowMovSs))) return false;
    if (cpu.tick_base >= timer_tick_) {
        vm_exit(cpu, {.reason = ExitReason::PREEMPTION_TIMER});
        return true;
    }
    if ((proc_ & proc::kNmiWindowExiting) && !cpu.nmi_blocked &&
        !(cpu.shadow & cpu::kShadowMovSs)) {
        vm_exit(cpu, {.reason = ExitReason::NMI_WINDOW});
        return true;
    }
    const bool nmi_first = (cpu.pending & cpu::kAttnNmi) && !(cpu.nmi_blocked && !virtual_nmis());
    if ((proc_ & proc::kInterruptWindowExiting) && cpu.flag(cpu::kFlagIf) && !cpu.shadow &&
        cpu.activity != Activity::kShutdown && !nmi_first) {
        vm_exit(cpu, {.reason = ExitReason::INTERRUPT_WINDOW});
        return true;
    }
    return false;
}

u64 Vmx::deadline_ticks(const Cpu& cpu) const {
    if (cpu.vt_mode != cpu::VtMode::kVmxGuest) return kNever;
    return std::min(mtf_tick_, timer_tick_);
}

void Vmx::iret_done(Cpu& cpu) {
    // Without virtual NMIs but with NMI exiting, IRET leaves blocking by NMI alone (25.3).
    if (cpu.vt_mode == cpu::VtMode::kVmxGuest && nmi_exiting() && !virtual_nmis())
        cpu.nmi_blocked = nmi_held_;
    else
        nmi_held_ = false;
}

}  // namespace rm::vt::vmx
