// Which entries a flush must reach, and which it must spare. Source: SDM 3A 4.10.4, SDM 3C 29.4.3.
#include <doctest/doctest.h>

#include "mmu_world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

TEST_CASE_FIXTURE(MmuWorld, "flush filters select by tag") {
    const SpaceTag tags[] = {
        {0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 0}, {1, 0, 0xA000}, {2, 0, 0xA000}, {2, 0, 0xB000},
    };
    struct Row {
        FlushFilter filter;
        unsigned flushed;  // bit i: tags[i]
    };
    FlushFilter guests;
    guests.guest_only = true;
    FlushFilter page;
    page.va = kVa;
    page.asid = 1;
    FlushFilter other_page = page;
    other_page.va = kVa + 0x1000;
    const Row rows[] = {
        {{}, 0x7F},
        {{.asid = 0}, 0x03},
        {{.asid = 1}, 0x1C},
        {{.asid = 1, .pcid = 0}, 0x14},
        {{.pcid = 1}, 0x0A},
        {{.second_stage = 0xA000}, 0x30},
        {{.asid = 2, .second_stage = 0xA000}, 0x20},
        {guests, 0x7C},
        {page, 0x1C},
        {other_page, 0},
    };
    for (const Row& row : rows) {
        u8 b;
        for (const SpaceTag& tag : tags) {
            mmu.set_context(context, tag);
            REQUIRE(mmu.load(kVa, b));
        }
        mmu.flush(row.filter);
        unsigned flushed = 0;
        for (unsigned i = 0; i < std::size(tags); ++i) {
            mmu.set_context(context, tags[i]);
            if (!cached(kVa, Access::kRead)) flushed |= 1u << i;
        }
        CHECK(flushed == row.flushed);
    }
}

TEST_CASE_FIXTURE(MmuWorld, "global pages survive MOV CR3 and nothing else") {
    context.pge = true;
    mmu.set_context(context, {});
    tree.map(kVa, 0x300000, kPwu | kG);
    u8 b;
    const auto fill = [&] { CHECK((mmu.load(kVa, b) && mmu.load(kVa + 0x1000, b))); };
    fill();
    FlushFilter mov_cr3{.asid = 0, .pcid = 0};
    mov_cr3.keep_global = true;
    mmu.flush(mov_cr3);
    CHECK(cached(kVa, Access::kRead));
    CHECK_FALSE(cached(kVa + 0x1000, Access::kRead));
    fill();
    FlushFilter invlpg{.asid = 0};
    invlpg.va = kVa + 0x123;
    mmu.flush(invlpg);
    CHECK_FALSE(cached(kVa, Access::kRead));
    CHECK(cached(kVa + 0x1000, Access::kRead));
    fill();
    mmu.flush(FlushFilter{.asid = 0});  // CR4.PGE toggled
    CHECK_FALSE(cached(kVa, Access::kRead));
}

TEST_CASE_FIXTURE(MmuWorld, "INVLPG reaches a global page under every PCID") {
    context.pge = true;
    tree.map(kVa, 0x300000, kPwu | kG);
    u8 b;
    for (u16 pcid : {0, 1, 2}) {
        mmu.set_context(context, {0, pcid, 0});
        REQUIRE(mmu.load(kVa, b));
    }
    FlushFilter invlpg{.asid = 0};
    invlpg.va = kVa;
    mmu.flush(invlpg);
    for (u16 pcid : {0, 1, 2}) {
        mmu.set_context(context, {0, pcid, 0});
        CHECK_FALSE(cached(kVa, Access::kRead));
    }
}

TEST_CASE_FIXTURE(MmuWorld,
                  "INVLPG anywhere in a large page drops all its pieces, in all classes") {
    constexpr LinearAddr kBig = 0xFFFF'8880'0020'0000;
    tree.map(kBig, 0x200000, kPwu | kPs, 2);
    tree.map(kBig + 0x200000, 0x400000, kPwu | kPs, 2);
    u8 b;
    for (u64 o : {0x0, 0x1000, 0x7F000, 0x1FF000, 0x200000}) {
        REQUIRE(mmu.load(kBig + o, b));
        REQUIRE(mmu.load_as(PrivClass::kSupervisor, kBig + o, b));
    }
    REQUIRE(mmu.load(kVa, b));
    FlushFilter invlpg{.asid = 0};
    invlpg.va = kBig + 0x123456;
    mmu.flush(invlpg);
    for (PrivClass p : {PrivClass::kUser, PrivClass::kSupervisor}) {
        mmu.set_data_class(p);
        for (u64 o : {0x0, 0x1000, 0x7F000, 0x1FF000}) CHECK_FALSE(cached(kBig + o, Access::kRead));
        CHECK(cached(kBig + 0x200000, Access::kRead));
    }
    mmu.set_data_class(PrivClass::kUser);
    CHECK(cached(kVa, Access::kRead));
}

TEST_CASE_FIXTURE(MmuWorld,
                  "a first-stage large page in small second-stage pages is one page to INVLPG") {
    Tree ept(*this, 4, 7);
    ept.map_range(0, 0, u64{8} << 20, 7 | 6 << 3);
    context.second.kind = SecondStage::Kind::kEpt;
    context.second.root = ept.root();
    mmu.set_context(context, {1, 0, ept.root()});
    tree.map(0x40000000, 0x200000, kPwu | kPs, 2);
    u8 b;
    REQUIRE(mmu.load(LinearAddr{0x40000000}, b));
    REQUIRE(mmu.load(LinearAddr{0x40100000}, b));
    FlushFilter invlpg{.asid = 1};
    invlpg.va = 0x40000000;
    mmu.flush(invlpg);
    CHECK_FALSE(cached(0x40100000, Access::kRead));
}

// The paging-structure caches: what a flush drops of them shows when an entry above a leaf has
// changed and a page is asked for that the TLB does not hold.
TEST_CASE_FIXTURE(MmuWorld,
                  "every flush of the space drops its cached tables, INVLPG of any page too") {
    const LinearAddr beside = kVa + 0x1000;
    const PhysAddr pde = tree.entry(kVa, 2);
    const u64 good = get(pde);
    struct Row {
        FlushFilter filter;
        bool dropped;
    };
    FlushFilter elsewhere{.asid = 1, .linear_only = true};
    elsewhere.va = 0x1000;
    const Row rows[] = {
        {{}, true},
        {{.asid = 1}, true},
        {{.asid = 1, .keep_global = true, .linear_only = true}, true},
        {elsewhere, true},
        {{.asid = 2}, false},
        {{.asid = 1, .pcid = 1}, false},
        {{.second_stage = 0xA000}, false},
        {{.guest_only = true}, true},
    };
    mmu.set_context(context, {1, 0, 0});
    for (const Row& row : rows) {
        u8 b;
        mmu.flush_all();
        REQUIRE(mmu.load(kVa, b));
        set(pde, 0);
        mmu.set_context(context, {2, 0, 0});
        mmu.flush(row.filter);
        mmu.set_context(context, {1, 0, 0});
        CHECK(mmu.load(beside, b) == !row.dropped);
        set(pde, good);
    }
}

TEST_CASE_FIXTURE(MmuWorld, "cached tables serve no other CR3, mode or tag") {
    u8 b;
    REQUIRE(mmu.load(kVa, b));
    set(tree.entry(kVa, 2), 0);
    PagingContext other = context;
    other.smep = true;
    mmu.set_context(other, {});
    CHECK_FALSE(mmu.load(kVa + 0x1000, b));
    mmu.set_context(context, {});  // and it does not come back
    CHECK_FALSE(mmu.load(kVa + 0x1000, b));
    mmu.set_context(context, {0, 1, 0});
    CHECK_FALSE(mmu.load(kVa + 0x1000, b));
}

TEST_CASE_FIXTURE(MmuWorld,
                  "the second stage's cached tables go by INVEPT, not by the guest's own flushes") {
    Tree ept(*this, 4, 7);
    ept.map_range(0, 0, u64{8} << 20, 7 | 6 << 3);
    context.second.kind = SecondStage::Kind::kEpt;
    context.second.root = ept.root();
    mmu.set_context(context, {1, 0, ept.root()});
    u8 b;
    REQUIRE(mmu.load(kVa, b));
    const PhysAddr pde = ept.entry(tree.entry(kVa, 1), 2);
    const u64 good = get(pde);
    struct Row {
        FlushFilter filter;
        bool dropped;
    };
    const Row rows[] = {
        {{.asid = 1, .linear_only = true}, false},
        {{.guest_only = true, .linear_only = true}, false},
        {{.second_stage = 0xA000}, false},
        {{.second_stage = ept.root()}, true},
        {{.guest_only = true}, true},
        {{.asid = 1}, true},
        {{}, true},
    };
    for (const Row& row : rows) {
        REQUIRE(mmu.load(kVa, b));
        set(pde, 0);
        mmu.flush({.asid = 1, .linear_only = true});  // the linear mappings go in any case
        mmu.flush(row.filter);
        CHECK(mmu.load(kVa, b) == !row.dropped);
        set(pde, good);
    }
}

TEST_CASE_FIXTURE(MmuWorld, "switching tags keeps entries; contexts under one tag do not flush") {
    u8 b;
    REQUIRE(mmu.load(kVa, b));
    mmu.set_context(context, {3, 0, 0});
    CHECK_FALSE(cached(kVa, Access::kRead));
    mmu.set_context(context, {});
    CHECK(cached(kVa, Access::kRead));
    PagingContext other = context;
    other.cr3 = page();
    mmu.set_context(other, {});  // MOV CR3 whose flush the processor has yet to order
    CHECK(mmu.load(kVa, b));
    mmu.flush_all();
    CHECK_FALSE(mmu.load(kVa, b));
}

TEST_CASE_FIXTURE(MmuWorld, "more tags than the pool holds: correct, only refilled") {
    u8 b;
    for (unsigned round = 0; round < 2; ++round)
        for (u16 asid = 0; asid < 40; ++asid) {
            mmu.set_context(context, {asid, 0, 0});
            CHECK_FALSE(cached(kVa, Access::kRead));
            REQUIRE(mmu.load(kVa, b));
            CHECK(cached(kVa, Access::kRead));
        }
}
