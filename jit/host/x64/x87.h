// The x87 unit between CpuState and the host: while TranslatorState::x87_live is set the host's
// registers, tags, status and control word are the guest's. The emission of x87 instructions is
// Emitter's (x87.cpp). Source of the image's layout: SDM 1 8.1.10, figure 8-9.
#pragma once
#include <xbyak/xbyak.h>

#include "cpu/cpu.h"
#include "jit/ir/ir.h"

namespace rm::jit::x64 {

// Of a memory operand, whose size is as Insn::mem_size_log2 (5: the 80-bit formats).
constexpr unsigned x87_bytes(unsigned size) { return size == 5 ? 10 : 1u << size; }
inline bool x87_writes_memory(const ir::Op& op) {
    const auto form = static_cast<ir::X87Form>(op.m);
    return op.code == ir::Code::x87 && op.a != ir::kNoValue &&
           (form == ir::X87Form::kStore || form == ir::X87Form::kStoreControl);
}
// FNSTSW AX.
inline bool x87_writes_ax(const ir::Op& op) {
    return op.code == ir::Code::x87 && op.a == ir::kNoValue &&
           static_cast<ir::X87Form>(op.m) == ir::X87Form::kStoreControl;
}

// Subroutines, called with r13 as in translated code. Load: r12d != 0 afterwards: an exception is
// unmasked or pending, or IGNNE# is asserted, nothing was loaded; changes r12 and flags only.
// Retire: does nothing if the unit is not live; changes flags only; leaves the host's unit as
// FNINIT does.
void write_load_x87(Xbyak::CodeGenerator& c, const cpu::Cpu& cpu);
void write_retire_x87(Xbyak::CodeGenerator& c, const cpu::Cpu& cpu);

}  // namespace rm::jit::x64
