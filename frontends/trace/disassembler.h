// Text of guest instructions for traces (cpu/decode/instruction_text.h), with branch targets and
// RIP-relative operands named by the symbols of the guest's level.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "cpu/decode/instruction_text.h"
#include "frontends/trace/symbol_table.h"

namespace rm::frontends::trace {

class Disassembler {
public:
    explicit Disassembler(const Symbols& symbols) : symbols_(symbols) {}

    struct Text {
        std::string_view text;  // "call 0x81000010 <name+0x1>"; valid until the next call
        unsigned length = 0;    // bytes of the instruction; 0: undecodable or cut off
    };
    // code_size: 2, 4 or 8 bytes, as ExitRecord::code_size. rip: the linear address of bytes[0].
    Text disassemble(std::span<const u8> bytes, unsigned code_size, LinearAddr rip, unsigned level);

private:
    cpu::InstructionText text_;
    const Symbols& symbols_;
    std::string out_;
};

}  // namespace rm::frontends::trace
