// Bodies of the system instructions that need no procedure where they are common: RDTSC, CLI, STI,
// PUSHF, SWAPGS in the kernel of a flat system. Elsewhere (level, mode, intercept: facts of the
// mode word) they are the procedures of system_bodies.h. Source: SDM 2 of each.
#pragma once
#include "cpu/semantics/system_bodies.h"

namespace rm::cpu::semantics {

struct Rdtsc {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (e.asks(Intercept::kRDTSC)) return e.procedure(i, rdtsc);
        RM_LET(tsc, e.tsc());
        e.template set_gpr<u32>(kRdx, e.template truncate<u32>(e.shr(tsc, u8{32}).value));
        e.template set_gpr<u32>(kRax, e.template truncate<u32>(tsc));
        return Step::kNext;
    }
};

// At level 0 IF is the program's own, whatever IOPL and the mode's extensions say.
struct Cli {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (e.mode().cpl() != 0) return e.procedure(i, cli);
        e.mask_interrupts();
        return Step::kNext;
    }
};

struct Sti {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (e.mode().cpl() != 0) return e.procedure(i, sti);
        RM_TRY(e.allow_interrupts());
        return Step::kEnd;
    }
};

template <class Image>
struct Pushf {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (e.mode().v86()) return e.procedure(i, pushf<Image>);
        RM_TRY(e.push(e.template truncate<Image>(e.flags_image())));
        return Step::kNext;
    }
};

struct Swapgs {
    template <class T, class E>
    static Step run(E& e, const Insn&) {
        e.swap_gs_base();
        return Step::kNext;
    }
};

}  // namespace rm::cpu::semantics
