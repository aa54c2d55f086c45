// MASKMOVQ and MASKMOVDQU (SDM 2): bytes of operand 0 whose mask byte in operand 1 has its sign bit
// set go to [seg:rDI]. Only selected bytes are written, but the whole operand must be accessible,
// and the processor is in MMX state even if it is not.
#pragma once
#include "cpu/semantics/sse.h"

namespace rm::cpu::semantics {

template <VecFile File>
struct MaskMove {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if constexpr (File == VecFile::kMmx) {
            RM_READY(e);
            e.mmx_enter();
        }
        const auto v = file_get<File>(e, i.reg[0]);
        const auto selected = e.template sign_mask<u8>(file_get<File>(e, i.reg[1]));
        return e.template store_selected < File == VecFile::kMmx ? 8 : 16 > (i, v, selected);
    }
};

}  // namespace rm::cpu::semantics
