// Rows of cpu/instructions/system.def.
#include "cpu/semantics/expand.h"
#include "cpu/semantics/system_simple.h"

namespace rm::cpu {

using namespace semantics;

std::span<const Row> system_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/system.def"
    };
    return kRows;
}

}  // namespace rm::cpu
