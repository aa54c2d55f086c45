// The paging-structure caches of one processor, and which generation of them its walks use: each
// stage has a number for every address space that was walked lately. An invalidation gives the
// spaces it names new numbers, and so does a change of anything else that a walk looks at.
// Source for what goes when: SDM 3A 4.10.4, SDM 3C 29.4.3, APM2 15.16.
#pragma once
#include <array>

#include "memory/paging/table_cache.h"

namespace rm::memory {

class WalkState {
public:
    WalkCaches caches;  // of the context named last

    void set_context(const SpaceTag& tag, const PagingContext& context) {
        caches.first_generation = first_.select(tag, context);
        caches.second_generation = 0;
        if (context.second.kind == SecondStage::Kind::kNone) return;
        // Guest-physical mappings belong to the second stage's tables, and to an ASID (APM2
        // 15.16.1); keeping those of VPIDs apart as well is always right.
        PagingContext only;
        only.second = context.second;
        only.physical_bits = context.physical_bits;
        only.page_1g = context.page_1g;
        only.a20_mask = context.a20_mask;
        caches.second_generation = second_.select({tag.asid, 0, tag.second_stage}, only);
    }
    // matches(tag) names address spaces. linear_only: the second stage's mappings stay.
    template <class Matches>
    void invalidate(Matches&& matches, bool linear_only) {
        first_.renew(matches, caches.first_generation);
        if (!linear_only) second_.renew(matches, caches.second_generation);
    }

private:
    class Generations {
    public:
        u64 select(const SpaceTag& tag, const PagingContext& context) {
            Slot* slot = &slots_[0];
            for (Slot& s : slots_) {
                if (s.generation && s.tag == tag) {
                    slot = &s;
                    break;
                }
                if (s.last_use < slot->last_use) slot = &s;
            }
            if (!slot->generation || slot->tag != tag || slot->context != context)
                *slot = {tag, context, ++newest_, 0};
            slot->last_use = ++uses_;
            return slot->generation;
        }
        template <class Matches>
        void renew(Matches&& matches, u64& current) {
            for (Slot& s : slots_) {
                if (!s.generation || !matches(s.tag)) continue;
                const bool in_use = s.generation == current;
                s.generation = ++newest_;
                if (in_use) current = s.generation;
            }
        }

    private:
        struct Slot {
            SpaceTag tag;
            PagingContext context;
            u64 generation = 0;  // 0: unused
            u64 last_use = 0;
        };
        std::array<Slot, 16> slots_;
        u64 newest_ = 0, uses_ = 0;
    };
    Generations first_, second_;
};

}  // namespace rm::memory
