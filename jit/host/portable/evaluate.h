// Evaluates IR over the state of a processor, one operation after the other: simple, slow, the same
// on every host. It is the oracle for the builder, the passes and the back ends.
// Memory is accessed through the soft TLB's hits only, after asking the Mmu to fill it. Whatever
// else an operation finds (a fault, a device, decoded code, a page border, a misaligned vector, a
// division error, an unmasked SSE exception) ends the evaluation before its instruction has changed
// anything: the interpreter runs that instruction.
#pragma once
#include <span>

#include "cpu/cpu.h"
#include "jit/ir/ir.h"

namespace rm::jit::portable {

struct Outcome {
    enum class What : u8 {
        kLeft,       // a jump, or `limit` reached: the guest goes on at rip
        kInterpret,  // the interpreter must run the instruction at rip next
    } what = What::kLeft;
    u64 retired = 0;  // guest instructions completed
    u64 rip = 0;      // not yet in cpu.rip
};

// `block` must pass ir::verify(). `insns` are the instructions it was built from, at block_rip +
// Insn::offset; at most `limit` of them are run. Changes registers, flags, MXCSR and memory of
// `cpu`, not rip, tick count or pending work.
Outcome evaluate(cpu::Cpu& cpu, const ir::Block& block, std::span<const cpu::Insn> insns,
                 u64 block_rip, u64 limit = ~u64{0});

}  // namespace rm::jit::portable
