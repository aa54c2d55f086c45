// I/O privilege: IOPL and the TSS' permission bitmap; I/O breakpoints.
// Source: SDM 1 19.5, SDM 3B 17.2.4 (R/W = 10B).
#include "cpu/system/system.h"

namespace rm::cpu {

bool check_io(Cpu& cpu, u16 port, unsigned size) {
    if (!cpu.protected_mode() || (!cpu.v86() && cpu.cpl <= cpu.iopl())) return true;
    const Segment& tr = cpu.tr;
    constexpr unsigned kBaseField = 0x66;
    const bool wide = !tr.unusable() && tr.present() && (tr.type() & 9) == 9;
    if (!wide || tr.limit < kBaseField + 1) return cpu.fail(kGp, 0);
    u16 base, map;
    if (!cpu.read_system(tr.base + kBaseField, base)) return false;
    // Two bytes are always read, so the last ports need a byte of ones behind the map.
    const u32 at = u32{base} + port / 8;
    if (at + 1 > tr.limit) return cpu.fail(kGp, 0);
    if (!cpu.read_system(tr.base + at, map)) return false;
    if ((map >> (port & 7)) & low_mask(size)) return cpu.fail(kGp, 0);
    return true;
}

void io_breakpoints(Cpu& cpu, u16 port, unsigned size) {
    if (!(cpu.cr4 & kCr4De) || !(cpu.dr7 & 0xFF)) return;
    for (unsigned n = 0; n < 4; ++n) {
        if (!((cpu.dr7 >> (2 * n)) & 3) || ((cpu.dr7 >> (16 + 4 * n)) & 3) != 2) continue;
        const u64 length = ((cpu.dr7 >> (18 + 4 * n)) & 3) + 1;  // 1, 2 or 4
        const u64 start = cpu.dr[n] & ~(length - 1);
        if (u64{port} + size - 1 < start || port > start + length - 1) continue;
        cpu.pending_db |= bit(n);
        cpu.request(kAttnTrap);
    }
}

}  // namespace rm::cpu
