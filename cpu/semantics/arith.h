// Bodies of the binary and decimal arithmetic instructions (SDM 1 5.1.2, 5.1.3). Templates over the
// engine (cpu/interpreter/value_engine.h explains the conventions).
#pragma once
#include "cpu/state/cpu_state.h"
#include "cpu/state/insn.h"

namespace rm::cpu::semantics {

// ADD, SUB, ADC, SBB, AND, OR, XOR: destination = destination op source.
#define RM_BINARY(Name, op)                      \
    struct Name {                                \
        using Lockable = void;                   \
        template <class T, class E>              \
        static Step run(E& e, const Insn& i) {   \
            RM_LET(s, e.template read<T, 1>(i)); \
            RM_LET(d, e.template rmw<T, 0>(i));  \
            auto r = e.op(d.value, s);           \
            e.commit(d, r.value);                \
            e.set_flags(r.flags);                \
            return Step::kNext;                  \
        }                                        \
    };
RM_BINARY(Add, add)
RM_BINARY(Sub, sub)
RM_BINARY(Adc, adc)
RM_BINARY(Sbb, sbb)
RM_BINARY(And, and_)
RM_BINARY(Or, or_)
RM_BINARY(Xor, xor_)
#undef RM_BINARY

// CMP, TEST: flags only.
#define RM_COMPARE(Name, op)                     \
    struct Name {                                \
        template <class T, class E>              \
        static Step run(E& e, const Insn& i) {   \
            RM_LET(a, e.template read<T, 0>(i)); \
            RM_LET(b, e.template read<T, 1>(i)); \
            e.set_flags(e.op(a, b).flags);       \
            return Step::kNext;                  \
        }                                        \
    };
RM_COMPARE(Cmp, sub)
RM_COMPARE(Test, and_)
#undef RM_COMPARE

// INC and DEC keep CF.
#define RM_STEP_BY_ONE(Name, op)                   \
    struct Name {                                  \
        using Lockable = void;                     \
        template <class T, class E>                \
        static Step run(E& e, const Insn& i) {     \
            RM_LET(d, e.template rmw<T, 0>(i));    \
            auto r = e.op(d.value, T{1});          \
            e.commit(d, r.value);                  \
            e.set_flags(r.flags, kCcAll & ~kCcCf); \
            return Step::kNext;                    \
        }                                          \
    };
RM_STEP_BY_ONE(Inc, add)
RM_STEP_BY_ONE(Dec, sub)
#undef RM_STEP_BY_ONE

struct Neg {
    using Lockable = void;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(d, e.template rmw<T, 0>(i));
        auto r = e.sub(T{0}, d.value);
        e.commit(d, r.value);
        e.set_flags(r.flags);
        return Step::kNext;
    }
};

struct Not {
    using Lockable = void;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(d, e.template rmw<T, 0>(i));
        e.commit(d, e.not_(d.value));
        return Step::kNext;
    }
};

// The accumulator pair of MUL, DIV: AX for bytes, else rDX:rAX.
template <class T, class E, class V>
void write_pair(E& e, V low, V high) {
    if constexpr (sizeof(T) == 1) {
        e.template set_at<u8>(0, low);
        e.template set_at<u8>(1, high);
    } else {
        e.template set_gpr<T>(kRax, low);
        e.template set_gpr<T>(kRdx, high);
    }
}
template <class T, class E>
auto read_high(E& e) {
    if constexpr (sizeof(T) == 1)
        return e.template get_at<u8>(1);
    else
        return e.template gpr<T>(kRdx);
}

#define RM_MULTIPLY(Name, op)                          \
    struct Name {                                      \
        template <class T, class E>                    \
        static Step run(E& e, const Insn& i) {         \
            RM_LET(s, e.template read<T, 0>(i));       \
            auto r = e.op(e.template gpr<T>(kRax), s); \
            write_pair<T>(e, r.low, r.high);           \
            e.set_flags(r.flags);                      \
            return Step::kNext;                        \
        }                                              \
    };
RM_MULTIPLY(Mul, mul)
RM_MULTIPLY(ImulOne, imul)
#undef RM_MULTIPLY

// Flags are undefined after DIV and IDIV; canonical: unchanged.
#define RM_DIVIDE(Name, op)                            \
    struct Name {                                      \
        template <class T, class E>                    \
        static Step run(E& e, const Insn& i) {         \
            RM_LET(s, e.template read<T, 0>(i));       \
            auto high = read_high<T>(e);               \
            auto low = e.template gpr<T>(kRax);        \
            RM_LET(r, e.template op<T>(high, low, s)); \
            write_pair<T>(e, r.quotient, r.remainder); \
            return Step::kNext;                        \
        }                                              \
    };
RM_DIVIDE(Div, div)
RM_DIVIDE(Idiv, idiv)
#undef RM_DIVIDE

// IMUL r, r/m and IMUL r, r/m, imm.
struct Imul {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (i.kind(1) == OperandKind::kNone) return ImulOne::run<T>(e, i);
        RM_LET(s, e.template read<T, 1>(i));
        const bool three = i.kind(2) == OperandKind::kImm;
        auto r =
            three ? e.imul(s, static_cast<T>(e.imm(i))) : e.imul(e.template get_at<T>(i.reg[0]), s);
        e.template set_at<T>(i.reg[0], r.low);
        e.set_flags(r.flags);
        return Step::kNext;
    }
};
struct ImulOneForm {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        return ImulOne::run<T>(e, i);
    }
};

// XADD: source gets the old destination. Equal registers end with the sum.
struct Xadd {
    using Lockable = void;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(d, e.template rmw<T, 0>(i));
        auto r = e.add(d.value, e.template get_at<T>(i.reg[1]));
        e.template set_at<T>(i.reg[1], d.value);
        e.commit(d, r.value);
        e.set_flags(r.flags);
        return Step::kNext;
    }
};

// CMPXCHG writes its memory destination in either case (SDM 2, CMPXCHG).
struct Cmpxchg {
    using Lockable = void;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(d, e.template rmw<T, 0>(i));
        auto accumulator = e.template gpr<T>(kRax);
        auto r = e.sub(accumulator, d.value);
        auto equal = e.equal(accumulator, d.value);
        auto source = e.template get_at<T>(i.reg[1]);
        // A register that is not exchanged keeps its upper half too (APM3 CMPXCHG).
        if (i.kind(0) == OperandKind::kReg)
            e.template set_at_if<T>(equal, i.reg[0], source);
        else
            e.commit(d, e.select(equal, source, d.value));
        e.template set_gpr_if<T>(e.not_bool(equal), kRax, d.value);
        e.set_flags(r.flags);
        return Step::kNext;
    }
};

// CBW CWDE CDQE: rAX = sign-extended lower half. T is the result's type.
template <class From>
struct ConvertInRax {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        e.template set_gpr<T>(kRax, e.template sign_extend<T>(e.template gpr<From>(kRax)));
        return Step::kNext;
    }
};
// CWD CDQ CQO: rDX = the sign of rAX.
struct ConvertToRdx {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        auto sign = e.sar(e.template gpr<T>(kRax), static_cast<u8>(sizeof(T) * 8 - 1));
        e.template set_gpr<T>(kRdx, sign.value);
        return Step::kNext;
    }
};

}  // namespace rm::cpu::semantics
