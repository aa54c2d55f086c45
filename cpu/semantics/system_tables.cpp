// GDTR, IDTR, LDTR, TR. Source: SDM 2 LGDT, SGDT, LLDT, SLDT, LTR, STR; SDM 3A 2.5 (UMIP), 7.2.
#include "cpu/semantics/system_bodies.h"
#include "cpu/system/segments.h"

namespace rm::cpu {

namespace {

bool umip_blocks(const Cpu& cpu) { return (cpu.cr4 & kCr4Umip) && cpu.cpl != 0; }

// SGDT and SIDT store six bytes, or ten in 64-bit code; all or nothing.
Step store_table(Cpu& cpu, const Insn& i, const TableRegister& table) {
    u8 bytes[10];
    __builtin_memcpy(bytes, &table.limit, 2);
    __builtin_memcpy(bytes + 2, &table.base, 8);
    PlainEngine e{cpu};
    LinearAddr va;
    const bool wide = cpu.mode.code64();
    if (wide)
        RM_TRY((e.linear_of<10, memory::Access::kWrite>(i, va)));
    else
        RM_TRY((e.linear_of<6, memory::Access::kWrite>(i, va)));
    RM_TRY(cpu.mmu.store_bytes(cpu.mmu.data_class(), va, bytes, wide ? 10 : 6) ||
           cpu.access_failed(static_cast<SegReg>(i.seg)));
    return Step::kNext;
}

Step load_table(Cpu& cpu, const Insn& i, TableRegister& table) {
    PlainEngine e{cpu};
    RM_LET(limit, e.load<u16>(i));
    const bool wide = cpu.mode.code64();
    RM_LET(base, load_sized(cpu, shifted(i, 2), wide ? 8 : 4));
    if (wide && sign_extend(base, 48) != base) return cpu.raise_gp(0);
    table.limit = limit;
    table.base = i.size_log2 == 1 && !wide ? base & 0xFFFFFF : base;
    return Step::kNext;
}

}  // namespace

Maybe<u64> load_sized(Cpu& cpu, const Insn& i, unsigned size) {
    PlainEngine e{cpu};
    if (size == 2) {
        const auto v = e.load<u16>(i);
        return {v.value, v.good};
    }
    if (size == 4) {
        const auto v = e.load<u32>(i);
        return {v.value, v.good};
    }
    return e.load<u64>(i);
}

Step store_word(Cpu& cpu, const Insn& i, u64 value) {
    if (i.kind(0) == OperandKind::kReg)
        set_gpr_at(cpu, i.reg[0], i.size(), value);
    else
        RM_TRY(PlainEngine{cpu}.store<u16>(i, static_cast<u16>(value)));
    return Step::kNext;
}

Step sldt(Cpu& cpu, const Insn& i) {
    if (umip_blocks(cpu)) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kSLDT);
    return store_word(cpu, i, cpu.ldtr.selector);
}

Step str(Cpu& cpu, const Insn& i) {
    if (umip_blocks(cpu)) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kSTR);
    return store_word(cpu, i, cpu.tr.selector);
}

Step lldt(Cpu& cpu, const Insn& i) {
    RM_LET(selector, operand16(cpu, i, 0));
    if (!(selector & ~3u)) {
        cpu.ldtr = null_segment(selector);
        return Step::kNext;
    }
    if (selector & 4) return cpu.raise_gp(selector & 0xFFFC);
    Segment s;
    LinearAddr at;
    unsigned type;
    RM_TRY(read_system_descriptor(cpu, selector, s, at, kGp, type));
    if (type != 2) return cpu.raise_gp(selector & 0xFFFC);
    if (!s.present()) return cpu.raise_error(kNp, selector & 0xFFFC);
    if (sign_extend(s.base, 48) != s.base) return cpu.raise_gp(selector & 0xFFFC);
    cpu.ldtr = s;
    return Step::kNext;
}

Step ltr(Cpu& cpu, const Insn& i) {
    RM_LET(selector, operand16(cpu, i, 0));
    if (!(selector & ~3u)) return cpu.raise_gp(0);
    if (selector & 4) return cpu.raise_gp(selector & 0xFFFC);
    Segment s;
    LinearAddr at;
    unsigned type;
    RM_TRY(read_system_descriptor(cpu, selector, s, at, kGp, type));
    if (type != 9 && (type != 1 || cpu.long_mode())) return cpu.raise_gp(selector & 0xFFFC);
    if (!s.present()) return cpu.raise_error(kNp, selector & 0xFFFC);
    if (sign_extend(s.base, 48) != s.base) return cpu.raise_gp(selector & 0xFFFC);
    s.attr |= 2;  // busy
    RM_TRY(cpu.write_system(at + 5, static_cast<u8>(s.attr)));
    cpu.tr = s;
    return Step::kNext;
}

Step sgdt(Cpu& cpu, const Insn& i) {
    if (umip_blocks(cpu)) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kSGDT);
    return store_table(cpu, i, cpu.gdtr);
}

Step sidt(Cpu& cpu, const Insn& i) {
    if (umip_blocks(cpu)) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kSIDT);
    return store_table(cpu, i, cpu.idtr);
}

Step lgdt(Cpu& cpu, const Insn& i) { return load_table(cpu, i, cpu.gdtr); }
Step lidt(Cpu& cpu, const Insn& i) { return load_table(cpu, i, cpu.idtr); }

}  // namespace rm::cpu
