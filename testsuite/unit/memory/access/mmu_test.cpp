// Hits, refills, crossings, dirty tracking and self-modifying code.
#include <doctest/doctest.h>

#include <array>

#include "mmu_world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

TEST_CASE_FIXTURE(MmuWorld, "a load fills the TLB for the whole page, of every size") {
    set(0x300008, 0x1122334455667788);
    u64 q = 0;
    CHECK_FALSE(cached(kVa, Access::kRead));
    REQUIRE(mmu.load(kVa + 8, q));
    CHECK(q == 0x1122334455667788);
    CHECK(cached(kVa + 0xFFF, Access::kRead));
    u8 b = 0;
    u16 w = 0;
    u32 d = 0;
    std::array<u64, 2> x{};
    CHECK(
        (mmu.load(kVa + 9, b) && mmu.load(kVa + 9, w) && mmu.load(kVa + 9, d) && mmu.load(kVa, x)));
    CHECK(b == 0x77);
    CHECK(w == 0x6677);
    CHECK(d == 0x44556677);
    CHECK(x[1] == q);
}

TEST_CASE_FIXTURE(MmuWorld, "the write tag is withheld until D is set") {
    const PhysAddr pte = tree.entry(kVa, 1);
    u64 q;
    REQUIRE(mmu.load(kVa, q));
    CHECK_FALSE(cached(kVa, Access::kWrite));
    CHECK((get(pte) & kD) == 0);
    REQUIRE(mmu.store(kVa, u64{5}));
    CHECK((get(pte) & kD) == kD);
    CHECK(cached(kVa, Access::kWrite));
    CHECK(get(0x300000) == 5);
    mmu.flush_all();
    REQUIRE(mmu.load(kVa, q));  // dirty already: the load's refill brings the write tag
    CHECK(cached(kVa, Access::kWrite));
}

TEST_CASE_FIXTURE(MmuWorld, "a store across pages is all or nothing") {
    set(0x300FF8, 0xAAAAAAAAAAAAAAAA);
    set(0x500000, 0xBBBBBBBBBBBBBBBB);
    REQUIRE(mmu.store(kVa + 0xFFD, u64{0x1122334455667788}));
    CHECK(get(0x300FF8) == 0x667788AAAAAAAAAA);
    CHECK(get(0x500000) == 0xBBBBBB1122334455);
    u64 q = 0;
    REQUIRE(mmu.load(kVa + 0xFFD, q));
    CHECK(q == 0x1122334455667788);

    tree.map(kVa + 0x1000, 0x500000, kP | kU);  // second page read-only
    mmu.flush_all();
    CHECK_FALSE(mmu.store(kVa + 0xFFD, u64{0}));
    CHECK(get(0x300FF8) == 0x667788AAAAAAAAAA);
    CHECK(mmu.fault().linear == kVa + 0x1000);
    CHECK(mmu.fault().error_code == (kPfPresent | kPfWrite | kPfUser));
    tree.map(kVa, 0x300000, kP | kU);
    mmu.flush_all();
    CHECK_FALSE(mmu.store(kVa + 0xFFD, u64{0}));  // both bad: the first is named, byte for byte
    CHECK(mmu.fault().linear == kVa + 0xFFD);
}

TEST_CASE_FIXTURE(MmuWorld, "read-modify-write: in place, across pages, refused") {
    RmwPlace place;
    u32 old = 0;
    set(0x300010, 41, 4);
    for (unsigned i = 0; i < 2; ++i) {  // miss, then hit
        REQUIRE(mmu.rmw_begin(kVa + 0x10, place, old));
        CHECK(place.host != nullptr);
        mmu.rmw_end(place, old + 1);
    }
    CHECK(get(0x300010, 4) == 43);
    set(0x300FFE, 0x2211, 2);
    set(0x500000, 0x4433, 2);
    RmwPlace split;
    REQUIRE(mmu.rmw_begin(kVa + 0xFFE, split, old));
    CHECK(split.host == nullptr);
    CHECK(old == 0x44332211);
    mmu.rmw_end(split, u32{0x88776655});
    CHECK(get(0x300FFE, 2) == 0x6655);
    CHECK(get(0x500000, 2) == 0x8877);
    tree.map(kVa, 0x300000, kP | kU);
    mmu.flush_all();
    CHECK_FALSE(mmu.rmw_begin(kVa, place, old));
    CHECK(mmu.fault().error_code == (kPfPresent | kPfWrite | kPfUser));
}

TEST_CASE_FIXTURE(MmuWorld, "privilege classes have arrays of their own") {
    tree.map(kVa, 0x300000, kP | kW);  // supervisor page
    u8 b;
    CHECK(mmu.load_as(PrivClass::kSupervisor, kVa, b));
    CHECK_FALSE(mmu.load(kVa, b));
    CHECK(mmu.store_as(PrivClass::kSupervisor, kVa, u8{9}));
    mmu.set_data_class(PrivClass::kSupervisor);
    CHECK(mmu.load(kVa, b));
    CHECK(b == 9);
    context.smap = true;
    mmu.set_context(context, {});
    tree.map(kVa, 0x300000, kPwu);
    mmu.flush_all();
    CHECK_FALSE(mmu.load(kVa, b));
    CHECK(mmu.load_as(PrivClass::kSupervisorAc, kVa, b));
    CHECK_FALSE(mmu.load(kVa, b));
}

TEST_CASE_FIXTURE(MmuWorld, "bulk transfers and probes") {
    std::vector<u8> out(4096), in(4096);
    for (unsigned i = 0; i < 4096; ++i) in[i] = static_cast<u8>(i * 7);
    REQUIRE(mmu.store_bytes(PrivClass::kUser, kVa + 0x123, in.data(), 4096));
    REQUIRE(mmu.load_bytes(PrivClass::kUser, kVa + 0x123, out.data(), 4096));
    CHECK(in == out);
    CHECK(get(0x500122, 1) == in[4095]);

    mmu.flush_all();
    const PhysAddr second = tree.map(kVa + 0x1000, 0x500000, kPwu);
    CHECK(mmu.probe(PrivClass::kUser, kVa + 0xFFF, 2, Access::kRead));
    CHECK((get(second) & (kA | kD)) == kA);
    CHECK(mmu.probe(PrivClass::kUser, kVa + 0xFFF, 2, Access::kWrite));
    CHECK((get(second) & kD));
    CHECK_FALSE(mmu.probe(PrivClass::kUser, kVa + 0x1FFF, 2, Access::kRead));
    CHECK(mmu.fault().linear == kVa + 0x2000);
    CHECK(mmu.probe(PrivClass::kUser, kVa + 0x1FFF, 1, Access::kRead));
}

TEST_CASE_FIXTURE(MmuWorld, "32-bit linear addresses wrap, 64-bit ones go on") {
    mmu.set_context(PagingContext{}, {});
    mmu.flush_all();
    set(0, 0x55, 1);
    u16 w = 0;
    REQUIRE(mmu.load(LinearAddr{0xFFFFFFFF}, w));  // a hole, then address 0
    CHECK(w == 0x55FF);
    mmu.set_context(context, {});
    mmu.flush_all();
    CHECK_FALSE(mmu.load(LinearAddr{0xFFFFFFFF}, w));
    tree.map(0xFFFFF000, 0x300000, kPwu);
    CHECK_FALSE(mmu.load(LinearAddr{0xFFFFFFFF}, w));
    CHECK(mmu.fault().linear == 0x1'0000'0000);
}

TEST_CASE_FIXTURE(MmuWorld, "fetch: host pointer, machine address, hit path, faults") {
    set(0x300120, 0xC3, 1);
    PhysAddr machine = 0;
    CHECK(mmu.fetch_hit(kVa + 0x120) == nullptr);
    const u8* p = mmu.fetch(kVa + 0x120, machine);
    REQUIRE(p);
    CHECK(*p == 0xC3);
    CHECK(machine == 0x300120);
    CHECK(mmu.fetch_hit(kVa + 0x120) == p);
    machine = 0;
    CHECK(mmu.fetch(kVa + 0x120, machine) == p);  // by hit
    CHECK(machine == 0x300120);
    tree.map(kVa, 0x300000, kPwu | kNx);
    mmu.flush_all();
    CHECK(mmu.fetch(kVa, machine) == nullptr);
    CHECK(mmu.fault().error_code == (kPfPresent | kPfUser | kPfFetch));
    u8 b;
    REQUIRE(mmu.load(kVa, b));
    CHECK(mmu.fetch_hit(kVa) == nullptr);  // readable, not executable
    mmu.set_code_class(PrivClass::kSupervisor);
    CHECK(mmu.fetch(kVa + 0x1000, machine) != nullptr);
}

TEST_CASE_FIXTURE(MmuWorld, "self-modifying code: line-precise notices, plain stores beside code") {
    REQUIRE(mmu.store(kVa, u8{1}));
    REQUIRE(cached(kVa, Access::kWrite));
    memory.mark_code(0x300100, 16);
    CHECK_FALSE(cached(kVa, Access::kWrite));  // the mark took the write tag away
    CHECK(cached(kVa, Access::kRead));
    REQUIRE(mmu.store(kVa, u8{2}));  // beside the code
    CHECK(owner.invalidated.empty());
    CHECK(get(0x300000, 1) == 2);
    REQUIRE(mmu.store(kVa + 0x108, u16{0x9090}));
    CHECK(owner.invalidated == std::vector<std::pair<PhysAddr, unsigned>>{{0x300108, 2}});
    CHECK(get(0x300108, 2) == 0x9090);
    u64 n = 16;
    CHECK(mmu.span(kVa, Access::kWrite, &n) == nullptr);
    CHECK(mmu.span(kVa, Access::kRead, &n) != nullptr);

    owner.invalidated.clear();
    RmwPlace place;
    u32 old;
    REQUIRE(mmu.rmw_begin(kVa + 0x13C, place, old));
    CHECK(place.host == nullptr);
    CHECK(owner.invalidated.empty());  // nothing is written yet
    mmu.rmw_end(place, u32{7});
    CHECK(owner.invalidated == std::vector<std::pair<PhysAddr, unsigned>>{{0x30013C, 4}});
    CHECK(get(0x30013C, 4) == 7);

    owner.invalidated.clear();
    memory.write(0x300100, std::array<u8, 4>{});  // DMA
    CHECK(owner.invalidated.size() == 1);

    memory.clear_code(0x300000);
    owner.invalidated.clear();
    REQUIRE(mmu.store(kVa + 0x108, u8{1}));
    CHECK(owner.invalidated.empty());
    CHECK(cached(kVa, Access::kWrite));
}

TEST_CASE_FIXTURE(MmuWorld, "a crossing store tells of the piece that hits code only") {
    memory.mark_code(0x500000, 4);
    REQUIRE(mmu.store(kVa + 0xFFE, u32{0}));
    CHECK(owner.invalidated == std::vector<std::pair<PhysAddr, unsigned>>{{0x500000, 2}});
}

TEST_CASE_FIXTURE(MmuWorld, "code marks reach every tag and class that maps the frame") {
    REQUIRE(mmu.store(kVa, u8{1}));
    tree.map(kVa + 0x5000, 0x300000, kPwu);  // an alias
    mmu.set_context(context, {7, 0, 0});
    REQUIRE(mmu.store_as(PrivClass::kSupervisor, kVa + 0x5000, u8{1}));
    memory.mark_code(0x300800, 1);
    REQUIRE(mmu.store_as(PrivClass::kSupervisor, kVa + 0x5800, u8{1}));
    mmu.set_context(context, {});
    REQUIRE(mmu.store(kVa + 0x800, u8{1}));
    CHECK(owner.invalidated.size() == 2);
}

TEST_CASE_FIXTURE(MmuWorld, "span: within the page, with the rights of the data class") {
    u64 n = 100;
    u8* p = mmu.span(kVa + 0xFF0, Access::kRead, &n);
    CHECK(p == ram->host() + 0x300FF0);
    CHECK(n == 16);
    n = 8;
    CHECK(mmu.span(kVa, Access::kWrite, &n) == ram->host() + 0x300000);
    CHECK(n == 8);
    CHECK((get(tree.entry(kVa, 1)) & kD));
    CHECK(mmu.span(kVa + 0x9000, Access::kRead, &n) == nullptr);
    CHECK(mmu.fault().linear == kVa + 0x9000);
}

TEST_CASE_FIXTURE(MmuWorld, "under EPT with A/D the write tag waits for both stages") {
    Tree ept(*this, 4, 7);
    for (u64 at = 0; at < kRamSize; at += 0x200000) ept.map(at, at, 7 | 6 << 3 | kPs, 2);
    context.second.kind = SecondStage::Kind::kEpt;
    context.second.root = ept.root();
    context.second.ept_accessed_dirty = true;
    mmu.set_context(context, {1, 0, ept.root()});
    const PhysAddr pte = tree.entry(kVa, 1), ept_leaf = ept.entry(0x200000, 2);
    set(pte, get(pte) | kD);
    u8 b;
    REQUIRE(mmu.load(kVa, b));
    CHECK_FALSE(cached(kVa, Access::kWrite));
    CHECK((get(ept_leaf) & bit(9)) == 0);
    REQUIRE(mmu.store(kVa, u8{3}));
    CHECK((get(ept_leaf) & bit(9)));
    CHECK(cached(kVa, Access::kWrite));
    set(ept_leaf, 0);
    mmu.flush(FlushFilter{.second_stage = ept.root()});
    CHECK_FALSE(mmu.load(kVa, b));
    CHECK(mmu.fault().kind == WalkFault::Kind::kSecondViolation);
}
