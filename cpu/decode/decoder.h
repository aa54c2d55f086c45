// Guest bytes to Insn: the only place that knows Zydis. Resolves everything that does not change at
// run time: operands, absolute branch targets, the row, its feature and mode checks, intercepts.
// An instruction that must fault (not in the table, feature absent, wrong mode) decodes to an Insn
// whose handler raises, so that the fault happens when it is executed.
#pragma once
#include <memory>
#include <span>

#include "cpu/instructions/row.h"
#include "cpu/models/model.h"
#include "cpu/state/mode.h"

namespace rm::cpu {

class Decoder {
public:
    enum class Status : u8 {
        kOk,
        kNeedMore,  // the bytes end inside the instruction (fewer than 15 were given)
    };
    explicit Decoder(const Model& model);
    ~Decoder();
    // Decodes the instruction at bytes[0]. rip = block_rip + offset must be its pointer. `vt`
    // answers intercept questions in guest mode, the same for a profile at all times; it may be
    // null otherwise.
    Status decode(std::span<const u8> bytes, Mode mode, u64 block_rip, u16 offset,
                  const Virtualization* vt, Insn& out);

    // Insn::imm of an instruction as a function of its last bytes alone.
    struct ImmediateField {
        u8 bytes = 0;  // 4 or 8 at the instruction's end; 0: it has no such field
        bool is_signed = false;
    };
    // Whether bytes that decode() has taken as one instruction end in such a field: a whole
    // immediate operand of 32 or 64 bits, not a branch's distance.
    ImmediateField immediate_field(std::span<const u8> bytes, Mode mode) const;

private:
    struct Impl;
    // Where the same bytes decode to the same in the same mode.
    enum class Again : u8 {
        kNowhere,
        kAnywhere,
        kRelative,  // but for Insn::imm, which counts from the instruction's pointer
    };
    Status decode_anew(std::span<const u8> bytes, Mode mode, u64 rip, const Virtualization* vt,
                       Insn& out, Again& again);
    std::unique_ptr<Impl> impl_;
};

// Ending of a decoded instruction (kBranch for those that always raise).
Ending ending_of(const Insn& insn);

// MFENCE and PAUSE: nothing as long as processors take turns, more when they run at the same time.
bool orders_threads(const Insn& insn);

// What an IN, OUT, INS or OUTS does (SDM 2A 3.2, 2B 4.2), for exits that have to describe it.
struct PortForm {
    bool in = false, string = false;
    u8 string_size = 0;  // bytes of one element of INS and OUTS, else 0
};
PortForm port_form(const Insn& insn);

}  // namespace rm::cpu
