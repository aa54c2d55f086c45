// Differences between what the host and the interpreter made of one case, leaving out what the
// manual leaves undefined (undefined.def).
#pragma once
#include <string>
#include <vector>

#include "native/generator.h"

namespace rm::native {

struct Comparison {
    const Case& c;
    const ZydisDecodedInstruction& z;
    const cpu::Insn& insn;
    const Outcome& host;
    const Outcome& emulated;
    const u8* host_memory;
    const u8* emulated_memory;
};

// #NP, #SS, #GP, #PF or #AC.
bool memory_fault(const Outcome& o);
// One line a difference, empty if none: "RAX host 1 emulated 2".
std::vector<std::string> differences(const Comparison& x);
// Flags of RFLAGS that the manual leaves undefined after this case.
u64 undefined_flags(const Case& c, const ZydisDecodedInstruction& z, const cpu::Insn& insn);
// The whole case for people: bytes, disassembly, inputs, both results.
std::string describe(const Comparison& x);

}  // namespace rm::native
