// Builder forms of cpu/instructions/arith.def. Procedures have none.
#include "cpu/semantics/arith.h"
#include "cpu/semantics/logic.h"
#include "jit/translate/rows.h"

#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending) nullptr,

namespace rm::jit {

using namespace cpu;
using namespace cpu::semantics;

std::span<const BuildFn> arith_builders() {
    static constexpr BuildFn kRows[] = {
#include "cpu/instructions/arith.def"
    };
    return kRows;
}

}  // namespace rm::jit
