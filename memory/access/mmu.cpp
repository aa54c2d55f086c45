// The Mmu's bookkeeping: context switches, invalidation, special pages, and the refill of a TLB
// slot. A slot gets a write tag only where a plain store is all there is to do: plain RAM, D set in
// both stages, no decoded code in the frame. Device, hole and special pages never get any tag.
#include "memory/access/mmu.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bits.h"
#include "base/guest_memory.h"
#include "memory/access/mmu_state.h"

namespace rm::memory {

namespace {

unsigned array_for(Access access, PrivClass priv) {
    return access == Access::kExecute ? code_array(priv) : data_array(priv);
}

}  // namespace

Mmu::Mmu(PhysicalMemory& memory, Owner& owner)
    : memory_(memory), owner_(owner), spaces_(std::make_unique<Spaces>()) {
    spaces_->current = &spaces_->pool.select(tag_);
    spaces_->walks.set_context(tag_, context_);
    update_arrays();
    memory_.add_listener(this);
}

Mmu::~Mmu() { memory_.remove_listener(this); }

void Mmu::update_arrays() {
    for (unsigned i = 0; i < kTlbArrays; ++i) {
        TlbArray* array = spaces_->current->arrays[i].get();
        arrays_[i] = array ? array->entries() : TlbSpaces::never_hits();
    }
    data_ = arrays_[data_array(data_class_)];
    code_ = arrays_[code_array(code_class_)];
    data_changed();
}

void Mmu::sites_of_data() {
    forget_sites();
    sites_from_[data_class_ == PrivClass::kUser] = data_;
}

// Copies of entries that the array no longer has.
void Mmu::forget_lost(TlbArray& array) {
    array.take_lost([this](u32 first) { sites_.forget_from(first); });
}

void Mmu::set_context(const PagingContext& context, const SpaceTag& tag) {
    context_ = context;
    spaces_->walks.set_context(tag, context);
    if (tag == tag_) return;
    tag_ = tag;
    spaces_->current = &spaces_->pool.select(tag);
    for (auto& array : spaces_->current->arrays)
        if (array) forget_lost(*array);  // it was another tag's
    update_arrays();
}

void Mmu::set_code_class(PrivClass priv) {
    code_class_ = priv;
    code_ = arrays_[code_array(priv)];
}

u64 Mmu::code_epoch() const {
    const TlbArray* array = spaces_->current->arrays[code_array(code_class_)].get();
    return array ? array->code_epoch() : 0;
}

void Mmu::remember_code(LinearAddr va) {
    TlbArray* array = spaces_->current->arrays[code_array(code_class_)].get();
    if (array) array->remember_code(va);
}

bool Mmu::use_as_stack(LinearAddr va) {
    const LinearAddr page = va & kPageMask;
    const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
    if (e.write != page) return false;
    stack_ = {0, page, e.addend};
    return true;
}

bool Mmu::withheld_for_code(LinearAddr va) const {
    const TlbArray* array = spaces_->current->arrays[data_array(data_class_)].get();
    if (!array) return false;
    const TlbSide& side = array->side(va);
    constexpr u8 kWritable = TlbSide::kInUse | TlbSide::kWriteOk;
    return side.page == (va & kPageMask) && (side.flags & kWritable) == kWritable &&
           memory_.has_code(side.machine);
}

u8* Mmu::place_beside_code(LinearAddr va, unsigned size, PhysAddr& machine) {
    if (((va ^ (va + size - 1)) & kPageMask) || !withheld_for_code(va)) return nullptr;
    TlbArray& array = *spaces_->current->arrays[data_array(data_class_)];
    machine = array.side(va).machine | (va & ~kPageMask);
    return reinterpret_cast<u8*>(va + array.entry(va).addend);
}

bool Mmu::touch(LinearAddr va, unsigned size, Access access) {
    const LinearAddr page = va & kPageMask;
    if (((va + size - 1) & kPageMask) != page) return false;
    Place place;
    if (!resolve(va, access, data_class_, place)) return false;
    const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
    return (access == Access::kWrite ? e.write : e.read) == page;
}

bool Mmu::touch_code(LinearAddr va) {
    Place place;
    return resolve(va, Access::kExecute, code_class_, place) && fetch_hit(va);
}

void Mmu::flush(const FlushFilter& filter) {
    stack_.forget();
    const auto matches = [&](const SpaceTag& tag) {
        if (filter.asid && *filter.asid != tag.asid) return false;
        if (filter.pcid && *filter.pcid != tag.pcid) return false;
        if (filter.second_stage && *filter.second_stage != tag.second_stage) return false;
        return !filter.guest_only || tag.asid != 0 || tag.second_stage != 0;
    };
    spaces_->walks.invalidate(matches, filter.linear_only);
    spaces_->pool.for_each([&](TlbSpaces::Space& space) {
        if (!matches(space.tag)) return;
        for (auto& array : space.arrays) {
            if (!array) continue;
            if (filter.va)
                array->flush_page(*filter.va, filter.keep_global);
            else
                array->flush(filter.keep_global);
            forget_lost(*array);
        }
    });
}

void Mmu::set_special_page(unsigned slot, PhysAddr page) {
    RM_ASSERT(slot < Spaces::kSpecialSlots, "no such special page slot");
    Spaces::Special& s = spaces_->special[slot];
    s.active = page == Spaces::kNoPage ? page : page & kPageMask;
    if (s.active == Spaces::kNoPage || (s.active == s.watched && !s.filled)) return;
    s.watched = s.active;
    s.filled = false;
    stack_.forget();
    spaces_->pool.for_each_array([&](TlbArray& array) {
        array.drop_machine(s.active);
        forget_lost(array);
    });
}

void Mmu::map_changed() { flush_all(); }

void Mmu::code_written(PhysAddr addr, std::span<const u8> bytes) {
    owner_.code_invalidated(addr, bytes);
}

void Mmu::code_marked(PhysAddr frame) {
    stack_.forget();
    spaces_->pool.for_each_array([&](TlbArray& array) {
        array.drop_writes(frame);
        forget_lost(array);
    });
}

// Fills the slot of va from a successful walk, and `place` for the access that asked.
void Mmu::refill(LinearAddr va, const Translation& t, Access access, PrivClass priv, Place& place) {
    const PhysAddr frame = t.machine & kPageMask;
    place.machine = t.machine;
    if (spaces_->is_special(frame)) {
        place.special = true;
        return;
    }
    const PageView view = memory_.page(frame);
    place.device = view.window != nullptr;
    if (!view.read_host) return;

    const bool ram = view.plain_ram();
    const bool has_code = ram && memory_.has_code(frame);
    if (access != Access::kWrite || (ram && !has_code))
        place.host = view.read_host + (t.machine & ~kPageMask);

    for (Spaces::Special& s : spaces_->special) s.filled |= s.watched == frame;
    const LinearAddr page = va & kPageMask;
    const bool write_ok = ram && t.writable && t.dirty;
    TlbEntry entry;
    entry.addend = reinterpret_cast<u64>(view.read_host) - page;
    if (access == Access::kExecute) {
        entry.exec = page;
    } else {
        if (t.readable) entry.read = page;
        if (write_ok && !has_code) entry.write = page;
    }
    TlbSide side;
    side.page = page;
    side.machine = frame;
    side.page_shift = static_cast<u8>(std::countr_zero(t.guest_page_size));
    side.flags = (t.global ? TlbSide::kGlobal : 0) | (write_ok ? TlbSide::kWriteOk : 0);
    const unsigned number = array_for(access, priv);
    const bool fresh = !spaces_->current->arrays[number];
    TlbArray& array = spaces_->current->array(number);
    array.insert(entry, side);
    forget_lost(array);
    // The stack page may have given way.
    if (TlbArray::slot_of(stack_.page) == TlbArray::slot_of(page)) stack_.forget();
    if (fresh) update_arrays();
}

// TLB or walk. False: fault() is set.
bool Mmu::resolve(LinearAddr va, Access access, PrivClass priv, Place& place) {
    const LinearAddr page = va & kPageMask;
    TlbArray* array = spaces_->current->arrays[array_for(access, priv)].get();
    if (array) {
        TlbEntry& e = array->entry(va);
        const TlbSide& side = array->side(va);
        const u64 tag = access == Access::kRead    ? e.read
                        : access == Access::kWrite ? e.write
                                                   : e.exec;
        if (tag == page) {
            place.host = reinterpret_cast<u8*>(va + e.addend);
            place.machine = side.machine | (va & ~kPageMask);
            return true;
        }
        constexpr u8 kWritable = TlbSide::kInUse | TlbSide::kWriteOk;
        if (access == Access::kWrite && side.page == page &&
            (side.flags & kWritable) == kWritable) {
            place.machine = side.machine | (va & ~kPageMask);
            if (!memory_.has_code(side.machine)) {
                e.write = page;
                place.host = reinterpret_cast<u8*>(va + e.addend);
            }
            return true;
        }
    }
    if (context_.long_mode && sign_extend(va, 48) != va) [[unlikely]] {
        fault_ = {};
        fault_.kind = WalkFault::Kind::kNonCanonical;
        fault_.linear = va;
        fault_.access = access;
        return false;
    }
    const auto t = walk(memory_, context_, va, access, priv, &spaces_->walks.caches);
    if (!t) {
        fault_ = t.error();
        return false;
    }
    refill(va, *t, access, priv, place);
    return true;
}

}  // namespace rm::memory
