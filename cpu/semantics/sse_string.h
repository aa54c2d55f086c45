// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: the comparison itself, independent of where the
// lengths come from. Source: SDM 2 4.1 (imm8 control byte: element format, aggregation, polarity,
// output).
#pragma once
#include "cpu/semantics/vec.h"
#include "cpu/state/flags.h"

namespace rm::cpu::sse_string {

struct Result {
    u32 bits;   // IntRes2, one bit per element
    u32 count;  // elements in a vector: 8 or 16
    Cc flags;   // CF, ZF, SF, OF; AF = PF = 0
};

// Index output (imm8[6]: least or most significant bit set; none: the element count).
u32 index_of(const Result& r, unsigned imm);
// Mask output (imm8[6]: one bit or one whole element per result bit).
V128 mask_of(const Result& r, unsigned imm);

// Elements before the first zero element.
unsigned implicit_length(V128 v, unsigned imm);
// |length| cut to the number of elements.
unsigned explicit_length(i64 length, unsigned imm);

// a: the first operand (set, ranges, or the string to find); b: the second.
Result compare(V128 a, unsigned length_a, V128 b, unsigned length_b, unsigned imm);

}  // namespace rm::cpu::sse_string
