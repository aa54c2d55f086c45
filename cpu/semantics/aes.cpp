// Rows of cpu/instructions/aes.def (AES, PCLMULQDQ and SSE4a) with the bodies of
// cpu/semantics/sse.h. Source: SDM 2 for each instruction.

#include "cpu/semantics/vector_expand.h"

namespace rm::cpu {

using namespace semantics;

std::span<const Row> aes_family() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/aes.def"
    };
    return kRows;
}

}  // namespace rm::cpu
