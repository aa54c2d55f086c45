// SSE arithmetic with some exceptions unmasked. The host runs it with all masked, so three things
// are put right (SDM 1 11.5.2.4, 11.5.2.5, 4.9.1.5): an unmasked underflow also reports exact tiny
// results and switches flush-to-zero off; and where overflow or underflow is unmasked, the
// precision flag tells whether the result would be inexact with an unbounded exponent.
#pragma once
#include "cpu/semantics/sse_host.h"

namespace rm::cpu {

struct UnmaskedResult {
    V128 value;
    u32 raised;  // MXCSR flags of this operation
};

// MXCSR to run with, all masked, for a guest's MXCSR.
inline u32 masked_mxcsr(u32 guest) {
    const bool underflow = !(guest & kMxcsrUm);
    return (guest & 0xFFFF & ~kMxcsrFlags & ~(underflow ? kMxcsrFz : 0u)) | kMxcsrMasks;
}
// The flags as an unmasked guest gets them, from those of the masked run.
u32 unmasked_flags(VecOp op, Tiny tiny, u32 guest, V128 a, V128 b, V128 result, u32 flags);
// True if the flags raise something now: later steps of an instruction do not happen.
inline bool raises(u32 guest, u32 flags) { return flags & ~(guest >> 7) & kMxcsrFlags; }

template <class Op>
UnmaskedResult sse_unmasked(u32 guest, V128 a, V128 b, unsigned imm);

namespace vec {

// Dot products are multiplications and then additions, each of which may raise (SDM 2, DPPS).
template <class Dot, class Mul, class Add>
UnmaskedResult dot_unmasked(u32 guest, V128 a, V128 b, unsigned imm) {
    using Lane = typename Dot::Lane;
    constexpr unsigned kCount = Lanes<Lane>::kCount;
    Lanes<Lane> x(a), y(b);
    keep_products(x, y, imm);
    UnmaskedResult r = sse_unmasked<Mul>(guest, x, y, 0);
    u32 raised = r.raised;
    for (unsigned step = 1; step < kCount && !raises(guest, raised); step *= 2) {
        const Lanes<Lane> in(r.value);
        Lanes<Lane> first, second;  // in every lane in the same order, for the sake of NaNs
        for (unsigned n = 0; n < kCount; ++n) {
            first[n] = in[n & ~step];
            second[n] = in[n | step];
        }
        r = sse_unmasked<Add>(guest, first, second, 0);
        raised |= r.raised;
    }
    Lanes<Lane> out(r.value);
    keep_results(out, imm);
    return {out, raised};
}

}  // namespace vec

template <class Op>
UnmaskedResult sse_unmasked(u32 guest, V128 a, V128 b, unsigned imm) {
    if constexpr (Op::kId == VecOp::dpps) {
        return vec::dot_unmasked<vec::dpps, vec::mulps, vec::addps>(guest, a, b, imm);
    } else if constexpr (Op::kId == VecOp::dppd) {
        return vec::dot_unmasked<vec::dppd, vec::mulpd, vec::addpd>(guest, a, b, imm);
    } else {
        sse_host::enter(masked_mxcsr(guest));
        const V128 r = Op::run(a, b, imm);
        const u32 flags = sse_host::flags();
        return {r, unmasked_flags(Op::kId, Op::kTiny, guest, a, b, r, flags)};
    }
}

}  // namespace rm::cpu
