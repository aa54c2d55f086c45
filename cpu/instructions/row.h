// The instruction table: one row per mnemonic and operand variant, one body per row. The rows are
// in cpu/instructions/*.def, one file per family, each expanded by cpu/semantics/<family>.cpp.
//
// RM_ROW(mnemonic, variant, Body, Shape, feature, checks, intercept, ending)  a template body
// RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending)    Step f(Cpu&, const
// Insn&)
#pragma once
#include <array>
#include <span>

#include "cpu/hooks.h"
#include "cpu/models/features.h"
#include "cpu/state/insn.h"

namespace rm::cpu {

// Tells apart instructions that share a mnemonic (MOV, MOVSD, PADDB mm/xmm ...): the most special
// register class among the explicit operands.
enum class Variant : u8 { kGeneral, kSegment, kControl, kDebug, kX87, kMmx, kXmm, kFar };

// Decode-time checks, all functions of the mode word. Tested in this order.
enum Check : u16 {
    kNoCheck = 0,
    kProtectedOnly = 1 << 0,       // #UD in real and virtual-8086 mode
    kX87 = 1 << 1,                 // #NM if CR0.EM or CR0.TS
    kWaitCheck = 1 << 2,           // #NM if CR0.MP and CR0.TS (WAIT)
    kMmxCheck = 1 << 3,            // #UD if CR0.EM, #NM if CR0.TS
    kSseCheck = 1 << 4,            // #UD if CR0.EM or !CR4.OSFXSR, #NM if CR0.TS
    kXsaveCheck = 1 << 5,          // #UD if !CR4.OSXSAVE, #NM if CR0.TS
    kFxsaveCheck = 1 << 6,         // #NM if CR0.EM or CR0.TS (FXSAVE, FXRSTOR)
    kOsxsaveOnly = 1 << 7,         // #UD if !CR4.OSXSAVE (XGETBV, XSETBV)
    kCpl0 = 1 << 8,                // #GP(0) if CPL != 0 (in v86 mode CPL is 3)
    kInterceptBeforeCpl = 1 << 9,  // the intercept has priority over the kCpl0 check
};

enum class Ending : u8 {
    kNext,         // the block goes on
    kConditional,  // the block goes on behind it, unless the body jumps
    kBranch,       // ends the block; the body sets rip and returns kJump, or kNext to fall through
    kStop,         // ends the block: mode, map, interrupt state or code may have changed
};

struct Row {
    u16 mnemonic;  // ZydisMnemonic
    Variant variant;
    Feature feature;
    u16 checks;
    Intercept intercept;
    Ending ending;
    Handler (*select)(const Insn&);  // null result: this operand form does not exist (#UD)
    const char* name;
};

// All rows of all families; Insn::row indexes it.
std::span<const Row> instruction_rows();
// The row for a mnemonic and variant, or null.
const Row* find_row(unsigned mnemonic, Variant variant);

// --- families, in the order instruction_rows() lists them ---
std::span<const Row> arith_rows();   // ADD .. CMP, INC, DEC, NEG, MUL, DIV, decimal, conversions
std::span<const Row> logic_rows();   // AND, OR, XOR, NOT, TEST, shifts, rotates, bit operations
std::span<const Row> move_rows();    // MOV, XCHG, CMOV, stack, LEA, BSWAP, MOVBE ...
std::span<const Row> branch_rows();  // JMP, CALL, RET, Jcc, LOOP, SETcc, flags
std::span<const Row> string_rows();  // MOVS .. SCAS, INS, OUTS
std::size_t string_rows_at();        // the first one's number in instruction_rows()
std::span<const Row> system_rows();  // far transfers, segment loads, CR/DR/MSR, CPUID, HLT ...
std::span<const Row> x87_rows();
std::span<const Row> mmx_sse_rows();  // MMX, SSE .. SSE4.2, SSE4a, AES, PCLMUL
std::span<const Row> fpstate_rows();  // FXSAVE, XSAVE families, LDMXCSR, EMMS
std::span<const Row> vt_rows();       // VMX and SVM instructions

// --- expansion ---
template <Handler F>
Handler select_proc(const Insn&) {
    return F;
}

}  // namespace rm::cpu
