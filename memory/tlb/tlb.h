// The soft TLB's layout: the contract between the interpreter, the translator and the refill code.
// Two arrays per (address-space tag, privilege class), for data and for code (a kernel's code and
// its data often are at the same place in different 16 MiB); an entry holds the whole way from a
// guest virtual page to a host pointer with all permissions intersected (docs/architecture.md §
// TLB).
//
// Hit test for an access of `size` bytes at va, kind k:
//     entry = array[(va >> 12) & (kTlbEntries - 1)];  entry.k == ((va + size - 1) & kPageMask)
// then host = va + entry.addend. An access that crosses a page, a device page, a page whose write
// must be noticed (code, not yet dirty) has a tag that never compares equal, so it misses by
// itself.
#pragma once
#include "base/types.h"

namespace rm::memory {

inline constexpr unsigned kTlbEntries = 16384;
// From an array to what TlbArray::held() gives.
inline constexpr unsigned kTlbHeldAt = kTlbEntries * 32;
// Equals no address of which the page's bits, and some of the lowest (translated code compares
// those of an access that must be aligned), are left.
inline constexpr u64 kTlbNoTag = 0x800;

struct TlbEntry {
    u64 read = kTlbNoTag;
    u64 write = kTlbNoTag;
    u64 exec = kTlbNoTag;
    u64 addend = 0;  // host address - guest virtual address
};
static_assert(sizeof(TlbEntry) * kTlbEntries == kTlbHeldAt);

// The page of the last accesses by the stack pointer, for translated code: plain memory that the
// current data class may write at va + addend. An access of n bytes hits if (va | none) - page,
// unsigned, is at most 4096 - n; one of 1, 2, 4 or 8 bytes if its address without the offset of an
// aligned one in a page equals `page`.
struct StackPage {
    static constexpr u64 kNone = kTlbNoTag;
    u64 none = ~u64{0};  // 0 while there is a page
    u64 page = kNone;
    u64 addend = 0;  // stays when the page goes: a block that has checked it may still use it
    void forget() {
        none = ~u64{0};
        page = kNone;
    }
};

// Who is accessing: selects the TLB array, so that a hit needs no privilege test.
enum class PrivClass : u8 {
    kSupervisor = 0,    // CPL < 3, or an implicit system access; SMAP applies
    kUser = 1,          // CPL 3
    kSupervisorAc = 2,  // CPL < 3 with EFLAGS.AC set: SMAP suspended for explicit accesses
};
inline constexpr unsigned kPrivClasses = 3;

// The arrays of a space by number.
constexpr unsigned data_array(PrivClass priv) { return static_cast<unsigned>(priv); }
constexpr unsigned code_array(PrivClass priv) { return kPrivClasses + static_cast<unsigned>(priv); }
inline constexpr unsigned kTlbArrays = 2 * kPrivClasses;

// Whose translations an array holds. VPID/ASID 0 is the host's.
struct SpaceTag {
    u16 asid = 0;          // VPID or ASID
    u16 pcid = 0;          // 0 when CR4.PCIDE = 0
    u64 second_stage = 0;  // EPTP or nCR3; 0 = none
    bool operator==(const SpaceTag&) const = default;
};

}  // namespace rm::memory
