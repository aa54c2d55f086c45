// SSE floating point on the host's own SSE unit: results, NaNs, rounding and exception flags are
// exact because the instruction is the same. The only file with host SSE assembly; another host
// needs another sse_host.h with the same functions. RCPPS and RSQRTPS are the host's approximations
// (the manuals only bound their error: SDM 2, RCPPS). Owns: nothing lasting. The host's MXCSR is
// left with the guest's controls and all exceptions masked; enter() compares it with what is there,
// so other code may use or change it at any time.
#pragma once
#include <bit>
#include <type_traits>

#include "cpu/cpu.h"
#include "cpu/semantics/vec.h"

#if !defined(__x86_64__)
#error "sse_host.h is written for x86-64 hosts"
#endif

namespace rm::cpu {

// MXCSR (SDM 1 10.2.3; MM: APM1 4.2.2).
inline constexpr u32 kMxcsrIe = 1, kMxcsrDe = 2, kMxcsrZe = 4, kMxcsrOe = 8, kMxcsrUe = 16,
                     kMxcsrPe = 32, kMxcsrFlags = 0x3F, kMxcsrDaz = 0x40, kMxcsrUm = 0x800,
                     kMxcsrMasks = 0x1F80, kMxcsrFz = 0x8000, kMxcsrMm = 1 << 17;

// MXCSR_MASK: the bits a model implements (SDM 1 11.6.6).
inline u32 mxcsr_mask(const Cpu& cpu) {
    return 0xFFFF | (cpu.model.features.has(Feature::k_misalignsse) ? kMxcsrMm : 0);
}

// Which lanes of a result can be tiny (denormal) by computation.
enum class Tiny : u8 { kNever, kSs, kPs, kSd, kPd };

// An unmasked exception of an operand (IE, DE, ZE) hides those of the result (SDM 1 11.5.3.2).
inline u32 hide_results(u32 guest, u32 flags) {
    constexpr u32 kOfOperands = kMxcsrIe | kMxcsrDe | kMxcsrZe;
    return flags & ~(guest >> 7) & kOfOperands ? flags & kOfOperands : flags;
}
// The end of an operation with unmasked exceptions: flags into MXCSR; false if one is raised.
[[nodiscard]] bool sse_finish_unmasked(Cpu& cpu, u32 raised);

namespace sse_host {

inline u32 current() {
    u32 v;
    asm volatile("stmxcsr %0" : "=m"(v));
    return v;
}
// Makes `mxcsr` (all exceptions masked) the host's.
[[gnu::always_inline]] inline void enter(u32 mxcsr) {
    if (current() != mxcsr) [[unlikely]] {
        asm volatile("ldmxcsr %0" : : "m"(mxcsr));
    }
}
[[gnu::always_inline]] inline u32 flags() { return current() & kMxcsrFlags; }
// What the process had before: for code of ours that calculates in floating point.
inline void leave() { enter(kMxcsrMasks); }

}  // namespace sse_host

// --- the operations; asm volatile keeps them between enter() and flags() ---
namespace vec {

#define RM_VEC_OTHER(name)
#define RM_VEC_FP(name, tiny)                                              \
    struct name {                                                          \
        static constexpr VecOp kId = VecOp::name;                          \
        static constexpr Tiny kTiny = Tiny::tiny;                          \
        [[gnu::always_inline]] static V128 run(V128 a, V128 b, unsigned) { \
            asm volatile(#name " %1, %0" : "+x"(a) : "x"(b));              \
            return a;                                                      \
        }                                                                  \
    };
// Unary packed operations: the destination's old value does not matter.
#define RM_VEC_FP_UNARY(name, tiny) RM_VEC_FP(name, tiny)
// An immediate of at most `last`, which the instruction needs as a constant.
#define RM_VEC_FP_IMM(name, last, tiny)                                                         \
    struct name {                                                                               \
        static constexpr VecOp kId = VecOp::name;                                               \
        static constexpr Tiny kTiny = Tiny::tiny;                                               \
        template <unsigned Imm>                                                                 \
        static V128 run_with(V128 a, V128 b, unsigned imm) {                                    \
            if constexpr (Imm < last) {                                                         \
                if (imm != Imm) return run_with<Imm + 1>(a, b, imm);                            \
            }                                                                                   \
            asm volatile(#name " %2, %1, %0" : "+x"(a) : "x"(b), "i"(Imm));                     \
            return a;                                                                           \
        }                                                                                       \
        static V128 run(V128 a, V128 b, unsigned imm) { return run_with<0>(a, b, imm & last); } \
    };
#include "cpu/instructions/vec_fp.def"
#undef RM_VEC_OTHER
#undef RM_VEC_FP
#undef RM_VEC_FP_UNARY
#undef RM_VEC_FP_IMM

// Dot products: the products that imm 7:4 leaves out are made 0 * 0, which is exact, and the lanes
// that imm 3:0 leaves out are cleared afterwards (SDM 2, DPPS).
template <class Lane>
inline void keep_products(Lanes<Lane>& a, Lanes<Lane>& b, unsigned imm) {
    for (unsigned n = 0; n < Lanes<Lane>::kCount; ++n)
        if (!((imm >> (4 + n)) & 1)) a[n] = b[n] = 0;
}
template <class Lane>
inline void keep_results(Lanes<Lane>& r, unsigned imm) {
    for (unsigned n = 0; n < Lanes<Lane>::kCount; ++n)
        if (!((imm >> n) & 1)) r[n] = 0;
}
template <class L, class All, VecOp Id>
struct DotProduct {
    using Lane = L;
    static constexpr VecOp kId = Id;
    static constexpr Tiny kTiny = All::kTiny;
    static V128 run(V128 a, V128 b, unsigned imm) {
        Lanes<Lane> x(a), y(b);
        keep_products(x, y, imm);
        Lanes<Lane> r(All::run(x, y, 0));
        keep_results(r, imm);
        return r;
    }
};
struct dpps_all {
    static constexpr Tiny kTiny = Tiny::kPs;
    static V128 run(V128 a, V128 b, unsigned) {
        asm volatile("dpps $0xFF, %1, %0" : "+x"(a) : "x"(b));
        return a;
    }
};
struct dppd_all {
    static constexpr Tiny kTiny = Tiny::kPd;
    static V128 run(V128 a, V128 b, unsigned) {
        asm volatile("dppd $0x33, %1, %0" : "+x"(a) : "x"(b));
        return a;
    }
};
using dpps = DotProduct<u32, dpps_all, VecOp::dpps>;
using dppd = DotProduct<u64, dppd_all, VecOp::dppd>;

// To and from general registers.
#define RM_FP_TO_GPR(name)                                    \
    struct name {                                             \
        static constexpr VecOp kId = VecOp::name;             \
        template <class T>                                    \
        static T run(V128, V128 b) {                          \
            T r;                                              \
            asm volatile(#name " %1, %0" : "=r"(r) : "x"(b)); \
            return r;                                         \
        }                                                     \
    };
RM_FP_TO_GPR(cvtss2si)
RM_FP_TO_GPR(cvttss2si)
RM_FP_TO_GPR(cvtsd2si)
RM_FP_TO_GPR(cvttsd2si)
#undef RM_FP_TO_GPR
#define RM_FP_FROM_GPR(name)                                       \
    struct name {                                                  \
        static constexpr VecOp kId = VecOp::name;                  \
        template <class T>                                         \
        static V128 run(V128 a, T v) {                             \
            if constexpr (sizeof(T) == 8)                          \
                asm volatile(#name "q %1, %0" : "+x"(a) : "r"(v)); \
            else                                                   \
                asm volatile(#name "l %1, %0" : "+x"(a) : "r"(v)); \
            return a;                                              \
        }                                                          \
    };
RM_FP_FROM_GPR(cvtsi2ss)
RM_FP_FROM_GPR(cvtsi2sd)
#undef RM_FP_FROM_GPR
// Compares: ZF, PF, CF as the instruction leaves them; OF, SF, AF come out 0 (SDM 2, COMISD).
#define RM_FP_COMPARE(name)                                      \
    struct name {                                                \
        static constexpr VecOp kId = VecOp::name;                \
        template <class T>                                       \
        static T run(V128 a, V128 b) {                           \
            Cc f;                                                \
            asm volatile(#name " %2, %1\n\tlahf\n\tmov $0, %%al" \
                         : "=&a"(f)                              \
                         : "x"(a), "x"(b)                        \
                         : "cc");                                \
            return f;                                            \
        }                                                        \
    };
RM_FP_COMPARE(comiss) RM_FP_COMPARE(comisd) RM_FP_COMPARE(ucomiss) RM_FP_COMPARE(ucomisd)
#undef RM_FP_COMPARE

}  // namespace vec
}  // namespace rm::cpu
