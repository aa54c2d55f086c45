// Accesses that miss the inline TLB hit: page crossings, devices, special pages, frames with
// decoded code, and plain misses. All checks of all parts come before the first byte moves.
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "base/guest_memory.h"
#include "memory/access/mmu_state.h"

namespace rm::memory {

namespace {

unsigned piece_size(unsigned n) { return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1; }

unsigned rest_of_page(u64 addr) { return static_cast<unsigned>(kPageSize - (addr & ~kPageMask)); }

}  // namespace

// First byte of the page after va's; 32-bit linear addresses wrap.
LinearAddr Mmu::next_page(LinearAddr va) const {
    const LinearAddr next = (va & kPageMask) + kPageSize;
    return context_.long_mode ? next : next & 0xFFFFFFFF;
}

bool Mmu::resolve_parts(LinearAddr va, unsigned size, Access access, PrivClass priv, Parts& parts) {
    const unsigned rest = rest_of_page(va);
    // An access that reaches across the canonical border is not canonical as a whole, whatever its
    // first page would have said (SDM 1 3.3.7.1).
    if (size > rest && context_.long_mode && sign_extend(va, 48) == va &&
        sign_extend(next_page(va), 48) != next_page(va)) {
        fault_ = {};
        fault_.kind = WalkFault::Kind::kNonCanonical;
        fault_.linear = va;
        fault_.access = access;
        return false;
    }
    if (!resolve(va, access, priv, parts.first)) return false;
    if (size <= rest) return true;
    parts.split = rest;
    return resolve(next_page(va), access, priv, parts.second);
}

// fn(place, va, offset, size) for both parts; a special page first, because it can still refuse.
template <class Fn>
bool Mmu::each_part(const Parts& parts, LinearAddr va, unsigned size, Fn&& fn) {
    if (!parts.split) return fn(parts.first, va, 0u, size);
    const auto first = [&] { return fn(parts.first, va, 0u, parts.split); };
    const auto second = [&] {
        return fn(parts.second, next_page(va), parts.split, size - parts.split);
    };
    return parts.second.special ? second() && first() : first() && second();
}

bool Mmu::read_special(const Place& place, LinearAddr va, u8* out, unsigned size) {
    PhysAddr machine = place.machine;
    while (size) {
        const unsigned n = piece_size(size);
        u64 value = 0;
        owner_.before_device_access();
        switch (owner_.special_page(machine, va, Access::kRead, n, value)) {
            case Owner::Special::kFault: return false;
            case Owner::Special::kDone: std::memcpy(out, &value, n); break;
            case Owner::Special::kNotMine: memory_.read(machine, {out, n}); break;
        }
        machine += n, va += n, out += n, size -= n;
    }
    return true;
}

bool Mmu::write_special(const Place& place, LinearAddr va, const u8* in, unsigned size) {
    PhysAddr machine = place.machine;
    while (size) {
        const unsigned n = piece_size(size);
        u64 value = 0;
        std::memcpy(&value, in, n);
        owner_.before_device_access();
        switch (owner_.special_page(machine, va, Access::kWrite, n, value)) {
            case Owner::Special::kFault: return false;
            case Owner::Special::kDone: break;
            case Owner::Special::kNotMine: memory_.write(machine, {in, n}); break;
        }
        machine += n, va += n, in += n, size -= n;
    }
    return true;
}

bool Mmu::read_part(const Place& place, LinearAddr va, u8* out, unsigned size) {
    if (place.host) [[likely]] {
        copy_access(out, place.host, size);
        return true;
    }
    if (place.special) return read_special(place, va, out, size);
    if (place.device) owner_.before_device_access();
    memory_.read(place.machine, {out, size});
    return true;
}

bool Mmu::write_part(const Place& place, LinearAddr va, const u8* in, unsigned size) {
    if (place.host) [[likely]] {
        copy_access(place.host, in, size);
        return true;
    }
    if (place.special) return write_special(place, va, in, size);
    if (place.device) owner_.before_device_access();
    memory_.write(place.machine, {in, size});
    return true;
}

bool Mmu::load_slow(LinearAddr va, void* out, unsigned size, PrivClass priv) {
    Parts parts;
    if (!resolve_parts(va, size, Access::kRead, priv, parts)) return false;
    return each_part(parts, va, size,
                     [&](const Place& p, LinearAddr at, unsigned skip, unsigned n) {
                         return read_part(p, at, static_cast<u8*>(out) + skip, n);
                     });
}

bool Mmu::store_slow(LinearAddr va, const void* in, unsigned size, PrivClass priv) {
    // What the first page allows must still hold when the second one has been looked at.
    const MachineLock::Hold hold(size > rest_of_page(va) ? memory_.lock() : nullptr);
    Parts parts;
    if (!resolve_parts(va, size, Access::kWrite, priv, parts)) return false;
    return each_part(parts, va, size,
                     [&](const Place& p, LinearAddr at, unsigned skip, unsigned n) {
                         return write_part(p, at, static_cast<const u8*>(in) + skip, n);
                     });
}

bool Mmu::rmw_begin_slow(LinearAddr va, RmwPlace& place, void* old, unsigned size) {
    Parts parts;
    if (!resolve_parts(va, size, Access::kWrite, data_class_, parts)) return false;
    place.host = parts.split ? nullptr : parts.first.host;
    if (place.host) {
        copy_access(old, place.host, size);
        return true;
    }
    place.first = parts.first.machine;
    place.second = parts.second.machine;
    place.va = va;
    place.size = static_cast<u8>(size);
    place.split = static_cast<u8>(parts.split);
    place.special = static_cast<u8>(parts.first.special | parts.second.special << 1);
    return each_part(parts, va, size,
                     [&](const Place& p, LinearAddr at, unsigned skip, unsigned n) {
                         return read_part(p, at, static_cast<u8*>(old) + skip, n);
                     });
}

// Goes by physical address, so that code marks and devices are looked up as they are now.
void Mmu::rmw_end_slow(const RmwPlace& place, const void* value) {
    Parts parts;
    parts.split = place.split;
    parts.first.machine = place.first;
    parts.first.special = place.special & 1;
    parts.first.device = memory_.page(place.first).window;
    if (place.split) {
        parts.second.machine = place.second;
        parts.second.special = place.special & 2;
        parts.second.device = memory_.page(place.second).window;
    }
    each_part(parts, place.va, place.size,
              [&](const Place& p, LinearAddr at, unsigned skip, unsigned n) {
                  return write_part(p, at, static_cast<const u8*>(value) + skip, n);
              });
}

bool Mmu::load_bytes(PrivClass priv, LinearAddr va, void* out, unsigned size) {
    return load_slow(va, out, size, priv);
}

bool Mmu::store_bytes(PrivClass priv, LinearAddr va, const void* in, unsigned size) {
    return store_slow(va, in, size, priv);
}

bool Mmu::probe(PrivClass priv, LinearAddr va, unsigned size, Access access) {
    Parts parts;
    return resolve_parts(va, size, access, priv, parts);
}

const u8* Mmu::fetch(LinearAddr va, PhysAddr& machine) {
    Place place;
    if (!resolve(va, Access::kExecute, code_class_, place)) return nullptr;
    machine = place.machine;
    if (place.host) [[likely]]
        return place.host;
    const unsigned offset = static_cast<unsigned>(va & ~kPageMask);
    const std::span<u8> bytes(spaces_->fetched + offset, kPageSize - offset);
    if (place.device || place.special) owner_.before_device_access();
    Owner::Special answer = Owner::Special::kNotMine;
    u64 unused = 0;
    if (place.special) answer = owner_.special_page(machine, va, Access::kExecute, 1, unused);
    if (answer == Owner::Special::kFault) return nullptr;
    if (answer == Owner::Special::kDone)
        std::fill(bytes.begin(), bytes.end(), u8{0xFF});
    else
        memory_.read(machine, bytes);
    return bytes.data();
}

u8* Mmu::span(LinearAddr va, Access access, u64* bytes) {
    Place place;
    if (!resolve(va, access, data_class_, place) || !place.host) return nullptr;
    *bytes = std::min<u64>(*bytes, rest_of_page(va));
    return place.host;
}

}  // namespace rm::memory
