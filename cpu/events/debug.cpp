// Instruction breakpoints. Data breakpoints: Cpu::check_access; I/O: io_breakpoints.
// Source: SDM 3B 17.2.4, 17.3.1.1.
#include "cpu/system/system.h"

namespace rm::cpu {

u64 instruction_breakpoints(Cpu& cpu, LinearAddr va) {
    if (!(cpu.dr7 & 0xFF) || cpu.flag(kFlagRf) || (cpu.shadow & kShadowMovSs)) return 0;
    u64 hits = 0;
    bool enabled_hit = false;
    for (unsigned n = 0; n < 4; ++n) {
        // R/W = 00B, LEN = 00B; B bits are also set for matching breakpoints that are not enabled.
        if ((cpu.dr7 >> (16 + 4 * n)) & 0xF || cpu.dr[n] != va) continue;
        hits |= bit(n);
        enabled_hit |= (cpu.dr7 >> (2 * n)) & 3;
    }
    return enabled_hit ? hits : 0;
}

}  // namespace rm::cpu
