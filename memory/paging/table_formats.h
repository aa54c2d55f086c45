// The three paging-structure formats that guests and AMD's nested paging share: 32-bit, PAE,
// 4-level. Owns: which bits index, address, permit, and must be zero at each level. One row per
// level. Assumes: entry bits P(0) R/W(1) U/S(2) A(5) D(6) PS(7) G(8) XD(63) are the same in all
// formats. Source: SDM 3A 4.3 tables 4-4..4-6, 4.4 tables 4-8..4-11, 4.5 tables 4-15..4-20;
// APM2 5.2-5.4.
#pragma once
#include <algorithm>

#include "base/bits.h"
#include "base/types.h"
#include "memory/paging/walker.h"

namespace rm::memory::paging {

inline constexpr u64 kEntryPresent = bit(0), kEntryWrite = bit(1), kEntryUser = bit(2);
inline constexpr u64 kEntryAccessed = bit(5), kEntryDirty = bit(6), kEntryPageSize = bit(7);
inline constexpr u64 kEntryGlobal = bit(8), kEntryNoExecute = bit(63);

constexpr u64 field(unsigned hi, unsigned lo) { return low_mask(hi + 1) & ~low_mask(lo); }

struct LevelRule {
    unsigned shift;      // the entry covers 2^shift bytes
    bool can_be_leaf;    // PS = 1 makes it a leaf (level 1 always is one)
    u64 table_reserved;  // must be zero where the entry names a table
    u64 leaf_reserved;   // must be zero where it maps a page
};

// clang-format off
// Indexed by level - 1. The address-width and XD rules come on top (Format::reserved).
inline constexpr LevelRule kRules4Level[] = {
    //shift leaf   table_reserved  leaf_reserved
    { 12,   false, 0,              0             },  // PTE
    { 21,   true,  0,              field(20, 13) },  // PDE
    { 30,   true,  0,              field(29, 13) },  // PDPTE
    { 39,   false, kEntryPageSize, 0             },  // PML4E
};
inline constexpr LevelRule kRules4LevelNo1G[] = {
    { 12,   false, 0,              0             },
    { 21,   true,  0,              field(20, 13) },
    { 30,   false, kEntryPageSize, 0             },
    { 39,   false, kEntryPageSize, 0             },
};
inline constexpr LevelRule kRulesPae[] = {
    { 12,   false, 0,              0             },  // PTE
    { 21,   true,  0,              field(20, 13) },  // PDE
};
inline constexpr LevelRule kRules32[] = {            // CR4.PSE = 0: PS is ignored
    { 12,   false, 0,              0             },  // PTE
    { 22,   false, 0,              0             },  // PDE
};
inline constexpr LevelRule kRules32Pse[] = {         // PSE-36 leaf: see reserved_pse36()
    { 12,   false, 0,              0             },
    { 22,   true,  0,              0             },
};
// clang-format on

// PAE PDPTEs carry no rights and no A bit (SDM 3A table 4-8); bits 2:1, 8:5 and 63:M are reserved.
inline constexpr u64 kPdpteReserved = field(2, 1) | field(8, 5);

struct Format {
    const LevelRule* rules;
    unsigned levels;      // walked with rights; PAE's PDPTEs come before
    unsigned entry_size;  // 4 or 8
    unsigned index_bits;  // 10 or 9
    u64 reserved;         // at every level: above the physical address width, XD unless enabled
    u64 leaf_reserved_4m;
    bool nx;  // XD counts
};

// Bits 21:(M-19) of a 4-MByte PDE, M = min(40, MAXPHYADDR) (SDM 3A table 4-4).
constexpr u64 reserved_pse36(unsigned physical_bits) {
    return field(21, std::min(40u, physical_bits) - 19);
}
static_assert(reserved_pse36(40) == bit(21) && reserved_pse36(32) == field(21, 13));

constexpr Format format_4level(unsigned physical_bits, bool nxe, bool page_1g) {
    const u64 high = low_mask(52) & ~low_mask(physical_bits);
    return {page_1g ? kRules4Level : kRules4LevelNo1G, 4, 8,  9,
            high | (nxe ? 0 : kEntryNoExecute),        0, nxe};
}
constexpr Format format_pae(unsigned physical_bits, bool nxe) {
    const u64 high = low_mask(63) & ~low_mask(physical_bits);
    return {kRulesPae, 2, 8, 9, high | (nxe ? 0 : kEntryNoExecute), 0, nxe};
}
constexpr Format format_32(unsigned physical_bits, bool pse) {
    return {pse ? kRules32Pse : kRules32, 2, 4, 10, 0, reserved_pse36(physical_bits), false};
}

// The page a leaf entry maps, its low bits clear.
constexpr PhysAddr leaf_address(const Format& format, u64 entry, unsigned shift) {
    if (format.entry_size == 4)
        return shift == 22 ? (entry & 0xFFC00000) | bits(entry, 20, 13) << 32 : entry & 0xFFFFF000;
    return entry & low_mask(52) & ~low_mask(shift);
}

}  // namespace rm::memory::paging
