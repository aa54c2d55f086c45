// Flag bits, and the packed form the arithmetic flags have while the machine runs.
// Cc: bits 15:8 = the low byte of EFLAGS as LAHF gives it (SF ZF 0 AF 0 PF 1 CF), bit 0 = OF.
// It is what `lahf; seto al` leaves in AX, so an x86 host makes it in two instructions.
// Source: SDM 1 3.4.3.
#pragma once
#include "base/types.h"

namespace rm::cpu {

inline constexpr u64 kFlagCf = 1 << 0, kFlagPf = 1 << 2, kFlagAf = 1 << 4, kFlagZf = 1 << 6,
                     kFlagSf = 1 << 7, kFlagTf = 1 << 8, kFlagIf = 1 << 9, kFlagDf = 1 << 10,
                     kFlagOf = 1 << 11, kFlagIopl = 3 << 12, kFlagNt = 1 << 14, kFlagRf = 1 << 16,
                     kFlagVm = 1 << 17, kFlagAc = 1 << 18, kFlagVif = 1 << 19, kFlagVip = 1 << 20,
                     kFlagId = 1 << 21;
inline constexpr u64 kFlagsArith = kFlagCf | kFlagPf | kFlagAf | kFlagZf | kFlagSf | kFlagOf;

using Cc = u16;
inline constexpr Cc kCcOf = 1, kCcCf = 0x0100, kCcPf = 0x0400, kCcAf = 0x1000, kCcZf = 0x4000,
                    kCcSf = 0x8000, kCcFixed = 0x0200;
inline constexpr Cc kCcAll = kCcOf | kCcCf | kCcPf | kCcAf | kCcZf | kCcSf;

constexpr u64 cc_to_flags(Cc cc) {
    return ((cc >> 8) & (kFlagCf | kFlagPf | kFlagAf | kFlagZf | kFlagSf)) | ((cc & 1ull) << 11);
}
constexpr Cc flags_to_cc(u64 flags) {
    return static_cast<Cc>(((flags & (kFlagCf | kFlagPf | kFlagAf | kFlagZf | kFlagSf)) << 8) |
                           kCcFixed | ((flags >> 11) & 1));
}

}  // namespace rm::cpu
