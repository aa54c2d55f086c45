// Rows of cpu/instructions/arith.def with the bodies of arith.h.
#include "cpu/semantics/arith.h"

#include "cpu/semantics/decimal.h"
#include "cpu/semantics/expand.h"

namespace rm::cpu {

using namespace semantics;

std::span<const Row> arith_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/arith.def"
    };
    return kRows;
}

}  // namespace rm::cpu
