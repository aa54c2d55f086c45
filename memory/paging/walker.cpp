// The first stage: paging-mode selection, permission rules, error codes, A and D bits; and its
// composition with the second stage.
// Order of events (the manual leaves parts of it open): first-stage entries top down, each through
// the second stage; first-stage permissions; second stage of the final address; A and D bits of the
// first stage. So an access that fails in the first stage has changed nothing in its tables.
#include "memory/paging/walker.h"

#include "memory/paging/descend.h"
#include "memory/paging/second_stage.h"

namespace rm::memory {

using namespace paging;

namespace {

struct Rights {
    bool read, write, execute;
    bool allow(Access a) const {
        return a == Access::kRead ? read : a == Access::kWrite ? write : execute;
    }
};

// SDM 3A 4.6.1.
Rights first_stage_rights(const PagingContext& context, const Path& path, PrivClass priv) {
    const bool user_page = path.user();
    if (priv == PrivClass::kUser)
        return {user_page, user_page && path.writable(), user_page && !path.no_execute};
    const bool data = !(user_page && context.smap && priv == PrivClass::kSupervisor);
    return {data, data && (path.writable() || !context.wp),
            !(user_page && context.smep) && !path.no_execute};
}

class Walk {
public:
    Walk(PhysicalMemory& memory, const PagingContext& context, StageTables& first,
         StageTables& second, Access access, bool commit)
        : memory_(memory),
          context_(context),
          first_(first),
          second_(second),
          access_(access),
          commit_(commit) {}

    bool run(LinearAddr va, PrivClass priv, Translation& out);
    WalkFault fault;

private:
    bool second_active() const { return context_.second.kind != SecondStage::Kind::kNone; }
    Format format() const;
    Outcome root(LinearAddr va, const Format& format, PhysAddr& table);
    bool locate(PhysAddr address, PhysAddr& machine, Access access);
    bool page_fault(LinearAddr va, PrivClass priv, u32 cause);
    bool set_flags(const Format& format, const Path& path);
    bool finish(PhysAddr gpa, const Rights& rights, Translation& out);

    PhysicalMemory& memory_;
    const PagingContext& context_;
    StageTables &first_, &second_;
    const Access access_;
    const bool commit_;
};

Format Walk::format() const {
    if (context_.long_mode)
        return format_4level(context_.physical_bits, context_.nxe, context_.page_1g);
    if (context_.pae) return format_pae(context_.physical_bits, context_.nxe);
    return format_32(context_.physical_bits, context_.pse);
}

// Machine address of a first-stage entry.
inline bool Walk::locate(PhysAddr address, PhysAddr& machine, Access access) {
    if (!second_active()) [[likely]] {
        machine = address & context_.a20_mask;
        return true;
    }
    SecondResult at;
    if (!translate_second(memory_, context_, {address, access, true, commit_}, second_, at, fault))
        return false;
    machine = at.machine;
    return true;
}

// The table that the walk with rights starts at.
Outcome Walk::root(LinearAddr va, const Format& format, PhysAddr& table) {
    if (context_.long_mode) {
        table = context_.cr3 & field(51, 12);
        return Outcome::kMapped;
    }
    if (!context_.pae) {
        table = context_.cr3 & 0xFFFFF000;
        return Outcome::kMapped;
    }
    const unsigned index = bits(va, 31, 30);
    u64 pdpte = context_.pdpte[index];
    if (context_.pdpte_from_memory) {
        PhysAddr machine;
        if (!locate((context_.cr3 & 0xFFFFFFE0) + index * 8, machine, Access::kRead))
            return Outcome::kSecondStage;
        pdpte = load_entry(memory_, machine, 8, commit_);
        // The registers were checked when they were loaded; these were not.
        if ((pdpte & kEntryPresent) &&
            (pdpte & (kPdpteReserved | format.reserved | kEntryNoExecute)))
            return Outcome::kReserved;
    }
    table = pdpte & field(51, 12);
    return pdpte & kEntryPresent ? Outcome::kMapped : Outcome::kNotPresent;
}

// SDM 3A 4.7. cause: kPfPresent, kPfReserved or 0.
bool Walk::page_fault(LinearAddr va, PrivClass priv, u32 cause) {
    const bool nx = context_.nxe && (context_.pae || context_.long_mode);
    fault = {};
    fault.error_code = cause | (access_ == Access::kWrite ? kPfWrite : 0) |
                       (priv == PrivClass::kUser ? kPfUser : 0);
    if (access_ == Access::kExecute && (nx || context_.smep)) fault.error_code |= kPfFetch;
    fault.linear = va;
    fault.access = access_;
    return false;
}

// SDM 3A 4.8: A in every entry used, D in the leaf of a write. Entries already right are not
// written.
bool Walk::set_flags(const Format& format, const Path& path) {
    for (unsigned i = 0; i < path.count; ++i) {
        const u64 missing = missing_flags(path, i, access_ == Access::kWrite);
        if (!missing) [[likely]]
            continue;
        const Path::Entry& entry = path.entries[i];
        PhysAddr machine = entry.machine;
        if (second_active() && !locate(entry.address, machine, Access::kWrite)) return false;
        if (!memory_.set_entry_flags(machine, format.entry_size, entry.value, missing)) {
            fault.raced = true;
            return false;
        }
    }
    return true;
}

bool Walk::finish(PhysAddr gpa, const Rights& rights, Translation& out) {
    SecondResult second;
    if (!translate_second(memory_, context_, {gpa, access_, false, commit_}, second_, second,
                          fault))
        return false;
    out.machine = second.machine;
    out.guest_physical = second_active() ? gpa : second.machine;
    out.readable = rights.read && second.readable;
    out.writable = rights.write && second.writable;
    out.executable = rights.execute && second.executable;
    out.dirty &= second.dirty;
    out.page_size = std::min(out.page_size, second.page_size);
    return true;
}

bool Walk::run(LinearAddr va, PrivClass priv, Translation& out) {
    if (!context_.paging) {
        out.dirty = true;
        if (finish(va & low_mask(32), {true, true, true}, out)) return true;
        fault.linear = va;
        return false;
    }
    const Format f = format();
    Path path;
    const TableCache::Table* cached = cached_table(first_, f, va);
    PhysAddr table = 0;
    Outcome outcome = cached ? Outcome::kMapped : root(va, f, table);
    if (outcome == Outcome::kMapped)
        outcome = descend(
            memory_, f, cached ? *cached : root_table(f, table), va, commit_,
            [this](PhysAddr address, PhysAddr& machine) {
                return locate(address, machine, Access::kRead);
            },
            path);
    if (outcome == Outcome::kNotPresent) return page_fault(va, priv, 0);
    if (outcome == Outcome::kReserved) return page_fault(va, priv, kPfPresent | kPfReserved);
    if (outcome == Outcome::kSecondStage) {
        fault.linear = va;
        return false;
    }
    const Rights rights = first_stage_rights(context_, path, priv);
    if (commit_ && !rights.allow(access_)) return page_fault(va, priv, kPfPresent);

    out.dirty = (path.leaf().value & kEntryDirty) || (commit_ && access_ == Access::kWrite);
    out.global = context_.pge && (path.leaf().value & kEntryGlobal);
    out.guest_page_size = out.page_size = bit(path.shift);
    if (finish(path.address, rights, out) && (!commit_ || set_flags(f, path))) {
        if (commit_) remember_table(first_, memory_, f, va, path);
        return true;
    }
    fault.linear = va;
    return false;
}

}  // namespace

std::expected<Translation, WalkFault> walk(PhysicalMemory& memory, const PagingContext& context,
                                           LinearAddr va, Access access, PrivClass priv,
                                           WalkCaches* caches) {
    StageTables first, second;
    if (caches && caches->first_generation) first = {caches->first, caches->first_generation};
    if (caches && caches->second_generation) second = {caches->second, caches->second_generation};
    for (;;) {
        Walk w(memory, context, first, second, access, true);
        Translation t;
        if (w.run(va, priv, t)) [[likely]]
            return t;
        if (w.fault.raced) continue;
        bool again = first.refresh();
        if (w.fault.kind != WalkFault::Kind::kPageFault) again |= second.refresh();
        if (!again) return std::unexpected(w.fault);
    }
}

std::expected<Translation, WalkFault> walk_second(PhysicalMemory& memory,
                                                  const PagingContext& context, PhysAddr gpa,
                                                  Access access, bool walk_access) {
    SecondResult r;
    StageTables none;
    for (;;) {
        WalkFault fault;
        fault.linear_valid = false;
        if (translate_second(memory, context, {gpa, access, walk_access, true}, none, r, fault))
            break;
        if (!fault.raced) return std::unexpected(fault);
    }
    Translation t;
    t.machine = r.machine;
    t.guest_physical = gpa;
    t.readable = r.readable;
    t.writable = r.writable;
    t.executable = r.executable;
    t.dirty = r.dirty;
    t.page_size = t.guest_page_size = std::max(kPageSize, std::min(r.page_size, bit(30)));
    return t;
}

std::expected<Translation, WalkFault> probe_walk(PhysicalMemory& memory,
                                                 const PagingContext& context, LinearAddr va) {
    StageTables none;
    Walk w(memory, context, none, none, Access::kRead, false);
    Translation t;
    if (w.run(va, PrivClass::kSupervisorAc, t)) return t;
    return std::unexpected(w.fault);
}

}  // namespace rm::memory
