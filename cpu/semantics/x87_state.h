// The x87 register stack and status word as architectural state: top, tags, condition codes, flags,
// pending exceptions. Assumes FpuState's layout (cpu/state/cpu_state.h): ST(n) is st[(top + n) &
// 7]; in the tag word only "empty" (3) is kept exactly, other values are computed when the word is
// stored. Source: SDM 1 8.1, 8.6, 8.7.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu::x87 {

// Status word (SDM 1 8.1.3). The six exception flags have the control word's mask positions.
inline constexpr u16 kIe = 1, kDe = 2, kZe = 4, kOe = 8, kUe = 16, kPe = 32, kSf = 64,
                     kSummary = 128, kC0 = 0x100, kC1 = 0x200, kC2 = 0x400, kC3 = 0x4000,
                     kBusy = 0x8000, kExceptions = 0x3F, kCodes = kC0 | kC1 | kC2 | kC3,
                     kTopMask = 7 << 11;
// Those found before the result is computed: unmasked, they leave the destination alone.
inline constexpr u16 kBeforeResult = kIe | kDe | kZe;
// Control word: bit 6 always reads as one; bits 7 and 15:13 are not implemented.
inline constexpr u16 kFcwImplemented = 0x1F7F, kFcwFixed = 0x40;

inline bool pending(const Cpu& cpu) { return cpu.fpu.fsw & kSummary; }
// #MF, or in the way of PCs (CR0.NE = 0) FERR# and a wait for the interrupt it causes.
Step report_pending(Cpu& cpu);
// What every waiting instruction does first: kNext, or the step to end with.
[[gnu::always_inline]] inline Step ready(Cpu& cpu) {
    return pending(cpu) ? report_pending(cpu) : Step::kNext;
}

// After an instruction that may have cleared the pending exception: FERR# follows ES, which ends
// IGNNE# too (SDM 1 8.7.2).
inline void drop_ferr(Cpu& cpu) {
    if (cpu.on_ferr && !pending(cpu)) cpu.on_ferr(false);
}

// ES and B follow from flags and masks (SDM 1 8.1.3.3).
inline void update_summary(FpuState& f) {
    if (f.fsw & ~f.fcw & kExceptions)
        f.fsw |= kSummary | kBusy;
    else
        f.fsw &= static_cast<u16>(~(kSummary | kBusy));
}

inline unsigned physical(const FpuState& f, unsigned n) { return (f.top() + n) & 7; }
inline FpuState::Reg80& st(FpuState& f, unsigned n) { return f.st[physical(f, n)]; }
inline const FpuState::Reg80& st(const FpuState& f, unsigned n) { return f.st[physical(f, n)]; }
inline bool empty_physical(const FpuState& f, unsigned r) { return ((f.ftw >> (2 * r)) & 3) == 3; }
inline bool empty(const FpuState& f, unsigned n) { return empty_physical(f, physical(f, n)); }
inline void set_empty(FpuState& f, unsigned n) {
    f.ftw |= static_cast<u16>(3 << (2 * physical(f, n)));
}
inline void set_valid(FpuState& f, unsigned n) {
    f.ftw &= static_cast<u16>(~(3 << (2 * physical(f, n))));
}
inline void set_top(FpuState& f, unsigned top) {
    f.fsw = static_cast<u16>((f.fsw & ~kTopMask) | (top & 7) << 11);
}
inline void pop(FpuState& f) {
    set_empty(f, 0);
    set_top(f, f.top() + 1);
}

// Tag word as FNSTENV stores it: valid, zero, special, empty (SDM 1 8.1.7).
u16 full_tag_word(const FpuState& f);
// One bit a register, 1 = not empty (FXSAVE), and back.
u8 abridged_tags(const FpuState& f);
u16 tags_from_abridged(u8 abridged);
// FNINIT (SDM 1 table 9-1 "FINIT").
void init(FpuState& f);

}  // namespace rm::cpu::x87
