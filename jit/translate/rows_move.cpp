// Builder forms of cpu/instructions/move.def.
#include "cpu/semantics/move.h"
#include "jit/translate/rows.h"

#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending) \
    procedures::function,

namespace rm::jit {

using namespace cpu;
using namespace cpu::semantics;

namespace {
// The procedures of the row file: those that do nothing are easily built. (With several host
// threads two of them do something: cpu::orders_threads().)
namespace procedures {
constexpr BuildFn no_operation = &build_body<Nop>, memory_fence = no_operation,
                  spin_hint = no_operation;
constexpr BuildFn xlat = nullptr, pusha = nullptr, popa = nullptr, enter = nullptr, salc = nullptr,
                  clflush = nullptr;
}  // namespace procedures
}  // namespace

std::span<const BuildFn> move_builders() {
    static constexpr BuildFn kRows[] = {
#include "cpu/instructions/move.def"
    };
    return kRows;
}

}  // namespace rm::jit
