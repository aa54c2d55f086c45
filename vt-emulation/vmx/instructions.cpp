// The VMX instructions outside VMX non-root operation, step by step as the manual's pseudo-code.
// Source: SDM 3C chapter 30.
#include "base/log.h"
#include "cpu/system/system.h"
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using cpu::Cpu;
using cpu::Insn;
using cpu::Intercept;
using cpu::OperandKind;
using cpu::Step;

namespace {

constexpr u64 kLockAndVmxon = bit(0) | bit(2);

bool read_pointer(Cpu& cpu, const Insn& insn, u64 skip, u64& value) {
    return cpu.read(static_cast<cpu::SegReg>(insn.seg), common::memory_offset(cpu, insn) + skip,
                    value);
}

bool bad_region(const Capabilities& caps, u64 address) {
    return (address & 0xFFF) || caps.physical_violation(address) ||
           (has_bit(caps.basic, 48) && address >> 32);
}

// INVEPT and INVVPID types (30.3).
enum class InveptType : u64 { kSingle = 1, kAll = 2 };
enum class InvvpidType : u64 { kAddress = 0, kSingle = 1, kAll = 2, kSingleKeepGlobals = 3 };

}  // namespace

Step Vmx::succeed(Cpu& cpu, const Insn& insn, u64 operand) {
    cpu.cc = cpu::kCcFixed;
    trace_instruction(cpu, insn, operand, 0, false);
    return Step::kEnd;
}

Step Vmx::fail_invalid(Cpu& cpu, const Insn& insn, u64 operand) {
    cpu.cc = cpu::kCcFixed | cpu::kCcCf;
    trace_instruction(cpu, insn, operand, 0, true);
    return Step::kEnd;
}

// VMfail: VMfailValid with a current VMCS, else VMfailInvalid (30.2).
Step Vmx::fail(Cpu& cpu, const Insn& insn, VmError error, u64 operand) {
    log::write(log::Item::kGuestErrors, "VMfail(%u) at %llx: %s (operand %llx)\n",
               static_cast<unsigned>(error), static_cast<unsigned long long>(cpu.current_rip()),
               vm_error_text(static_cast<u32>(error)), static_cast<unsigned long long>(operand));
    if (current_ == kNoVmcs) return fail_invalid(cpu, insn, operand);
    vmcs_.set(F::VM_INSTRUCTION_ERROR, static_cast<u32>(error));
    cpu.cc = cpu::kCcFixed | cpu::kCcZf;
    trace_instruction(cpu, insn, operand, static_cast<u32>(error), false);
    return Step::kEnd;
}

// Real and virtual-8086 mode are excluded by the instruction rows.
bool Vmx::operation_allowed(const Cpu& cpu) const {
    return on_ && !cpu.v86() && (!cpu.long_mode() || cpu.code64());
}

void Vmx::put_away(Cpu& cpu) {
    if (current_ == kNoVmcs) return;
    vmcs_.store(cpu.memory, current_);
    current_ = kNoVmcs;
}

Step Vmx::execute(Cpu& cpu, const Insn& insn, Intercept id) {
    if (!caps_.any()) return cpu.raise_ud();
    if (id == Intercept::kVMXON) return vmxon(cpu, insn);
    if (!operation_allowed(cpu)) return cpu.raise_ud();
    if ((id == Intercept::kINVEPT && !caps_.ept()) || (id == Intercept::kINVVPID && !caps_.vpid()))
        return cpu.raise_ud();
    const bool needs_memory =
        id == Intercept::kVMCLEAR || id == Intercept::kVMPTRLD || id == Intercept::kVMPTRST;
    if (needs_memory && insn.kind(0) != OperandKind::kMem) return cpu.raise_ud();
    if (cpu.cpl > 0) return cpu.raise_gp(0);
    switch (id) {
        case Intercept::kVMXOFF: return vmxoff(cpu, insn);
        case Intercept::kVMCLEAR: return vmclear(cpu, insn);
        case Intercept::kVMPTRLD: return vmptrld(cpu, insn);
        case Intercept::kVMPTRST: return vmptrst(cpu, insn);
        case Intercept::kVMREAD: return vmread(cpu, insn);
        case Intercept::kVMWRITE: return vmwrite(cpu, insn);
        case Intercept::kVMLAUNCH: return vm_entry(cpu, insn, true);
        case Intercept::kVMRESUME: return vm_entry(cpu, insn, false);
        case Intercept::kVMCALL: return fail(cpu, insn, VmError::kVmcallInRoot, 0);
        case Intercept::kINVEPT: return invept(cpu, insn);
        case Intercept::kINVVPID: return invvpid(cpu, insn);
        default: return cpu.raise_ud();
    }
}

Step Vmx::vmxon(Cpu& cpu, const Insn& insn) {
    if (insn.kind(0) != OperandKind::kMem || !(cpu.cr4 & cpu::kCr4Vmxe) ||
        (cpu.long_mode() && !cpu.code64()))
        return cpu.raise_ud();
    if (cpu.cpl > 0) return cpu.raise_gp(0);
    if (on_) return fail(cpu, insn, VmError::kVmxonInRoot, 0);
    const u64 bad_fixed = (caps_.cr0_fixed0 & ~cpu.cr0) | (cpu.cr0 & ~caps_.cr0_fixed1) |
                          (caps_.cr4_fixed0 & ~cpu.cr4) | (cpu.cr4 & ~caps_.cr4_fixed1);
    if (bad_fixed || cpu.a20_mask != ~u64{0} || (feature_control_ & kLockAndVmxon) != kLockAndVmxon)
        return cpu.raise_gp(0);
    u64 pointer;
    RM_TRY(read_pointer(cpu, insn, 0, pointer));
    if (bad_region(caps_, pointer) || cpu.memory.load(pointer, 4) != kRevision)
        return fail_invalid(cpu, insn, pointer);
    on_ = true;
    vmxon_pointer_ = pointer;
    current_ = kNoVmcs;
    cpu.vt_mode = cpu::VtMode::kVmxRoot;
    cpu.monitor_armed = false;
    return succeed(cpu, insn, pointer);
}

Step Vmx::vmxoff(Cpu& cpu, const Insn& insn) {
    put_away(cpu);
    on_ = false;
    vmxon_pointer_ = kNoVmcs;
    cpu.vt_mode = cpu::VtMode::kOff;
    cpu.recheck_events();  // INIT is no longer blocked
    return succeed(cpu, insn, 0);
}

Step Vmx::vmclear(Cpu& cpu, const Insn& insn) {
    u64 pointer;
    RM_TRY(read_pointer(cpu, insn, 0, pointer));
    if (bad_region(caps_, pointer)) return fail(cpu, insn, VmError::kVmclearAddress, pointer);
    if (pointer == vmxon_pointer_) return fail(cpu, insn, VmError::kVmclearVmxonPointer, pointer);
    if (pointer == current_) {
        vmcs_.launched = false;
        put_away(cpu);
    } else {
        clear_launch_state(cpu.memory, pointer);
    }
    return succeed(cpu, insn, pointer);
}

Step Vmx::vmptrld(Cpu& cpu, const Insn& insn) {
    u64 pointer;
    RM_TRY(read_pointer(cpu, insn, 0, pointer));
    if (bad_region(caps_, pointer)) return fail(cpu, insn, VmError::kVmptrldAddress, pointer);
    if (pointer == vmxon_pointer_) return fail(cpu, insn, VmError::kVmptrldVmxonPointer, pointer);
    // Bit 31 would make it a shadow VMCS, which no modelled processor has.
    if (cpu.memory.load(pointer, 4) != kRevision)
        return fail(cpu, insn, VmError::kVmptrldRevision, pointer);
    if (pointer != current_) {
        put_away(cpu);
        vmcs_.load(cpu.memory, pointer);
        current_ = pointer;
        changes_.clear();
        changed_at_.assign(kFieldCount, 0);
        writers_.assign(kFieldCount, {});
    }
    return succeed(cpu, insn, pointer);
}

Step Vmx::vmptrst(Cpu& cpu, const Insn& insn) {
    RM_TRY(
        cpu.write(static_cast<cpu::SegReg>(insn.seg), common::memory_offset(cpu, insn), current_));
    return succeed(cpu, insn, current_);
}

// Operand 0: register or memory destination; operand 1: register with the encoding.
Step Vmx::vmread(Cpu& cpu, const Insn& insn) {
    if (current_ == kNoVmcs) return fail_invalid(cpu, insn, 0);
    const bool wide = cpu.code64();
    u64 encoding = cpu.gpr[insn.gpr(1)];
    if (!wide) encoding &= 0xFFFFFFFF;
    bool high;
    const auto field = find_field(encoding, high);
    if (!field || !caps_.supports(*field))
        return fail(cpu, insn, VmError::kUnsupportedField, encoding);
    u64 value = vmcs_[*field];
    if (high) value >>= 32;
    if (!wide) value &= 0xFFFFFFFF;
    if (insn.kind(0) == OperandKind::kMem) {
        const auto segment = static_cast<cpu::SegReg>(insn.seg);
        const u64 offset = common::memory_offset(cpu, insn);
        if (wide)
            RM_TRY(cpu.write(segment, offset, value));
        else
            RM_TRY(cpu.write(segment, offset, static_cast<u32>(value)));
    } else {
        cpu.gpr[insn.gpr(0)] = value;
    }
    cpu.cc = cpu::kCcFixed;
    return Step::kNext;
}

void Vmx::write_field(Cpu& cpu, F field, u64 value) {
    const u64 old = vmcs_[field];
    vmcs_.set(field, value);
    note_write(cpu, field, old);
}

// Operand 0: register with the encoding; operand 1: register or memory source.
Step Vmx::vmwrite(Cpu& cpu, const Insn& insn) {
    if (current_ == kNoVmcs) return fail_invalid(cpu, insn, 0);
    const bool wide = cpu.code64();
    u64 value, encoding = cpu.gpr[insn.gpr(0)];
    if (!wide) encoding &= 0xFFFFFFFF;
    if (insn.kind(1) == OperandKind::kMem) {
        const auto segment = static_cast<cpu::SegReg>(insn.seg);
        const u64 offset = common::memory_offset(cpu, insn);
        u32 half;
        if (wide) {
            RM_TRY(cpu.read(segment, offset, value));
        } else {
            RM_TRY(cpu.read(segment, offset, half));
            value = half;
        }
    } else {
        value = cpu.gpr[insn.gpr(1)];
        if (!wide) value &= 0xFFFFFFFF;
    }
    bool high;
    const auto field = find_field(encoding, high);
    if (!field || !caps_.supports(*field))
        return fail(cpu, insn, VmError::kUnsupportedField, encoding);
    if (row(*field).kind() == FieldKind::kReadOnly)
        return fail(cpu, insn, VmError::kReadOnlyField, encoding);
    if (high) value = (vmcs_[*field] & 0xFFFFFFFF) | value << 32;
    write_field(cpu, *field, value);
    cpu.cc = cpu::kCcFixed;
    return Step::kNext;
}

Step Vmx::invept(Cpu& cpu, const Insn& insn) {
    const u64 type = cpu.code64() ? cpu.gpr[insn.gpr(0)] : cpu.gpr[insn.gpr(0)] & 0xFFFFFFFF;
    const bool single = type == static_cast<u64>(InveptType::kSingle);
    if (!single && type != static_cast<u64>(InveptType::kAll))
        return fail(cpu, insn, VmError::kInvalidInveptOperand, type);
    u64 eptp, upper;
    RM_TRY(read_pointer(cpu, insn, 0, eptp));
    RM_TRY(read_pointer(cpu, insn, 8, upper));
    if (single) {
        if (caps_.eptp_violation(eptp))
            return fail(cpu, insn, VmError::kInvalidInveptOperand, eptp);
        // Mappings belong to the table's address, whatever the other bits of the pointer.
        cpu.mmu.flush({.second_stage = eptp & kPageMask});
        cpu.mmu.flush({.second_stage = (eptp & kPageMask) | 0x40});
    } else {
        cpu.mmu.flush({.guest_only = true});
    }
    return succeed(cpu, insn, eptp);
}

Step Vmx::invvpid(Cpu& cpu, const Insn& insn) {
    const u64 type = cpu.code64() ? cpu.gpr[insn.gpr(0)] : cpu.gpr[insn.gpr(0)] & 0xFFFFFFFF;
    if (type > static_cast<u64>(InvvpidType::kSingleKeepGlobals))
        return fail(cpu, insn, VmError::kInvalidInveptOperand, type);
    u64 low, linear;
    RM_TRY(read_pointer(cpu, insn, 0, low));
    RM_TRY(read_pointer(cpu, insn, 8, linear));
    const u16 vpid = static_cast<u16>(low);
    const auto kind = static_cast<InvvpidType>(type);
    const bool bad_address = kind == InvvpidType::kAddress && !caps_.canonical(linear);
    if (low >> 16 || (kind != InvvpidType::kAll && vpid == 0) || bad_address)
        return fail(cpu, insn, VmError::kInvalidInveptOperand, low);
    switch (kind) {
        case InvvpidType::kAddress:
            cpu.mmu.flush({.asid = vpid, .va = linear, .linear_only = true});
            break;
        case InvvpidType::kSingle: cpu.mmu.flush({.asid = vpid, .linear_only = true}); break;
        case InvvpidType::kAll: cpu.mmu.flush({.guest_only = true, .linear_only = true}); break;
        case InvvpidType::kSingleKeepGlobals:
            cpu.mmu.flush({.asid = vpid, .keep_global = true, .linear_only = true});
            break;
    }
    return succeed(cpu, insn, low);
}

}  // namespace rm::vt::vmx
