// What an Mmu keeps besides the pointers its inline hit path uses. Internal to memory/access.
#pragma once
#include "memory/access/mmu.h"
#include "memory/access/walk_state.h"
#include "memory/tlb/tlb_spaces.h"

namespace rm::memory {

struct Mmu::Spaces {
    static constexpr unsigned kSpecialSlots = 2;
    static constexpr PhysAddr kNoPage = ~PhysAddr{0};

    // One set_special_page() slot. `watched` outlives `active`: as long as no entry for that page
    // was filled meanwhile, naming the same page again (each VM entry does) needs no search.
    struct Special {
        PhysAddr active = kNoPage, watched = kNoPage;
        bool filled = false;
    };

    TlbSpaces pool;
    TlbSpaces::Space* current = nullptr;
    WalkState walks;
    Special special[kSpecialSlots];
    alignas(64) u8 fetched[kPageSize];  // instruction bytes read from a device page or a hole

    bool is_special(PhysAddr frame) const {
        return frame == special[0].active || frame == special[1].active;
    }
};

}  // namespace rm::memory
