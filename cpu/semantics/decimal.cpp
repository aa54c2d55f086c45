#include "cpu/semantics/decimal.h"

#include "cpu/interpreter/locked.h"

namespace rm::cpu::semantics {

namespace {

u8 al(const Cpu& cpu) { return static_cast<u8>(cpu.gpr[kRax]); }
u8 ah(const Cpu& cpu) { return static_cast<u8>(cpu.gpr[kRax] >> 8); }
void set_ax(Cpu& cpu, u16 v) { cpu.gpr[kRax] = (cpu.gpr[kRax] & ~u64{0xFFFF}) | v; }
void set_al(Cpu& cpu, u8 v) { cpu.gpr[kRax] = (cpu.gpr[kRax] & ~u64{0xFF}) | v; }

// AAA and AAS: flags other than AF and CF are undefined; canonical: those of AL, OF = 0.
Step ascii_adjust(Cpu& cpu, int sign) {
    const bool adjust = (al(cpu) & 0xF) > 9 || (cpu.cc & kCcAf);
    u16 ax = static_cast<u16>(cpu.gpr[kRax]);
    if (adjust) ax = static_cast<u16>(ax + sign * 0x106);
    set_ax(cpu, ax & 0xFF0F);
    cpu.cc = alu::result_flags(al(cpu));
    if (adjust) cpu.cc |= kCcAf | kCcCf;
    return Step::kNext;
}

// DAA and DAS.
Step decimal_adjust(Cpu& cpu, int sign) {
    const u8 old = al(cpu);
    const bool low = (old & 0xF) > 9 || (cpu.cc & kCcAf);
    const bool high = old > 0x99 || (cpu.cc & kCcCf);
    u8 v = old;
    if (low) v = static_cast<u8>(v + sign * 6);
    if (high) v = static_cast<u8>(v + sign * 0x60);
    // DAS also borrows out of the low adjustment (SDM 2, DAS operation).
    const bool borrow = sign < 0 && low && old < 6;
    set_al(cpu, v);
    cpu.cc = alu::result_flags(v);
    if (low) cpu.cc |= kCcAf;
    if (high || borrow) cpu.cc |= kCcCf;
    return Step::kNext;
}

}  // namespace

Step aaa(Cpu& cpu, const Insn&) { return ascii_adjust(cpu, 1); }
Step aas(Cpu& cpu, const Insn&) { return ascii_adjust(cpu, -1); }
Step daa(Cpu& cpu, const Insn&) { return decimal_adjust(cpu, 1); }
Step das(Cpu& cpu, const Insn&) { return decimal_adjust(cpu, -1); }

Step aad(Cpu& cpu, const Insn& i) {
    const u8 v = static_cast<u8>(al(cpu) + ah(cpu) * static_cast<u8>(i.imm));
    set_ax(cpu, v);
    cpu.cc = alu::result_flags(v);
    return Step::kNext;
}

Step aam(Cpu& cpu, const Insn& i) {
    const u8 base = static_cast<u8>(i.imm);
    if (base == 0) return cpu.raise(kDe);
    const u8 v = al(cpu);
    set_ax(cpu, static_cast<u16>((v / base) << 8 | v % base));
    cpu.cc = alu::result_flags(al(cpu));
    return Step::kNext;
}

namespace {

template <class E>
Step exchange_8(E& e, Cpu& cpu, const Insn& i) {
    RM_LET(d, e.template rmw_memory<u64>(i));
    const u64 expected = (cpu.gpr[kRdx] << 32) | static_cast<u32>(cpu.gpr[kRax]);
    const bool equal = d.value == expected;
    e.commit(d, equal ? (cpu.gpr[kRcx] << 32) | static_cast<u32>(cpu.gpr[kRbx]) : d.value);
    if (!equal) {
        cpu.gpr[kRax] = static_cast<u32>(d.value);
        cpu.gpr[kRdx] = d.value >> 32;
    }
    e.set_flags(equal ? kCcZf : 0, kCcZf);
    return Step::kNext;
}

template <class E>
Step exchange_16(E& e, Cpu& cpu, const Insn& i) {
    struct Pair {
        u64 low, high;
    };
    // The alignment of its own comes before #AC's.
    if ((e.offset_of(i) + cpu.seg_base64[i.seg]) & 15) return cpu.raise_gp(0);
    RM_LET(d, e.template rmw_memory<Pair>(i));
    const bool equal = d.value.low == cpu.gpr[kRax] && d.value.high == cpu.gpr[kRdx];
    e.commit(d, equal ? Pair{cpu.gpr[kRbx], cpu.gpr[kRcx]} : d.value);
    if (!equal) {
        cpu.gpr[kRax] = d.value.low;
        cpu.gpr[kRdx] = d.value.high;
    }
    e.set_flags(equal ? kCcZf : 0, kCcZf);
    return Step::kNext;
}

}  // namespace

Step cmpxchg8b(Cpu& cpu, const Insn& i) {
    return run_locked<OperandKind::kMem, OperandKind::kNone>(
        cpu, i, [&](auto& e) { return exchange_8(e, cpu, i); });
}

Step cmpxchg16b(Cpu& cpu, const Insn& i) {
    if (i.size_log2 != 3) return cpu.raise_ud();
    return run_locked<OperandKind::kMem, OperandKind::kNone>(
        cpu, i, [&](auto& e) { return exchange_16(e, cpu, i); });
}

}  // namespace rm::cpu::semantics
