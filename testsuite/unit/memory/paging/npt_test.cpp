// AMD nested paging under a 4-level first stage, in each of the host's modes.
// Source: APM2 15.25.
#include <doctest/doctest.h>

#include "../world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

namespace {

constexpr u64 kShift = u64{16} << 20;
constexpr u64 kGuestSize = u64{4} << 20;
constexpr LinearAddr kVa = 0x0000'7F00'1234'5678;
constexpr PhysAddr kData = 0x300000;
constexpr u32 kUw = kPfUser | kPfWrite;

struct Guest : World {
    Tree npt{*this, 4, kPwu};
    std::unique_ptr<Tree> tree;
    PagingContext context;
    Guest() {
        npt.map_range(0, kShift, kGuestSize, kPwu);
        next = kShift + 0x100000;
        tree = std::make_unique<Tree>(*this, 4, kPwu, kShift);
        tree->map(kVa, kData, kPwu);
        context = long_context(tree->root());
        context.second.kind = SecondStage::Kind::kNpt;
        context.second.root = npt.root();
        next = kShift + 0x200000;
    }
    PhysAddr npt_entry(PhysAddr gpa, unsigned level = 1) { return npt.entry(gpa, level); }
    auto go(Access a, PrivClass p = PrivClass::kSupervisor) {
        return walk(memory, context, kVa, a, p);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Guest, "both stages compose; A and D are kept in both") {
    auto t = go(Access::kRead);
    REQUIRE(t.has_value());
    CHECK(t->machine == (kData | 0x678) + kShift);
    CHECK_FALSE(t->dirty);
    CHECK((get(npt_entry(kData)) & (kA | kD)) == kA);
    CHECK((get(npt_entry(tree->entry(kVa, 1) - kShift)) & (kA | kD)) == (kA | kD));
    set(tree->entry(kVa, 1), get(tree->entry(kVa, 1)) | kD);
    CHECK_FALSE(go(Access::kRead)->dirty);  // the nested D is still missing
    CHECK(go(Access::kWrite)->dirty);
    CHECK((get(npt_entry(kData)) & kD));
    CHECK(go(Access::kRead)->dirty);
}

TEST_CASE_FIXTURE(Guest, "the final access: error codes of EXITINFO1 (15.25.6)") {
    struct Row {
        u64 entry;
        Access access;
        bool ok;
        u32 error;
        bool host_nxe = true;
    };
    const u64 to = kData + kShift;
    const Row rows[] = {
        {to | kPwu, Access::kWrite, true, 0},
        {to | kPwu, Access::kExecute, true, 0},
        {0, Access::kRead, false, kPfUser},
        {0, Access::kWrite, false, kUw},
        {0, Access::kExecute, false, kPfUser | kPfFetch},
        {to | kP | kU, Access::kRead, true, 0},
        {to | kP | kU, Access::kWrite, false, kUw | kPfPresent},
        {to | kP | kW, Access::kRead, false, kPfUser | kPfPresent},  // supervisor in the NPT
        {to | kPwu | kNx, Access::kExecute, false, kPfUser | kPfPresent | kPfFetch},
        {to | kPwu | kNx, Access::kWrite, true, 0},
        {to | kPwu | kNx, Access::kRead, false, kPfUser | kPfPresent | kPfReserved, false},
        {to | kPwu | bit(40), Access::kRead, false, kPfUser | kPfPresent | kPfReserved},
        {to | kPwu | kPs | kG, Access::kRead, true, 0},
    };
    for (const Row& row : rows) {
        set(npt_entry(kData), row.entry);
        context.second.host_nxe = row.host_nxe;
        for (PrivClass p : {PrivClass::kUser, PrivClass::kSupervisor}) {
            const auto t = go(row.access, p);  // the guest's privilege does not matter
            CHECK(t.has_value() == row.ok);
            if (t) continue;
            CHECK(t.error().kind == WalkFault::Kind::kSecondViolation);
            CHECK(t.error().error_code == row.error);
            CHECK(t.error().guest_physical == (kData | 0x678));
            CHECK(t.error().linear == kVa);
            CHECK_FALSE(t.error().walk_access);
        }
    }
}

TEST_CASE_FIXTURE(Guest, "the guest's WP, SMEP and SMAP do not reach the nested tables") {
    context.wp = false;
    context.smep = context.smap = true;
    set(tree->entry(kVa, 1), kData | kP | kW);  // a supervisor page of the guest
    set(npt_entry(kData), (kData + kShift) | kP | kU);
    CHECK(go(Access::kExecute).has_value());
    const auto t = go(Access::kWrite);  // read-only in the NPT stays so without WP
    REQUIRE_FALSE(t.has_value());
    CHECK(t.error().error_code == (kUw | kPfPresent));
    CHECK_FALSE(go(Access::kRead)->writable);
}

TEST_CASE_FIXTURE(Guest, "walks of guest tables are user writes") {
    (void)go(Access::kWrite);
    const PhysAddr table_gpa = tree->entry(kVa, 2) - kShift;
    const PhysAddr entry = npt_entry(table_gpa);
    const u64 good = get(entry);
    struct Row {
        u64 value;
        u32 error;
    };
    for (const Row& row :
         {Row{good & ~kP, kUw}, Row{good & ~kW, kUw | kPfPresent},
          Row{good & ~kU, kUw | kPfPresent}, Row{good | bit(41), kUw | kPfPresent | kPfReserved}}) {
        set(entry, row.value);
        for (Access a : {Access::kRead, Access::kExecute}) {
            const auto t = go(a);
            REQUIRE_FALSE(t.has_value());
            CHECK(t.error().error_code == row.error);
            CHECK(t.error().walk_access);
            CHECK(t.error().access == Access::kWrite);
            CHECK(t.error().guest_physical == table_gpa);
        }
    }
    set(entry, good | kNx);  // no fetch: execute permission does not matter for tables
    CHECK(go(Access::kExecute).has_value());
}

TEST_CASE_FIXTURE(Guest, "the nested leaf may be 2 MiB or 1 GiB, the smaller page wins") {
    set(npt_entry(0x200000, 2), (kShift + 0x200000) | kPwu | kPs);
    tree->map(0x40000000, 0x200000, kPwu | kPs, 2);
    auto t = walk(memory, context, 0x40054321, Access::kRead, PrivClass::kUser);
    CHECK(t->machine == 0x254321 + kShift);
    CHECK(t->page_size == 0x200000);
    CHECK(go(Access::kRead)->page_size == 0x1000);
    npt.map(u64{7} << 30, u64{1} << 30, kPwu | kPs, 3);
    CHECK(walk_second(memory, context, (u64{7} << 30) + 0x123, Access::kRead, false)->machine ==
          (u64{1} << 30) + 0x123);
    context.page_1g = false;
    CHECK(walk_second(memory, context, u64{7} << 30, Access::kRead, false).error().error_code ==
          (kPfUser | kPfPresent | kPfReserved));
}

TEST_CASE_FIXTURE(Guest, "a PAE guest's PDPTEs are read through the nested tables on each walk") {
    Tree guest(*this, 3, kPwu, kShift);
    guest.map(0xC0001000, kData, kPwu);
    context.long_mode = false;
    context.pdpte_from_memory = true;
    context.cr3 = guest.root();
    CHECK(walk(memory, context, 0xC0001000, Access::kRead, PrivClass::kUser)->machine ==
          kData + kShift);
    set(npt_entry(guest.root()), 0);
    const auto t = walk(memory, context, 0xC0001000, Access::kRead, PrivClass::kUser);
    REQUIRE_FALSE(t.has_value());
    CHECK(t.error().walk_access);
    CHECK(t.error().guest_physical == guest.root() + 3 * 8);
}

TEST_CASE("legacy host modes: 32-bit and PAE nested tables") {
    World w;
    PagingContext c;
    c.second.kind = SecondStage::Kind::kNpt;
    c.second.host_long = false;
    SUBCASE("PAE: PDPTE from memory, 2-MByte page") {
        Tree npt(w, 3, kPwu);
        npt.map(0xC0200000, 0x400000, kPwu | kPs, 2);
        c.second.root = npt.root();
        const auto t = walk_second(w.memory, c, 0xC0212345, Access::kWrite, false);
        REQUIRE(t.has_value());
        CHECK(t->machine == 0x412345);
        CHECK((w.get(npt.entry(0xC0200000, 2)) & (kA | kD)) == (kA | kD));
        CHECK(walk_second(w.memory, c, 0x1000, Access::kRead, false).error().error_code == kPfUser);
        w.set(npt.root() + 24, w.get(npt.root() + 24) | bit(1));
        CHECK(walk_second(w.memory, c, 0xC0212345, Access::kRead, false).error().error_code ==
              (kPfUser | kPfPresent | kPfReserved));
    }
    SUBCASE("32-bit with PSE") {
        c.second.host_pae = false;
        c.second.root = w.page();
        w.set(c.second.root + 4, 0x00800000 | kPwu | kPs, 4);
        const auto t = walk_second(w.memory, c, 0x412345, Access::kRead, false);
        REQUIRE(t.has_value());
        CHECK(t->machine == 0x812345);
        CHECK(t->page_size == 0x400000);
        CHECK(w.get(c.second.root + 4, 4) == (0x00800000 | kPwu | kPs | kA));
    }
    // Guest-physical space ends at 4 GiB there.
    const auto t = walk_second(w.memory, c, u64{1} << 32, Access::kRead, false);
    REQUIRE_FALSE(t.has_value());
    CHECK(t.error().error_code == kPfUser);
}
