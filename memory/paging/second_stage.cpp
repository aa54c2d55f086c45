// EPT (4 levels, 2-MByte and 1-GByte pages, accessed and dirty flags, execute-only) and nested
// paging in the host's 4-level, PAE or 32-bit format.
#include "memory/paging/second_stage.h"

#include "memory/paging/descend.h"

namespace rm::memory::paging {

namespace {

constexpr u64 kEptRead = bit(0), kEptWrite = bit(1), kEptExecute = bit(2);
constexpr u64 kEptAccessed = bit(8), kEptDirty = bit(9);

// clang-format off
// Bits that must be zero in a present entry besides 51:MAXPHYADDR (SDM 3C 29.3.2, tables 29-1..29-6).
constexpr LevelRule kEptRules[] = {
    //shift leaf   table_reserved leaf_reserved
    { 12,   false, 0,             0             },  // PTE: bit 7 is ignored
    { 21,   true,  field(6, 3),   field(20, 12) },  // PDE
    { 30,   true,  field(6, 3),   field(29, 12) },  // PDPTE
    { 39,   false, field(7, 3),   0             },  // PML4E
};
// clang-format on

// A configuration the processor refuses (SDM 3C 29.3.3.1).
bool ept_misconfigured(const PagingContext& context, const LevelRule& rule, u64 entry, bool leaf) {
    if (!(entry & kEptRead) && ((entry & kEptWrite) || !context.second.ept_execute_only))
        return true;
    if (entry & low_mask(52) & ~low_mask(context.physical_bits)) return true;
    if (entry & (leaf ? rule.leaf_reserved : rule.table_reserved)) return true;
    const u64 type = bits(entry, 5, 3);
    return leaf && (type == 2 || type == 3 || type == 7);
}

u64 ept_right(Access access) {
    return access == Access::kExecute ? kEptExecute
           : access == Access::kWrite ? kEptRead | kEptWrite
                                      : kEptRead;
}

// False: another processor has changed the entry, and the walk has to start over.
bool set_flags(PhysicalMemory& memory, PhysAddr machine, unsigned size, u64 old, u64 flags,
               WalkFault& fault) {
    fault.raced =
        (old & flags) != flags && !memory.set_entry_flags(machine, size, old, flags & ~old);
    return !fault.raced;
}

// The levels above an EPT table that the cache knows count as read: their rights are in `start`.
TableCache::Table ept_start(const PagingContext& context, PhysAddr gpa, StageTables& tables) {
    for (unsigned level = 1; level <= TableCache::kLevels; ++level)
        if (const auto* t = tables.find(gpa, level, kEptRules[level].shift)) return *t;
    return {.level = 4,
            .address = context.second.root & field(51, 12),
            .rights = kEptRead | kEptWrite | kEptExecute};
}

bool walk_ept(PhysicalMemory& memory, const PagingContext& context, const SecondRequest& request,
              StageTables& tables, SecondResult& result, WalkFault& fault) {
    const SecondStage& stage = context.second;
    // With EPT's flags on, every access to a first-stage entry counts as a write (SDM 3C 29.3.5).
    const Access access =
        request.table && stage.ept_accessed_dirty ? Access::kWrite : request.access;
    fault.kind = WalkFault::Kind::kSecondViolation;
    fault.access = access;
    const TableCache::Table start = ept_start(context, request.gpa, tables);
    u64 rights = start.rights, table_rights = rights;
    PhysAddr machines[4];
    u64 values[4];
    PhysAddr table = start.address;
    unsigned level = start.level;
    for (;; --level) {
        const LevelRule& rule = kEptRules[level - 1];
        const u64 offset = ((request.gpa >> rule.shift) & 0x1FF) * 8;
        const PhysAddr at = (table + offset) & context.a20_mask;
        const u64 entry = start.host && level == start.level
                              ? load_entry(start.host + offset, 8)
                              : load_entry(memory, at, 8, request.commit);
        machines[level - 1] = at;
        values[level - 1] = entry;
        table_rights = rights;
        rights &= entry;
        fault.ept_permissions = static_cast<u8>(rights);
        if (!(entry & 7)) return false;
        const bool large = rule.can_be_leaf && (entry & kEntryPageSize);
        const bool leaf = level == 1 || large;
        if (ept_misconfigured(context, rule, entry, leaf) ||
            (large && level == 3 && !stage.ept_1g_pages)) {
            fault.kind = WalkFault::Kind::kEptMisconfig;
            return false;
        }
        table = entry & field(51, 12);
        if (leaf) break;
    }
    const u64 need = ept_right(access);
    if (request.commit && (rights & need) != need) return false;

    const unsigned shift = kEptRules[level - 1].shift;
    const bool write = access == Access::kWrite;
    result.dirty = true;
    if (stage.ept_accessed_dirty) {
        result.dirty = (values[level - 1] & kEptDirty) || (write && request.commit);
        for (unsigned i = start.level; request.commit && i >= level; --i)
            if (!set_flags(memory, machines[i - 1], 8, values[i - 1],
                           kEptAccessed | (write && i == level ? kEptDirty : 0), fault))
                return false;
    }
    if (level < start.level && level <= TableCache::kLevels)
        tables.insert(memory, request.gpa, kEptRules[level].shift,
                      {.level = level,
                       .address = values[level] & field(51, 12),
                       .rights = table_rights,
                       .machine = machines[level - 1] & kPageMask});
    result.machine =
        (values[level - 1] & field(51, 12) & ~low_mask(shift)) | (request.gpa & low_mask(shift));
    result.machine &= context.a20_mask;
    result.readable = rights & kEptRead;
    result.writable = rights & kEptWrite;
    result.executable = rights & kEptExecute;
    result.page_size = bit(shift);
    return true;
}

// Where the host's tables start: behind the PDPTE in a PAE host.
Outcome nested_root(PhysicalMemory& memory, const PagingContext& context,
                    const SecondRequest& request, const Format& format, PhysAddr& table) {
    const SecondStage& stage = context.second;
    if (stage.host_long) {
        table = stage.root & field(51, 12);
        return Outcome::kMapped;
    }
    // A legacy host maps 4 GBytes of guest-physical space.
    if (request.gpa >> 32) return Outcome::kNotPresent;
    if (!stage.host_pae) {
        table = stage.root & 0xFFFFF000;
        return Outcome::kMapped;
    }
    const u64 at = (stage.root & 0xFFFFFFE0) + (request.gpa >> 30) * 8;
    const u64 pdpte = load_entry(memory, at & context.a20_mask, 8, request.commit);
    table = pdpte & field(51, 12);
    if (!(pdpte & kEntryPresent)) return Outcome::kNotPresent;
    const bool bad = pdpte & (kPdpteReserved | format.reserved | kEntryNoExecute);
    return bad ? Outcome::kReserved : Outcome::kMapped;
}

Format nested_format(const PagingContext& context) {
    const SecondStage& stage = context.second;
    if (stage.host_long)
        return format_4level(context.physical_bits, stage.host_nxe, context.page_1g);
    return stage.host_pae ? format_pae(context.physical_bits, stage.host_nxe)
                          : format_32(context.physical_bits, stage.host_pse);
}

bool walk_nested(PhysicalMemory& memory, const PagingContext& context, const SecondRequest& request,
                 StageTables& tables, SecondResult& result, WalkFault& fault) {
    // The nested walk is always a user access, and for first-stage entries a write (APM2 15.25.5).
    const Access access = request.table ? Access::kWrite : request.access;
    const bool write = access == Access::kWrite;
    fault.kind = WalkFault::Kind::kSecondViolation;
    fault.access = access;
    fault.error_code = kPfUser | (write ? kPfWrite : 0);

    const Format format = nested_format(context);
    const TableCache::Table* cached = cached_table(tables, format, request.gpa);
    PhysAddr table = 0;
    Path path;
    Outcome outcome =
        cached ? Outcome::kMapped : nested_root(memory, context, request, format, table);
    if (outcome == Outcome::kMapped)
        outcome = descend(
            memory, format, cached ? *cached : root_table(format, table), request.gpa,
            request.commit,
            [&](PhysAddr address, PhysAddr& machine) {
                machine = address & context.a20_mask;
                return true;
            },
            path);
    if (access == Access::kExecute && context.second.host_nxe) fault.error_code |= kPfFetch;
    if (outcome == Outcome::kNotPresent) return false;
    fault.error_code |= kPfPresent;
    if (outcome != Outcome::kMapped) {
        fault.error_code |= kPfReserved;
        return false;
    }
    const bool allowed = path.user() && (!write || path.writable()) &&
                         (access != Access::kExecute || !path.no_execute);
    if (request.commit) {
        if (!allowed) return false;
        for (unsigned i = 0; i < path.count; ++i)
            if (!set_flags(memory, path.entries[i].machine, format.entry_size,
                           path.entries[i].value, missing_flags(path, i, write), fault))
                return false;
        remember_table(tables, memory, format, request.gpa, path);
    }
    result.machine = path.address & context.a20_mask;
    result.readable = path.user();
    result.writable = path.user() && path.writable();
    result.executable = path.user() && !path.no_execute;
    result.dirty = (path.leaf().value & kEntryDirty) || (write && request.commit);
    result.page_size = bit(path.shift);
    return true;
}

}  // namespace

bool translate_second(PhysicalMemory& memory, const PagingContext& context,
                      const SecondRequest& request, StageTables& tables, SecondResult& result,
                      WalkFault& fault) {
    if (context.second.kind == SecondStage::Kind::kNone) {
        result.machine = request.gpa & context.a20_mask;
        return true;
    }
    fault.guest_physical = request.gpa;
    fault.walk_access = request.table;
    return context.second.kind == SecondStage::Kind::kEpt
               ? walk_ept(memory, context, request, tables, result, fault)
               : walk_nested(memory, context, request, tables, result, fault);
}

}  // namespace rm::memory::paging
