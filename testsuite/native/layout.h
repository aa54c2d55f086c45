// Where things are in both address spaces, the host's own and the emulated one: scratch memory the
// tested instructions may touch, and the page they run from. Everything lies below 2 GiB so that
// 32-bit code, absolute and RIP-relative operands reach it; the scratch memory has a second mapping
// high up for 64-bit addresses. The region around both is reserved, so a stray access faults.
#pragma once
#include "base/types.h"

namespace rm::native {

inline constexpr u64 kReserved = 0x4FF00000, kReservedEnd = 0x50400000;
inline constexpr u64 kScratch = 0x50000000;  // pages 0-2 writable, page 3 read-only
inline constexpr unsigned kScratchPages = 4, kWritablePages = 3;
inline constexpr u64 kScratchBytes = kScratchPages * kPageSize;
inline constexpr u64 kWritableBytes = kWritablePages * kPageSize;
inline constexpr u64 kHighScratch = 0x2468'0000'0000;
inline constexpr u64 kHighReserve = 0x100000;  // reserved on both sides of it
inline constexpr u64 kCode = 0x50200000;       // two pages, readable and executable
inline constexpr u64 kCodeBytes = 2 * kPageSize;
inline constexpr u8 kFiller = 0xCC;  // INT3: what the code pages hold around the instruction

// The segments of 16-bit code, made as LDT descriptors: bases that differ, limits inside the
// reserved range, a stack of 16 bits. In 64- and 32-bit code all segments are flat.
struct SegmentLayout {
    u64 base;
    u32 limit;
    u16 selector;
    bool big;  // D/B
    bool code;
};
inline constexpr SegmentLayout kCode16{kCode, 0x1FFF, 0x07, false, true};
inline constexpr SegmentLayout kStack16{kScratch - 0x2000, 0x6FFF, 0x0F, false, false};
inline constexpr SegmentLayout kData16{kScratch - 0x1000, 0x4FFF, 0x17, false, false};
inline constexpr SegmentLayout kExtra16{kScratch - 0x0100, 0x3FF0, 0x1F, true, false};

// True if [address, address + size) may be accessed without harm to the test program itself.
constexpr bool harmless(u64 address, u64 size) {
    const u64 last = address + size - 1;
    const auto within = [&](u64 lo, u64 hi) {
        return address >= lo && last < hi && last >= address;
    };
    if (within(kReserved, kReservedEnd) ||
        within(kHighScratch - kHighReserve, kHighScratch + kHighReserve) || within(0, 0x10000))
        return true;
    if (within(0xFFFF'8000'0000'0000, 0xFFFF'F000'0000'0000)) return true;  // the kernel's half
    return within(0x8000'0000'0000, 0xFFFF'8000'0000'0000);                 // not canonical
}

}  // namespace rm::native
