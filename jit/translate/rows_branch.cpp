// Builder forms of cpu/instructions/branch.def. Procedures have none.
#include "cpu/semantics/branch.h"
#include "jit/translate/rows.h"

#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending) nullptr,

namespace rm::jit {

using namespace cpu;
using namespace cpu::semantics;

std::span<const BuildFn> branch_builders() {
    static constexpr BuildFn kRows[] = {
#include "cpu/instructions/branch.def"
    };
    return kRows;
}

}  // namespace rm::jit
