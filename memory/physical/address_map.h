// The address map as a sorted list of regions plus an index that finds the region of an address
// with one load: one entry per 2 MiB chunk that lies in a single region, one per page below 2 MiB
// (where the PAM ranges chop the map up). Everything else takes a binary search.
// Two layers: RAM and ROM below, MMIO windows above, so that taking a window away bares the RAM.
#pragma once
#include <array>
#include <vector>

#include "memory/physical/physical.h"

namespace rm::memory {

struct Region {
    PhysAddr start = 0, end = 0;  // page-aligned
    u8* read_host = nullptr;      // host address of `start`
    u8* write_host = nullptr;
    MmioWindow* window = nullptr;
    PhysAddr window_start = 0;  // may lie inside the first page
    u64 window_size = 0;
    bool operator==(const Region&) const = default;

    PageView page(PhysAddr addr) const;
};

class AddressMap {
public:
    // Each returns true if the map is different afterwards.
    bool map_memory(const Region& region);
    bool map_window(const Region& region);
    bool unmap(PhysAddr start, PhysAddr end);

    // Null: a hole.
    const Region* find(PhysAddr addr) const {
        const u64 chunk = addr >> kChunkBits;
        if (chunk == 0) return at(low_[addr >> 12]);
        if (chunk < chunks_.size() && chunks_[chunk] != kNone) return at(chunks_[chunk]);
        return search(addr);
    }

private:
    static constexpr unsigned kChunkBits = 21;
    static constexpr u64 kIndexedEnd = u64{1} << 40;  // above: binary search only
    static constexpr u16 kNone = 0;                   // else: position in regions_ plus 1

    const Region* at(u16 index) const { return index ? &regions_[index - 1] : nullptr; }
    const Region* search(PhysAddr addr) const;
    bool rebuild();
    void rebuild_index();

    std::vector<Region> memory_, windows_;  // the layers
    std::vector<Region> regions_;           // both laid over each other
    std::vector<u16> chunks_;
    std::array<u16, (u64{1} << kChunkBits) / kPageSize> low_{};
};

}  // namespace rm::memory
