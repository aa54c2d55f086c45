// See x87_state.h. Pending exceptions and FERR#: SDM 1 8.7; SDM 3A 6.15 (#MF).
#include "cpu/semantics/x87_state.h"

namespace rm::cpu::x87 {

Step report_pending(Cpu& cpu) {
    if (cpu.cr0 & kCr0Ne) return cpu.raise(kMf);
    // FERR# goes to the chipset, which answers with IRQ 13 and, once its handler has written port
    // F0H, with IGNNE#. Until then the processor waits at this instruction (SDM 1 8.7.2).
    if (!cpu.on_ferr || cpu.ignne) return Step::kNext;
    cpu.on_ferr(true);
    ++cpu.tick_base;
    return Step::kAgain;
}

u16 full_tag_word(const FpuState& f) {
    u16 tags = 0;
    for (unsigned r = 0; r < 8; ++r) {
        const auto& v = f.st[r];
        const unsigned exponent = v.sign_exponent & 0x7FFF;
        unsigned tag;
        if (empty_physical(f, r))
            tag = 3;
        else if (exponent == 0 && v.mantissa == 0)
            tag = 1;
        else if (exponent == 0 || exponent == 0x7FFF || !(v.mantissa >> 63))
            tag = 2;  // denormal, infinity, NaN, unsupported
        else
            tag = 0;
        tags |= static_cast<u16>(tag << (2 * r));
    }
    return tags;
}

u8 abridged_tags(const FpuState& f) {
    u8 tags = 0;
    for (unsigned r = 0; r < 8; ++r)
        if (!empty_physical(f, r)) tags |= static_cast<u8>(1 << r);
    return tags;
}

u16 tags_from_abridged(u8 abridged) {
    u16 tags = 0;
    for (unsigned r = 0; r < 8; ++r)
        if (!((abridged >> r) & 1)) tags |= static_cast<u16>(3 << (2 * r));
    return tags;
}

void init(FpuState& f) {
    f.fcw = 0x37F;
    f.fsw = 0;
    f.ftw = 0xFFFF;
    f.fop = f.fcs = f.fds = 0;
    f.fip = f.fdp = 0;
}

}  // namespace rm::cpu::x87
