// Checks that a block of IR is well formed: what the passes and back ends rely on.
// - Operands are of the kinds that ops.def names, made before they are used, of the right size; the
//   numbers of an operation (register offsets, scales, lanes ...) are in range.
// - Within one guest instruction nothing that may fault follows a write of guest state (registers,
//   flags, memory, MXCSR): the state at a fault is the one before the instruction.
// - Each rmw is committed exactly once, in its own instruction.
// - The last operation, and only the last, leaves the block for certain.
#pragma once
#include <optional>
#include <string>

#include "jit/ir/ir.h"

namespace rm::jit::ir {

// The first offence as text with the operation it is in; nothing if there is none.
std::optional<std::string> verify(const Block& block);

}  // namespace rm::jit::ir
