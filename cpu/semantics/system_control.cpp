// MOV to and from control and debug registers, machine status word, XCR0, TLB instructions, MSRs.
// In a guest the values pass through vt (host-owned bits, shadows).
// Source: SDM 2 MOV CR, MOV DR, LMSW, INVPCID, XSETBV; SDM 3B 17.2; SDM 3C 25.3.
#include "cpu/semantics/system_bodies.h"

namespace rm::cpu {

namespace {

// What the running code may see of CR0, CR3 or CR4.
u64 visible_cr(Cpu& cpu, unsigned cr) {
    if (cpu.in_guest()) return cpu.vt->guest_cr_read(cpu, cr);
    return cr == 0 ? cpu.cr0 : cr == 3 ? cpu.cr3 : cpu.cr4;
}

Step write_visible_cr(Cpu& cpu, unsigned cr, u64 value) {
    if (cpu.in_guest()) value = cpu.vt->guest_cr_write(cpu, cr, value);
    switch (cr) {
        case 0: return write_cr0(cpu, value);
        case 3: return write_cr3(cpu, value);
        default: return write_cr4(cpu, value);
    }
}

Step read_cr8(Cpu& cpu, const Insn& i) {
    u64 value = 0;
    const MsrAnswer answer = cpu.in_guest() ? cpu.vt->cr8_read(cpu, value) : MsrAnswer::kNotMine;
    if (answer == MsrAnswer::kGp) return cpu.raise_gp(0);
    if (answer == MsrAnswer::kNotMine) value = cpu.lapic.tpr() >> 4;
    set_gpr_at(cpu, i.reg[0], 8, value);
    return Step::kEnd;
}

Step write_cr8_operand(Cpu& cpu, const Insn& i, u64 value) {
    if (cpu.in_guest()) {
        Step step = Step::kEnd;
        switch (cpu.vt->cr8_write(cpu, i, value, step)) {
            case MsrAnswer::kDone: return step;
            case MsrAnswer::kGp: return cpu.raise_gp(0);
            case MsrAnswer::kNotMine: break;
        }
    }
    return write_cr8(cpu, value);
}

// DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE (SDM 3B 17.2.2).
bool debug_register(Cpu& cpu, u8& n) {
    if (n != 4 && n != 5) return true;
    if (cpu.cr4 & kCr4De) return false;
    n = static_cast<u8>(n + 2);
    return true;
}

constexpr u64 kDr6Ones = 0xFFFF0FF0, kDr6Writable = 0xE00F;
constexpr u64 kDr7Ones = 0x400, kDr7Writable = 0xFFFF23FF, kDr7Gd = bit(13), kDr6Bd = bit(13);

Step write_dr(Cpu& cpu, u8 n, u64 value) {
    if (n >= 6 && value >> 32) return cpu.raise_gp(0);
    if (n < 4) {
        cpu.dr[n] = value;
    } else if (n == 6) {
        cpu.dr6 = (value & kDr6Writable) | kDr6Ones;
    } else {
        cpu.dr7 = (value & kDr7Writable) | kDr7Ones;
        cpu.update_mode();
    }
    return Step::kEnd;
}

Step invpcid_by_address(Cpu& cpu, u64 pcid, u64 linear) {
    if (sign_extend(linear, 48) != linear) return cpu.raise_gp(0);
    cpu.mmu.flush({.asid = cpu.asid,
                   .pcid = static_cast<u16>(pcid),
                   .va = linear,
                   .keep_global = true,
                   .linear_only = true});
    return Step::kEnd;
}

}  // namespace

Step mov_cr(Cpu& cpu, const Insn& i) {
    if (!i.imm) {
        const u8 cr = i.reg[1];
        if (cr == 8) return read_cr8(cpu, i);
        set_gpr_at(cpu, i.reg[0], i.size(), cr == 2 ? cpu.cr2 : visible_cr(cpu, cr));
        return Step::kEnd;
    }
    const u8 cr = i.reg[0];
    const u64 value = gpr_at(cpu, i.reg[1], i.size());
    if (cr == 8) return write_cr8_operand(cpu, i, value);
    if (cr != 2) return write_visible_cr(cpu, cr, value);
    cpu.cr2 = value;
    return Step::kEnd;
}

Step mov_dr(Cpu& cpu, const Insn& i) {
    u8 n = i.imm ? i.reg[0] : i.reg[1];
    // A VMX exit comes before the checks of CR4.DE and CPL (SDM 3C 25.1.3), an SVM one behind them.
    const bool vmx = cpu.vt_mode == VtMode::kVmxGuest;
    if (vmx && n < 8) RM_ASK(cpu, i, kMOV_DR);
    if (!debug_register(cpu, n)) return cpu.raise_ud();
    if (cpu.cpl != 0) return cpu.raise_gp(0);
    if (!vmx) RM_ASK(cpu, i, kMOV_DR);
    if (cpu.dr7 & kDr7Gd) return cpu.raise_event({.vector = kDb, .payload = kDr6Bd});
    if (i.imm) return write_dr(cpu, n, gpr_at(cpu, i.reg[1], i.size()));
    set_gpr_at(cpu, i.reg[0], i.size(), n < 4 ? cpu.dr[n] : n == 6 ? cpu.dr6 : cpu.dr7);
    return Step::kEnd;
}

Step clts(Cpu& cpu, const Insn&) { return write_visible_cr(cpu, 0, visible_cr(cpu, 0) & ~kCr0Ts); }

Step lmsw(Cpu& cpu, const Insn& i) {
    RM_LET(word, operand16(cpu, i, 0));
    // PE, MP, EM, TS; PE can be set only.
    const u64 old = visible_cr(cpu, 0);
    return write_visible_cr(cpu, 0, (old & ~u64{0xE}) | (word & 0xF));
}

Step smsw(Cpu& cpu, const Insn& i) {
    if ((cpu.cr4 & kCr4Umip) && cpu.cpl != 0) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kSMSW);
    return store_word(cpu, i, visible_cr(cpu, 0));
}

Step xgetbv(Cpu& cpu, const Insn&) {
    if (cpu.gpr[kRcx] & 0xFFFFFFFF) return cpu.raise_gp(0);
    cpu.gpr[kRax] = cpu.xcr0 & 0xFFFFFFFF;
    cpu.gpr[kRdx] = cpu.xcr0 >> 32;
    return Step::kNext;
}

Step xsetbv(Cpu& cpu, const Insn&) {
    const u64 value = (cpu.gpr[kRax] & 0xFFFFFFFF) | cpu.gpr[kRdx] << 32;
    return write_xcr0(cpu, static_cast<u32>(cpu.gpr[kRcx]), value);
}

Step invlpg(Cpu& cpu, const Insn& i) {
    const PlainEngine e{cpu};
    const u64 offset = e.effective_address(i);
    // No limit check: the operand is an address, not an access (SDM 2 INVLPG).
    const LinearAddr va = cpu.mode.code64() ? offset + cpu.seg_base64[i.seg]
                                            : (cpu.seg[i.seg].base + offset) & 0xFFFFFFFF;
    invalidate_page(cpu, va);
    return Step::kEnd;
}

Step invpcid(Cpu& cpu, const Insn& i) {
    const u64 type = gpr_at(cpu, i.reg[0], i.size());
    RM_LET(pcid, load_sized(cpu, i, 8));
    RM_LET(linear, load_sized(cpu, shifted(i, 8), 8));
    if (type > 3 || pcid >> 12) return cpu.raise_gp(0);
    if (type < 2 && pcid && !(cpu.cr4 & kCr4Pcide)) return cpu.raise_gp(0);
    switch (type) {
        case 0: return invpcid_by_address(cpu, pcid, linear);
        case 1:
            cpu.mmu.flush({.asid = cpu.asid,
                           .pcid = static_cast<u16>(pcid),
                           .keep_global = true,
                           .linear_only = true});
            break;
        case 2: cpu.mmu.flush({.asid = cpu.asid, .linear_only = true}); break;
        default: cpu.mmu.flush({.asid = cpu.asid, .keep_global = true, .linear_only = true}); break;
    }
    return Step::kEnd;
}

Step rdmsr(Cpu& cpu, const Insn&) {
    u64 value = 0;
    if (!read_msr(cpu, static_cast<u32>(cpu.gpr[kRcx]), value)) return cpu.raise_gp(0);
    cpu.gpr[kRax] = value & 0xFFFFFFFF;
    cpu.gpr[kRdx] = value >> 32;
    return Step::kNext;
}

Step wrmsr(Cpu& cpu, const Insn&) {
    const u64 value = (cpu.gpr[kRax] & 0xFFFFFFFF) | cpu.gpr[kRdx] << 32;
    if (!write_msr(cpu, static_cast<u32>(cpu.gpr[kRcx]), value)) return cpu.raise_gp(0);
    return Step::kEnd;
}

}  // namespace rm::cpu
