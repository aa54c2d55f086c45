// Rows of cpu/instructions/logic.def with the bodies of logic.h.
#include "cpu/semantics/logic.h"

#include "cpu/semantics/arith.h"
#include "cpu/semantics/expand.h"

namespace rm::cpu {

using namespace semantics;

std::span<const Row> logic_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/logic.def"
    };
    return kRows;
}

}  // namespace rm::cpu
