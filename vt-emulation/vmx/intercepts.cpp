// Instructions that cause VM exits, by the controls of the running guest. The order of checks is
// the manual's: faults that depend on mode and privilege come before the exit, everything that
// looks at operands comes after it. Source: SDM 3C 25.1, 25.3, 27.2.1 (qualifications), 27.2.5.
#include "cpu/system/system.h"
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using cpu::Cpu;
using cpu::Insn;
using cpu::Intercept;
using cpu::InterceptAnswer;
using cpu::Step;

namespace {

struct ExitRow {
    Intercept id;
    enum class When : u8 { kAlways, kProc, kProc2 } when;
    u32 bits;  // of the primary or secondary controls
    ExitReason reason;
};
using When = ExitRow::When;

// Instructions whose exit depends on one control bit at most (25.1.2, 25.1.3). Those with more to
// ask are in Vmx::compute_answers().
constexpr ExitRow kExitRows[] = {
    {Intercept::kCPUID, When::kAlways, 0, ExitReason::CPUID},
    {Intercept::kGETSEC, When::kAlways, 0, ExitReason::GETSEC},
    {Intercept::kINVD, When::kAlways, 0, ExitReason::INVD},
    {Intercept::kXSETBV, When::kAlways, 0, ExitReason::XSETBV},
    {Intercept::kVMCALL, When::kAlways, 0, ExitReason::VMCALL},
    {Intercept::kVMCLEAR, When::kAlways, 0, ExitReason::VMCLEAR},
    {Intercept::kVMLAUNCH, When::kAlways, 0, ExitReason::VMLAUNCH},
    {Intercept::kVMPTRLD, When::kAlways, 0, ExitReason::VMPTRLD},
    {Intercept::kVMPTRST, When::kAlways, 0, ExitReason::VMPTRST},
    {Intercept::kVMREAD, When::kAlways, 0, ExitReason::VMREAD},
    {Intercept::kVMRESUME, When::kAlways, 0, ExitReason::VMRESUME},
    {Intercept::kVMWRITE, When::kAlways, 0, ExitReason::VMWRITE},
    {Intercept::kVMXOFF, When::kAlways, 0, ExitReason::VMXOFF},
    {Intercept::kVMXON, When::kAlways, 0, ExitReason::VMXON},
    {Intercept::kINVEPT, When::kAlways, 0, ExitReason::INVEPT},
    {Intercept::kINVVPID, When::kAlways, 0, ExitReason::INVVPID},
    {Intercept::kHLT, When::kProc, proc::kHltExiting, ExitReason::HLT},
    {Intercept::kINVLPG, When::kProc, proc::kInvlpgExiting, ExitReason::INVLPG},
    {Intercept::kRDPMC, When::kProc, proc::kRdpmcExiting, ExitReason::RDPMC},
    {Intercept::kRDTSC, When::kProc, proc::kRdtscExiting, ExitReason::RDTSC},
    {Intercept::kRDTSCP, When::kProc, proc::kRdtscExiting, ExitReason::RDTSCP},
    {Intercept::kINVPCID, When::kProc, proc::kInvlpgExiting, ExitReason::INVPCID},
    {Intercept::kMOV_DR, When::kProc, proc::kMovDrExiting, ExitReason::MOV_DR},
    {Intercept::kMWAIT, When::kProc, proc::kMwaitExiting, ExitReason::MWAIT},
    {Intercept::kMONITOR, When::kProc, proc::kMonitorExiting, ExitReason::MONITOR},
    {Intercept::kPAUSE, When::kProc, proc::kPauseExiting, ExitReason::PAUSE},
    {Intercept::kSGDT, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::GDTR_IDTR},
    {Intercept::kSIDT, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::GDTR_IDTR},
    {Intercept::kLGDT, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::GDTR_IDTR},
    {Intercept::kLIDT, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::GDTR_IDTR},
    {Intercept::kSLDT, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::LDTR_TR},
    {Intercept::kSTR, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::LDTR_TR},
    {Intercept::kLLDT, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::LDTR_TR},
    {Intercept::kLTR, When::kProc2, proc2::kDescriptorTableExiting, ExitReason::LDTR_TR},
    {Intercept::kWBINVD, When::kProc2, proc2::kWbinvdExiting, ExitReason::WBINVD},
};

constexpr ExitReason reason_of(Intercept id) {
    for (const ExitRow& row : kExitRows)
        if (row.id == id) return row.reason;
    return ExitReason::CPUID;  // not reached: every id given has a row
}

// Instruction identity, bits 29:28 of tables 27-10 and 27-11.
constexpr u32 descriptor_identity(Intercept id) {
    switch (id) {
        case Intercept::kSIDT:
        case Intercept::kSTR: return 1;
        case Intercept::kLGDT:
        case Intercept::kLLDT: return 2;
        case Intercept::kLIDT:
        case Intercept::kLTR: return 3;
        default: return 0;
    }
}

}  // namespace

common::Answers Vmx::compute_answers() const {
    common::Answers a;
    a.fill(InterceptAnswer::kNever);
    const auto set = [&](Intercept id, InterceptAnswer answer) {
        a[static_cast<unsigned>(id)] = answer;
    };
    for (const ExitRow& row : kExitRows) {
        const bool exits = row.when == When::kAlways ||
                           (row.when == When::kProc ? proc_ & row.bits : proc2_ & row.bits);
        if (exits) set(row.id, InterceptAnswer::kAlways);
    }
    // Masks, shadows and targets change without a new profile.
    for (Intercept id : {Intercept::kMOV_CR, Intercept::kCLTS, Intercept::kLMSW})
        set(id, InterceptAnswer::kAsk);
    if (proc_ & proc::kUseIoBitmaps)
        set(Intercept::kIO, InterceptAnswer::kAsk);
    else if (proc_ & proc::kUnconditionalIoExiting)
        set(Intercept::kIO, InterceptAnswer::kAlways);
    const InterceptAnswer msr =
        proc_ & proc::kUseMsrBitmaps ? InterceptAnswer::kAsk : InterceptAnswer::kAlways;
    set(Intercept::kRDMSR, msr);
    set(Intercept::kWRMSR, msr);
    if (!(proc_ & proc::kPauseExiting) && (proc2_ & proc2::kPauseLoopExiting))
        set(Intercept::kPAUSE, InterceptAnswer::kAsk);
    // #UD without their enabling control (25.3).
    if (!(proc2_ & proc2::kEnableRdtscp)) set(Intercept::kRDTSCP, InterceptAnswer::kAlways);
    if (!(proc2_ & proc2::kEnableInvpcid)) set(Intercept::kINVPCID, InterceptAnswer::kAlways);
    return a;
}

u32 Vmx::current_profile(const Cpu&) {
    const u64 key = u64{proc2_} << 32 | proc_;
    // Window exiting does not change what instructions do.
    const u64 relevant = key & ~u64{proc::kInterruptWindowExiting | proc::kNmiWindowExiting};
    if (relevant != profile_key_) {
        profile_ = profiles_.intern(compute_answers());
        profile_key_ = relevant;
    }
    return profile_;
}

Step Vmx::intercept(Cpu& cpu, const Insn& insn, Intercept id) {
    switch (id) {
        case Intercept::kMOV_CR: return intercept_control(cpu, insn);
        case Intercept::kLMSW: return intercept_lmsw(cpu, insn);
        case Intercept::kCLTS: {
            // With TS host-owned and clear in the shadow, CLTS runs and changes nothing (25.3).
            const u64 owned = vmcs_[F::CR0_GUEST_HOST_MASK] & vmcs_[F::CR0_READ_SHADOW];
            if (!(owned & cpu::kCr0Ts)) return Step::kNext;
            return instruction_exit(cpu, insn, ExitReason::CR_ACCESS, 2 << 4);
        }
        case Intercept::kMOV_DR: {
            const bool to_dr = insn.imm & 1;
            const u64 dr = insn.reg[to_dr ? 0 : 1] & 7, gpr = insn.gpr(to_dr ? 1 : 0);
            return instruction_exit(cpu, insn, ExitReason::MOV_DR,
                                    dr | (to_dr ? 0 : 1 << 4) | gpr << 8);
        }
        case Intercept::kIO: return intercept_io(cpu, insn);
        case Intercept::kRDMSR: return intercept_msr(cpu, insn, false);
        case Intercept::kWRMSR: return intercept_msr(cpu, insn, true);
        case Intercept::kPAUSE: return intercept_pause(cpu, insn);
        case Intercept::kSGDT:
        case Intercept::kSIDT:
        case Intercept::kSLDT:
        case Intercept::kSTR:
            if (cpu.cpl > 0 && (cpu.cr4 & cpu::kCr4Umip)) return cpu.raise_gp(0);
            return intercept_descriptor(cpu, insn, id);
        case Intercept::kLGDT:
        case Intercept::kLIDT:
        case Intercept::kLLDT:
        case Intercept::kLTR: return intercept_descriptor(cpu, insn, id);
        case Intercept::kRDTSCP:
            if (!(proc2_ & proc2::kEnableRdtscp)) return cpu.raise_ud();
            [[fallthrough]];
        case Intercept::kRDTSC:
            if (cpu.cpl > 0 && (cpu.cr4 & cpu::kCr4Tsd)) return cpu.raise_gp(0);
            return instruction_exit(cpu, insn, reason_of(id));
        case Intercept::kRDPMC:
            if (cpu.cpl > 0 && !(cpu.cr4 & cpu::kCr4Pce)) return cpu.raise_gp(0);
            return instruction_exit(cpu, insn, ExitReason::RDPMC);
        case Intercept::kGETSEC:
            if (!(cpu.cr4 & cpu::kCr4Smxe)) return cpu.raise_ud();
            return instruction_exit(cpu, insn, ExitReason::GETSEC);
        case Intercept::kMONITOR:
        case Intercept::kMWAIT:
            if (cpu.cpl > 0) return cpu.raise_ud();
            return instruction_exit(cpu, insn, reason_of(id),
                                    id == Intercept::kMWAIT && cpu.monitor_armed ? 1 : 0);
        case Intercept::kINVLPG: {
            const u64 linear = common::segment_linear(cpu, static_cast<cpu::SegReg>(insn.seg),
                                                      common::memory_offset(cpu, insn));
            return instruction_exit(cpu, insn, ExitReason::INVLPG, linear);
        }
        case Intercept::kINVPCID:
            if (!(proc2_ & proc2::kEnableInvpcid)) return cpu.raise_ud();
            return operand_exit(cpu, insn, ExitReason::INVPCID,
                                memory_operand_info(cpu, insn) | u32{insn.gpr(0)} << 28);
        case Intercept::kCPUID:
        case Intercept::kHLT:
        case Intercept::kINVD:
        case Intercept::kWBINVD:
        case Intercept::kXSETBV: return instruction_exit(cpu, insn, reason_of(id));
        default: return intercept_vmx(cpu, insn, id);
    }
}

// VMX instructions in a guest: exits whatever the CPL; #UD where 64-bit mode forbids them.
Step Vmx::intercept_vmx(Cpu& cpu, const Insn& insn, Intercept id) {
    if (id == Intercept::kVMCALL) return instruction_exit(cpu, insn, ExitReason::VMCALL);
    if (cpu.long_mode() && !cpu.code64()) return cpu.raise_ud();
    const bool mem0 = insn.kind(0) == cpu::OperandKind::kMem;
    switch (id) {
        case Intercept::kVMLAUNCH:
        case Intercept::kVMRESUME:
        case Intercept::kVMXOFF: return instruction_exit(cpu, insn, reason_of(id));
        case Intercept::kVMCLEAR:
        case Intercept::kVMPTRLD:
        case Intercept::kVMPTRST:
        case Intercept::kVMXON:
            if (!mem0) return cpu.raise_ud();
            return operand_exit(cpu, insn, reason_of(id), memory_operand_info(cpu, insn));
        case Intercept::kVMREAD:  // operand 0: destination, operand 1: encoding
            return operand_exit(cpu, insn, ExitReason::VMREAD,
                                register_or_memory_info(cpu, insn, 0) | u32{insn.gpr(1)} << 28);
        case Intercept::kVMWRITE:  // operand 0: encoding, operand 1: source
            return operand_exit(cpu, insn, ExitReason::VMWRITE,
                                register_or_memory_info(cpu, insn, 1) | u32{insn.gpr(0)} << 28);
        case Intercept::kINVEPT:
            if (!caps_.ept()) return cpu.raise_ud();
            return operand_exit(cpu, insn, ExitReason::INVEPT,
                                memory_operand_info(cpu, insn) | u32{insn.gpr(0)} << 28);
        case Intercept::kINVVPID:
            if (!caps_.vpid()) return cpu.raise_ud();
            return operand_exit(cpu, insn, ExitReason::INVVPID,
                                memory_operand_info(cpu, insn) | u32{insn.gpr(0)} << 28);
        default: return Step::kNext;
    }
}

bool Vmx::cr3_load_exits(u64 value) const {
    if (!(proc_ & proc::kCr3LoadExiting)) return false;
    const u32 count = vmcs_.get32(F::CR3_TARGET_COUNT);
    for (unsigned n = 0; n < count && n < kCr3Targets; ++n)
        if (vmcs_[F::CR3_TARGET_VALUE0 + n] == value) return false;
    return true;
}

// MOV to and from CR0, CR3, CR4, CR8 (25.1.3; qualification: table 27-3).
Step Vmx::intercept_control(Cpu& cpu, const Insn& insn) {
    const bool to_cr = insn.imm & 1;
    const unsigned cr = insn.reg[to_cr ? 0 : 1];
    const u8 gpr = insn.gpr(to_cr ? 1 : 0);
    const u64 value = cpu.code64() ? cpu.gpr[gpr] : cpu.gpr[gpr] & 0xFFFFFFFF;
    bool exits = false;
    switch (cr) {
        case 0:
            exits = to_cr && (vmcs_[F::CR0_GUEST_HOST_MASK] & (value ^ vmcs_[F::CR0_READ_SHADOW]));
            break;
        case 3:
            exits = to_cr ? cr3_load_exits(value) : (proc_ & proc::kCr3StoreExiting) != 0;
            break;
        case 4:
            exits = to_cr && (vmcs_[F::CR4_GUEST_HOST_MASK] & (value ^ vmcs_[F::CR4_READ_SHADOW]));
            break;
        case 8: exits = proc_ & (to_cr ? proc::kCr8LoadExiting : proc::kCr8StoreExiting); break;
        default: break;
    }
    if (!exits) return Step::kNext;
    return instruction_exit(cpu, insn, ExitReason::CR_ACCESS,
                            cr | (to_cr ? 0 : 1 << 4) | u64{gpr} << 8);
}

Step Vmx::intercept_lmsw(Cpu& cpu, const Insn& insn) {
    const bool memory = insn.kind(0) == cpu::OperandKind::kMem;
    u16 source = static_cast<u16>(cpu.gpr[insn.gpr(0) & 15]);
    LinearAddr linear = 0;
    if (memory) {
        const auto segment = static_cast<cpu::SegReg>(insn.seg);
        const u64 offset = common::memory_offset(cpu, insn);
        linear = common::segment_linear(cpu, segment, offset);
        RM_TRY(cpu.read(segment, offset, source));
    }
    // Bits 3:1 as MOV to CR0; PE only where it would be set, for LMSW cannot clear it.
    const u64 mask = vmcs_[F::CR0_GUEST_HOST_MASK], shadow = vmcs_[F::CR0_READ_SHADOW];
    const bool exits = (mask & (source ^ shadow) & 0xE) || (mask & source & ~shadow & cpu::kCr0Pe);
    if (!exits) return Step::kNext;
    vm_exit(cpu, {.reason = ExitReason::CR_ACCESS,
                  .qualification = 3 << 4 | (memory ? 1 << 6 : 0) | u64{source} << 16,
                  .instruction_length = insn.length,
                  .linear_valid = memory,
                  .linear = linear,
                  .rf = ExitInfo::Rf::kClear});
    return Step::kVmExit;
}

// Table 27-5. The I/O-permission checks come first; an access that wraps around port FFFFH exits
// whatever the bitmaps say (25.1.3).
Step Vmx::intercept_io(Cpu& cpu, const Insn& insn) {
    const common::IoAccess io = common::decode_io(cpu, insn);
    if (io.rep && io.count == 0) return Step::kNext;
    if (!cpu::check_io(cpu, io.port, io.size)) return Step::kFault;
    if (proc_ & proc::kUseIoBitmaps) {
        bool exits = io.port + io.size > 0x10000;
        for (unsigned n = 0; n < io.size && !exits; ++n) {
            const unsigned port = io.port + n;
            const u64 bitmap = vmcs_[port < 0x8000 ? F::IO_BITMAP_A : F::IO_BITMAP_B];
            exits = (cpu.memory.load(bitmap + (port & 0x7FFF) / 8, 1) >> (port & 7)) & 1;
        }
        if (!exits) return Step::kNext;
    }
    const u64 qualification = (io.size - 1) | (io.in ? 1 << 3 : 0) | (io.string ? 1 << 4 : 0) |
                              (io.rep ? 1 << 5 : 0) | (io.immediate ? 1 << 6 : 0) |
                              u64{io.port} << 16;
    const bool info = io.string && has_bit(caps_.basic, 54);
    vm_exit(cpu, {.reason = ExitReason::IO_INSTRUCTION,
                  .qualification = qualification,
                  .instruction_length = insn.length,
                  .instruction_info = info ? string_io_info(insn, !io.in, io.segment) : 0,
                  .instruction_info_valid = info,
                  .linear_valid = io.string,
                  .linear = io.linear,
                  .rf = ExitInfo::Rf::kClear});
    return Step::kVmExit;
}

// MSR bitmaps: read low, read high, write low, write high, 1 KByte each (24.6.9).
Step Vmx::intercept_msr(Cpu& cpu, const Insn& insn, bool write) {
    const u32 index = static_cast<u32>(cpu.gpr[cpu::kRcx]);
    if (proc_ & proc::kUseMsrBitmaps) {
        const bool low = index <= 0x1FFF, high = index >= 0xC0000000 && index <= 0xC0001FFF;
        if (low || high) {
            const PhysAddr at = vmcs_[F::MSR_BITMAP] + (write ? 0x800 : 0) + (high ? 0x400 : 0) +
                                (index & 0x1FFF) / 8;
            if (!((cpu.memory.load(at, 1) >> (index & 7)) & 1)) return Step::kNext;
        }
    }
    return instruction_exit(cpu, insn, write ? ExitReason::WRMSR : ExitReason::RDMSR);
}

Step Vmx::intercept_descriptor(Cpu& cpu, const Insn& insn, Intercept id) {
    u32 info = descriptor_identity(id) << 28;
    if (reason_of(id) == ExitReason::GDTR_IDTR)
        info |= memory_operand_info(cpu, insn) | (insn.size() == 2 ? 0 : 1 << 11);
    else
        info |= register_or_memory_info(cpu, insn, 0);
    return operand_exit(cpu, insn, reason_of(id), info);
}

// PAUSE exiting, else PAUSE-loop exiting at CPL 0 (25.1.3): more than PLE_WINDOW cycles after the
// first PAUSE of a series whose members are at most PLE_GAP apart.
Step Vmx::intercept_pause(Cpu& cpu, const Insn& insn) {
    if (!(proc_ & proc::kPauseExiting)) {
        if (!(proc2_ & proc2::kPauseLoopExiting) || cpu.cpl > 0) return Step::kNext;
        const u64 now = cpu.tsc();
        if (!ple_last_ || now - ple_last_ > vmcs_[F::PLE_GAP]) ple_first_ = now;
        ple_last_ = now;
        if (now - ple_first_ <= vmcs_[F::PLE_WINDOW]) return Step::kNext;
    }
    return instruction_exit(cpu, insn, ExitReason::PAUSE);
}

}  // namespace rm::vt::vmx
