// Walks that use the paging-structure caches against walks that read every level: two equal worlds
// get the same random changes of tables, with the invalidations that the manual asks for, and the
// same walks; results, faults and A and D bits must agree. Then what the caches may not hide.
#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>

#include "../world.h"
#include "memory/paging/table_cache.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

namespace {

enum class First { kLong, kPae, kLegacy };

struct Stages {
    First first;
    SecondStage::Kind second;
    bool ept_accessed_dirty;
};

constexpr u64 kShift = u64{16} << 20;  // guest physical 0, with a second stage
constexpr u64 kEptAll = 7, kEptType = 6 << 3, kEptAd = 0x40;
constexpr unsigned kRegions = 6, kPages = 6;

struct Guest : World {
    Stages stages;
    u64 shift = 0;
    std::unique_ptr<Tree> nested, tree;
    PhysAddr legacy_root = 0;
    PagingContext context;

    explicit Guest(Stages s) : stages(s) {
        if (s.second != SecondStage::Kind::kNone) add_second();
        next = shift + 0x100000;
        context.paging = context.wp = context.pse = true;
        if (s.first == First::kLegacy) {
            legacy_root = page();
            context.cr3 = legacy_root - shift;
            return;
        }
        const bool long_mode = s.first == First::kLong;
        tree = std::make_unique<Tree>(*this, long_mode ? 4 : 3, kPwu, shift);
        context.pae = context.nxe = true;
        context.long_mode = long_mode;
        context.cr3 = tree->root();
    }
    void add_second() {
        shift = kShift;
        const bool ept = stages.second == SecondStage::Kind::kEpt;
        nested = std::make_unique<Tree>(*this, 4, ept ? kEptAll : kPwu);
        nested->map_range(0, shift, u64{8} << 20, ept ? kEptAll | kEptType : kPwu);
        context.second.kind = stages.second;
        context.second.root = nested->root();
        context.second.ept_accessed_dirty = stages.ept_accessed_dirty;
    }
    unsigned entry_size() const { return stages.first == First::kLegacy ? 4 : 8; }
    LinearAddr va(unsigned region, unsigned number) const {
        const u64 base = context.long_mode ? 0x7F00'0000'0000 : 0x4000'0000;
        return base + region * (u64{2} << 21) + number * kPageSize;
    }
    // Of the first stage; level 1 = PTE. Makes the tables above it.
    PhysAddr entry(LinearAddr at, unsigned level) {
        if (tree) return tree->entry(at, level);
        const PhysAddr pde = legacy_root + bits(at, 31, 22) * 4;
        if (level == 2) return pde;
        if (!(get(pde, 4) & kP)) set(pde, (page() - shift) | kPwu, 4);
        return (get(pde, 4) & 0xFFFFF000) + shift + bits(at, 21, 12) * 4;
    }
    void load_pdptes() {
        if (stages.first != First::kPae) return;
        for (unsigned i = 0; i < 4; ++i) context.pdpte[i] = get(tree->root() + shift + i * 8);
    }
};

bool equal(const std::expected<Translation, WalkFault>& a,
           const std::expected<Translation, WalkFault>& b) {
    if (a.has_value() != b.has_value()) return false;
    if (a)
        return a->machine == b->machine && a->guest_physical == b->guest_physical &&
               a->readable == b->readable && a->writable == b->writable &&
               a->executable == b->executable && a->dirty == b->dirty && a->global == b->global &&
               a->page_size == b->page_size && a->guest_page_size == b->guest_page_size;
    const WalkFault &x = a.error(), &y = b.error();
    return x.kind == y.kind && x.error_code == y.error_code && x.linear == y.linear &&
           x.guest_physical == y.guest_physical && x.access == y.access &&
           x.walk_access == y.walk_access && x.ept_permissions == y.ept_permissions;
}

struct Pair {
    Guest plain, cached;
    std::unique_ptr<WalkCaches> caches = std::make_unique<WalkCaches>();
    std::mt19937_64 random{20};
    u64 newest = 2;

    explicit Pair(Stages s) : plain(s), cached(s) {
        caches->first_generation = 1;
        if (s.second != SecondStage::Kind::kNone) caches->second_generation = 2;
    }
    u64 below(u64 n) { return random() % n; }
    template <class Fn>
    void both(Fn&& fn) {
        fn(plain);
        fn(cached);
    }
    void invalidate(bool second) {
        caches->first_generation = ++newest;
        if (second && caches->second_generation) caches->second_generation = ++newest;
    }
    u64 page_flags() {
        static constexpr u64 kFlags[] = {kPwu, kPwu, kPwu, kP | kU, kP | kW, kPwu | kG, 0};
        return kFlags[below(std::size(kFlags))];
    }
    void change_leaf(LinearAddr at) {
        const u64 value = below(0x700) * kPageSize | page_flags();
        both([&](Guest& g) { g.set(g.entry(at, 1), value, g.entry_size()); });
        invalidate(false);
    }
    // Rights of the table's entry, or a large page instead, or the table again.
    void change_table(LinearAddr at) {
        static constexpr u64 kFlags[] = {kPwu, kPwu, kP | kU, kP | kW, 0};
        const u64 flags = kFlags[below(std::size(kFlags))];
        const bool large = below(4) == 0;
        const u64 target = below(2) << 22;
        both([&](Guest& g) {
            g.entry(at, 1);
            const PhysAddr pde = g.entry(at, 2);
            const PhysAddr table = g.page() - g.shift;
            const u64 value = large ? target | kPs | flags : table | flags;
            g.set(pde, value, g.entry_size());
        });
        invalidate(false);
    }
    void change_second() {
        if (!plain.nested) return;
        const PhysAddr gpa = below(0x780) * kPageSize;
        const bool ept = plain.stages.second == SecondStage::Kind::kEpt;
        static constexpr u64 kRights[] = {7, 7, 7, 5, 1, 0};
        static constexpr u64 kNestedRights[] = {kPwu, kPwu, kPwu, kP | kU, kP, 0};
        const unsigned n = static_cast<unsigned>(below(6));
        const unsigned level = below(8) == 0 ? 2 : 1;
        both([&](Guest& g) {
            const PhysAddr at = g.nested->entry(gpa, level);
            const u64 old = g.get(at) & ~u64{0x7};
            g.set(at, old | (ept ? kRights[n] : kNestedRights[n]));
        });
        invalidate(true);
    }
    void repair_second() {
        if (!plain.nested) return;
        both([&](Guest& g) {
            const bool ept = g.stages.second == SecondStage::Kind::kEpt;
            for (u64 gpa = 0; gpa < u64{8} << 20; gpa += u64{1} << 21) {
                const PhysAddr at = g.nested->entry(gpa, 2);
                g.set(at, (g.get(at) & ~u64{7}) | (ept ? kEptAll : kPwu));
            }
            for (u64 gpa = 0; gpa < u64{8} << 20; gpa += kPageSize) {
                const PhysAddr at = g.nested->entry(gpa, 1);
                g.set(at, (g.get(at) & ~u64{7}) | (ept ? kEptAll : kPwu));
            }
        });
        invalidate(true);
    }
    void clear_accessed(LinearAddr at) {
        const unsigned level = 1 + static_cast<unsigned>(below(2));
        both([&](Guest& g) {
            g.entry(at, 2);
            if (level == 1 && (g.get(g.entry(at, 2), g.entry_size()) & kPs)) return;
            const PhysAddr e = g.entry(at, level);
            g.set(e, g.get(e, g.entry_size()) & ~(kA | kD), g.entry_size());
        });
        invalidate(false);
    }
    bool walk_both() {
        const LinearAddr at =
            plain.va(static_cast<unsigned>(below(kRegions)), static_cast<unsigned>(below(kPages))) |
            below(kPageSize);
        const auto access = static_cast<Access>(below(3));
        const auto priv = static_cast<PrivClass>(below(3));
        plain.load_pdptes();
        cached.load_pdptes();
        const auto a = walk(plain.memory, plain.context, at, access, priv);
        const auto b = walk(cached.memory, cached.context, at, access, priv, caches.get());
        return equal(a, b);
    }
    bool tables_equal() {
        return std::memcmp(plain.ram->host(), cached.ram->host(), u64{32} << 20) == 0;
    }
};

void run(Stages stages) {
    Pair p(stages);
    const auto address = [&] {
        return p.plain.va(static_cast<unsigned>(p.below(kRegions)),
                          static_cast<unsigned>(p.below(kPages)));
    };
    for (unsigned r = 0; r < kRegions; ++r)
        for (unsigned n = 0; n < kPages; ++n) p.change_leaf(p.plain.va(r, n));
    for (unsigned step = 0; step < 4000; ++step) {
        const LinearAddr at = address();
        const bool large = p.plain.get(p.plain.entry(at, 2), p.plain.entry_size()) & kPs;
        switch (p.below(12)) {
            case 0: p.change_table(at); break;
            case 1: p.change_second(); break;
            case 2:
                if (p.below(20) == 0) p.repair_second();
                break;
            case 3: p.clear_accessed(at); break;
            case 4:
            case 5:
                if (!large) p.change_leaf(at);
                break;
            default:
                for (unsigned n = 0; n < 8; ++n) REQUIRE(p.walk_both());
        }
        if (p.plain.next > p.plain.shift + 0x7C0000) break;
        if (step % 50 == 0) REQUIRE(p.tables_equal());
    }
    CHECK(p.tables_equal());
}

}  // namespace

TEST_CASE("walks with caches equal walks without, after the invalidations due") {
    using Kind = SecondStage::Kind;
    for (First first : {First::kLong, First::kPae, First::kLegacy}) {
        run({first, Kind::kNone, false});
        run({first, Kind::kNpt, false});
        run({first, Kind::kEpt, false});
        run({first, Kind::kEpt, true});
    }
}

TEST_CASE("no fault comes from a stale table, and a fault drops what led to it") {
    Guest g({First::kLong, SecondStage::Kind::kNone, false});
    auto caches = std::make_unique<WalkCaches>();
    caches->first_generation = 1;
    const LinearAddr at = g.va(0, 0), beside = g.va(0, 1);
    g.set(g.entry(at, 1), 0x300000 | kPwu);
    const auto go = [&](LinearAddr va) {
        return walk(g.memory, g.context, va, Access::kRead, PrivClass::kUser, caches.get());
    };
    REQUIRE(go(at).has_value());
    // Another table, which also maps the page beside; no invalidation.
    const PhysAddr table = g.page();
    const PhysAddr old = g.get(g.entry(at, 2)) & ~kPageMask;
    g.set(g.entry(at, 2), table | kPwu | old);
    g.set(table + 0, 0x400000 | kPwu);
    g.set(table + 8, 0x500000 | kPwu);
    CHECK(go(beside)->machine == 0x500000);  // not present in the old table
    CHECK(go(at)->machine == 0x400000);      // which has been forgotten
}

TEST_CASE("a cached table is not read after its generation") {
    Guest g({First::kLong, SecondStage::Kind::kNone, false});
    auto caches = std::make_unique<WalkCaches>();
    const LinearAddr at = g.va(0, 0);
    g.set(g.entry(at, 1), 0x300000 | kPwu);
    const auto go = [&] {
        return walk(g.memory, g.context, at, Access::kRead, PrivClass::kUser, caches.get());
    };
    caches->first_generation = 1;
    REQUIRE(go().has_value());
    const PhysAddr pde = g.entry(at, 2);
    const u64 good = g.get(pde);
    g.set(pde, 0);
    CHECK(go().has_value());  // no invalidation yet: the table counts, as on hardware
    caches->first_generation = 2;
    CHECK_FALSE(go().has_value());
    g.set(pde, good & ~kA);
    CHECK(go().has_value());
    CHECK((g.get(pde) & kA));
}
