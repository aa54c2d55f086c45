// MASKMOVQ and MASKMOVDQU (SDM 2): bytes of operand 0 whose mask byte in operand 1 has its sign bit set
// go to [seg:rDI]. Nothing is written, and nothing faults, for bytes that are not selected.
#pragma once
#include "cpu/semantics/sse.h"

namespace rm::cpu::semantics {

template <VecFile File>
struct MaskMove {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if constexpr (File == VecFile::kMmx) RM_READY(e);
        const auto v = file_get<File>(e, i.reg[0]);
        const u32 selected = e.template sign_mask<u8>(file_get<File>(e, i.reg[1]));
        const Step s = e.store_selected(i, v, selected);
        if constexpr (File == VecFile::kMmx)
            if (s == Step::kNext) e.mmx_enter();
        return s;
    }
};

}  // namespace rm::cpu::semantics
