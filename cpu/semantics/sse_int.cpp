// Rows of cpu/instructions/sse_int.def (XMM integer instructions) with the bodies of
// cpu/semantics/sse.h. Source: SDM 2 for each instruction.

#include "cpu/semantics/vector_expand.h"

namespace rm::cpu {

using namespace semantics;

std::span<const Row> sse_int_family() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/sse_int.def"
    };
    return kRows;
}

}  // namespace rm::cpu
