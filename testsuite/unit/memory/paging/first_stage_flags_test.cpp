// Accessed, dirty and global flags of the first stage, and the walk that only looks.
// Source: SDM 3A 4.8, 4.10.2.4.
#include <doctest/doctest.h>

#include "../world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

namespace {

constexpr LinearAddr kVa = 0x0000'7F00'1234'5678;

struct Fixture : World {
    Tree tree{*this, 4, kPwu};
    PagingContext context = long_context(tree.root());
    PhysAddr pte = tree.map(kVa, 0x300000, kPwu);
    u64 flags(unsigned level) { return get(tree.entry(kVa, level)) & (kA | kD); }
};

struct CountWrites : PhysicalListener {
    std::vector<PhysAddr> at;
    void map_changed() override {}
    void code_written(PhysAddr addr, std::span<const u8>) override { at.push_back(addr); }
    void code_marked(PhysAddr) override {}
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "reads set A at every level, writes D in the leaf only") {
    auto t = walk(memory, context, kVa, Access::kRead, PrivClass::kUser);
    CHECK_FALSE(t->dirty);
    for (unsigned l = 1; l <= 4; ++l) CHECK(flags(l) == kA);
    t = walk(memory, context, kVa, Access::kExecute, PrivClass::kUser);
    CHECK(flags(1) == kA);
    t = walk(memory, context, kVa, Access::kWrite, PrivClass::kUser);
    CHECK(t->dirty);
    CHECK(flags(1) == (kA | kD));
    for (unsigned l = 2; l <= 4; ++l) CHECK(flags(l) == kA);
    CHECK(walk(memory, context, kVa, Access::kRead, PrivClass::kUser)->dirty);
}

TEST_CASE_FIXTURE(Fixture, "an access that faults sets nothing") {
    set(pte, 0x300000 | kP | kU);
    CHECK_FALSE(walk(memory, context, kVa, Access::kWrite, PrivClass::kUser).has_value());
    set(pte, 0);
    CHECK_FALSE(walk(memory, context, kVa, Access::kRead, PrivClass::kUser).has_value());
    for (unsigned l = 1; l <= 4; ++l) CHECK(flags(l) == 0);
}

TEST_CASE_FIXTURE(Fixture, "entries that have their flags are not written again") {
    (void)walk(memory, context, kVa, Access::kWrite, PrivClass::kUser);
    CountWrites writes;
    memory.add_listener(&writes);
    for (unsigned l = 1; l <= 4; ++l) memory.mark_code(tree.entry(kVa, l), 8);
    (void)walk(memory, context, kVa, Access::kWrite, PrivClass::kUser);
    CHECK(writes.at.empty());
    set(pte, get(pte) & ~kD);  // seen by the listener, like the walker's own store after it
    (void)walk(memory, context, kVa, Access::kWrite, PrivClass::kUser);
    CHECK(writes.at == std::vector<PhysAddr>{pte, pte});
}

TEST_CASE_FIXTURE(Fixture,
                  "a recursive slot: one entry used at several levels keeps all its flags") {
    const u64 self = tree.root() + 511 * 8;
    set(self, tree.root() | kPwu);
    const LinearAddr va = 0xFFFF'FFFF'FFFF'F000 + 511 * 8;  // the entry seen through itself
    const auto t = walk(memory, context, va, Access::kWrite, PrivClass::kUser);
    REQUIRE(t.has_value());
    CHECK(t->machine == self);
    CHECK((get(self) & (kA | kD)) == (kA | kD));
}

TEST_CASE("4-MByte and 2-MByte pages: D sits in the PDE") {
    World w;
    SUBCASE("32-bit") {
        PagingContext c;
        c.paging = c.pse = true;
        c.cr3 = w.page();
        w.set(c.cr3, kPwu | kPs, 4);
        w.set(c.cr3 + 4, 0x12345678, 4);  // the neighbour stays
        const auto t = walk(w.memory, c, 0x1234, Access::kWrite, PrivClass::kUser);
        CHECK(t->machine == 0x1234);
        CHECK(w.get(c.cr3, 4) == (kPwu | kPs | kA | kD));
        CHECK(w.get(c.cr3 + 4, 4) == 0x12345678);
    }
    SUBCASE("PAE: the PDPTE gets no flags") {
        Tree tree(w, 3, kPwu);
        const PhysAddr pde = tree.map(0x40200000, 0x200000, kPwu | kPs, 2);
        PagingContext c;
        c.paging = c.pae = c.pdpte_from_memory = true;
        c.cr3 = tree.root();
        const u64 pdpte = w.get(tree.root() + 8);
        const auto t = walk(w.memory, c, 0x40200123, Access::kWrite, PrivClass::kUser);
        REQUIRE(t.has_value());
        CHECK(w.get(pde) == (0x200000 | kPwu | kPs | kA | kD));
        CHECK(w.get(tree.root() + 8) == pdpte);
    }
}

TEST_CASE_FIXTURE(Fixture, "G counts in the leaf and with CR4.PGE") {
    set(pte, get(pte) | kG);
    CHECK_FALSE(walk(memory, context, kVa, Access::kRead, PrivClass::kUser)->global);
    context.pge = true;
    CHECK(walk(memory, context, kVa, Access::kRead, PrivClass::kUser)->global);
    set(pte, get(pte) & ~kG);
    set(tree.entry(kVa, 2), get(tree.entry(kVa, 2)) | kG);
    CHECK_FALSE(walk(memory, context, kVa, Access::kRead, PrivClass::kUser)->global);
}

namespace {
struct Forbidden : MmioWindow {
    unsigned touched = 0;
    u64 mmio_read(u64, unsigned) override {
        ++touched;
        return 0;
    }
    void mmio_write(u64, unsigned, u64) override { ++touched; }
};
}  // namespace

TEST_CASE_FIXTURE(Fixture, "probe_walk changes nothing, ignores permissions, spares devices") {
    set(pte, 0x300000 | kP | kNx);
    const auto t = probe_walk(memory, context, kVa);
    REQUIRE(t.has_value());
    CHECK(t->machine == 0x300678);
    CHECK_FALSE(t->dirty);
    for (unsigned l = 1; l <= 4; ++l) CHECK(flags(l) == 0);
    set(pte, 0);
    CHECK_FALSE(probe_walk(memory, context, kVa).has_value());
    Forbidden device;
    memory.map_mmio(0x80000000, 0x1000, &device);
    set(tree.entry(kVa, 3), 0x80000000 | kPwu);
    CHECK_FALSE(probe_walk(memory, context, kVa).has_value());
    CHECK(device.touched == 0);
}
