// The soft TLB's storage: a pool of arrays keyed by address-space tag, use and privilege class,
// with what invalidation needs kept beside each array, out of the way of the hit path. Costs:
// selecting a known tag compares at most kMaxSpaces tags; flushing an array is proportional to the
// slots filled since its last flush, without those of global pages if it keeps them; dropping one
// page is one slot, unless it lies where the array holds pieces of large pages. Arrays are 128 KiB
// + side table and are allocated on first fill. Source for what has to go when: SDM 3A 4.10.4, SDM
// 3C 29.4.3, APM2 5.5 and 15.16.
#pragma once
#include <array>
#include <bitset>
#include <memory>
#include <vector>

#include "memory/tlb/tlb.h"

namespace rm::memory {

// Side table of one slot. `page` is valid while the slot is in use.
struct TlbSide {
    static constexpr u8 kInUse = 1;
    static constexpr u8 kGlobal = 2;
    static constexpr u8 kWriteOk =
        4;  // write tag withheld, if at all, only because of decoded code
    // The slot is in the log of slots filled by pages that are not global, of those that are.
    static constexpr u8 kLogged = 8, kLoggedGlobal = 16;

    LinearAddr page = 0;
    u64 machine = 0;     // machine physical page
    u8 page_shift = 12;  // size of the first-stage page
    u8 flags = 0;
};

class TlbArray {
public:
    TlbEntry* entries() { return entries_.data(); }
    static unsigned slot_of(LinearAddr va) { return (va >> 12) & (kTlbEntries - 1); }
    TlbEntry& entry(LinearAddr va) { return entries_[slot_of(va)]; }
    const TlbSide& side(LinearAddr va) const { return side_[slot_of(va)]; }

    void insert(const TlbEntry& entry, TlbSide side);
    void flush(bool keep_global);
    // Every piece of the page, of any size, that holds va.
    void flush_page(LinearAddr va, bool keep_global);
    void drop_writes(u64 machine);   // write tags of entries that map the machine page
    void drop_machine(u64 machine);  // those entries altogether
    // Changes when a page whose code somebody remembers is invalidated. Never 0.
    u64 code_epoch() const { return code_epoch_; }
    void remember_code(LinearAddr va);
    // For each slot, the sites that have copied its entry: SiteLog::Entry::next of the first one.
    // Translated code writes here (kTlbHeldAt).
    u32* held() { return held_.data(); }
    // fn(held) for entries that have gone, or allow less, since the last call.
    template <class Fn>
    void take_lost(Fn&& fn) {
        for (const u32 first : lost_) fn(first);
        lost_.clear();
    }

private:
    void drop(unsigned slot);
    template <class Test>
    void drop_if(bool global, Test&& test);
    template <class Test>
    void drop_if(Test&& test);
    static u64 next_epoch();
    void new_epoch();
    // Each half of the address space has its own bits: a kernel's code outlives its invalidations
    // of pages of programs.
    static unsigned code_bit(LinearAddr va) {
        constexpr unsigned kHalf = kCodeBits / 2;
        const auto hash = static_cast<unsigned>((va >> 12) ^ (va >> 22)) % kHalf;
        return static_cast<unsigned>(va >> 63) * kHalf + hash;
    }

    void lose(unsigned slot) {
        if (!held_[slot]) [[likely]]
            return;
        lost_.push_back(held_[slot]);
        held_[slot] = 0;
    }

    std::array<TlbEntry, kTlbEntries> entries_;
    std::array<u32, kTlbEntries> held_{};  // directly behind
    std::vector<u32> lost_;
    std::array<TlbSide, kTlbEntries> side_;
    // The slots filled since a flush has looked at them, [1]: by global pages, which most flushes
    // keep and need not look at. A slot whose page has been replaced can be in both.
    struct Log {
        std::array<u16, kTlbEntries> slots;
        unsigned count = 0;
    } logs_[2];
    std::array<u32, kTlbEntries> frames_{};  // side_[n].machine >> 12, as far as it fits
    // Pages of remembered code in this epoch, by hash: global ones, and those that a flush drops.
    static constexpr unsigned kCodeBits = 4096;
    struct CodePages {
        std::bitset<kCodeBits> bits;
        bool any = false;
    } code_global_, code_local_;
    u64 code_epoch_ = next_epoch();
    LinearAddr large_first_ = ~u64{0}, large_last_ = 0;  // where pieces of large pages can be
};

class TlbSpaces {
public:
    static constexpr unsigned kMaxSpaces = 16;

    struct Space {
        SpaceTag tag;
        bool used = false;
        u64 last_use = 0;
        std::unique_ptr<TlbArray> arrays[kTlbArrays];

        TlbArray& array(unsigned number);
    };

    // The space of `tag`; the least recently selected one gives way (its entries are dropped).
    Space& select(const SpaceTag& tag);

    // fn(Space&) for every space in use.
    template <class Fn>
    void for_each(Fn&& fn) {
        for (Space& space : spaces_)
            if (space.used) fn(space);
    }
    template <class Fn>
    void for_each_array(Fn&& fn) {
        for_each([&](Space& space) {
            for (auto& array : space.arrays)
                if (array) fn(*array);
        });
    }

    // Stands in for an array that has not been filled yet: never hits, must not be written.
    static TlbEntry* never_hits();

private:
    std::array<Space, kMaxSpaces> spaces_;
    u64 uses_ = 0;
};

}  // namespace rm::memory
