// The integer vector operations as types: cpu/instructions/vec_int.def expanded over SIMDe (native
// intrinsics on an x86 host, portable C elsewhere), and the operations SIMDe cannot express because
// their immediate is known only at run time. Heavy: include it only where bodies are instantiated.
#pragma once
#if defined(__PCLMUL__)
#include <wmmintrin.h>
#endif
#include <simde/x86/clmul.h>
#include <simde/x86/sse4.2.h>
#include <simde/x86/ssse3.h>

#include "cpu/semantics/aes.h"
#include "cpu/semantics/vec.h"

namespace rm::cpu::vec {

inline V128 from_u128(u128 v) { return vec_u64(static_cast<u64>(v), static_cast<u64>(v >> 64)); }
inline u128 to_u128(V128 v) { return (u128{vec_high(v)} << 64) | vec_low(v); }

inline V128 shift_bytes_left(V128 a, u64 n) {
    return n > 15 ? V128{} : from_u128(to_u128(a) << (8 * n));
}
inline V128 shift_bytes_right(V128 a, u64 n) {
    return n > 15 ? V128{} : from_u128(to_u128(a) >> (8 * n));
}
// Bytes imm .. imm+15 of a:b (SDM 2, PALIGNR).
inline V128 align_bytes(V128 a, V128 b, unsigned imm) {
    if (imm >= 32) return V128{};
    if (imm >= 16) return shift_bytes_right(a, imm - 16);
    if (imm == 0) return b;
    return shift_bytes_right(b, imm) | shift_bytes_left(a, 16 - imm);
}
// Lanes First .. First+Count-1 are chosen by fields of Bits bits of imm from the same group of
// lanes.
template <class T, unsigned Bits, unsigned First, unsigned Count>
inline V128 shuffle(V128 b, unsigned imm) {
    const Lanes<T> in(b);
    Lanes<T> out(b);
    for (unsigned n = 0; n < Count; ++n)
        out[First + n] = in[First + ((imm >> (Bits * n)) & (Count - 1))];
    return out;
}
inline V128 shuffle_ps(V128 a, V128 b, unsigned imm) {
    const Lanes<u32> x(a), y(b);
    Lanes<u32> out;
    for (unsigned n = 0; n < 4; ++n) {
        const unsigned from = (imm >> (2 * n)) & 3;
        out[n] = n < 2 ? x[from] : y[from];
    }
    return out;
}
template <class T>
inline V128 merge_low(V128 a, V128 b) {
    Lanes<T> out(a);
    out[0] = Lanes<T>(b)[0];
    return out;
}
template <class T>
inline V128 blend(V128 a, V128 b, unsigned imm) {
    Lanes<T> out(a);
    const Lanes<T> in(b);
    for (unsigned n = 0; n < Lanes<T>::kCount; ++n)
        if ((imm >> n) & 1) out[n] = in[n];
    return out;
}
// MPSADBW (SDM 2): eight sums of four absolute differences.
inline V128 sum_differences(V128 a, V128 b, unsigned imm) {
    const Lanes<u8> x(a), y(b);
    const unsigned dst = (imm & 4) ? 4 : 0, src = (imm & 3) * 4;
    Lanes<u16> out;
    for (unsigned n = 0; n < 8; ++n)
        for (unsigned k = 0; k < 4; ++k) {
            const int d = x[dst + n + k] - y[src + k];
            out[n] = static_cast<u16>(out[n] + (d < 0 ? -d : d));
        }
    return out;
}
// INSERTPS (SDM 2). A memory source has its only lane at 0: the caller clears imm 7:6.
inline V128 insert_float(V128 a, V128 b, unsigned imm) {
    Lanes<u32> out(a);
    out[(imm >> 4) & 3] = Lanes<u32>(b)[(imm >> 6) & 3];
    for (unsigned n = 0; n < 4; ++n)
        if ((imm >> n) & 1) out[n] = 0;
    return out;
}
inline V128 carryless(V128 a, V128 b, unsigned imm) {
    const V128 x = vec_u64(imm & 1 ? vec_high(a) : vec_low(a));
    const V128 y = vec_u64(imm & 16 ? vec_high(b) : vec_low(b));
    return simde_mm_clmulepi64_si128(x, y, 0);
}
// Byte-wise, doubleword and quadword choice by the sign bits of the mask (SDM 2, BLENDVPS).
template <class T>
inline V128 blend_by_sign(V128 a, V128 b, V128 mask) {
    Lanes<T> out(a);
    const Lanes<T> in(b), m(mask);
    for (unsigned n = 0; n < Lanes<T>::kCount; ++n)
        if (m[n] >> (8 * sizeof(T) - 1)) out[n] = in[n];
    return out;
}
// SSE4a bit fields (APM4, EXTRQ, INSERTQ): length in imm 5:0 (0 = 64), position in imm 13:8. Fields
// beyond bit 63 (undefined) are cut.
struct BitField {
    unsigned position;
    u64 mask;
    explicit BitField(unsigned imm)
        : position((imm >> 8) & 63), mask(imm & 63 ? (u64{1} << (imm & 63)) - 1 : ~u64{0}) {}
};
inline V128 extract_bits(V128 a, unsigned imm) {
    const BitField f(imm);
    return vec_u64((vec_low(a) >> f.position) & f.mask);
}
inline V128 insert_bits(V128 a, V128 b, unsigned imm) {
    const BitField f(imm);
    const u64 mask = f.mask << f.position;
    return vec_u64((vec_low(a) & ~mask) | ((vec_low(b) << f.position) & mask));
}

#define RM_VEC(name, ...)                                                                        \
    struct name {                                                                                \
        static constexpr VecOp kId = VecOp::name;                                                \
        [[gnu::always_inline]] static V128 run([[maybe_unused]] V128 a, [[maybe_unused]] V128 b, \
                                               [[maybe_unused]] unsigned imm) {                  \
            return __VA_ARGS__;                                                                  \
        }                                                                                        \
    };
#include "cpu/instructions/vec_int.def"
#undef RM_VEC

// Three operands: the mask is XMM0 (SDM 2, PBLENDVB).
template <class T>
struct BlendBySign {
    static V128 run(V128 a, V128 b, V128 mask) { return blend_by_sign<T>(a, b, mask); }
};
using pblendvb = BlendBySign<u8>;
using blendvps = BlendBySign<u32>;
using blendvpd = BlendBySign<u64>;

// --- 64-bit forms of operations that are not lane by lane: both operands in one vector ---
template <class Op>
struct Joined {
    static V128 run(V128 a, V128 b, unsigned imm) {
        const V128 both = vec_u64(vec_low(a), vec_low(b));
        return Op::run(both, both, imm);
    }
};
// The upper half of the 128-bit interleave is PUNPCKH's result.
template <class Op>
struct UpperHalf {
    static V128 run(V128 a, V128 b, unsigned imm) { return vec_u64(vec_high(Op::run(a, b, imm))); }
};
struct pshufb_mmx {
    static V128 run(V128 a, V128 b, unsigned imm) {
        return pshufb::run(a, b & vec_u64(0x8787878787878787), imm);
    }
};
struct palignr_mmx {
    static V128 run(V128 a, V128 b, unsigned imm) {
        return shift_bytes_right(vec_u64(vec_low(b), vec_low(a)), imm);
    }
};
struct pshufw {
    static V128 run(V128, V128 b, unsigned imm) { return pshuflw::run(b, b, imm); }
};

}  // namespace rm::cpu::vec
