// A 128-bit value as the vector operations pass it around, and its few parts. Owns: the type only;
// lane arithmetic is in the operation tables (cpu/instructions/vec_int.def, vec_fp.def).
#pragma once
#include <cstring>

#include "base/types.h"

namespace rm::cpu {

// Converts to and from <emmintrin.h>'s __m128i, so that SIMDe's functions take it as it is.
typedef long long V128 __attribute__((__vector_size__(16)));

inline V128 vec_u64(u64 low, u64 high = 0) {
    return V128{static_cast<long long>(low), static_cast<long long>(high)};
}
inline u64 vec_low(V128 v) { return static_cast<u64>(v[0]); }
inline u64 vec_high(V128 v) { return static_cast<u64>(v[1]); }
inline V128 load_vec(const void* p) {
    V128 v;
    std::memcpy(&v, p, 16);
    return v;
}

// Alignment that a 16-byte memory operand must have.
enum class Align : u8 {
    kAny,
    kOperand,  // 16 bytes, unless MXCSR.MM is set (operand of a computation)
    kAlways,   // 16 bytes (moves)
};

// The lanes of a vector as an array, for operations that choose lanes at run time.
template <class T>
struct Lanes {
    T v[16 / sizeof(T)];
    Lanes() : v{} {}
    explicit Lanes(V128 x) { std::memcpy(v, &x, 16); }
    operator V128() const { return load_vec(v); }
    T& operator[](unsigned n) { return v[n]; }
    T operator[](unsigned n) const { return v[n]; }
    static constexpr unsigned kCount = 16 / sizeof(T);
};

// Every operation has a number, the same in all engines.
enum class VecOp : u16 {
#define RM_VEC(name, ...) name,
#define RM_VEC_FP(name, tiny) name,
#define RM_VEC_FP_IMM(name, last, tiny) name,
#define RM_VEC_FP_UNARY(name, tiny) name,
#define RM_VEC_OTHER(name) name,
#include "cpu/instructions/vec_fp.def"
#include "cpu/instructions/vec_int.def"
#undef RM_VEC
#undef RM_VEC_FP
#undef RM_VEC_FP_IMM
#undef RM_VEC_FP_UNARY
#undef RM_VEC_OTHER
    kCount
};

}  // namespace rm::cpu
