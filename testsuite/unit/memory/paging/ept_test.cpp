// EPT alone and under a first stage. Guest-physical and machine addresses differ by kShift, so an
// address that skipped the second stage shows. Source: SDM 3C 29.3.
#include <doctest/doctest.h>

#include "../world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

namespace {

constexpr u64 kShift = u64{16} << 20;  // machine = guest physical + 16 MiB
constexpr u64 kGuestSize = u64{4} << 20;
constexpr u64 kR = 1, kX = 4, kRwx = 7, kWb = 6 << 3;
constexpr u64 kEptA = 1 << 8, kEptD = 1 << 9;
constexpr LinearAddr kVa = 0x0000'7F00'1234'5678;
constexpr PhysAddr kData = 0x300000;  // guest physical of kVa's page

struct Guest : World {
    Tree ept{*this, 4, kRwx};
    std::unique_ptr<Tree> tree;
    PagingContext context;
    Guest() {
        ept.map_range(0, kShift, kGuestSize, kRwx | kWb);
        next = kShift + 0x100000;  // the guest's tables: inside its own memory
        tree = std::make_unique<Tree>(*this, 4, kPwu, kShift);
        tree->map(kVa, kData, kPwu);
        context = long_context(tree->root());
        context.second.kind = SecondStage::Kind::kEpt;
        context.second.root = ept.root() | 3 << 3 | 6;
        next = kShift + 0x200000;
    }
    PhysAddr ept_entry(PhysAddr gpa, unsigned level = 1) { return ept.entry(gpa, level); }
    void ad() { context.second.ept_accessed_dirty = true; }
    auto go(Access a, PrivClass p = PrivClass::kUser) { return walk(memory, context, kVa, a, p); }
};

}  // namespace

TEST_CASE_FIXTURE(Guest, "both stages compose") {
    const auto t = go(Access::kWrite);
    REQUIRE(t.has_value());
    CHECK(t->guest_physical == (kData | 0x678));
    CHECK(t->machine == (kData | 0x678) + kShift);
    CHECK(t->dirty);
    CHECK(t->page_size == 0x1000);
    const auto p = probe_walk(memory, context, kVa);
    CHECK(p->machine == t->machine);
    context.paging = false;  // unrestricted guest without paging
    CHECK(walk(memory, context, 0x1234, Access::kRead, PrivClass::kSupervisor)->machine ==
          0x1234 + kShift);
}

TEST_CASE_FIXTURE(Guest, "violations name access, address and the ANDed permissions") {
    struct Row {
        u64 leaf, upper;
        Access access;
        bool ok;
        u8 permissions;
    };
    const Row rows[] = {
        {kR, kRwx, Access::kRead, true, 0},          {kR, kRwx, Access::kWrite, false, 1},
        {kR, kRwx, Access::kExecute, false, 1},      {kR | kW, kRwx, Access::kWrite, true, 0},
        {kR | kW, kRwx, Access::kExecute, false, 3}, {kX, kRwx, Access::kExecute, true, 0},
        {kX, kRwx, Access::kRead, false, 4},         {kX, kRwx, Access::kWrite, false, 4},
        {kR | kX, kRwx, Access::kExecute, true, 0},  {kRwx, kR | kX, Access::kWrite, false, 5},
        {kRwx, kR, Access::kExecute, false, 1},      {kR | kW, kR | kX, Access::kWrite, false, 1},
        {0, kRwx, Access::kRead, false, 0},          {kRwx, 0, Access::kWrite, false, 0},
    };
    // A data page under a PDE of its own: table accesses do not meet the changed entries.
    tree->map(kVa, kGuestSize, kPwu);
    ept.map(kGuestSize, kShift + 0x300000, kRwx | kWb);
    const PhysAddr leaf = ept_entry(kGuestSize), upper = ept_entry(kGuestSize, 2);
    const u64 upper_base = get(upper) & ~kRwx;
    for (const Row& row : rows) {
        set(leaf, (kShift + 0x300000) | kWb | row.leaf);
        set(upper, upper_base | row.upper);
        const auto t = go(row.access);
        CHECK(t.has_value() == row.ok);
        if (t) continue;
        const WalkFault& f = t.error();
        CHECK(f.kind == WalkFault::Kind::kSecondViolation);
        CHECK(f.access == row.access);
        CHECK(f.guest_physical == (kGuestSize | 0x678));
        CHECK(f.linear == kVa);
        CHECK(f.linear_valid);
        CHECK_FALSE(f.walk_access);
        CHECK(f.ept_permissions == row.permissions);
    }
}

TEST_CASE_FIXTURE(Guest, "misconfigurations (29.3.3.1)") {
    struct Row {
        unsigned level;
        u64 entry;  // without address
        bool misconfig;
        std::string why;
        bool execute_only = true, page_1g = true;
        unsigned width = 40;
    };
    const Row rows[] = {
        {1, kW | kWb, true, "write-only"},
        {1, kW | kX | kWb, true, "write and execute without read"},
        {1, kX | kWb, true, "execute-only where not supported", false},
        {1, kX | kWb, false, "execute-only where supported"},
        {1, kRwx | 2 << 3, true, "memory type 2"},
        {1, kRwx | 3 << 3, true, "memory type 3"},
        {1, kRwx | 7 << 3, true, "memory type 7"},
        {1, kRwx | 0 << 3, false, "UC"},
        {1, kRwx | 1 << 3, false, "WC"},
        {1, kRwx | 4 << 3, false, "WT"},
        {1, kRwx | 5 << 3, false, "WP"},
        {1, kRwx | kWb | bit(40), true, "PTE above the address width"},
        {1, kRwx | kWb | bit(40), false, "bit 40 with 41 bits", true, true, 41},
        {1, kRwx | kWb | bit(52) | bit(63), false, "bits 63:52 are ignored"},
        {1, kRwx | kWb | bit(7) | bit(10) | bit(11), false, "PTE bits 7, 10, 11 are ignored"},
        {2, kRwx | bit(3), true, "PDE bit 3"},
        {2, kRwx | bit(6), true, "PDE bit 6"},
        {2, kRwx | bit(7) | kWb | bit(12), true, "2-MByte PDE bit 12"},
        {2, kRwx | bit(7) | kWb | bit(20), true, "2-MByte PDE bit 20"},
        {2, kRwx | bit(7) | 7 << 3, true, "2-MByte PDE memory type"},
        {2, kRwx | bit(7) | kWb, false, "2-MByte PDE"},
        {3, kRwx | bit(4), true, "PDPTE bit 4"},
        {3, kRwx | bit(7) | kWb | bit(29), true, "1-GByte PDPTE bit 29"},
        {3, kRwx | bit(7) | kWb, true, "1-GByte PDPTE where not supported", true, false},
        {3, kRwx | bit(7) | kWb, false, "1-GByte PDPTE"},
        {4, kRwx | bit(3), true, "PML4E bit 3"},
        {4, kRwx | bit(7), true, "PML4E bit 7"},
        {4, kRwx | bit(51), true, "PML4E bit 51"},
        {4, kW, true, "write-only PML4E"},
    };
    const PhysAddr gpa = u64{5} << 39;  // a path of its own
    context.paging = false;
    ept.map(gpa, 0x200000, kRwx | kWb);
    for (const Row& row : rows) {
        const PhysAddr at = ept_entry(gpa, row.level);
        const u64 good = get(at);
        const bool leaf = row.level == 1 || (row.entry & kPs);
        set(at, (leaf ? 0 : good & kPageMask) | row.entry);
        context.second.ept_execute_only = row.execute_only;
        context.second.ept_1g_pages = row.page_1g;
        context.physical_bits = row.width;
        const auto t = walk_second(memory, context, gpa, Access::kExecute, false);
        if (row.misconfig) {
            REQUIRE_MESSAGE(!t.has_value(), row.why);
            CHECK_MESSAGE(t.error().kind == WalkFault::Kind::kEptMisconfig, row.why);
            CHECK(t.error().guest_physical == gpa);
        } else {
            CHECK_MESSAGE(t.has_value(), row.why);
        }
        set(at, good);
    }
}

TEST_CASE_FIXTURE(Guest, "large EPT pages bound the page size; the first stage keeps its own") {
    context.paging = false;
    set(ept_entry(0x200000, 2), (kShift + 0x200000) | kRwx | kWb | kPs);
    auto t = walk(memory, context, 0x212345, Access::kRead, PrivClass::kSupervisor);
    CHECK(t->machine == 0x212345 + kShift);
    CHECK(t->page_size == 0x1000);  // no paging: 4 KiB
    context.paging = true;
    tree->map(0x40000000, 0x200000, kPwu | kPs, 2);
    t = walk(memory, context, 0x40012345, Access::kRead, PrivClass::kUser);
    CHECK(t->machine == 0x212345 + kShift);
    CHECK(t->page_size == 0x200000);
    tree->map(0x40200000, 0x000000, kPwu | kPs, 2);  // 4 KiB in the EPT
    t = walk(memory, context, 0x40200000, Access::kRead, PrivClass::kUser);
    CHECK(t->page_size == 0x1000);
    CHECK(t->guest_page_size == 0x200000);
    ept.map(u64{3} << 30, u64{1} << 30, kRwx | kWb | kPs, 3);
    CHECK(walk_second(memory, context, (u64{3} << 30) + 0x1234567, Access::kRead, false)->machine ==
          (u64{1} << 30) + 0x1234567);
}

TEST_CASE_FIXTURE(Guest, "table reads need R; setting A or D there needs W as well") {
    const PhysAddr table_gpa = tree->entry(kVa, 1) - kShift;
    const PhysAddr leaf = ept_entry(table_gpa);
    const u64 base = get(leaf) & ~kRwx;
    set(leaf, base);  // not present
    auto t = go(Access::kRead);
    REQUIRE_FALSE(t.has_value());
    CHECK(t.error().kind == WalkFault::Kind::kSecondViolation);
    CHECK(t.error().walk_access);
    CHECK(t.error().access == Access::kRead);
    CHECK(t.error().guest_physical == table_gpa);
    CHECK(t.error().linear == kVa);

    set(leaf, base | kR);  // read-only: the A bit cannot be set
    t = go(Access::kRead);
    REQUIRE_FALSE(t.has_value());
    CHECK(t.error().walk_access);
    CHECK(t.error().access == Access::kWrite);
    CHECK(t.error().guest_physical == table_gpa);
    CHECK(t.error().ept_permissions == 1);

    const PhysAddr pte = tree->entry(kVa, 1);
    set(pte, get(pte) | kA);
    t = go(Access::kRead);
    REQUIRE(t.has_value());
    CHECK_FALSE(t->dirty);                        // so a write walks again ...
    CHECK_FALSE(go(Access::kWrite).has_value());  // ... and finds that D cannot be set
    set(pte, get(pte) | kD);
    CHECK(go(Access::kWrite).has_value());
}

TEST_CASE_FIXTURE(Guest, "first-stage faults come before the final address's violation") {
    tree->map(kVa, kData, kP | kU);
    set(ept_entry(kData), 0);
    auto t = go(Access::kWrite);
    CHECK(t.error().kind == WalkFault::Kind::kPageFault);
    CHECK(t.error().error_code == (kPfPresent | kPfWrite | kPfUser));
    t = go(Access::kRead);
    CHECK(t.error().kind == WalkFault::Kind::kSecondViolation);
    CHECK((get(tree->entry(kVa, 1)) & kA) == 0);  // a failed access left the guest's tables alone
}

TEST_CASE_FIXTURE(Guest, "EPT accessed and dirty flags") {
    const PhysAddr leaf = ept_entry(kData);
    const PhysAddr table = ept_entry(tree->entry(kVa, 1) - kShift);
    CHECK(go(Access::kWrite).has_value());
    CHECK((get(leaf) & (kEptA | kEptD)) == 0);  // flags are off
    CHECK(go(Access::kRead)->dirty);
    ad();
    auto t = go(Access::kRead);
    CHECK_FALSE(t->dirty);  // first stage dirty, second not yet: the write tag must wait
    CHECK((get(leaf) & (kEptA | kEptD)) == kEptA);
    CHECK((get(ept_entry(kData, 2)) & (kEptA | kEptD)) == kEptA);
    CHECK((get(ept_entry(kData, 4)) & (kEptA | kEptD)) == kEptA);
    CHECK((get(table) & (kEptA | kEptD)) == (kEptA | kEptD));  // table accesses are writes
    t = go(Access::kWrite);
    CHECK(t->dirty);
    CHECK((get(leaf) & kEptD));
    CHECK(go(Access::kRead)->dirty);
}

TEST_CASE_FIXTURE(Guest, "with EPT A/D a read-only page table is a write violation at once") {
    ad();
    (void)go(Access::kWrite);  // the guest's own A and D bits are set: nothing to write there
    const PhysAddr table = ept_entry(tree->entry(kVa, 1) - kShift);
    set(table, get(table) & ~kW);
    const auto t = go(Access::kRead);
    REQUIRE_FALSE(t.has_value());
    CHECK(t.error().walk_access);
    CHECK(t.error().access == Access::kWrite);
}

TEST_CASE_FIXTURE(Guest, "PAE guest: PDPTE registers need no EPT access, PDEs do") {
    PagingContext c = context;
    c.long_mode = false;
    Tree guest(*this, 3, kPwu, kShift);
    guest.map(0xC0001000, kData, kPwu);
    c.cr3 = guest.root();
    for (unsigned i = 0; i < 4; ++i) c.pdpte[i] = get(guest.root() + kShift + i * 8);
    set(ept_entry(guest.root()), 0);  // the PDPT itself is out of reach
    const auto t = walk(memory, c, 0xC0001000, Access::kRead, PrivClass::kUser);
    REQUIRE(t.has_value());
    CHECK(t->machine == kData + kShift);
}

TEST_CASE_FIXTURE(Guest, "walk_second alone: no linear address") {
    set(ept_entry(0x5000), 0);
    const auto t = walk_second(memory, context, 0x5008, Access::kRead, true);
    REQUIRE_FALSE(t.has_value());
    CHECK_FALSE(t.error().linear_valid);
    CHECK(t.error().walk_access);
    CHECK(t.error().guest_physical == 0x5008);
    context.second.kind = SecondStage::Kind::kNone;
    CHECK(walk_second(memory, context, 0x5008, Access::kRead, false)->machine == 0x5008);
}
