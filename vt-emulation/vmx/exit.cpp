// VM exits: recording the cause, saving and loading state, MSR lists, VMX aborts.
// Source: SDM 3C chapter 27.
#include "base/log.h"
#include "cpu/system/system.h"
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using cpu::Cpu;
using cpu::Step;

namespace {

constexpr u32 kMsrFsBase = 0xC0000100, kMsrGsBase = 0xC0000101, kMsrSmmMonitor = 0x9B,
              kMsrSmbase = 0x9E;
// VMX-abort indicators (27.7).
constexpr u32 kAbortSaveMsr = 1, kAbortHostPdpte = 2, kAbortLoadMsr = 4, kAbortHostMode = 6;

struct MsrEntry {
    u32 index, reserved;
    u64 data;
};

MsrEntry read_entry(memory::PhysicalMemory& memory, PhysAddr at) {
    return {static_cast<u32>(memory.load(at, 4)), static_cast<u32>(memory.load(at + 4, 4)),
            memory.load(at + 8, 8)};
}

bool x2apic_msr(u32 index) { return (index >> 8) == 8; }

// From here on the processor is between instructions: nested exits and event delivery see rip, and
// the tick count stays what it is.
void settle(Cpu& cpu) {
    if (!cpu.ip) return;
    cpu.tick_base = cpu.ticks();
    cpu.block_first = cpu.ip;
    cpu.ip = nullptr;
}

}  // namespace

// Lists longer than IA32_VMX_MISC recommends are undefined by the manual; here the first entry
// beyond fails (24.7.2).
u32 Vmx::load_msr_list(Cpu& cpu, PhysAddr list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        if (n == kMaxMsrList) return n + 1;
        const MsrEntry e = read_entry(cpu.memory, list + u64{n} * 16);
        const bool forbidden = e.reserved || e.index == kMsrFsBase || e.index == kMsrGsBase ||
                               e.index == kMsrSmmMonitor || e.index == kMsrSmbase ||
                               x2apic_msr(e.index);
        if (forbidden || !cpu::write_msr(cpu, e.index, e.data)) return n + 1;
    }
    return 0;
}

bool Vmx::store_msr_list(Cpu& cpu, PhysAddr list, u32 count) {
    if (count > kMaxMsrList) return false;
    for (u32 n = 0; n < count; ++n) {
        const PhysAddr at = list + u64{n} * 16;
        const MsrEntry e = read_entry(cpu.memory, at);
        u64 value;
        if (e.reserved || e.index == kMsrSmbase || x2apic_msr(e.index) ||
            !cpu::read_msr(cpu, e.index, value))
            return false;
        cpu.memory.store(at + 8, 8, value);
    }
    return true;
}

void Vmx::abort(Cpu& cpu, u32 indicator) {
    set_abort_indicator(cpu.memory, current_, indicator);
    log::write(log::Item::kGuestErrors, "VMX abort %u, VMCS at %llx\n", indicator,
               static_cast<unsigned long long>(current_));
    // Shutdown that only RESET ends (27.7).
    cpu.vt_mode = cpu::VtMode::kVmxRoot;
    cpu.activity = cpu::Activity::kShutdown;
}

void Vmx::record_exit(Cpu&, const ExitInfo& info) {
    Vmcs& v = vmcs_;
    v.set(F::EXIT_REASON, static_cast<u32>(info.reason));
    v.set(F::EXIT_QUALIFICATION, info.qualification);
    v.set(F::EXIT_INTERRUPTION_INFO, info.interruption_info);
    if (info.interruption_info & common::kInfoErrorValid)
        v.set(F::EXIT_INTERRUPTION_ERROR, info.interruption_error);
    v.set(F::IDT_VECTORING_INFO, info.during ? common::interruption_info(*info.during) : 0);
    if (info.during && info.during->has_error) v.set(F::IDT_VECTORING_ERROR, info.during->error);
    u32 length = info.instruction_length;
    if (info.during && info.during->insn_length) length = info.during->insn_length;
    v.set(F::EXIT_INSTRUCTION_LENGTH, length);
    v.set(F::EXIT_INSTRUCTION_INFO, info.instruction_info);
    if (info.linear_valid) v.set(F::GUEST_LINEAR_ADDRESS, info.linear);
    if (info.physical_valid) v.set(F::GUEST_PHYSICAL_ADDRESS, info.physical);
    // An injection happens once (24.8.3).
    v.set(F::ENTRY_INTERRUPTION_INFO, v[F::ENTRY_INTERRUPTION_INFO] & ~bit(31));
}

// Host state and the MSR-load list; also the end of an entry that failed late (26.8).
void Vmx::return_to_host(Cpu& cpu) {
    const bool was64 = cpu.long_mode();
    if (was64 && !(exitc_ & exitc::kHostAddressSpaceSize)) return abort(cpu, kAbortHostMode);
    load_host(cpu);
    const bool pae = (cpu.cr0 & cpu::kCr0Pg) && (cpu.cr4 & cpu::kCr4Pae) && !cpu.long_mode();
    if (pae) {
        if (!cpu::load_pdptes(cpu, cpu.cr3)) return abort(cpu, kAbortHostPdpte);
        cpu.update_paging();
    }
    if (load_msr_list(cpu, vmcs_[F::EXIT_MSR_LOAD_ADDRESS], vmcs_.get32(F::EXIT_MSR_LOAD_COUNT)))
        return abort(cpu, kAbortLoadMsr);
    mtf_tick_ = timer_tick_ = kNever;
    tpr_exit_pending_ = false;
    apic_access_.pending = false;
    cpu.recheck_events();
}

void Vmx::vm_exit(Cpu& cpu, const ExitInfo& info) {
    const u64 rip = info.trap && cpu.ip ? cpu.next_rip(*cpu.ip) : cpu.current_rip();
    record_exit(cpu, info);
    save_guest(cpu, info, rip);
    if (sink_) trace_exit(cpu, info, rip);
    settle(cpu);
    cpu.vt_tsc_offset = 0;  // a stored IA32_TSC is the processor's own
    changes_.clear();
    changed_at_.assign(kFieldCount, 0);
    if (!store_msr_list(cpu, vmcs_[F::EXIT_MSR_STORE_ADDRESS],
                        vmcs_.get32(F::EXIT_MSR_STORE_COUNT)))
        return abort(cpu, kAbortSaveMsr);
    // With virtual NMIs the blocking just saved was the guest's own; physical NMIs were never held
    // (24.4.2, 27.5.5).
    if (virtual_nmis()) cpu.nmi_blocked = false;
    return_to_host(cpu);
}

Step Vmx::instruction_exit(Cpu& cpu, const cpu::Insn& insn, ExitReason reason, u64 qualification) {
    vm_exit(cpu, {.reason = reason,
                  .qualification = qualification,
                  .instruction_length = insn.length,
                  .rf = ExitInfo::Rf::kClear});
    return Step::kVmExit;
}

// Exits whose qualification is the displacement of the memory operand (27.2.1).
Step Vmx::operand_exit(Cpu& cpu, const cpu::Insn& insn, ExitReason reason, u32 info) {
    bool memory = false;
    for (unsigned n = 0; n < 3; ++n) memory |= insn.kind(n) == cpu::OperandKind::kMem;
    vm_exit(cpu, {.reason = reason,
                  .qualification = memory ? insn.disp : 0,
                  .instruction_length = insn.length,
                  .instruction_info = info,
                  .instruction_info_valid = true,
                  .rf = ExitInfo::Rf::kClear});
    return Step::kVmExit;
}

}  // namespace rm::vt::vmx
