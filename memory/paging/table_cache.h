// Paging-structure caches: where the table that holds an address's leaf entry is, so that most
// walks read that one entry (SDM 3A 4.10.3; SDM 3C 29.4.2 for the second stage). An entry is made
// by a walk that succeeded, when A was set at all levels above, and is valid for one *generation*:
// the number of an address space (tag, CR3, mode, second stage) between two invalidations. A walk
// that fails by way of a cached table starts over without, as a page fault and an EPT violation
// drop what led to them (SDM 3A 4.10.4.1, SDM 3C 29.4.3.1): no fault comes from a stale table.
#pragma once
#include <array>

#include "memory/paging/walker.h"

namespace rm::memory::paging {

class TableCache {
public:
    static constexpr unsigned kLevels = 2;  // tables whose entries map 4 KBytes, and 2 MBytes

    struct Table {
        unsigned level = 0;       // 1: its entries map 4 KBytes
        PhysAddr address = 0;     // in the stage's own address space
        u64 rights = 0;           // ANDed over the levels above
        bool no_execute = false;  // ORed
        PhysAddr machine = 0;
        const u8* host = nullptr;  // null: machine is not known either (a root)
    };

    // The table serves 2^shift bytes.
    const Table* find(u64 generation, u64 address, unsigned level, unsigned shift) {
        const Slot& s = slot(address >> shift, level);
        return s.generation == generation && s.region == address >> shift ? &s.table : nullptr;
    }
    void insert(u64 generation, u64 address, unsigned shift, const Table& table) {
        slot(address >> shift, table.level) = {generation, address >> shift, table};
    }
    void drop(u64 address, unsigned level, unsigned shift) {
        slot(address >> shift, level).generation = 0;
    }

private:
    static constexpr unsigned kSlots = 256;
    struct Slot {
        u64 generation = 0, region = 0;
        Table table;
    };
    Slot& slot(u64 region, unsigned level) {
        return slots_[level - 1][(region ^ region >> 9) % kSlots];
    }
    std::array<std::array<Slot, kSlots>, kLevels> slots_;
};

// One stage's cache as one walk uses it.
class StageTables {
public:
    StageTables() = default;  // without a cache
    StageTables(TableCache& cache, u64 generation) : cache_(&cache), generation_(generation) {}

    const TableCache::Table* find(u64 address, unsigned level, unsigned shift) {
        if (!cache_) return nullptr;
        if (refresh_) {
            cache_->drop(address, level, shift);
            return nullptr;
        }
        const TableCache::Table* t = cache_->find(generation_, address, level, shift);
        used_ |= t != nullptr;
        return t;
    }
    // `table` as found by a walk, all but `host`.
    void insert(PhysicalMemory& memory, u64 address, unsigned shift, TableCache::Table table) {
        if (!cache_) return;
        table.host = memory.page(table.machine).read_host;
        if (table.host) cache_->insert(generation_, address, shift, table);
    }
    // The walk has failed. True: by way of the cache perhaps; from now on what it would find is
    // dropped instead.
    bool refresh() {
        const bool again = used_ && !refresh_;
        refresh_ = true;
        return again;
    }

private:
    TableCache* cache_ = nullptr;
    u64 generation_ = 0;
    bool used_ = false, refresh_ = false;
};

}  // namespace rm::memory::paging

namespace rm::memory {

// What walk() takes along. Generation 0: none, the cache is not used.
struct WalkCaches {
    paging::TableCache first, second;
    u64 first_generation = 0, second_generation = 0;
};

}  // namespace rm::memory
