// Bodies of data transfer and stack instructions (SDM 1 5.1.1, 5.1.12).
#pragma once
#include "cpu/state/cpu_state.h"
#include "cpu/state/insn.h"

namespace rm::cpu::semantics {

struct Mov {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template read<T, 1>(i));
        RM_TRY(e.template write<T, 0>(i, s));
        return Step::kNext;
    }
};

// MOVZX, MOVSX, MOVSXD: the source's size is Insn::mem_size_log2.
template <bool Signed>
struct MovExtend {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        switch (i.mem_size_log2) {
            case 0: return from<T, u8>(e, i);
            case 1: return from<T, u16>(e, i);
            case 2: return from<T, u32>(e, i);
            default: return e.undefined_opcode();
        }
    }
    template <class T, class S, class E>
    static Step from(E& e, const Insn& i) {
        RM_LET(s, e.template read<S, 1>(i));
        if constexpr (Signed)
            e.template set_at<T>(i.reg[0], e.template sign_extend<T>(s));
        else
            e.template set_at<T>(i.reg[0], e.template zero_extend<T>(s));
        return Step::kNext;
    }
};

struct Lea {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        e.template set_at<T>(i.reg[0], e.template truncate<T>(e.effective_address(i)));
        return Step::kNext;
    }
};

struct Xchg {
    using Lockable = void;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        // One operand may be memory, as operand 0 or 1.
        if (i.kind(1) == OperandKind::kMem) {
            RM_LET(m, e.template rmw<T, 1>(i));
            auto r = e.template get_at<T>(i.reg[0]);
            e.template set_at<T>(i.reg[0], m.value);
            e.commit(m, r);
        } else {
            RM_LET(m, e.template rmw<T, 0>(i));
            auto r = e.template get_at<T>(i.reg[1]);
            e.template set_at<T>(i.reg[1], m.value);
            e.commit(m, r);
        }
        return Step::kNext;
    }
};

// CMOVcc loads its source in any case and always zero-extends a 32-bit destination.
template <unsigned C>
struct Cmov {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template read<T, 1>(i));
        auto old = e.template get_at<T>(i.reg[0]);
        e.template set_at<T>(i.reg[0], e.select(e.template condition<C>(), s, old));
        return Step::kNext;
    }
};

template <unsigned C>
struct Setcc {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_TRY(e.template write<u8, 0>(
            i, e.select(e.template condition<C>(), e.constant8(1), e.constant8(0))));
        return Step::kNext;
    }
};

struct Bswap {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        // A 16-bit operand is undefined (SDM 2, BSWAP); canonical, and what processors do: zero.
        if constexpr (sizeof(T) == 2)
            e.template set_at<T>(i.reg[0], e.template constant<T>(0));
        else
            e.template set_at<T>(i.reg[0], e.bswap(e.template get_at<T>(i.reg[0])));
        return Step::kNext;
    }
};

struct Movbe {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template read<T, 1>(i));
        RM_TRY(e.template write<T, 0>(i, e.bswap(s)));
        return Step::kNext;
    }
};

struct Push {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(v, e.template read<T, 0>(i));
        RM_TRY(e.push(v));
        return Step::kNext;
    }
};

// POP: a register destination gets the value after the increment (POP rSP); a memory destination's
// address was decoded with the incremented rSP, so the write comes first and may fault.
struct Pop {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(v, e.template top<T>());
        if (i.kind(0) == OperandKind::kMem) {
            RM_TRY(e.template write<T, 0>(i, v));
            e.drop(sizeof(T));
            return Step::kNext;
        }
        e.drop(sizeof(T));
        RM_TRY(e.template write<T, 0>(i, v));
        return Step::kNext;
    }
};

struct Leave {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        RM_LET(v, e.template top_at<T>(e.template gpr<u64>(kRbp)));
        e.move_stack(e.template gpr<u64>(kRbp), sizeof(T));
        e.template set_gpr<T>(kRbp, v);
        return Step::kNext;
    }
};

struct Nop {
    template <class T, class E>
    static Step run(E&, const Insn&) {
        return Step::kNext;
    }
};

}  // namespace rm::cpu::semantics
