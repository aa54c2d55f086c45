// The vector operations of the IR by number, computed by the interpreter's own definitions
// (cpu/semantics/vec_ops.h, sse_host.h). Apart from the evaluator because they are heavy to compile
// and need the vector families' compiler flags.
#pragma once
#include "cpu/cpu.h"
#include "cpu/semantics/vec.h"

namespace rm::jit::portable {

using cpu::V128;

// Integer and bitwise operations; `op` is a cpu::VecOp.
V128 vector_operation(unsigned op, V128 a, V128 b, unsigned imm);
// b's lanes of 1 << lane_log2 bytes where the mask's sign is set, else a's.
V128 vector_blend(unsigned lane_log2, V128 a, V128 b, V128 mask);

// Floating point under the guest's MXCSR, whose sticky flags are set. Every exception must be
// masked.
bool all_masked(const cpu::Cpu& cpu);
V128 vector_fp(cpu::Cpu& cpu, unsigned op, V128 a, V128 b, unsigned imm);
u64 fp_to_int(cpu::Cpu& cpu, unsigned op, u8 size_log2, V128 a);
V128 int_to_fp(cpu::Cpu& cpu, unsigned op, u8 size_log2, V128 a, u64 value);
cpu::Cc fp_compare(cpu::Cpu& cpu, unsigned op, V128 a, V128 b);
cpu::Cc vector_test(cpu::Cpu& cpu, V128 a, V128 b);

// PCMPxSTRx: lengths are implicit, or those in RAX and RDX of 1 << n bytes.
struct StringResult {
    u32 index;
    V128 mask;
    cpu::Cc flags;
};
StringResult string_compare(const cpu::Cpu& cpu, V128 a, V128 b, u8 n, unsigned imm);

bool misaligned_allowed(const cpu::Cpu& cpu);  // MXCSR.MM
u32 crc32(u8 size_log2, u32 crc, u64 value);

}  // namespace rm::jit::portable
