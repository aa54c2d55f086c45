// Intel-syntax text of guest instructions for traces, with branch targets named by the symbols of
// the guest's level. Displays only: what executes is decoded by cpu/decode.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "base/types.h"
#include "frontends/trace/symbol_table.h"

namespace rm::frontends::trace {

class Disassembler {
public:
    explicit Disassembler(const Symbols& symbols);
    ~Disassembler();

    struct Text {
        std::string_view text;  // "mov eax, [rcx+0x10]", or "(bad)"; valid until the next call
        unsigned length = 0;    // bytes of the instruction; 0: undecodable or cut off
    };
    // code_size: 2, 4 or 8 bytes, as ExitRecord::code_size. rip: the linear address of bytes[0].
    Text disassemble(std::span<const u8> bytes, unsigned code_size, LinearAddr rip, unsigned level);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace rm::frontends::trace
