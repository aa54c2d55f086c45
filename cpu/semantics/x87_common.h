// What all x87 instructions share (SDM 1 chapter 8): instruction and data pointers, the merging of
// an operation's flags, stack faults and their masked responses, pushes. The arithmetic itself is
// x87_host.h's. Included only by x87.cpp through x87_arith.h and x87_transfer.h.
//
// Order in every instruction: pending exception, memory read, pointers, stack fault, operation,
// memory write (which may fault: flags come after it), flags, registers.
#pragma once
#include "cpu/interpreter/value_engine.h"
#include "cpu/semantics/x87_host.h"

#define RM_X87_READY(cpu)                                             \
    do {                                                              \
        if (const Step s = ready(cpu); s != Step::kNext) [[unlikely]] \
            return s;                                                 \
    } while (0)

namespace rm::cpu::x87 {

using namespace x87_host;
using Reg80 = FpuState::Reg80;
using Memory = ValueEngine<kM, kN>;
struct Bytes10 {
    u8 b[10];
};

inline constexpr Reg80 kIndefinite{0xC000'0000'0000'0000, 0xFFFF};

// --- pointers (SDM 1 8.1.8); the decoder has put the opcode's 11 bits into imm ---
inline void note(Cpu& cpu, const Insn& i) {
    cpu.fpu.fip = cpu.rip_of(i);
    cpu.fpu.fcs = cpu.seg[kCs].selector;
    cpu.fpu.fop = i.imm & 0x7FF;
}
inline void note_memory(Cpu& cpu, const Insn& i) {
    note(cpu, i);
    cpu.fpu.fdp = Memory{cpu}.effective_address(i);
    cpu.fpu.fds = cpu.seg[i.seg].selector;
}

// --- flags ---
// Takes the condition codes in `codes` and the exceptions from sw. True: an unmasked exception
// leaves the destination alone; `also` adds flags with that effect (stores: OE and UE).
inline bool merge(FpuState& f, u16 sw, u16 codes = kC1, u16 also = 0) {
    const bool blocked = sw & (kBeforeResult | also) & ~f.fcw;
    f.fsw = static_cast<u16>((f.fsw & ~codes) | (sw & (codes | kExceptions)));
    update_summary(f);
    return blocked;
}
// A stack fault (C1: overflow or underflow). True: masked, so the indefinite value is the result.
inline bool stack_fault(FpuState& f, bool overflow) {
    f.fsw = static_cast<u16>((f.fsw & ~kC1) | kIe | kSf | (overflow ? kC1 : 0));
    update_summary(f);
    return f.fcw & kIe;
}
inline bool is_nan(const Reg80& v) {
    return (v.sign_exponent & 0x7FFF) == 0x7FFF && (v.mantissa << 1) != 0;
}
inline void put(FpuState& f, unsigned n, const Reg80& v) {
    st(f, n) = v;
    set_valid(f, n);
}
inline void push(FpuState& f, const Reg80& v) {
    set_top(f, f.top() - 1);
    put(f, 0, v);
}
inline void clear_c1(FpuState& f) { f.fsw &= static_cast<u16>(~kC1); }

template <class Op>
u16 host(FpuState& f, Frame& frame) {
    return execute<Op>(frame, f.fcw, f.fsw);
}

}  // namespace rm::cpu::x87
