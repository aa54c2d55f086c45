// Integer arithmetic with flags, for the value engine. Each function gives the result and the Cc
// (cpu/state/flags.h). On x86-64 hosts ADD/SUB/ADC/SBB use the host's own flags (LAHF, SETO); the
// portable twins below them are the definition and the unit test compares the two.
// Flags the manual leaves undefined are canonical: AF = 0 after logic (SDM 2, each instruction).
#pragma once
#include <bit>

#include "base/types.h"
#include "cpu/state/flags.h"

namespace rm::cpu {

template <class T>
struct Alu {
    T value;
    Cc flags;
};

namespace alu {

// SF, ZF, PF of a result, with the fixed bit.
template <class T>
[[gnu::always_inline]] constexpr Cc result_flags(T r) {
    Cc f = kCcFixed;
    if (r == 0) f |= kCcZf;
    if (r >> (sizeof(T) * 8 - 1)) f |= kCcSf;
    if (!(std::popcount(static_cast<u8>(r)) & 1)) f |= kCcPf;
    return f;
}

template <class T>
constexpr Alu<T> adc_portable(T a, T b, bool c) {
    const T r = static_cast<T>(a + b + c);
    Cc f = result_flags(r);
    if (r < a || (c && r == a)) f |= kCcCf;
    if ((a ^ b ^ r) & 0x10) f |= kCcAf;
    if (static_cast<T>((a ^ r) & (b ^ r)) >> (sizeof(T) * 8 - 1)) f |= kCcOf;
    return {r, f};
}

template <class T>
constexpr Alu<T> sbb_portable(T a, T b, bool c) {
    const T r = static_cast<T>(a - b - c);
    Cc f = result_flags(r);
    if (a < b || (c && a == b)) f |= kCcCf;
    if ((a ^ b ^ r) & 0x10) f |= kCcAf;
    if (static_cast<T>((a ^ b) & (a ^ r)) >> (sizeof(T) * 8 - 1)) f |= kCcOf;
    return {r, f};
}

#if defined(__x86_64__)
#define RM_ALU2(name, instruction)                                                      \
    template <class T>                                                                  \
    [[gnu::always_inline]] inline Alu<T> name(T a, T b) {                               \
        Cc f;                                                                           \
        asm(instruction " %2, %0\n\tlahf\n\tseto %%al" : "+r"(a), "=&a"(f) : "r"(b) : "cc"); \
        return {a, f};                                                                  \
    }
#define RM_ALU3(name, instruction)                                                      \
    template <class T>                                                                  \
    [[gnu::always_inline]] inline Alu<T> name(T a, T b, bool c) {                       \
        Cc f;                                                                           \
        asm("btl $0, %k3\n\t" instruction " %2, %0\n\tlahf\n\tseto %%al"                \
            : "+r"(a), "=&a"(f) : "r"(b), "r"(static_cast<u32>(c)) : "cc");             \
        return {a, f};                                                                  \
    }
RM_ALU2(add, "add")
RM_ALU2(sub, "sub")
RM_ALU3(adc, "adc")
RM_ALU3(sbb, "sbb")
#undef RM_ALU2
#undef RM_ALU3
#else
template <class T> Alu<T> add(T a, T b) { return adc_portable(a, b, false); }
template <class T> Alu<T> sub(T a, T b) { return sbb_portable(a, b, false); }
template <class T> Alu<T> adc(T a, T b, bool c) { return adc_portable(a, b, c); }
template <class T> Alu<T> sbb(T a, T b, bool c) { return sbb_portable(a, b, c); }
#endif

// AND, OR, XOR, TEST: CF = OF = AF = 0.
template <class T>
[[gnu::always_inline]] inline Alu<T> logic(T r) {
#if defined(__x86_64__)
    Cc f;
    asm("test %1, %1\n\tlahf\n\tmov $0, %%al" : "=&a"(f) : "r"(r) : "cc");
    return {r, static_cast<Cc>(f & ~kCcAf)};
#else
    return {r, result_flags(r)};
#endif
}

// Condition code C (low bit negates) of SDM 2 appendix B table B-10.
template <unsigned C>
[[gnu::always_inline]] constexpr bool condition(Cc f) {
    bool v;
    if constexpr (C / 2 == 0) v = f & kCcOf;
    if constexpr (C / 2 == 1) v = f & kCcCf;
    if constexpr (C / 2 == 2) v = f & kCcZf;
    if constexpr (C / 2 == 3) v = f & (kCcCf | kCcZf);
    if constexpr (C / 2 == 4) v = f & kCcSf;
    if constexpr (C / 2 == 5) v = f & kCcPf;
    if constexpr (C / 2 == 6) v = ((f >> 15) ^ f) & 1;
    if constexpr (C / 2 == 7) v = (((f >> 15) ^ f) & 1) || (f & kCcZf);
    return v != (C & 1);
}

}  // namespace alu
}  // namespace rm::cpu
