// Builder forms of cpu/instructions/logic.def. Procedures have none.
#include "cpu/semantics/arith.h"
#include "cpu/semantics/logic.h"
#include "jit/translate/rows.h"

#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending) nullptr,

namespace rm::jit {

using namespace cpu;
using namespace cpu::semantics;

std::span<const BuildFn> logic_builders() {
    static constexpr BuildFn kRows[] = {
#include "cpu/instructions/logic.def"
    };
    return kRows;
}

}  // namespace rm::jit
