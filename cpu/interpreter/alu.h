// Integer arithmetic with flags, for the value engine. Each function gives the result and the Cc
// (cpu/state/flags.h). On x86-64 hosts ADD/SUB/ADC/SBB use the host's own flags (LAHF, SETO); the
// portable twins below them are the definition and the unit test compares the two.
// Flags the manual leaves undefined are canonical: AF = 0 after logic (SDM 2, each instruction).
#pragma once
#include <bit>
#include <type_traits>

#include "base/types.h"
#include "cpu/state/flags.h"

namespace rm::cpu {

template <class T>
struct Alu {
    T value;
    Cc flags;
};

template <class T>
struct AluWide {
    T low, high;
    Cc flags;
};

template <class T>
struct Division {
    T quotient, remainder;
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
#define RM_ALU2(name, instruction)                                                           \
    template <class T>                                                                       \
    [[gnu::always_inline]] inline Alu<T> name(T a, T b) {                                    \
        Cc f;                                                                                \
        asm(instruction " %2, %0\n\tlahf\n\tseto %%al" : "+r"(a), "=&a"(f) : "r"(b) : "cc"); \
        return {a, f};                                                                       \
    }
#define RM_ALU3(name, instruction)                                       \
    template <class T>                                                   \
    [[gnu::always_inline]] inline Alu<T> name(T a, T b, bool c) {        \
        Cc f;                                                            \
        asm("btl $0, %k3\n\t" instruction " %2, %0\n\tlahf\n\tseto %%al" \
            : "+r"(a), "=&a"(f)                                          \
            : "r"(b), "r"(static_cast<u32>(c))                           \
            : "cc");                                                     \
        return {a, f};                                                   \
    }
RM_ALU2(add, "add")
RM_ALU2(sub, "sub")
RM_ALU3(adc, "adc")
RM_ALU3(sbb, "sbb")
#undef RM_ALU2
#undef RM_ALU3
#else
template <class T>
Alu<T> add(T a, T b) {
    return adc_portable(a, b, false);
}
template <class T>
Alu<T> sub(T a, T b) {
    return sbb_portable(a, b, false);
}
template <class T>
Alu<T> adc(T a, T b, bool c) {
    return adc_portable(a, b, c);
}
template <class T>
Alu<T> sbb(T a, T b, bool c) {
    return sbb_portable(a, b, c);
}
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

template <class T>
inline constexpr unsigned kBits = sizeof(T) * 8;
template <class T>
constexpr bool msb(T v) {
    return (v >> (kBits<T> - 1)) & 1;
}
// Shift counts are taken modulo 32, or 64 for 64-bit operands (SDM 2, SAL).
template <class T>
constexpr unsigned shift_count(u8 n) {
    return n & (sizeof(T) == 8 ? 63 : 31);
}
constexpr Cc with_cf_of(Cc f, bool cf, bool of) {
    return static_cast<Cc>((f & ~(kCcCf | kCcOf)) | (cf ? kCcCf : 0) | (of ? kCcOf : 0));
}

// Undefined by the manual and canonical here: AF = 0 for non-zero counts; OF for counts above one
// follows the count-one rule; CF for counts above the width is 0 (SHL, SHR) or the sign (SAR).
template <class T>
constexpr Alu<T> shl(T a, u8 n, Cc old) {
    const unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    const T r = c >= kBits<T> ? T{0} : static_cast<T>(a << c);
    const bool cf = c <= kBits<T> && ((a >> (kBits<T> - c)) & 1);
    return {r, with_cf_of(result_flags(r), cf, msb(r) != cf)};
}
template <class T>
constexpr Alu<T> shr(T a, u8 n, Cc old) {
    const unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    const T r = c >= kBits<T> ? T{0} : static_cast<T>(a >> c);
    const bool cf = c <= kBits<T> && ((a >> (c - 1)) & 1);
    return {r, with_cf_of(result_flags(r), cf, msb(a))};
}
template <class T>
constexpr Alu<T> sar(T a, u8 n, Cc old) {
    unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    if (c >= kBits<T>) c = kBits<T> - 1;
    using S = std::make_signed_t<T>;
    const S s = static_cast<S>(a);
    const T r = static_cast<T>(s >> c);
    const bool cf = shift_count<T>(n) >= kBits<T> ? s < 0 : ((s >> (c - 1)) & 1);
    return {r, with_cf_of(result_flags(r), cf, false)};
}
template <class T>
constexpr Alu<T> rol(T a, u8 n, Cc old) {
    const unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    const T r = std::rotl(a, static_cast<int>(c % kBits<T>));
    const bool cf = r & 1;
    return {r, with_cf_of(old, cf, msb(r) != cf)};
}
template <class T>
constexpr Alu<T> ror(T a, u8 n, Cc old) {
    const unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    const T r = std::rotr(a, static_cast<int>(c % kBits<T>));
    return {r, with_cf_of(old, msb(r), msb(r) != msb(static_cast<T>(r << 1)))};
}
template <class T>
constexpr Alu<T> rcl(T a, u8 n, Cc old) {
    unsigned c = shift_count<T>(n);
    if (sizeof(T) < 4) c %= kBits<T> + 1;
    if (c == 0) return {a, old};
    bool cf = old & kCcCf;
    const u128 wide = (u128{cf} << kBits<T>) | a;  // kBits + 1 bits
    const unsigned width = kBits<T> + 1;
    const u128 rotated = (wide << c) | (wide >> (width - c));
    const T r = static_cast<T>(rotated);
    cf = (rotated >> kBits<T>)&1;
    return {r, with_cf_of(old, cf, msb(r) != cf)};
}
template <class T>
constexpr Alu<T> rcr(T a, u8 n, Cc old) {
    unsigned c = shift_count<T>(n);
    if (sizeof(T) < 4) c %= kBits<T> + 1;
    if (c == 0) return {a, old};
    const u128 wide = (u128{(old & kCcCf) != 0} << kBits<T>) | a;
    const unsigned width = kBits<T> + 1;
    const u128 rotated = (wide >> c) | (wide << (width - c));
    const T r = static_cast<T>(rotated);
    return {r, with_cf_of(old, (rotated >> kBits<T>)&1, msb(r) != msb(static_cast<T>(r << 1)))};
}
// Double shifts; 16-bit counts above 16 (undefined) shift the pair a:b:a on.
template <class T>
constexpr Alu<T> shld(T a, T b, u8 n, Cc old) {
    const unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    T r;
    bool cf;
    if (sizeof(T) == 2 && c > 16) {
        const u64 wide = (u64{a} << 32) | (u64{b} << 16) | a;
        r = static_cast<T>(wide >> (32 - c));
        cf = (wide >> (48 - c)) & 1;
    } else {
        r = static_cast<T>((a << c) | (c == kBits<T> ? b : static_cast<T>(b >> (kBits<T> - c))));
        if (c == kBits<T>) r = b;
        cf = (a >> (kBits<T> - c)) & 1;
    }
    return {r, with_cf_of(result_flags(r), cf, msb(r) != msb(a))};
}
template <class T>
constexpr Alu<T> shrd(T a, T b, u8 n, Cc old) {
    const unsigned c = shift_count<T>(n);
    if (c == 0) return {a, old};
    T r;
    bool cf;
    if (sizeof(T) == 2 && c > 16) {
        const u64 wide = (u64{a} << 32) | (u64{b} << 16) | a;
        r = static_cast<T>(wide >> c);
        cf = (wide >> (c - 1)) & 1;
    } else {
        r = c == kBits<T> ? b : static_cast<T>((a >> c) | (b << (kBits<T> - c)));
        cf = (a >> (c - 1)) & 1;
    }
    return {r, with_cf_of(result_flags(r), cf, msb(r) != msb(a))};
}

template <class T>
using WideOf = std::conditional_t<
    sizeof(T) == 1, u16,
    std::conditional_t<sizeof(T) == 2, u32, std::conditional_t<sizeof(T) == 4, u64, u128>>>;
template <class T>
using SignedWideOf = std::conditional_t<
    sizeof(T) == 1, i16,
    std::conditional_t<sizeof(T) == 2, i32, std::conditional_t<sizeof(T) == 4, i64, i128>>>;

// CF = OF = the high half is significant; SF, ZF, PF (undefined) follow the low half, AF = 0.
template <class T>
constexpr AluWide<T> mul(T a, T b) {
    const auto w = static_cast<WideOf<T>>(static_cast<WideOf<T>>(a) * b);
    const T low = static_cast<T>(w), high = static_cast<T>(w >> kBits<T>);
    return {low, high, with_cf_of(result_flags(low), high != 0, high != 0)};
}
template <class T>
constexpr AluWide<T> imul(T a, T b) {
    using S = std::make_signed_t<T>;
    const auto w = static_cast<SignedWideOf<T>>(static_cast<SignedWideOf<T>>(static_cast<S>(a)) *
                                                static_cast<S>(b));
    const T low = static_cast<T>(w), high = static_cast<T>(w >> kBits<T>);
    const bool over = w != static_cast<SignedWideOf<T>>(static_cast<S>(low));
    return {low, high, with_cf_of(result_flags(low), over, over)};
}
// False: division error (zero divisor or quotient too large).
template <class T>
constexpr bool div(T high, T low, T divisor, Division<T>& out) {
    if (divisor == 0 || high >= divisor) return false;
    if constexpr (sizeof(T) == 8) {
        if (high == 0) {
            out = {low / divisor, low % divisor};
            return true;
        }
    }
    const auto dividend = static_cast<WideOf<T>>((static_cast<WideOf<T>>(high) << kBits<T>) | low);
    out = {static_cast<T>(dividend / divisor), static_cast<T>(dividend % divisor)};
    return true;
}
template <class T>
constexpr bool idiv(T high, T low, T divisor, Division<T>& out) {
    using S = std::make_signed_t<T>;
    using W = WideOf<T>;
    const bool negative = msb(high), divisor_negative = msb(divisor);
    W dividend = static_cast<W>((static_cast<W>(high) << kBits<T>) | low);
    if (negative) dividend = static_cast<W>(W{0} - dividend);
    const T d = divisor_negative ? static_cast<T>(T{0} - divisor) : divisor;
    Division<T> u{};
    if (!div(static_cast<T>(dividend >> kBits<T>), static_cast<T>(dividend), d, u)) return false;
    const T limit = static_cast<T>(T{1} << (kBits<T> - 1));
    if (negative != divisor_negative ? u.quotient > limit : u.quotient >= limit) return false;
    out.quotient = negative != divisor_negative ? static_cast<T>(T{0} - u.quotient) : u.quotient;
    out.remainder = negative ? static_cast<T>(T{0} - u.remainder) : u.remainder;
    (void)sizeof(S);
    return true;
}
// Source zero: destination unchanged (APM3; Intel CPUs do the same). Other flags (undefined): 0.
template <class T>
constexpr Alu<T> bsf(T a, T old) {
    if (a == 0) return {old, kCcFixed | kCcZf};
    return {static_cast<T>(std::countr_zero(a)), kCcFixed};
}
template <class T>
constexpr Alu<T> bsr(T a, T old) {
    if (a == 0) return {old, kCcFixed | kCcZf};
    return {static_cast<T>(kBits<T> - 1 - std::countl_zero(a)), kCcFixed};
}
template <class T>
constexpr Alu<T> popcnt(T a) {
    return {static_cast<T>(std::popcount(a)), static_cast<Cc>(kCcFixed | (a == 0 ? kCcZf : 0))};
}
template <class T>
constexpr Alu<T> lzcnt(T a) {
    const T r = static_cast<T>(std::countl_zero(a));
    return {r, static_cast<Cc>(kCcFixed | (r == 0 ? kCcZf : 0) | (a == 0 ? kCcCf : 0))};
}
template <class T>
constexpr T bswap(T a) {
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(a);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(a);
    return __builtin_bswap16(static_cast<u16>(a));
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
