// Region lists: cutting, joining, laying the window layer over the memory layer, and the index.
#include "memory/physical/address_map.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bits.h"

namespace rm::memory {

namespace {

// The part [start, end) of a region, pointers adjusted.
Region part(Region r, PhysAddr start, PhysAddr end) {
    const u64 skip = start - r.start;
    if (r.read_host) r.read_host += skip;
    if (r.write_host) r.write_host += skip;
    r.start = start;
    r.end = end;
    return r;
}

// Removes [start, end) from a sorted list and returns the place where it was.
std::vector<Region>::iterator cut(std::vector<Region>& list, PhysAddr start, PhysAddr end) {
    std::vector<Region> kept;
    kept.reserve(list.size() + 2);
    std::size_t place = 0;
    for (const Region& r : list) {
        if (r.start < start) kept.push_back(part(r, r.start, std::min(r.end, start)));
        if (r.start < start) place = kept.size();
        if (r.end > end) kept.push_back(part(r, std::max(r.start, end), r.end));
    }
    list = std::move(kept);
    return list.begin() + static_cast<std::ptrdiff_t>(place);
}

bool continues(const Region& a, const Region& b) {
    if (a.end != b.start || a.window != b.window || a.window_start != b.window_start ||
        a.window_size != b.window_size)
        return false;
    const u64 size = a.end - a.start;
    return (a.read_host ? a.read_host + size == b.read_host : !b.read_host) &&
           (a.write_host ? a.write_host + size == b.write_host : !b.write_host);
}

void join(std::vector<Region>& list) {
    std::size_t n = 0;
    for (const Region& r : list) {
        if (n && continues(list[n - 1], r))
            list[n - 1].end = r.end;
        else
            list[n++] = r;
    }
    list.resize(n);
}

}  // namespace

PageView Region::page(PhysAddr addr) const {
    const PhysAddr base = addr & kPageMask;
    PageView view;
    if (window) {
        view.window = window;
        view.window_offset = base - window_start;
        view.window_size = window_size;
        return view;
    }
    if (read_host) view.read_host = read_host + (base - start);
    if (write_host) view.write_host = write_host + (base - start);
    return view;
}

bool AddressMap::map_memory(const Region& region) {
    cut(windows_, region.start, region.end);
    const auto place = cut(memory_, region.start, region.end);
    if (region.read_host || region.write_host) memory_.insert(place, region);
    return rebuild();
}

bool AddressMap::map_window(const Region& region) {
    windows_.insert(cut(windows_, region.start, region.end), region);
    return rebuild();
}

bool AddressMap::unmap(PhysAddr start, PhysAddr end) {
    const bool has_window = std::any_of(windows_.begin(), windows_.end(), [&](const Region& r) {
        return r.start < end && r.end > start;
    });
    cut(has_window ? windows_ : memory_, start, end);
    return rebuild();
}

bool AddressMap::rebuild() {
    join(memory_);
    std::vector<Region> flat = memory_;
    for (const Region& w : windows_) flat.insert(cut(flat, w.start, w.end), w);
    join(flat);
    if (flat == regions_) return false;
    regions_ = std::move(flat);
    RM_ASSERT(regions_.size() < 0xFFFF, "too many regions in the address map");
    rebuild_index();
    return true;
}

void AddressMap::rebuild_index() {
    const PhysAddr top = regions_.empty() ? 0 : std::min(regions_.back().end, kIndexedEnd);
    chunks_.assign(top >> kChunkBits, kNone);
    low_.fill(kNone);
    for (std::size_t i = 0; i < regions_.size(); ++i) {
        const Region& r = regions_[i];
        const u16 index = static_cast<u16>(i + 1);
        for (u64 page = r.start / kPageSize; page < std::min(r.end / kPageSize, low_.size());
             ++page)
            low_[page] = index;
        const u64 first = align_up(r.start, u64{1} << kChunkBits) >> kChunkBits;
        const u64 last = std::min<u64>(r.end >> kChunkBits, chunks_.size());
        for (u64 chunk = first; chunk < last; ++chunk) chunks_[chunk] = index;
    }
}

const Region* AddressMap::search(PhysAddr addr) const {
    auto after = std::upper_bound(regions_.begin(), regions_.end(), addr,
                                  [](PhysAddr a, const Region& r) { return a < r.start; });
    if (after == regions_.begin()) return nullptr;
    const Region& r = *--after;
    return addr < r.end ? &r : nullptr;
}

}  // namespace rm::memory
