// Sites: what single accesses of translated code remember of the page they met last, so that a hit
// needs no look into the TLB and its addend does not wait for the address (jit/host/x64/sites.h
// emits the checks and fills the sites). A site never knows more than the array it was filled from
// (the user's, or the supervisor's), which lists for each of its entries the sites that have copied
// it: when an entry changes, these are forgotten; all are when another array takes its place.
#pragma once
#include <cstddef>
#include <memory>

#include "memory/tlb/tlb.h"

namespace rm::memory {

// Accesses of 1, 2, 4, 8 or 16 bytes: hits if the address without the offset of an aligned one in a
// page equals `page`.
struct PageSite {
    static constexpr u64 kNone = StackPage::kNone;
    u64 page = kNone;
    u64 addend = 0;  // stays when the page goes, as StackPage::addend
    u32 unused[3] = {};
    // How often it has been filled; the runtime hears of every kTold-th time.
    u32 changes = 0;
    static constexpr u32 kTold = 64;
};

// Several bytes at any address: hits if address - page < limit.
struct SpanSite {
    u64 limit = 0;
    u64 addend = 0;
    u64 page = 0;
    u32 full_limit = 0;  // what `limit` is while the site holds a page
    u32 changes = 0;
};

// One address: hits if host is not null.
struct FixedSite {
    u64 host = 0;
    u32 unused[5] = {};
    u32 changes = 0;
};
static_assert(offsetof(PageSite, changes) == offsetof(SpanSite, changes) &&
              offsetof(PageSite, changes) == offsetof(FixedSite, changes));

// The sites that have been filled, listed by the slot of the TLB array that they were filled from
// (TlbArray::held()).
struct SiteLog {
    static constexpr u64 kMost = 1 << 16;  // then all are forgotten
    static constexpr u64 kZero = 1;

    struct Entry {
        u64 site;   // its address, + kZero if its first word is 0 when empty, not PageSite::kNone
        u32* held;  // the head of the list, in TlbArray::held()
        u64 next;   // 1 + the number of the next entry of the slot, 0 at the end
        u64 unused;
    };
    static_assert(sizeof(Entry) == 32);

    u64 count = 0;
    std::unique_ptr<Entry[]> filled = std::make_unique_for_overwrite<Entry[]>(kMost);
    u64 forgotten = 0;  // for people

    // The sites of one slot. Some may have gone to other pages since: they are filled anew.
    void forget_from(u64 first) {
        for (u64 n = first; n; n = filled[n - 1].next) forget(filled[n - 1]);
    }
    void forget_all() {
        for (u64 n = 0; n < count; ++n) {
            forget(filled[n]);
            *filled[n].held = 0;
        }
        count = 0;
    }

private:
    void forget(const Entry& e) {
        *reinterpret_cast<u64*>(e.site & ~kZero) = e.site & kZero ? u64{0} : PageSite::kNone;
        ++forgotten;
    }
};

}  // namespace rm::memory
