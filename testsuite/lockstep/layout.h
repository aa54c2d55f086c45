// Where things are in the machine of the lockstep tests. All RAM is kPages pages at physical kBase;
// the page tables map it at the same linear addresses, some pages a second time where addresses
// are special. Without paging linear is physical. What is not listed is not mapped.
#pragma once
#include "base/types.h"

namespace rm::lockstep {

inline constexpr u64 kBase = 0x100000;
constexpr u64 page_at(unsigned n) { return kBase + n * kPageSize; }

// Pages of RAM.
inline constexpr unsigned kGdtPage = 0, kIdtLongPage = 1, kIdtLegacyPage = 2, kHandlerPage = 3,
                          kKernelStackPage = 4,
                          kCodePage = 5,       // two, writable and executable
    kStackPage = 7,                            // two
    kDataPage = 9,                             // three plain ones ...
    kReadOnlyPage = 12, kSupervisorPage = 13,  // ... then these
    kNoExecutePage = 14, kAliasPage = 15,      // mapped also at the special addresses
    kTablesPage = 16, kPages = 30;
inline constexpr unsigned kTssOffset = 0x800;  // in the GDT's page

inline constexpr u64 kCode = page_at(kCodePage), kCodeBytes = 2 * kPageSize,
                     kStack = page_at(kStackPage), kStackBytes = 2 * kPageSize,
                     kData = page_at(kDataPage), kHandlers = page_at(kHandlerPage);
inline constexpr u64 kRamBytes = kPages * kPageSize;
inline constexpr u64 kMmio = 0x1F0000;  // one page of a device, physical and linear

// Second mappings of kAliasPage: at the end of the lower half, before the hole; the first page of
// the upper half (64-bit code only); and the last one below 4 GiB.
inline constexpr u64 kBeforeHole = 0x7FFF'FFFF'F000, kAfterHole = 0xFFFF'8000'0000'0000,
                     kBelow4G = 0xFFFFF000;

inline constexpr u8 kInterruptVector = 0x40;  // its handler returns; all others halt

// Kinds of code: 64-bit, 32-bit under long mode, 32-bit without paging.
enum class Kind : u8 { k64, kCompat, kLegacy };
inline constexpr unsigned kKinds = 3;

}  // namespace rm::lockstep
