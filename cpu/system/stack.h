// A stack that is not, or not yet, the one in SS:RSP: pushes and pops of far transfers, IRET and
// event delivery. SS and RSP themselves change only when the caller commits, so a fault in the
// middle leaves nothing but bytes below the old top (docs/architecture.md, decision 6).
// Source: SDM 3A 5.8.5, 6.12-6.14.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

struct Stack {
    Cpu& cpu;
    u64 base = 0, mask = 0;
    u64 sp = 0;
    Cpu::SegRange range;  // unused when flat
    bool flat = false;    // 64-bit stack: no base, no limit
    memory::PrivClass priv;
    u32 error = 0;  // error code of #SS where an access is outside the range

    // The current stack, as the running code sees it.
    static Stack current(Cpu& cpu);
    // A new legacy stack for privilege level `level`.
    static Stack legacy(Cpu& cpu, const Segment& ss, u64 sp, unsigned level, u32 error);
    // A 64-bit stack for privilege level `level`.
    static Stack flat64(Cpu& cpu, u64 sp, unsigned level);

    [[nodiscard]] bool push(u64 value, unsigned size);
    [[nodiscard]] bool pop(u64& value, unsigned size);
    void skip(u64 bytes) { sp = (sp + bytes) & mask; }
    // Writes sp to RSP with the width of this stack.
    void commit() const {
        cpu.gpr[kRsp] = mask == 0xFFFF ? (cpu.gpr[kRsp] & ~u64{0xFFFF}) | sp : sp;
    }

private:
    bool locate(unsigned size, LinearAddr& va) const;
    // No alignment checks for an inner stack while CPL is still 3.
    bool checked() const {
        return cpu.mem_checks && (cpu.cpl != 3 || priv == memory::PrivClass::kUser);
    }
};

}  // namespace rm::cpu
