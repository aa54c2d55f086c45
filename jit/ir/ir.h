// The translator's intermediate representation: one block of guest code as a linear list of
// x86-shaped operations (ops.def). An operation's result is named by its position. Guest flags are
// not values: an arithmetic operation with a `writes` mask sets them, in the order of the list, and
// conditions read them.
// Invariant (ir/verify.h checks it): within one guest instruction no operation that may fault
// follows one that writes guest state, so the state at a fault is the state before the instruction.
#pragma once
#include <vector>

#include "base/types.h"
#include "cpu/state/flags.h"

namespace rm::jit::ir {

enum class Code : u8 {
#define RM_IR(name, ...) name,
#include "jit/ir/ops.def"
#undef RM_IR
    kCount
};

enum class Effect : u8 { kPure, kReads, kFaults, kWrites, kLeaves };
// What an x87 operation does besides computing.
enum class X87Form : u8 {
    kCompute,       // nothing; like the next three it sets the last instruction's pointers
    kStore,         // writes its memory operand, if it has one
    kCompareFlags,  // FCOMI and kin
    kMove,          // FCMOVcc
    kWait,          // nothing at all while no exception is pending
    kControl,       // FNCLEX
    kStoreControl,  // FNSTCW, FNSTSW; without a memory operand to AX
    kLoadControl    // FLDCW
};
enum class Kind : u8 { N, V, A, P, B, X, F };  // of operands and results, as in ops.def

struct CodeInfo {
    const char* name;
    Kind operands[3];
    Kind result;
    Effect effect;
};
extern const CodeInfo kCodeInfo[];
inline const CodeInfo& info(Code code) { return kCodeInfo[static_cast<unsigned>(code)]; }

using Value = u16;  // index of the operation that makes it
inline constexpr Value kNoValue = 0xFFFF;

struct Op {
    Code code;
    u8 size = 3;         // log2 of the bytes it works on
    u8 n = 0, m = 0;     // small numbers, see ops.def
    cpu::Cc writes = 0;  // guest flags it sets
    Value a = kNoValue, b = kNoValue, c = kNoValue;
    u64 imm = 0;
};

struct Block {
    std::vector<Op> ops;
    const Op& operator[](Value v) const { return ops[v]; }
};

// Flags that an operation reads: `adc` CF, a conditional one those of its condition, a shift by a
// variable count all that it may keep.
cpu::Cc flags_read(const Block& block, const Op& op);
// Flags that are certainly replaced.
cpu::Cc flags_replaced(const Block& block, const Op& op);
// Flags that condition code cc looks at.
cpu::Cc condition_flags(unsigned cc);
// Flags an arithmetic operation sets by itself, whatever of them is asked for.
cpu::Cc natural_flags(Code code);

}  // namespace rm::jit::ir
