// TLB arrays: filling, the log of filled slots, and invalidation.
#include "memory/tlb/tlb_spaces.h"

#include <algorithm>
#include <atomic>

#include "base/bits.h"

namespace rm::memory {

void TlbArray::insert(const TlbEntry& entry, TlbSide side) {
    const unsigned slot = slot_of(side.page);
    const bool global = side.flags & TlbSide::kGlobal;
    const u8 logged = global ? TlbSide::kLoggedGlobal : TlbSide::kLogged;
    const u8 before = side_[slot].flags & (TlbSide::kLogged | TlbSide::kLoggedGlobal);
    if (!(before & logged)) logs_[global].slots[logs_[global].count++] = static_cast<u16>(slot);
    side.flags |= TlbSide::kInUse | logged | before;
    side_[slot] = side;
    frames_[slot] = static_cast<u32>(side.machine >> 12);
    // The page has moved without an invalidation: what was remembered of it is stale now.
    const bool moved = entry.exec != kTlbNoTag && entries_[slot].exec == entry.exec &&
                       entries_[slot].addend != entry.addend;
    const TlbEntry& old = entries_[slot];
    const auto kept = [](u64 before, u64 now) { return before == kTlbNoTag || before == now; };
    if (old.addend != entry.addend || !kept(old.read, entry.read) || !kept(old.write, entry.write))
        lose(slot);
    entries_[slot] = entry;
    if (moved) [[unlikely]]
        new_epoch();
    if (side.page_shift > 12) [[unlikely]] {
        const u64 rest = low_mask(side.page_shift);
        large_first_ = std::min(large_first_, side.page & ~rest);
        large_last_ = std::max(large_last_, side.page | rest);
    }
}

u64 TlbArray::next_epoch() {
    static std::atomic<u64> last{0};
    return ++last;
}

void TlbArray::new_epoch() {
    code_epoch_ = next_epoch();
    for (CodePages* pages : {&code_global_, &code_local_})
        if (pages->any) *pages = {};
}

void TlbArray::remember_code(LinearAddr va) {
    const TlbSide& s = side(va);
    const bool global =
        (s.flags & TlbSide::kInUse) && (s.flags & TlbSide::kGlobal) && s.page == (va & kPageMask);
    CodePages& pages = global ? code_global_ : code_local_;
    pages.bits.set(code_bit(va));
    pages.any = true;
}

// Leaves the slot in the log.
void TlbArray::drop(unsigned slot) {
    lose(slot);
    entries_[slot] = TlbEntry{};
    side_[slot].flags &= TlbSide::kLogged | TlbSide::kLoggedGlobal;
}

// Drops the slots that pass, of global pages or of others, and forgets the unused ones in the log.
template <class Test>
void TlbArray::drop_if(bool global, Test&& test) {
    Log& log = logs_[global];
    const u8 logged = global ? TlbSide::kLoggedGlobal : TlbSide::kLogged;
    constexpr u8 kKind = TlbSide::kInUse | TlbSide::kGlobal;
    const u8 kind = TlbSide::kInUse | (global ? TlbSide::kGlobal : u8{0});
    unsigned kept = 0;
    for (unsigned i = 0; i < log.count; ++i) {
        const u16 slot = log.slots[i];
        TlbSide& s = side_[slot];
        if ((s.flags & kKind) == kind && test(s)) drop(slot);
        if ((s.flags & kKind) == kind)
            log.slots[kept++] = slot;
        else
            s.flags &= ~logged;
    }
    log.count = kept;
    if (!logs_[0].count && !logs_[1].count) {
        large_first_ = ~u64{0};
        large_last_ = 0;
    }
}

template <class Test>
void TlbArray::drop_if(Test&& test) {
    drop_if(false, test);
    drop_if(true, test);
}

void TlbArray::flush(bool keep_global) {
    const auto all = [](const TlbSide&) { return true; };
    drop_if(false, all);
    if (!keep_global) drop_if(true, all);
    if (code_local_.any || (!keep_global && code_global_.any)) new_epoch();
}

void TlbArray::flush_page(LinearAddr va, bool keep_global) {
    const auto matches = [&](const TlbSide& s) {
        return (s.page >> s.page_shift) == (va >> s.page_shift) &&
               !(keep_global && (s.flags & TlbSide::kGlobal));
    };
    const TlbSide& s = side(va);
    if ((s.flags & TlbSide::kInUse) && matches(s)) drop(slot_of(va));
    const bool large = va >= large_first_ && va <= large_last_;
    if (large) [[unlikely]]
        drop_if([&](const TlbSide& other) { return other.page_shift > 12 && matches(other); });
    if (large || code_local_.bits.test(code_bit(va)) || code_global_.bits.test(code_bit(va)))
        new_epoch();
}

// Called for each frame that code is decoded in for the first time, so it compares the frames of
// many slots at once. Slots that are not in use have no write tag to lose.
void TlbArray::drop_writes(u64 machine) {
    constexpr unsigned kAtOnce = 64;
    const u32 frame = static_cast<u32>(machine >> 12);
    for (unsigned first = 0; first < kTlbEntries; first += kAtOnce) {
        u32 found = 0;
        for (unsigned n = 0; n < kAtOnce; ++n) found |= frames_[first + n] == frame;
        if (!found) [[likely]]
            continue;
        for (unsigned slot = first; slot < first + kAtOnce; ++slot) {
            if (side_[slot].machine != machine) continue;
            lose(slot);
            entries_[slot].write = kTlbNoTag;
        }
    }
}

void TlbArray::drop_machine(u64 machine) {
    drop_if([&](const TlbSide& s) { return s.machine == machine; });
    new_epoch();
}

TlbArray& TlbSpaces::Space::array(unsigned number) {
    auto& array = arrays[number];
    if (!array) array = std::make_unique<TlbArray>();
    return *array;
}

TlbSpaces::Space& TlbSpaces::select(const SpaceTag& tag) {
    Space* oldest = &spaces_[0];
    for (Space& space : spaces_) {
        if (space.used && space.tag == tag) {
            space.last_use = ++uses_;
            return space;
        }
        if (space.last_use < oldest->last_use) oldest = &space;
    }
    for (auto& array : oldest->arrays)
        if (array) array->flush(false);
    oldest->tag = tag;
    oldest->used = true;
    oldest->last_use = ++uses_;
    return *oldest;
}

TlbEntry* TlbSpaces::never_hits() {
    static std::array<TlbEntry, kTlbEntries> empty;
    return empty.data();
}

}  // namespace rm::memory
