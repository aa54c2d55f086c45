// Builder forms of cpu/instructions/system.def. Procedures have none.
#include "cpu/semantics/system_simple.h"
#include "jit/translate/rows.h"

#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending) nullptr,

namespace rm::jit {

using namespace cpu;
using namespace cpu::semantics;

std::span<const BuildFn> system_builders() {
    static constexpr BuildFn kRows[] = {
#include "cpu/instructions/system.def"
    };
    return kRows;
}

}  // namespace rm::jit
