// A decoded instruction as the engines run it: 40 bytes, everything decode-time resolved.
#pragma once
#include "base/types.h"
#include "cpu/state/step.h"

namespace rm::cpu {

struct Cpu;
struct Insn;
using Handler = Step (*)(Cpu&, const Insn&);

enum class OperandKind : u8 { kNone, kReg, kMem, kImm };

// How an effective address is formed (SDM 1 3.7.5).
enum class AddrMode : u8 {
    k64,        // 64-bit: base + index*scale + disp, FS/GS base added; no limits
    k64In32,    // 64-bit code with a 67H prefix: offset truncated to 32 bits, then FS/GS base
    kLegacy32,  // segment base, limit and type checks
    kLegacy16,
};

inline constexpr u8 kPrefixRep = 1, kPrefixRepne = 2, kPrefixLock = 4, kPrefixSegment = 8,
                    kPrefixOpSize = 16;

struct Insn {
    Handler fn = nullptr;
    u64 imm = 0;   // immediate (sign-extended to the operand size and to 64 bits), or the absolute
                   // target rip of a relative branch; ENTER: size | level << 32; far ptr: offset
                   // MOV to/from CRn, DRn, Sreg: 1 = operand 0 is the special register
    u64 disp = 0;  // displacement; for RIP-relative operands the absolute linear offset
    u8 base = 16, index = 16, scale = 0, seg = 3;  // gpr numbers (16 = none); shift count; SegReg
    // Register operands by operand number. GPR: byte offset into CpuState::gpr (AH = 1, CH = 9
    // ...). Others (segment, control, debug, x87 ST(i), MMX, XMM): the register's number.
    u8 reg[3] = {};
    u8 length = 0;
    u16 offset = 0;  // from the block's first byte
    AddrMode addr : 4 = AddrMode::k64;
    u8 mem_size_log2 : 4 = 0;  // bytes of the memory operand, or without one of operand 1:
                               // 0..4 as a power of two, 5 = ten bytes, 6 = anything else
    u8 size_log2 = 2;          // effective operand size of the instruction: 0..3
    u8 prefixes = 0;           // kPrefix*
    u8 kinds = 0;              // OperandKind of operands 0..3, two bits each
    u16 row = 0;               // index into instruction_rows()

    OperandKind kind(unsigned n) const { return static_cast<OperandKind>((kinds >> (2 * n)) & 3); }
    unsigned size() const { return 1u << size_log2; }
    // Number of a GPR operand (byte registers AH.. give the number of the register they are part
    // of).
    u8 gpr(unsigned n) const { return reg[n] >> 3; }
    u16 far_selector() const { return static_cast<u16>(disp); }  // JMP/CALL ptr16:16/32
};
static_assert(sizeof(Insn) == 40);

}  // namespace rm::cpu
