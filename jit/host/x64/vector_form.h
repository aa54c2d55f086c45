// Finds the one host instruction that does what the IR of one vector instruction says: the guest's
// XMM registers are the host's, so an operation can only be emitted as "destination =
// op(destination, source)", the form it had in the guest's code. What does not have that form, or
// needs what this host lacks, has no VectorForm and is interpreted.
#pragma once
#include <optional>

#include "cpu/semantics/vec.h"
#include "jit/ir/ir.h"

namespace rm::jit::x64 {

// Operand 2 of a vector instruction, or the only one of a store.
struct VectorSource {
    enum Kind : u8 { kXmm, kMemory, kGpr, kCount } kind = kXmm;
    u8 n = 0;     // register number; byte offset into CpuState::gpr; shift count
    u8 size = 4;  // log2 of the bytes of memory or of the general register
    cpu::Align align = cpu::Align::kAny;
    ir::Value address = ir::kNoValue;  // of memory
};

// Address bits of a memory operand of 1 << size bytes that must be zero.
inline unsigned alignment_bits(unsigned size, cpu::Align align) {
    return size == 4 && align != cpu::Align::kAny ? 15 : 0;
}

struct VectorForm {
    enum Kind : u8 {
        kOperation,    // xmm dst = op(dst, source)
        kBlend,        // xmm dst = lanes of the source where those of XMM0 are negative
        kMove,         // xmm dst = source: register, 4, 8 or 16 bytes of memory, general register
        kInsert,       // lane of xmm dst = general register or memory
        kFromInt,      // xmm dst = op(dst, general register or memory)
        kStore,        // memory = lowest bytes of xmm dst
        kStoreHigh,    // memory = upper half of xmm dst
        kStoreLane,    // memory = lane of xmm dst
        kToGpr,        // gpr dst = lowest bytes of the source
        kExtract,      // gpr dst = lane of the source
        kSignMask,     // gpr dst = sign bits of the source
        kToInt,        // gpr dst = op(source)
        kCrc32,        // gpr dst = op(dst, source)
        kStringIndex,  // ECX and flags = PCMPxSTRI(xmm dst, source)
        kStringMask,   // XMM0 and flags = PCMPxSTRM(xmm dst, source)
        kCompare,      // flags = op(xmm dst, source)
        kTest,         // flags = PTEST(xmm dst, source)
    } kind = kOperation;
    cpu::VecOp op = {};
    u8 dst = 0;        // register number or byte offset into CpuState::gpr
    u8 size = 2;       // log2 of the bytes of a general destination
    u8 lane = 0;       // which
    u8 lane_size = 0;  // log2 of its bytes
    unsigned imm = 0;
    VectorSource source;
    bool explicit_lengths = false;   // in EAX and EDX
    ir::Value flags = ir::kNoValue;  // the operation that writes them
};

// The operations [first, end) are those of one instruction. Pure: depends on the IR and on the
// host's features only.
std::optional<VectorForm> vector_form(const ir::Block& block, ir::Value first, ir::Value end);

}  // namespace rm::jit::x64
