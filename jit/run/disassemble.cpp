#include "jit/run/disassemble.h"

#include <capstone/capstone.h>

#include <cstdio>

namespace rm::jit {

std::string disassemble(const u8* code, std::size_t bytes) {
    csh handle;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return "  (no disassembler)\n";
    std::string out;
    char line[256];
    cs_insn* insn = cs_malloc(handle);
    u64 address = reinterpret_cast<u64>(code);
    while (cs_disasm_iter(handle, &code, &bytes, &address, insn)) {
        std::snprintf(line, sizeof line, "  %llx: %s %s\n",
                      static_cast<unsigned long long>(insn->address), insn->mnemonic, insn->op_str);
        out += line;
    }
    if (bytes) {
        std::snprintf(line, sizeof line, "  %llx: %zu bytes that do not decode\n",
                      static_cast<unsigned long long>(address), bytes);
        out += line;
    }
    cs_free(insn, 1);
    cs_close(&handle);
    return out;
}

}  // namespace rm::jit
