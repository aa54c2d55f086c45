// Segment registers as operands, selector inspection, FS and GS bases.
// Source: SDM 2 MOV, PUSH, POP, LDS, LAR, LSL, VERR, ARPL, SWAPGS, RDFSBASE; SDM 3A 5.10.
#include "cpu/semantics/system_bodies.h"
#include "cpu/system/segments.h"

namespace rm::cpu {

namespace {

// Loading SS holds off interrupts and debug traps for one instruction (SDM 3A 6.8.3), but a second
// load in a row does not prolong that.
void shadow_after_ss(Cpu& cpu) {
    if (!(cpu.shadow & kShadowMovSs)) cpu.shadow = kShadowMovSs;
}

// Intel's processors since the 486, but for the Pentium, move two bytes where the operand has 32
// bits: a push leaves the upper two alone. In 64-bit code a push zero-extends, and a pop reads two
// bytes as well (SDM 3B 23.31.1; SDM 2, PUSH).
bool moves_words(const Cpu& cpu) { return cpu.model.vendor == Vendor::kIntel; }

template <class T>
Step push_selector(Cpu& cpu, const Insn& i) {
    PlainEngine e{cpu};
    const u16 selector = cpu.seg[i.reg[0]].selector;
    if (sizeof(T) != 4 || !moves_words(cpu)) {
        RM_TRY(e.push<T>(selector));
        return Step::kNext;
    }
    const u64 sp = (cpu.gpr[kRsp] - sizeof(T)) & cpu.stack_mask;
    LinearAddr va;
    RM_TRY((e.stack_linear<2, memory::Access::kWrite>(sp, va)));
    RM_TRY(cpu.mmu.store(va, selector) || cpu.access_failed(kSs));
    e.set_sp(sp);
    return Step::kNext;
}

template <class T>
Step pop_selector(Cpu& cpu, const Insn& i) {
    PlainEngine e{cpu};
    const SegReg s = static_cast<SegReg>(i.reg[0]);
    const u64 mask = cpu.stack_mask, sp = (cpu.gpr[kRsp] + sizeof(T)) & mask;
    u16 selector;
    if (moves_words(cpu)) {
        RM_LET(word, e.top<u16>());
        selector = word;
    } else {
        RM_LET(whole, e.top<T>());
        selector = static_cast<u16>(whole);
    }
    if (load_segment(cpu, s, selector) == Step::kFault) return Step::kFault;
    cpu.gpr[kRsp] = mask == 0xFFFF ? (cpu.gpr[kRsp] & ~u64{0xFFFF}) | sp : sp;
    if (s == kSs) shadow_after_ss(cpu);
    return Step::kEnd;
}

// The descriptor LAR, LSL, VERR and VERW look at.
struct Inspected {
    bool found = false;  // inside its table and not null
    u64 descriptor = 0;
    Segment segment;
    unsigned type = 0;     // + 10H for code and data
    bool visible = false;  // privilege allows a look
};

bool inspect(Cpu& cpu, u16 selector, Inspected& out) {
    LinearAddr at;
    if (!(selector & ~3u) || !descriptor_address(cpu, selector, 8, at)) return true;
    if (!cpu.read_system(at, out.descriptor)) return false;
    out.found = true;
    out.segment = segment_from_descriptor(selector, out.descriptor);
    out.type = out.segment.attr & 0x1F;
    const bool conforming = (out.type & 0x1C) == 0x1C;
    out.visible =
        conforming || (cpu.cpl <= out.segment.dpl() && (selector & 3u) <= out.segment.dpl());
    return true;
}

constexpr u32 types(std::initializer_list<unsigned> list) {
    u32 mask = 0;
    for (unsigned t : list) mask |= 1u << t;
    return mask;
}
// System types the instructions accept, outside and inside long mode (SDM 2 tables 3-53, 3-54).
constexpr u32 kLarLegacy = types({1, 2, 3, 4, 5, 9, 0xB, 0xC}), kLarLong = types({2, 9, 0xB, 0xC});
constexpr u32 kLslLegacy = types({1, 2, 3, 9, 0xB}), kLslLong = types({2, 9, 0xB});

bool acceptable(const Cpu& cpu, const Inspected& x, u32 legacy, u32 long_types) {
    if (!x.found || !x.visible) return false;
    if (x.type & 0x10) return true;
    return ((cpu.long_mode() ? long_types : legacy) >> x.type) & 1;
}

void set_zf(Cpu& cpu, bool z) { cpu.cc = static_cast<Cc>((cpu.cc & ~kCcZf) | (z ? kCcZf : 0)); }

Step verify(Cpu& cpu, const Insn& i, bool write) {
    RM_LET(selector, operand16(cpu, i, 0));
    Inspected x;
    RM_TRY(inspect(cpu, selector, x));
    const bool code = x.type & 8, bit1 = x.type & 2;
    const bool ok = write ? !code && bit1 : !code || bit1;
    set_zf(cpu, x.found && x.visible && (x.type & 0x10) && ok);
    return Step::kNext;
}

}  // namespace

Step mov_sreg(Cpu& cpu, const Insn& i) {
    if (i.imm) {
        RM_LET(selector, operand16(cpu, i, 1));
        const SegReg s = static_cast<SegReg>(i.reg[0]);
        if (load_segment(cpu, s, selector) == Step::kFault) return Step::kFault;
        if (s == kSs) shadow_after_ss(cpu);
        return Step::kEnd;
    }
    const u16 selector = cpu.seg[i.reg[1]].selector;
    if (i.kind(0) == OperandKind::kReg)
        set_gpr_at(cpu, i.reg[0], i.size(), selector);
    else
        RM_TRY(PlainEngine{cpu}.store<u16>(i, selector));
    return Step::kEnd;
}

Step push_sreg(Cpu& cpu, const Insn& i) {
    switch (i.size_log2) {
        case 1: return push_selector<u16>(cpu, i);
        case 2: return push_selector<u32>(cpu, i);
        default: return push_selector<u64>(cpu, i);
    }
}

Step pop_sreg(Cpu& cpu, const Insn& i) {
    switch (i.size_log2) {
        case 1: return pop_selector<u16>(cpu, i);
        case 2: return pop_selector<u32>(cpu, i);
        default: return pop_selector<u64>(cpu, i);
    }
}

Step load_far_pointer(Cpu& cpu, const Insn& i, SegReg s) {
    const unsigned size = far_offset_size(cpu, i);
    RM_LET(offset, load_sized(cpu, i, size));
    RM_LET(selector, PlainEngine{cpu}.load<u16>(shifted(i, size)));
    if (load_segment(cpu, s, selector) == Step::kFault) return Step::kFault;
    set_gpr_at(cpu, i.reg[0], size, offset);
    return Step::kEnd;
}

Step lar(Cpu& cpu, const Insn& i) {
    RM_LET(selector, operand16(cpu, i, 1));
    Inspected x;
    RM_TRY(inspect(cpu, selector, x));
    const bool ok = acceptable(cpu, x, kLarLegacy, kLarLong);
    if (ok) set_gpr_at(cpu, i.reg[0], i.size(), (x.descriptor >> 32) & 0x00F0FF00);
    set_zf(cpu, ok);
    return Step::kNext;
}

Step lsl(Cpu& cpu, const Insn& i) {
    RM_LET(selector, operand16(cpu, i, 1));
    Inspected x;
    RM_TRY(inspect(cpu, selector, x));
    const bool ok = acceptable(cpu, x, kLslLegacy, kLslLong);
    if (ok) set_gpr_at(cpu, i.reg[0], i.size(), x.segment.limit);
    set_zf(cpu, ok);
    return Step::kNext;
}

Step verr(Cpu& cpu, const Insn& i) { return verify(cpu, i, false); }
Step verw(Cpu& cpu, const Insn& i) { return verify(cpu, i, true); }

Step arpl(Cpu& cpu, const Insn& i) {
    ValueEngine<OperandKind::kMem, OperandKind::kReg> e{cpu};
    const u16 source = static_cast<u16>(gpr_at(cpu, i.reg[1], 2));
    if (i.kind(0) == OperandKind::kReg) {
        const u16 d = static_cast<u16>(gpr_at(cpu, i.reg[0], 2));
        const bool raise = (d & 3) < (source & 3);
        if (raise) set_gpr_at(cpu, i.reg[0], 2, (d & ~3u) | (source & 3u));
        set_zf(cpu, raise);
        return Step::kNext;
    }
    // Memory is written only where its RPL changes.
    RM_LET(d, e.load<u16>(i));
    const bool raise = (d & 3) < (source & 3);
    if (raise) RM_TRY(e.store<u16>(i, static_cast<u16>((d & ~3u) | (source & 3u))));
    set_zf(cpu, raise);
    return Step::kNext;
}

// 32 bits, or 64 with REX.W; an operand-size prefix has no effect (SDM 2, RDFSBASE).
static unsigned base_operand_size(const Insn& i) { return i.size_log2 == 3 ? 8 : 4; }

Step read_base_of(Cpu& cpu, const Insn& i, SegReg s) {
    if (!(cpu.cr4 & kCr4Fsgsbase)) return cpu.raise_ud();
    set_gpr_at(cpu, i.reg[0], base_operand_size(i), cpu.seg[s].base);
    return Step::kNext;
}

Step write_base_of(Cpu& cpu, const Insn& i, SegReg s) {
    if (!(cpu.cr4 & kCr4Fsgsbase)) return cpu.raise_ud();
    const u64 base = gpr_at(cpu, i.reg[0], base_operand_size(i));
    if (sign_extend(base, 48) != base) return cpu.raise_gp(0);
    cpu.seg[s].base = base;
    cpu.update_segment(s);
    return Step::kNext;
}

}  // namespace rm::cpu
