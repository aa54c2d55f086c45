// The mode word: everything outside the instruction bytes that decoding and translation depend on.
// Part of every block's key. Rebuilt by Cpu::update_mode() whenever an input changes.
#pragma once
#include "base/types.h"

namespace rm::cpu {

struct Mode {
    u32 word = 0;

    static constexpr unsigned kCplShift = 3, kProfileShift = 15;
    static constexpr u32 kCode32 = 1, kCode64 = 2, kStack32 = 1 << 2, kV86 = 1 << 5, kPe = 1 << 6,
                         kLma = 1 << 7, kEm = 1 << 8, kTs = 1 << 9, kMp = 1 << 10,
                         kOsfxsr = 1 << 11, kOsxsave = 1 << 12, kGuest = 1 << 13,
                         kFlat = 1 << 14;  // legacy code: CS, DS, ES, SS of 4 GiB at 0

    unsigned code_size_log2() const { return 1 + (word & 3); }  // 1 = 16, 2 = 32, 3 = 64 bits
    bool code64() const { return word & kCode64; }
    unsigned cpl() const { return (word >> kCplShift) & 3; }
    bool stack32() const { return word & kStack32; }
    bool flat() const { return word & kFlat; }
    bool v86() const { return word & kV86; }
    bool protected_mode() const { return word & kPe; }
    bool real_or_v86() const { return !(word & kPe) || (word & kV86); }
    bool lma() const { return word & kLma; }
    bool guest() const { return word & kGuest; }
    u32 profile() const { return word >> kProfileShift; }
    bool has(u32 bit) const { return word & bit; }
    bool operator==(const Mode&) const = default;
};

}  // namespace rm::cpu
