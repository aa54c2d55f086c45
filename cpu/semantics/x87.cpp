// Rows of cpu/instructions/x87.def with the functions of x87_arith.h and x87_transfer.h (SDM 1
// chapter 8; SDM 2 for each). Instructions that save and restore state: fpstate.cpp.
#include <Zydis/Zydis.h>

#include "cpu/semantics/x87_arith.h"
#include "cpu/semantics/x87_transfer.h"

#define RM_XROW(mnemonic, variant, feature, checks, ...)                             \
    {ZYDIS_MNEMONIC_##mnemonic, Variant::variant, Feature::feature,          checks, \
     Intercept::kNone,          Ending::kNext,    &select_proc<__VA_ARGS__>, #mnemonic},

namespace rm::cpu {

using namespace x87;

std::span<const Row> x87_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/x87.def"
    };
    return kRows;
}

}  // namespace rm::cpu
