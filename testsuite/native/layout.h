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

// A segment of the LDT that both processors get, always of DPL 3 and marked as accessed (Linux
// makes no others, see modify_ldt(2)).
struct SegmentLayout {
    u64 base;
    u32 limit;  // as in the descriptor: in pages if `pages`
    u8 type;    // SDM 3A table 3-1
    bool big;   // D/B
    bool present = true, pages = false, available = false;

    bool code() const { return type & 8; }
    // The descriptor's second word without base and limit: bits 8-15 and 20-23.
    constexpr u32 attributes() const {
        return (type | 0x70u | u32{present} << 7) << 8 | u32{available} << 20 | u32{big} << 22 |
               u32{pages} << 23;
    }
    constexpr u64 descriptor() const {
        return (limit & 0xFFFF) | (base & 0xFFFFFF) << 16 | u64{attributes()} << 32 |
               u64{limit & 0xF0000} << 32 | (base & 0xFF000000) << 32;
    }
};
inline constexpr u8 kReadOnly = 1, kReadWrite = 3, kExpandDown = 7, kExecute = 9, kReadExecute = 11,
                    kConforming = 15;
// 16-bit code runs in the first four: bases that differ, limits inside the reserved range, a stack
// of 16 bits. The others are for instructions that load or look at selectors. In 64- and 32-bit
// code all segments are flat.
inline constexpr SegmentLayout kLdt[] = {
    {.base = kCode, .limit = 0x1FFF, .type = kReadExecute, .big = false},
    {.base = kScratch - 0x2000, .limit = 0x6FFF, .type = kReadWrite, .big = false},
    {.base = kScratch - 0x1000, .limit = 0x4FFF, .type = kReadWrite, .big = false},
    {.base = kScratch - 0x0100, .limit = 0x3FF0, .type = kReadWrite, .big = true},
    {.base = kScratch, .limit = 0x2FFF, .type = kReadWrite, .big = true, .present = false},
    {.base = kScratch, .limit = 0x2FFF, .type = kReadOnly, .big = true, .available = true},
    {.base = kCode, .limit = 0x1000, .type = kExecute, .big = true},
    {.base = kCode, .limit = 0x1FFF, .type = kConforming, .big = false, .present = false},
    {.base = kScratch, .limit = 0x0FFF, .type = kExpandDown, .big = false},
    {.base = kCode, .limit = 1, .type = kReadExecute, .big = true, .pages = true},
    {.base = kCode, .limit = 0x1FFF, .type = kReadExecute, .big = true, .present = false},
    {.base = 0, .limit = 0xFFFFF, .type = kReadWrite, .big = true, .pages = true},
};
inline constexpr unsigned kLdtEntries = sizeof kLdt / sizeof kLdt[0];
inline constexpr const SegmentLayout &kCode16 = kLdt[0], &kStack16 = kLdt[1], &kData16 = kLdt[2],
                                     &kExtra16 = kLdt[3];
constexpr u16 ldt_selector(unsigned entry) { return static_cast<u16>(entry << 3 | 7); }
// Linux's GDT as user code meets it.
inline constexpr u16 kUserCs = 0x33, kUserCs32 = 0x23, kUserData = 0x2B;

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
