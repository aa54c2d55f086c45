// Rows of cpu/instructions/mmx.def (MMX registers) with the bodies of cpu/semantics/sse.h.
// Source: SDM 2 for each instruction.
#include "cpu/semantics/mask_move.h"
#include "cpu/semantics/vector_expand.h"

namespace rm::cpu {

using namespace semantics;

std::span<const Row> mmx_family() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/mmx.def"
    };
    return kRows;
}

}  // namespace rm::cpu
