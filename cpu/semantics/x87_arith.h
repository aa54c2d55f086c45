// x87 instructions that compute and compare (SDM 1 8.3.5 to 8.3.9; SDM 2 for each).
#pragma once
#include "cpu/semantics/x87_common.h"

namespace rm::cpu::x87 {

// --- two-operand arithmetic: operand 0 op= operand 1 ---
template <class Op, bool Pop>
Step arith_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned d = i.reg[0], s = i.reg[1];
    if (empty(f, d) || empty(f, s)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        put(f, d, kIndefinite);
    } else {
        Frame frame{.a = st(f, d), .b = st(f, s)};
        if (merge(f, host<Op>(f, frame))) return Step::kNext;
        put(f, d, frame.r0);
    }
    if constexpr (Pop) pop(f);
    return Step::kNext;
}

template <class T, class Op>
Step arith_memory_sized(Cpu& cpu, const Insn& i) {
    RM_LET(value, Memory{cpu}.load<T>(i));
    note_memory(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    Frame frame{.a = st(f, 0)};
    std::memcpy(frame.m, &value, sizeof value);
    if (!merge(f, host<Op>(f, frame))) put(f, 0, frame.r0);
    return Step::kNext;
}
template <class Op32, class Op64>
Step arith_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 2 ? arith_memory_sized<u32, Op32>(cpu, i)
                                : arith_memory_sized<u64, Op64>(cpu, i);
}
template <class Op16, class Op32>
Step arith_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 1 ? arith_memory_sized<u16, Op16>(cpu, i)
                                : arith_memory_sized<u32, Op32>(cpu, i);
}

// --- compares ---
inline constexpr u16 kCompareCodes = kC0 | kC1 | kC2 | kC3, kUnordered = kC0 | kC2 | kC3;

inline void pops(FpuState& f, unsigned count) {
    for (; count; --count) pop(f);
}
template <class Op>
Step compare(FpuState& f, Frame& frame, bool any_empty, unsigned pop_count) {
    if (any_empty) [[unlikely]] {
        f.fsw = static_cast<u16>((f.fsw & ~kCompareCodes) | kUnordered);
        if (!stack_fault(f, false)) return Step::kNext;
    } else if (merge(f, host<Op>(f, frame), kCompareCodes)) {
        return Step::kNext;
    }
    pops(f, pop_count);
    return Step::kNext;
}
// ST(0) with the register that operand N names, or with ST(1) if N is 2.
template <class Op, unsigned N, unsigned Pops>
Step compare_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned other = N == 2 ? 1 : i.reg[N];
    Frame frame{.a = st(f, 0), .b = st(f, other)};
    return compare<Op>(f, frame, empty(f, 0) || empty(f, other), Pops);
}
template <class T, class Op, unsigned Pops>
Step compare_memory_sized(Cpu& cpu, const Insn& i) {
    RM_LET(value, Memory{cpu}.load<T>(i));
    note_memory(cpu, i);
    Frame frame{.a = st(cpu.fpu, 0)};
    std::memcpy(frame.m, &value, sizeof value);
    return compare<Op>(cpu.fpu, frame, empty(cpu.fpu, 0), Pops);
}
template <unsigned Pops>
Step compare_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 2 ? compare_memory_sized<u32, fcom_f32, Pops>(cpu, i)
                                : compare_memory_sized<u64, fcom_f64, Pops>(cpu, i);
}
template <unsigned Pops>
Step compare_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 1 ? compare_memory_sized<u16, ficom_i16, Pops>(cpu, i)
                                : compare_memory_sized<u32, ficom_i32, Pops>(cpu, i);
}
inline Step test(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    Frame frame{.a = st(cpu.fpu, 0)};
    return compare<ftst>(cpu.fpu, frame, empty(cpu.fpu, 0), 0);
}
// FCOMI and kin: C3 C2 C0 become ZF PF CF (SDM 2, FCOMI); OF, SF, AF are cleared. As with the other
// compares an unmasked exception suppresses only the pop.
template <class Op, unsigned Pops>
Step compare_flags(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned other = i.reg[1];
    u16 sw = kUnordered;
    bool blocked;
    if (empty(f, 0) || empty(f, other)) [[unlikely]] {
        blocked = !stack_fault(f, false);
    } else {
        Frame frame{.a = st(f, 0), .b = st(f, other)};
        sw = host<Op>(f, frame);
        // C1: cleared by Intel's processors, left alone by AMD's.
        const u16 codes = cpu.model.vendor == Vendor::kIntel ? kC1 : 0;
        blocked = merge(f, sw & ~kC1, codes);
    }
    cpu.cc = static_cast<Cc>(kCcFixed | (sw & kC0 ? kCcCf : 0) | (sw & kC2 ? kCcPf : 0) |
                             (sw & kC3 ? kCcZf : 0));
    if (!blocked) pops(f, Pops);
    return Step::kNext;
}
inline Step examine(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    Frame frame{.a = st(f, 0)};
    u16 codes = host<fxam>(f, frame) & kCodes;
    if (empty(f, 0)) codes = static_cast<u16>((codes & kC1) | kC3 | kC0);
    f.fsw = static_cast<u16>((f.fsw & ~kCodes) | codes);
    return Step::kNext;
}

// --- one operand ---
template <class Op, u16 Codes = kC1>
Step unary(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        f.fsw &= static_cast<u16>(~(Codes & kC2));
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    Frame frame{.a = st(f, 0)};
    if (!merge(f, host<Op>(f, frame), Codes)) put(f, 0, frame.r0);
    return Step::kNext;
}
// FCHS, FABS: the sign bit of anything.
template <u16 Clear, u16 Flip>
Step change_sign(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    clear_c1(f);
    u16& se = st(f, 0).sign_exponent;
    se = static_cast<u16>((se & ~Clear) ^ Flip);
    return Step::kNext;
}

// --- ST(0) and ST(1) ---
template <class Op, u16 Codes, bool IntoSt1>
Step binary(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    constexpr unsigned kTo = IntoSt1 ? 1 : 0;
    if (empty(f, 0) || empty(f, 1)) [[unlikely]] {
        f.fsw &= static_cast<u16>(~(Codes & kC2));
        if (!stack_fault(f, false)) return Step::kNext;
        put(f, kTo, kIndefinite);
    } else {
        Frame frame{.a = st(f, 0), .b = st(f, 1)};
        const u16 sw = host<Op>(f, frame);
        // FPREM leaves the quotient bits C0 and C3 alone where there is no quotient.
        const bool no_quotient = is_nan(frame.r0) || (sw & kBeforeResult & ~f.fcw);
        if (merge(f, sw, no_quotient ? Codes & (kC1 | kC2) : Codes)) return Step::kNext;
        put(f, kTo, frame.r0);
    }
    if (IntoSt1) pop(f);
    return Step::kNext;
}

// --- one to two: FSINCOS, FPTAN, FXTRACT. C2 (out of range) leaves ST(0) and pushes nothing ---
template <class Op, u16 Codes>
Step unary_push(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const bool none = empty(f, 0), full = !empty(f, 7);
    if (none || full) [[unlikely]] {
        f.fsw &= static_cast<u16>(~(Codes & kC2));
        if (stack_fault(f, !none)) {
            put(f, 0, kIndefinite);
            push(f, kIndefinite);
        }
        return Step::kNext;
    }
    Frame frame{.a = st(f, 0)};
    const u16 sw = host<Op>(f, frame);
    if (merge(f, sw, Codes) || (sw & Codes & kC2)) return Step::kNext;
    put(f, 0, frame.r0);
    push(f, frame.r1);
    return Step::kNext;
}

}  // namespace rm::cpu::x87
