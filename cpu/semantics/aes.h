// The AES round functions (SDM 1 12.13; FIPS 197 5.1-5.3): the host's instructions where the
// compiler may use them, and the portable definition beside them (the unit test compares the two).
#pragma once
#if defined(__AES__)
#include <wmmintrin.h>
#endif

#include "cpu/semantics/vec.h"

namespace rm::cpu::aes {

// FIPS 197 figures 7 and 14, computed instead of printed.
struct Boxes {
    u8 forward[256], inverse[256];
};
constexpr u8 times2(u8 x) { return static_cast<u8>((x << 1) ^ (x & 0x80 ? 0x1B : 0)); }
constexpr u8 multiply(u8 a, u8 b) {
    u8 r = 0;
    for (; b; b >>= 1, a = times2(a))
        if (b & 1) r ^= a;
    return r;
}
constexpr Boxes make_boxes() {
    Boxes t{};
    u8 p = 1, q = 1;  // p runs through all non-zero elements, q is its inverse
    do {
        p = static_cast<u8>(p ^ times2(p));                                 // times 3
        for (unsigned s = 1; s <= 4; s *= 2) q ^= static_cast<u8>(q << s);  // divided by 3
        if (q & 0x80) q ^= 0x09;
        auto rotate = [q](unsigned n) { return static_cast<u8>((q << n) | (q >> (8 - n))); };
        const u8 v = static_cast<u8>(q ^ rotate(1) ^ rotate(2) ^ rotate(3) ^ rotate(4) ^ 0x63);
        t.forward[p] = v;
        t.inverse[v] = p;
    } while (p != 1);
    t.forward[0] = 0x63;
    t.inverse[0x63] = 0;
    return t;
}
inline constexpr Boxes kBoxes = make_boxes();

// Byte of row r, column c is at r + 4c; ShiftRows moves row r left by r columns.
inline V128 substitute_and_shift(V128 state, bool inverse) {
    const Lanes<u8> s(state);
    Lanes<u8> out;
    const u8* box = inverse ? kBoxes.inverse : kBoxes.forward;
    for (unsigned c = 0; c < 4; ++c)
        for (unsigned r = 0; r < 4; ++r) {
            const unsigned from = (inverse ? c + 4 - r : c + r) & 3;
            out[r + 4 * c] = box[s[r + 4 * from]];
        }
    return out;
}
inline V128 mix_columns(V128 state, const u8 (&factors)[4]) {
    const Lanes<u8> s(state);
    Lanes<u8> out;
    for (unsigned c = 0; c < 4; ++c)
        for (unsigned r = 0; r < 4; ++r)
            for (unsigned k = 0; k < 4; ++k)
                out[r + 4 * c] ^= multiply(s[((r + k) & 3) + 4 * c], factors[k]);
    return out;
}
inline constexpr u8 kMix[4] = {2, 3, 1, 1}, kInverseMix[4] = {14, 11, 13, 9};

namespace portable {
inline V128 enc(V128 s, V128 key) {
    return mix_columns(substitute_and_shift(s, false), kMix) ^ key;
}
inline V128 enclast(V128 s, V128 key) { return substitute_and_shift(s, false) ^ key; }
inline V128 dec(V128 s, V128 key) {
    return mix_columns(substitute_and_shift(s, true), kInverseMix) ^ key;
}
inline V128 declast(V128 s, V128 key) { return substitute_and_shift(s, true) ^ key; }
inline V128 imc(V128 s) { return mix_columns(s, kInverseMix); }
}  // namespace portable

#if defined(__AES__)
inline V128 enc(V128 s, V128 key) { return _mm_aesenc_si128(s, key); }
inline V128 enclast(V128 s, V128 key) { return _mm_aesenclast_si128(s, key); }
inline V128 dec(V128 s, V128 key) { return _mm_aesdec_si128(s, key); }
inline V128 declast(V128 s, V128 key) { return _mm_aesdeclast_si128(s, key); }
inline V128 imc(V128 s) { return _mm_aesimc_si128(s); }
#else
using namespace portable;
#endif

// AESKEYGENASSIST (SDM 2): SubWord and RotWord of doublewords 1 and 3.
inline V128 key_assist(V128 b, unsigned rcon) {
    const Lanes<u32> x(b);
    Lanes<u32> out;
    for (unsigned n = 0; n < 2; ++n) {
        u32 word = 0;
        for (unsigned k = 0; k < 4; ++k)
            word |= u32{kBoxes.forward[(x[2 * n + 1] >> (8 * k)) & 0xFF]} << (8 * k);
        out[2 * n] = word;
        out[2 * n + 1] = std::rotr(word, 8) ^ rcon;
    }
    return out;
}

}  // namespace rm::cpu::aes
