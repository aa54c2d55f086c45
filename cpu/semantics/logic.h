// Bodies of shifts, rotates and bit operations (SDM 1 5.1.4 - 5.1.6). AND, OR, XOR, NOT and TEST
// are in arith.h with the other binary operations.
#pragma once
#include "cpu/state/cpu_state.h"
#include "cpu/state/insn.h"

namespace rm::cpu::semantics {

// Count: immediate, or CL when operand 1 is a register; the short form without one means 1.
template <class E>
auto shift_amount(E& e, const Insn& i, unsigned operand) {
    return i.kind(operand) == OperandKind::kReg    ? e.template gpr<u8>(kRcx)
           : i.kind(operand) == OperandKind::kNone ? e.constant8(1)
                                                   : e.constant8(static_cast<u8>(e.imm(i)));
}

#define RM_SHIFT(Name, op)                                 \
    struct Name {                                          \
        template <class T, class E>                        \
        static Step run(E& e, const Insn& i) {             \
            RM_LET(d, e.template rmw<T, 0>(i));            \
            auto r = e.op(d.value, shift_amount(e, i, 1)); \
            e.commit(d, r.value);                          \
            e.set_flags(r.flags);                          \
            return Step::kNext;                            \
        }                                                  \
    };
RM_SHIFT(Shl, shl)
RM_SHIFT(Shr, shr)
RM_SHIFT(Sar, sar)
RM_SHIFT(Rol, rol)
RM_SHIFT(Ror, ror)
RM_SHIFT(Rcl, rcl)
RM_SHIFT(Rcr, rcr)
#undef RM_SHIFT

#define RM_DOUBLE_SHIFT(Name, op)                                  \
    struct Name {                                                  \
        template <class T, class E>                                \
        static Step run(E& e, const Insn& i) {                     \
            RM_LET(d, e.template rmw<T, 0>(i));                    \
            auto source = e.template get_at<T>(i.reg[1]);          \
            auto r = e.op(d.value, source, shift_amount(e, i, 2)); \
            e.commit(d, r.value);                                  \
            e.set_flags(r.flags);                                  \
            return Step::kNext;                                    \
        }                                                          \
    };
RM_DOUBLE_SHIFT(Shld, shld)
RM_DOUBLE_SHIFT(Shrd, shrd)
#undef RM_DOUBLE_SHIFT

// BT family. A register index addresses a bit string in memory; an immediate or a register
// destination takes the index modulo the operand size (SDM 2, BT).
enum class BitOp : u8 { kTest, kSet, kReset, kComplement };

template <BitOp Op>
struct BitTest {
    using Lockable = void;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        constexpr unsigned kBits = sizeof(T) * 8;
        auto index = i.kind(1) == OperandKind::kImm
                         ? e.template constant<T>(static_cast<T>(e.imm(i)))
                         : e.template get_at<T>(i.reg[1]);
        auto position = e.template low_bits<T>(index, kBits - 1);
        if constexpr (Op == BitOp::kTest) {
            if (i.kind(0) == OperandKind::kReg) {
                e.set_carry(e.template bit_of<T>(e.template get_at<T>(i.reg[0]), position));
                return Step::kNext;
            }
            RM_LET(v, e.template load<T>(i, displacement<T>(e, i, index)));
            e.set_carry(e.template bit_of<T>(v, position));
            return Step::kNext;
        } else {
            if (i.kind(0) == OperandKind::kReg) {
                auto v = e.template get_at<T>(i.reg[0]);
                e.template set_at<T>(i.reg[0], changed<T>(e, v, position));
                e.set_carry(e.template bit_of<T>(v, position));
                return Step::kNext;
            }
            RM_LET(d, e.template rmw_memory<T>(i, displacement<T>(e, i, index)));
            e.commit(d, changed<T>(e, d.value, position));
            e.set_carry(e.template bit_of<T>(d.value, position));
            return Step::kNext;
        }
    }
    template <class T, class E, class V>
    static auto changed(E& e, V v, V position) {
        auto mask = e.template bit_mask<T>(position);
        if constexpr (Op == BitOp::kSet) return e.or_(v, mask).value;
        if constexpr (Op == BitOp::kReset) return e.and_(v, e.not_(mask)).value;
        return e.xor_(v, mask).value;
    }
    // Signed byte distance of the addressed word from the operand's address.
    template <class T, class E, class V>
    static auto displacement(E& e, const Insn& i, V index) {
        return i.kind(1) == OperandKind::kImm ? e.constant64(0)
                                              : e.template bit_string_offset<T>(index);
    }
};

// BSF, BSR keep the destination when the source is zero.
#define RM_SCAN(Name, op)                                                             \
    struct Name {                                                                     \
        template <class T, class E>                                                   \
        static Step run(E& e, const Insn& i) {                                        \
            RM_LET(s, e.template read<T, 1>(i));                                      \
            auto r = e.op(s, e.template get_at<T>(i.reg[0]));                         \
            e.template set_at_if<T>(e.not_bool(e.equal(s, T{0})), i.reg[0], r.value); \
            e.set_flags(r.flags);                                                     \
            return Step::kNext;                                                       \
        }                                                                             \
    };
RM_SCAN(Bsf, bsf)
RM_SCAN(Bsr, bsr)
#undef RM_SCAN

#define RM_COUNT(Name, op)                           \
    struct Name {                                    \
        template <class T, class E>                  \
        static Step run(E& e, const Insn& i) {       \
            RM_LET(s, e.template read<T, 1>(i));     \
            auto r = e.op(s);                        \
            e.template set_at<T>(i.reg[0], r.value); \
            e.set_flags(r.flags);                    \
            return Step::kNext;                      \
        }                                            \
    };
RM_COUNT(Popcnt, popcnt)
RM_COUNT(Lzcnt, lzcnt)
#undef RM_COUNT

}  // namespace rm::cpu::semantics
