// TPR shadow, the virtual-APIC page and the APIC-access page, as far as processors without
// APIC-register virtualization have them.
// Source: SDM 3C 29.1.1, 29.1.2 (TPR virtualization), 29.3 (CR8), 29.4 (APIC-access page).
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using cpu::Cpu;
using cpu::MsrAnswer;
using memory::Access;

namespace {
constexpr u64 kTprOffset = 0x80;
}

u8 Vmx::vtpr(const Cpu& cpu) const {
    return static_cast<u8>(cpu.memory.load(vmcs_[F::VIRTUAL_APIC_ADDRESS] + kTprOffset, 1));
}

void Vmx::set_vtpr(Cpu& cpu, u8 value) {
    // Bytes 3:1 of the register are cleared (SDM 3C 29.1.1, 29.4.3.2).
    cpu.memory.store(vmcs_[F::VIRTUAL_APIC_ADDRESS] + kTprOffset, 4, value);
}

bool Vmx::below_threshold(const Cpu& cpu) const {
    return (vtpr(cpu) >> 4) < (vmcs_[F::TPR_THRESHOLD] & 0xF);
}

MsrAnswer Vmx::cr8_read(Cpu& cpu, u64& value) {
    if (!cpu.in_guest() || !tpr_shadow()) return MsrAnswer::kNotMine;
    value = vtpr(cpu) >> 4;
    return MsrAnswer::kDone;
}

MsrAnswer Vmx::cr8_write(Cpu& cpu, const cpu::Insn& insn, u64 value, cpu::Step& step) {
    if (!cpu.in_guest() || !tpr_shadow()) return MsrAnswer::kNotMine;
    if (value > 15) return MsrAnswer::kGp;
    set_vtpr(cpu, static_cast<u8>(value << 4));
    step = cpu::Step::kEnd;
    if (below_threshold(cpu)) {
        vm_exit(cpu, {.reason = ExitReason::TPR_BELOW_THRESHOLD, .trap = true});
        step = cpu::Step::kVmExit;
    }
    return MsrAnswer::kDone;
}

bool Vmx::apic_page_access(Cpu& cpu, PhysAddr addr, LinearAddr linear, Access access, unsigned size,
                           u64& value, bool& exited) {
    exited = false;
    if (!(proc2_ & proc2::kVirtualizeApicAccesses)) return false;
    if ((addr & kPageMask) != (vmcs_[F::APIC_ACCESS_ADDRESS] & kPageMask)) return false;
    const u64 offset = addr & ~kPageMask;
    // Only the TPR is virtualized, and only by accesses of at most 32 bits (SDM 3C 29.4.2, 29.4.3).
    if (tpr_shadow() && offset == kTprOffset && size <= 4 && access != Access::kExecute) {
        const PhysAddr page = vmcs_[F::VIRTUAL_APIC_ADDRESS];
        if (access == Access::kRead) {
            value = cpu.memory.load(page + offset, size);
        } else {
            set_vtpr(cpu, static_cast<u8>(value));
            if (below_threshold(cpu)) {
                tpr_exit_pending_ = true;
                cpu.request(cpu::kAttnVt);
            }
        }
        return true;
    }
    // The exit is taken where second-stage faults are: there rip and the event that may be under
    // delivery are known.
    apic_access_ = {true, static_cast<u16>(offset), access};
    memory::WalkFault fault;
    fault.kind = memory::WalkFault::Kind::kSecondViolation;
    fault.linear = linear;
    fault.access = access;
    cpu.mmu.set_fault(fault);
    exited = true;
    return true;
}

}  // namespace rm::vt::vmx
