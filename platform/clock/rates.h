// Exact conversion between virtual nanoseconds and the cycles of a fixed-frequency oscillator.
// Owns: the rounding rule (an oscillator's cycle k begins at the first whole ns not before it) and
// the frequencies of the PC's crystals. Assumes: nothing; 128-bit products, so no drift and no
// overflow for any 64-bit time whose result fits in 64 bits.
#pragma once
#include "base/types.h"

namespace rm::platform {

inline constexpr u64 kNsPerSecond = 1'000'000'000;
inline constexpr u64 kPitHz = 1'193'182;      // 14.31818 MHz / 12
inline constexpr u64 kPmTimerHz = 3'579'545;  // 14.31818 MHz / 4 (ACPI 4.8.3.3)
inline constexpr u64 kRtcCrystalHz = 32'768;

// Whole cycles elapsed after `ns` nanoseconds.
constexpr u64 cycles_at_ns(u64 ns, u64 hz) {
    return static_cast<u64>(static_cast<u128>(ns) * hz / kNsPerSecond);
}
// The first nanosecond at which cycles_at_ns() is at least `cycles`; saturates.
constexpr u64 ns_of_cycle(u64 cycles, u64 hz) {
    const u128 ns = (static_cast<u128>(cycles) * kNsPerSecond + hz - 1) / hz;
    return ns > ~u64{0} ? ~u64{0} : static_cast<u64>(ns);
}

}  // namespace rm::platform
