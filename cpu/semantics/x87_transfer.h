// x87 instructions that load, store and move, and those that manage the stack (SDM 1 8.3.3, 8.3.4,
// 8.3.11; SDM 2 for each).
#pragma once
#include "cpu/semantics/x87_common.h"

namespace rm::cpu::x87 {

// --- loads ---
template <class Op>
Step load_frame(FpuState& f, Frame& frame) {
    if (!empty(f, 7)) [[unlikely]] {
        if (stack_fault(f, true)) push(f, kIndefinite);
        return Step::kNext;
    }
    const u16 sw = host<Op>(f, frame);
    (void)merge(f, sw);
    // An unmasked denormal operand is loaded all the same.
    if (!(sw & kIe & ~f.fcw)) push(f, frame.r0);
    return Step::kNext;
}
template <class T, class Op>
Step load_sized(Cpu& cpu, const Insn& i) {
    RM_LET(value, Memory{cpu}.load<T>(i));
    note_memory(cpu, i);
    Frame frame;
    std::memcpy(frame.m, &value, sizeof value);
    return load_frame<Op>(cpu.fpu, frame);
}
// No conversion, so nothing is raised but a stack fault.
inline Step load_plain(FpuState& f, const Reg80& v) {
    if (!empty(f, 7)) [[unlikely]] {
        if (stack_fault(f, true)) push(f, kIndefinite);
        return Step::kNext;
    }
    clear_c1(f);
    push(f, v);
    return Step::kNext;
}
inline Step load_m80(Cpu& cpu, const Insn& i) {
    RM_LET(bytes, Memory{cpu}.load<Bytes10>(i));
    note_memory(cpu, i);
    Reg80 v;
    std::memcpy(static_cast<void*>(&v), &bytes, sizeof bytes);
    return load_plain(cpu.fpu, v);
}
inline Step load_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 2: return load_sized<u32, fld_f32>(cpu, i);
        case 3: return load_sized<u64, fld_f64>(cpu, i);
        default: return load_m80(cpu, i);
    }
}
inline Step load_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 1: return load_sized<u16, fild_i16>(cpu, i);
        case 2: return load_sized<u32, fild_i32>(cpu, i);
        default: return load_sized<u64, fild_i64>(cpu, i);
    }
}
inline Step load_bcd(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return load_sized<Bytes10, fbld>(cpu, i);
}
inline Step load_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, i.reg[0])) [[unlikely]] {  // before an overflow
        if (stack_fault(f, false)) push(f, kIndefinite);
        return Step::kNext;
    }
    return load_plain(f, st(f, i.reg[0]));
}
template <class Op>
Step load_constant(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    Frame frame;
    return load_frame<Op>(cpu.fpu, frame);
}

// --- stores ---
// The memory operand of a store that an unmasked exception suppresses must be writable all the
// same.
template <unsigned Size>
bool probe_store(Cpu& cpu, const Insn& i) {
    LinearAddr va;
    return Memory{cpu}.linear_of<Size, memory::Access::kWrite>(i, va) &&
           (cpu.mmu.probe(cpu.mmu.data_class(), va, Size, memory::Access::kWrite) ||
            cpu.access_failed(static_cast<SegReg>(i.seg)));
}
// `indefinite` is what a masked stack underflow stores.
template <class T, class Op, bool Pop>
Step store_sized(Cpu& cpu, const Insn& i, T indefinite) {
    FpuState& f = cpu.fpu;
    Frame frame{.a = st(f, 0)};
    const bool none = empty(f, 0);
    const u16 sw = none ? u16{kIe} : host<Op>(f, frame);
    const bool blocked = sw & (kBeforeResult | kOe | kUe) & ~f.fcw;
    T value = indefinite;
    if (!none) std::memcpy(&value, frame.m, sizeof value);
    if (!blocked)
        RM_TRY(Memory{cpu}.store<T>(i, value));
    else
        RM_TRY(probe_store<sizeof(T)>(cpu, i));
    note_memory(cpu, i);
    if (none)
        (void)stack_fault(f, false);
    else
        (void)merge(f, sw, kC1, kOe | kUe);
    if (Pop && !blocked) pop(f);
    return Step::kNext;
}
template <bool Pop>
Step store_m80(Cpu& cpu, const Insn& i) {
    FpuState& f = cpu.fpu;
    const bool none = empty(f, 0);
    if (!none || (f.fcw & kIe)) {
        const Reg80 v = none ? kIndefinite : st(f, 0);
        Bytes10 bytes;
        std::memcpy(&bytes, &v, sizeof bytes);
        RM_TRY(Memory{cpu}.store(i, bytes));
    } else {
        RM_TRY(probe_store<sizeof(Bytes10)>(cpu, i));
    }
    note_memory(cpu, i);
    if (none) {
        if (!stack_fault(f, false)) return Step::kNext;
    } else {
        clear_c1(f);
    }
    if (Pop) pop(f);
    return Step::kNext;
}
inline constexpr u32 kIndefinite32 = 0xFFC0'0000;
inline constexpr u64 kIndefinite64 = 0xFFF8'0000'0000'0000;
template <bool Pop>
Step store_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 2: return store_sized<u32, fst_f32, Pop>(cpu, i, kIndefinite32);
        case 3: return store_sized<u64, fst_f64, Pop>(cpu, i, kIndefinite64);
        default: return store_m80<Pop>(cpu, i);
    }
}
template <class Op16, class Op32, class Op64, bool Pop>
Step store_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 1: return store_sized<u16, Op16, Pop>(cpu, i, 0x8000);
        case 2: return store_sized<u32, Op32, Pop>(cpu, i, 0x8000'0000);
        default: return store_sized<u64, Op64, Pop>(cpu, i, 0x8000'0000'0000'0000);
    }
}
inline Step store_bcd(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    constexpr Bytes10 kBcdIndefinite{{0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF}};
    return store_sized<Bytes10, fbstp, true>(cpu, i, kBcdIndefinite);
}
template <bool Pop>
Step store_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        put(f, i.reg[0], kIndefinite);
    } else {
        clear_c1(f);
        put(f, i.reg[0], st(f, 0));
    }
    if (Pop) pop(f);
    return Step::kNext;
}

// D9 D8+i, not documented: FSTP that raises nothing; an empty ST(0) is not stored.
inline Step store_quietly(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    clear_c1(f);
    if (!empty(f, 0)) put(f, i.reg[0], st(f, 0));
    pop(f);
    return Step::kNext;
}

// --- moves between registers ---
inline Step exchange(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned n = i.reg[0];
    if (empty(f, 0) || empty(f, n)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        if (empty(f, 0)) put(f, 0, kIndefinite);
        if (empty(f, n)) put(f, n, kIndefinite);
    } else {
        clear_c1(f);
    }
    const Reg80 v = st(f, 0);
    st(f, 0) = st(f, n);
    st(f, n) = v;
    return Step::kNext;
}
template <unsigned Condition>
Step conditional_move(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0) || empty(f, i.reg[1])) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    if (alu::condition<Condition>(cpu.cc)) st(f, 0) = st(f, i.reg[1]);
    return Step::kNext;
}

// --- stack management ---
template <int By>
Step turn_stack(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    clear_c1(cpu.fpu);
    set_top(cpu.fpu, cpu.fpu.top() + By);
    return Step::kNext;
}
template <bool Pop>
Step free_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    clear_c1(cpu.fpu);
    set_empty(cpu.fpu, i.reg[0]);
    if (Pop) pop(cpu.fpu);
    return Step::kNext;
}

inline Step wait(Cpu& cpu, const Insn&) { return ready(cpu); }
inline Step nothing(Cpu&, const Insn&) { return Step::kNext; }

}  // namespace rm::cpu::x87
