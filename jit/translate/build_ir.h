// Decoded instructions to IR: each by its builder form (jit/translate/rows.h), or by a call of the
// interpreter where there is none that fits.
#pragma once
#include <span>

#include "jit/ir/builder.h"

namespace rm::jit {

// Appends the code of `insns`, consecutive instructions whose rip is context.block_rip +
// Insn::offset, to `out`. Instruction k begins with Code::insn (imm = k). It becomes Code::interp
// (imm = k) if interpret_these[k] is set (the span may be shorter than insns, also empty), if its
// row has no builder, if its handler is not the row's own (a check fails or it is intercepted), or
// if its form is not supported. The last operation of a block always leaves it: a jump, or the
// interp of an instruction that ends blocks (cpu::ending_of: kBranch, kStop).
void build_ir(ir::Block& out, std::span<const cpu::Insn> insns, const ir::BuildContext& context,
              std::span<const bool> interpret_these = {});

}  // namespace rm::jit
