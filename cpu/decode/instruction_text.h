// Intel-syntax text of guest instructions for traces and logs. Displays only: what executes is
// decoded by decoder.h, which knows the processor's features; here every instruction that Zydis
// knows has text.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/types.h"

namespace rm::cpu {

class InstructionText {
public:
    InstructionText();
    ~InstructionText();

    struct Line {
        std::string text;     // "mov eax, [rcx+0x10]"; "(bad)" where length is 0
        unsigned length = 0;  // bytes of the instruction; 0: undecodable or cut off
        u64 targets[2] = {};  // linear addresses of branch targets and RIP-relative operands
        unsigned target_count = 0;
    };
    // code_size_log2: 1, 2, 3 for 16-, 32- and 64-bit code. rip: the address of bytes[0]. The line
    // is valid until the next call.
    const Line& of(std::span<const u8> bytes, unsigned code_size_log2, u64 rip);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace rm::cpu
