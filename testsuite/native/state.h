// What goes into one instruction and what comes out, in a form both processors understand: the
// x87/MMX/SSE part is an FXSAVE image (SDM 1 table 10-2), registers ST(0)-ST(7) in stack order.
#pragma once
#include <string>

#include "native/layout.h"

namespace rm::native {

struct alignas(64) FxImage {
    u16 fcw = 0x37F, fsw = 0;
    u8 tags = 0, reserved = 0;  // one bit a physical register, 1 = not empty
    u16 fop = 0;
    u64 fip = 0, fdp = 0;
    u32 mxcsr = 0x1F80, mxcsr_mask = 0;
    u8 st[8][16] = {};
    u8 xmm[16][16] = {};
    u8 rest[96] = {};
};
static_assert(sizeof(FxImage) == 512);

struct State {
    u64 gpr[16] = {};         // RAX RCX RDX RBX RSP RBP RSI RDI R8 ..
    u64 rip = 0, rflags = 2;  // rip: offset in CS
    u64 fs_base = 0, gs_base = 0;
    u16 selectors[6] = {};  // ES CS SS DS FS GS; what goes in follows from the kind of code
    FxImage fx;
};
inline constexpr unsigned kEsAt = 0, kCsAt = 1, kSsAt = 2, kDsAt = 3, kFsAt = 4, kGsAt = 5;

inline constexpr u8 kNoFault = 0xFF;
// The host's instruction did not end: its kernel lets a fault be tried again for ever (IRET on some
// processors of Intel's).
inline constexpr u8 kNoAnswer = 0xFE;

struct Outcome {
    State state;
    u8 vector = kNoFault;
    u32 error = 0;
    u64 cr2 = 0;  // #PF only
};

enum class Code : u8 { k64, k32, k16 };

// One instruction with its inputs.
struct Case {
    u8 bytes[16] = {};
    u8 length = 0;
    Code code = Code::k64;
    bool steps = false;    // branch: stop after it wherever it goes (TF); others end at an INT3
    bool repeats = false;  // string instruction with a repeat prefix
    u64 operand = 0;       // linear address of the explicit memory operand, 0 = none
    State in;
    u8 memory[kScratchBytes] = {};

    bool legacy() const { return code != Code::k64; }
    u64 code_base() const { return code == Code::k16 ? kCode16.base : 0; }
    // Where the instruction is in the code pages.
    u64 code_offset() const { return in.rip + code_base() - kCode; }
};

}  // namespace rm::native
