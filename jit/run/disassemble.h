// Host code as text (Capstone), for dumps.
#pragma once
#include <string>

#include "base/types.h"

namespace rm::jit {

// One instruction a line: "  7f12345678: mov rax, rbx". What does not decode ends the text with its
// bytes.
std::string disassemble(const u8* code, std::size_t bytes);

}  // namespace rm::jit
