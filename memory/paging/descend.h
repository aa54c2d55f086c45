// One way down a radix tree of paging structures, for guests' own tables and AMD's nested ones.
// Stops at the leaf or at the first bad entry; judges no access and writes nothing: rights are
// collected, and the entries remembered so that A and D can be set once the access is allowed.
// Source: SDM 3A 4.3-4.5, 4.8.
#pragma once
#include <cstring>

#include "memory/paging/table_cache.h"
#include "memory/paging/table_formats.h"

namespace rm::memory::paging {

enum class Outcome : u8 { kMapped, kNotPresent, kReserved, kSecondStage };

struct Path {
    struct Entry {
        PhysAddr address;  // in the tables' own address space: guest physical for a first stage
        PhysAddr machine;
        u64 value;
    };
    Entry entries[4];
    unsigned count = 0;
    unsigned level = 0;                     // of the last entry
    u64 rights = kEntryWrite | kEntryUser;  // ANDed over the levels
    bool no_execute = false;                // ORed
    unsigned shift = 12;                    // page size
    PhysAddr address = 0;                   // of the byte asked for

    const Entry& leaf() const { return entries[count - 1]; }
    bool writable() const { return rights & kEntryWrite; }
    bool user() const { return rights & kEntryUser; }
};

// Reads a paging-structure entry. A walk that only looks (debuggers) must not read device
// registers: tables outside RAM and ROM are not present for it.
inline u64 load_entry(PhysicalMemory& memory, PhysAddr at, unsigned size, bool commit) {
    if (!commit && !memory.page(at).read_host) return 0;
    return memory.load(at, size);
}

inline u64 load_entry(const u8* at, unsigned size) {
    u64 value = 0;
    std::memcpy(&value, at, size == 4 ? 4 : 8);
    return value;
}

inline TableCache::Table root_table(const Format& format, PhysAddr address) {
    return {.level = format.levels, .address = address, .rights = kEntryWrite | kEntryUser};
}

// The lowest table for va that the cache knows, or null.
inline const TableCache::Table* cached_table(StageTables& tables, const Format& format, u64 va) {
    for (unsigned level = 1; level <= TableCache::kLevels && level < format.levels; ++level)
        if (const auto* t = tables.find(va, level, format.rules[level].shift)) return t;
    return nullptr;
}

// Keeps the table of the path's leaf, after a walk whose access was allowed and whose A bits are
// set.
inline void remember_table(StageTables& tables, PhysicalMemory& memory, const Format& format,
                           u64 va, const Path& path) {
    if (path.count < 2 || path.level > TableCache::kLevels) return;
    TableCache::Table t = root_table(format, path.leaf().address & kPageMask);
    t.level = path.level;
    t.machine = path.leaf().machine & kPageMask;
    for (unsigned i = 0; i + 1 < path.count; ++i) {
        t.rights &= path.entries[i].value;
        t.no_execute |= format.nx && (path.entries[i].value & kEntryNoExecute);
    }
    tables.insert(memory, va, format.rules[path.level].shift, t);
}

// Starts at `start`. locate(address, machine&) -> bool turns an entry's address into a machine
// address; false ends the walk with kSecondStage, the locator knowing why.
template <class Locate>
inline Outcome descend(PhysicalMemory& memory, const Format& format, const TableCache::Table& start,
                       u64 va, bool commit, Locate&& locate, Path& path) {
    path.rights = start.rights;
    path.no_execute = start.no_execute;
    PhysAddr table = start.address;
    const u8* host = start.host;
    for (unsigned level = start.level;; --level) {
        const LevelRule& rule = format.rules[level - 1];
        const u64 index = (va >> rule.shift) & low_mask(format.index_bits);
        Path::Entry& entry = path.entries[path.count];
        entry.address = table + index * format.entry_size;
        u64 value;
        if (host) {
            entry.machine = start.machine + (entry.address - start.address);
            value = load_entry(host + (entry.address - start.address), format.entry_size);
            host = nullptr;
        } else {
            if (!locate(entry.address, entry.machine)) return Outcome::kSecondStage;
            value = load_entry(memory, entry.machine, format.entry_size, commit);
        }
        entry.value = value;
        path.level = level;
        if (!(value & kEntryPresent)) return Outcome::kNotPresent;
        const bool leaf = level == 1 || (rule.can_be_leaf && (value & kEntryPageSize));
        u64 reserved = format.reserved | (leaf ? rule.leaf_reserved : rule.table_reserved);
        if (leaf && rule.shift == 22) reserved |= format.leaf_reserved_4m;
        if (value & reserved) return Outcome::kReserved;
        path.rights &= value;
        path.no_execute |= format.nx && (value & kEntryNoExecute);
        ++path.count;
        if (leaf) {
            path.shift = rule.shift;
            path.address = leaf_address(format, value, rule.shift) | (va & low_mask(rule.shift));
            return Outcome::kMapped;
        }
        table = format.entry_size == 4 ? value & 0xFFFFF000 : value & field(51, 12);
    }
}

// The A (and on the leaf of a write D) bits that an entry of the path still lacks.
inline u64 missing_flags(const Path& path, unsigned i, bool write) {
    const u64 want = kEntryAccessed | (write && i + 1 == path.count ? kEntryDirty : 0);
    return want & ~path.entries[i].value;
}

}  // namespace rm::memory::paging
