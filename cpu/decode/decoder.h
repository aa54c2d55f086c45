// Guest bytes to Insn: the only place that knows Zydis. Resolves everything that does not change at
// run time: operands, absolute branch targets, the row, its feature and mode checks, intercepts.
// An instruction that must fault (not in the table, feature absent, wrong mode) decodes to an Insn
// whose handler raises, so that the fault happens when it is executed.
#pragma once
#include <span>
#include <memory>
#include <string>

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
    // Decodes the instruction at bytes[0]. rip = block_rip + offset must be its pointer. `vt` answers
    // intercept questions in guest mode; it may be null otherwise.
    Status decode(std::span<const u8> bytes, Mode mode, u64 block_rip, u16 offset,
                  const Virtualization* vt, Insn& out);
    // Intel-syntax text of one instruction, for traces; its length in *length (0 if undecodable).
    std::string disassemble(std::span<const u8> bytes, Mode mode, u64 rip, unsigned* length);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Ending of a decoded instruction (kBranch for those that always raise).
Ending ending_of(const Insn& insn);

}  // namespace rm::cpu
