// The text form of IR, for `-d op` and failing tests. It is stable; nothing reads it back.
//
//     insn 1 401003 ADD                  a guest instruction begins: index, rip, row
//       %4 = get.32 eax                  position = operation.bits operands
//       %5 = constant.32 0x5
//       %6 = add.32 %4, %5 ; sets OSZAPC
//       put.32 eax, %6
//
// - Guest registers have their names at the operation's size; XMM registers are xmm0 ..
// - Addresses: %9 = address.64 fs:[%7 + %8*4 + 0x10]; the bits are those the offset is cut to.
// - condition.le, vec.paddb %1, %2 and vec.pshufd %1, %2, #0x4e (an immediate).
// - `; sets` names the guest flags an operation writes, `; reads` those it depends on: O S Z A P C.
// rip and row are there if the instructions are given.
#pragma once
#include <span>
#include <string>

#include "cpu/state/insn.h"
#include "jit/ir/ir.h"

namespace rm::jit::ir {

std::string print(const Block& block, std::span<const cpu::Insn> insns = {}, u64 block_rip = 0);
// One operation, without a line end.
std::string print_op(const Block& block, Value at);

// "eax", "ah", "r9w" ...: the general register at a byte offset of CpuState::gpr.
std::string register_name(u8 offset, u8 size_log2);
const char* vec_op_name(unsigned op);  // of a cpu::VecOp; "?" if there is none

}  // namespace rm::jit::ir
