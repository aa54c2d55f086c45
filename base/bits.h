// Bit-field helpers. All are constexpr and total: no undefined shifts for the documented ranges.
#pragma once
#include <type_traits>

#include "base/types.h"

namespace rm {

// One bit as a mask. n in 0..63.
constexpr u64 bit(unsigned n) { return u64{1} << n; }
constexpr bool has_bit(u64 v, unsigned n) { return (v >> n) & 1; }
// Bits hi..lo of v (inclusive), shifted down. hi in lo..63.
constexpr u64 bits(u64 v, unsigned hi, unsigned lo) {
    return (v >> lo) & (~u64{0} >> (63 - (hi - lo)));
}
// Mask of the low n bits. n in 0..64.
constexpr u64 low_mask(unsigned n) { return n >= 64 ? ~u64{0} : (u64{1} << n) - 1; }
// v's low n bits as a signed number, n in 1..64.
constexpr u64 sign_extend(u64 v, unsigned n) {
    return static_cast<u64>(static_cast<i64>(v << (64 - n)) >> (64 - n));
}
constexpr u64 align_down(u64 v, u64 a) { return v & ~(a - 1); }
constexpr u64 align_up(u64 v, u64 a) { return (v + a - 1) & ~(a - 1); }
template <class T>
constexpr unsigned bit_width_of() {
    return sizeof(T) * 8;
}

}  // namespace rm
