// Which offsets of a segment may be read and written: the limit and type rules of legacy modes.
// Source: SDM 3A 3.4.5.1, 5.3, 5.5; 20.1.1 for real mode.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

// Inclusive offset range; empty (lo > hi) if the segment does not allow the access.
Cpu::SegRange segment_range(const Segment& s, memory::Access access, bool real_or_v86);
// The range by limit alone, expand-down data segments included.
Cpu::SegRange limit_range(const Segment& s);

// Attributes of the segments that SYSCALL, SYSENTER and the like load without descriptors.
inline constexpr u32 kFlatCode64 = 0xA09B, kFlatCode32 = 0xC09B, kFlatData = 0xC093;
constexpr Segment flat_segment(u16 selector, u32 attr, unsigned dpl) {
    return {selector, attr | dpl << 5, 0xFFFFFFFF, 0};
}

}  // namespace rm::cpu
