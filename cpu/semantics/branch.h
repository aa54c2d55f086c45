// Bodies of near control transfers and simple flag instructions (SDM 1 5.1.7, 5.1.11). Far
// transfers, interrupts and IRET are procedures in cpu/system.
#pragma once
#include "cpu/state/cpu_state.h"
#include "cpu/state/insn.h"

namespace rm::cpu::semantics {

template <unsigned C>
struct Jcc {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        return e.jump_if(e.template condition<C>(), e.imm(i));
    }
};

// JCXZ, JECXZ, JRCXZ: the count register has the address size.
template <class Count>
struct Jrcxz {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        return e.jump_if(e.equal(e.template gpr<Count>(kRcx), Count{0}), e.imm(i));
    }
};

// LOOP (0), LOOPE (1: while ZF), LOOPNE (2: while not ZF).
template <unsigned Kind>
struct Loop {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        switch (i.addr) {
            case AddrMode::k64: return counted<u64>(e, i);
            case AddrMode::kLegacy16: return counted<u16>(e, i);
            default: return counted<u32>(e, i);
        }
    }
    template <class Count, class E>
    static Step counted(E& e, const Insn& i) {
        auto count = e.sub(e.template gpr<Count>(kRcx), Count{1}).value;
        auto more = e.not_bool(e.equal(count, Count{0}));
        if constexpr (Kind == 1) more = e.and_bool(more, e.template condition<4>());
        if constexpr (Kind == 2) more = e.and_bool(more, e.template condition<5>());
        // Only a taken branch is checked, and before the count is written; 0 is always allowed.
        RM_TRY(e.target_ok(e.select(more, e.constant64(e.imm(i)), e.constant64(0))));
        e.template set_gpr<Count>(kRcx, count);
        return e.jump_if(more, e.imm(i));
    }
};

struct Jmp {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(target, e.template read<T, 0>(i));
        RM_TRY(e.target_ok(target));
        return e.jump(target);
    }
};

struct Call {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(target, e.template read<T, 0>(i));
        RM_TRY(e.target_ok(target));
        RM_TRY(e.push(e.template constant<T>(static_cast<T>(e.next_rip(i)))));
        return e.jump(target);
    }
};

struct Ret {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(target, e.template top<T>());
        RM_TRY(e.target_ok(target));
        e.drop(sizeof(T) + (i.kind(0) == OperandKind::kImm ? (e.imm(i) & 0xFFFF) : 0));
        return e.jump(target);
    }
};

struct Clc {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        return e.set_carry(e.constant_bool(false)), Step::kNext;
    }
};
struct Stc {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        return e.set_carry(e.constant_bool(true)), Step::kNext;
    }
};
struct Cmc {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        return e.set_carry(e.not_bool(e.carry())), Step::kNext;
    }
};
template <bool Set>
struct DirectionFlag {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        return e.set_direction(Set), Step::kNext;
    }
};
struct Lahf {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        e.template set_at<u8>(1, e.flags_low());
        return Step::kNext;
    }
};
struct Sahf {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        e.set_flags_low(e.template get_at<u8>(1));
        return Step::kNext;
    }
};

}  // namespace rm::cpu::semantics
