// CLI, STI, PUSHF, POPF, CLAC, STAC: IOPL, virtual-8086 mode extensions, protected-mode virtual
// interrupts. Source: SDM 2 of each (tables 4-16, 3-3); SDM 3A 20.3, 20.4.
#include "cpu/semantics/system_bodies.h"

namespace rm::cpu {

namespace {

// How the interrupt flag may be changed by CLI and STI here.
enum class IfAccess : u8 { kReal, kVirtual, kNone };
IfAccess if_access(const Cpu& cpu) {
    if (!cpu.protected_mode() || cpu.cpl <= cpu.iopl()) return IfAccess::kReal;
    if (cpu.v86()) return cpu.cr4 & kCr4Vme ? IfAccess::kVirtual : IfAccess::kNone;
    return cpu.cpl == 3 && (cpu.cr4 & kCr4Pvi) ? IfAccess::kVirtual : IfAccess::kNone;
}

// POPF in virtual-8086 mode with IOPL < 3 and VME: IF of the image goes to VIF.
Step popf_vme(Cpu& cpu, PlainEngine& e, u64 image) {
    if ((image & kFlagTf) || ((image & kFlagIf) && cpu.flag(kFlagVip))) return cpu.raise_gp(0);
    constexpr u64 kMask = kFlagsArith | kFlagTf | kFlagDf | kFlagNt | kFlagVif;
    const u64 vif = image & kFlagIf ? kFlagVif : 0;
    e.drop(2);
    set_flags_register(cpu, (cpu.rflags() & ~kMask) | (image & kMask & ~kFlagVif) | vif);
    return Step::kEnd;
}

}  // namespace

Step cli(Cpu& cpu, const Insn&) {
    switch (if_access(cpu)) {
        case IfAccess::kReal: PlainEngine{cpu}.mask_interrupts(); break;
        case IfAccess::kVirtual: cpu.flags_other &= ~kFlagVif; break;
        case IfAccess::kNone: return cpu.raise_gp(0);
    }
    return Step::kNext;
}

Step sti(Cpu& cpu, const Insn&) {
    switch (if_access(cpu)) {
        case IfAccess::kReal: RM_TRY(PlainEngine{cpu}.allow_interrupts()); break;
        case IfAccess::kVirtual:
            if (cpu.flag(kFlagVip)) return cpu.raise_gp(0);
            cpu.flags_other |= kFlagVif;
            break;
        case IfAccess::kNone: return cpu.raise_gp(0);
    }
    return Step::kEnd;
}

template <class T>
Step pushf(Cpu& cpu, const Insn&) {
    u64 image = PlainEngine{cpu}.flags_image();
    if (cpu.v86() && cpu.iopl() < 3) {
        if (!(cpu.cr4 & kCr4Vme) || sizeof(T) != 2) return cpu.raise_gp(0);
        image = (image & ~kFlagIf) | kFlagIopl | (cpu.flag(kFlagVif) ? kFlagIf : 0);
    }
    RM_TRY(PlainEngine{cpu}.push<T>(static_cast<T>(image)));
    return Step::kNext;
}

template <class T>
Step popf(Cpu& cpu, const Insn&) {
    PlainEngine e{cpu};
    const bool vme = cpu.v86() && cpu.iopl() < 3;
    if (vme && (!(cpu.cr4 & kCr4Vme) || sizeof(T) != 2)) return cpu.raise_gp(0);
    RM_LET(image, e.top<T>());
    if (vme) return popf_vme(cpu, e, image);
    u64 mask = kFlagsArith | kFlagTf | kFlagDf | kFlagNt;
    if (sizeof(T) > 2) mask |= kFlagAc | kFlagId;
    if (!cpu.protected_mode() || cpu.cpl <= cpu.iopl()) mask |= kFlagIf;
    if (!cpu.v86() && cpu.cpl == 0) mask |= kFlagIopl;
    e.drop(sizeof(T));
    set_flags_register(cpu, (cpu.rflags() & ~(mask | kFlagRf)) | (image & mask));
    return Step::kEnd;
}

template <bool On>
Step set_ac(Cpu& cpu, const Insn&) {
    if (cpu.cpl != 0 || cpu.v86()) return cpu.raise_ud();
    if (On)
        cpu.flags_other |= kFlagAc;
    else
        cpu.flags_other &= ~kFlagAc;
    cpu.update_mode();
    return Step::kEnd;
}

template Step pushf<u16>(Cpu&, const Insn&);
template Step pushf<u32>(Cpu&, const Insn&);
template Step pushf<u64>(Cpu&, const Insn&);
template Step popf<u16>(Cpu&, const Insn&);
template Step popf<u32>(Cpu&, const Insn&);
template Step popf<u64>(Cpu&, const Insn&);
template Step set_ac<false>(Cpu&, const Insn&);
template Step set_ac<true>(Cpu&, const Insn&);

}  // namespace rm::cpu
