// Test fixtures of the memory layer: a machine with plain RAM, and a builder of paging structures
// in any of the formats with 9-bit indexes, whose tables may live in a shifted address space (guest
// physical = machine - shift), so that a forgotten second stage shows up as a wrong address.
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/bits.h"
#include "memory/paging/walker.h"

namespace rm::memory::test {

inline constexpr u64 kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100;
inline constexpr u64 kNx = bit(63);
inline constexpr u64 kPwu = kP | kW | kU;

struct World {
    static constexpr u64 kRamSize = u64{64} << 20;
    std::unique_ptr<Ram> ram = std::move(*Ram::create(kRamSize));
    PhysicalMemory memory{40};
    PhysAddr next = u64{1} << 20;  // machine pages are handed out from here

    World() { memory.map_ram(0, kRamSize, ram->host()); }
    PhysAddr page() {
        next += kPageSize;
        return next - kPageSize;
    }
    u64 get(PhysAddr at, unsigned size = 8) { return memory.load(at, size); }
    void set(PhysAddr at, u64 value, unsigned size = 8) { memory.store(at, size, value); }
};

// 4-level, PAE (top = 3, whose level-3 entries take no flags but P), EPT.
class Tree {
public:
    Tree(World& world, unsigned top, u64 table_flags, u64 shift = 0)
        : world_(world), top_(top), table_flags_(table_flags), shift_(shift) {
        root_ = world_.page() - shift_;
    }
    u64 root() const { return root_; }

    // Machine address of the entry for va at a level (1 = PTE); makes the tables above it.
    PhysAddr entry(u64 va, unsigned level) {
        u64 table = root_;
        for (unsigned l = top_;; --l) {
            const PhysAddr at = table + shift_ + ((va >> (12 + 9 * (l - 1))) & 0x1FF) * 8;
            if (l == level) return at;
            if (!world_.get(at)) {
                const u64 flags = top_ == 3 && l == 3 ? kP : table_flags_;
                world_.set(at, (world_.page() - shift_) | flags);
            }
            table = world_.get(at) & low_mask(52) & kPageMask;
        }
    }
    PhysAddr map(u64 va, PhysAddr to, u64 flags, unsigned level = 1) {
        const PhysAddr at = entry(va, level);
        world_.set(at, to | flags);
        return at;
    }
    // A run of 4 KiB pages.
    void map_range(u64 va, PhysAddr to, u64 bytes, u64 flags) {
        for (u64 o = 0; o < bytes; o += kPageSize) map(va + o, to + o, flags);
    }

private:
    World& world_;
    unsigned top_;
    u64 table_flags_, shift_, root_;
};

inline PagingContext long_context(u64 cr3) {
    PagingContext c;
    c.paging = c.long_mode = c.pae = c.wp = c.nxe = true;
    c.cr3 = cr3;
    return c;
}

}  // namespace rm::memory::test
