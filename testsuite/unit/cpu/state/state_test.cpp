// Derived state: mode word, segment ranges, paging context; accesses by segment and offset.
#include "cpu/state/segments.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;
using memory::Access;

TEST_CASE("segment ranges by type") {
    struct {
        u32 attr, limit;
        bool read, write;
        u64 lo, hi;
    } rows[] = {
        {0x93, 0xFFFF, true, true, 0, 0xFFFF},            // data, writable
        {0x91, 0xFFF, true, false, 0, 0xFFF},             // data, read-only
        {0x97, 0xFFF, true, true, 0x1000, 0xFFFF},        // expand-down, 16 bits
        {0x4097, 0xFFF, true, true, 0x1000, 0xFFFFFFFF},  // expand-down, 32 bits
        {0x9B, 0xFFFF, true, false, 0, 0xFFFF},           // code, readable
        {0x99, 0xFFFF, false, false, 0, 0},               // code, execute-only
        {0x13, 0xFFFF, false, false, 0, 0},               // absent
        {0x10093, 0xFFFF, false, false, 0, 0},            // unusable
    };
    for (const auto& r : rows) {
        CAPTURE(r.attr);
        const Segment s{8, r.attr, r.limit, 0};
        const auto read = segment_range(s, Access::kRead, false);
        const auto write = segment_range(s, Access::kWrite, false);
        CHECK((read.lo <= read.hi) == r.read);
        CHECK((write.lo <= write.hi) == r.write);
        if (r.read) CHECK(read.lo == r.lo);
        if (r.read) CHECK(read.hi == r.hi);
        CHECK(segment_range(s, Access::kWrite, true).hi == r.limit);  // real mode: the limit alone
    }
}

TEST_CASE("mode word and masks") {
    Machine m;
    m.real();
    CHECK(m.cpu.mode.real_or_v86());
    CHECK(m.cpu.mode.code_size_log2() == 1);
    CHECK(m.cpu.stack_mask == 0xFFFF);
    m.protected32(3);
    CHECK(m.cpu.mode.code_size_log2() == 2);
    CHECK(m.cpu.mode.cpl() == 3);
    CHECK(m.cpu.mode.stack32());
    CHECK(m.cpu.stack_mask == 0xFFFFFFFF);
    CHECK(m.cpu.mmu.data_class() == memory::PrivClass::kUser);
    m.v86();
    CHECK(m.cpu.mode.v86());
    CHECK(m.cpu.mode.code_size_log2() == 1);
    m.long64();
    CHECK(m.cpu.mode.code64());
    CHECK(m.cpu.ip_mask == ~u64{0});
    CHECK(m.cpu.mmu.data_class() == memory::PrivClass::kSupervisor);
    set_flags_register(m.cpu, 2 | kFlagAc);
    CHECK(m.cpu.mmu.data_class() == memory::PrivClass::kSupervisor);
    REQUIRE(write_cr4(m.cpu, kCr4Pae | kCr4Smap) == Step::kEnd);
    CHECK(m.cpu.mmu.data_class() == memory::PrivClass::kSupervisorAc);
    CHECK(m.cpu.mmu.context().paging);
    CHECK(m.cpu.mmu.context().long_mode);
    CHECK(m.cpu.mmu.context().nxe);
}

TEST_CASE("linear addresses: limits, wrap, and which exception") {
    Machine m;
    m.protected32();
    m.cpu.seg[kDs].limit = 0xFFF;
    m.cpu.update_segment(kDs);
    LinearAddr va;
    CHECK(m.cpu.linear(kDs, 0xFFC, 4, Access::kRead, va));
    CHECK_FALSE(m.cpu.linear(kDs, 0xFFD, 4, Access::kRead, va));
    CHECK(m.cpu.raised.event.vector == kGp);
    m.cpu.seg[kSs].limit = 0xFFF;
    m.cpu.update_segment(kSs);
    CHECK_FALSE(m.cpu.linear(kSs, 0x1000, 1, Access::kWrite, va));
    CHECK(m.cpu.raised.event.vector == kSs12);
    m.cpu.seg[kEs].base = 0xFFFFF000;
    m.cpu.update_segment(kEs);
    CHECK(m.cpu.linear(kEs, 0x2000, 1, Access::kRead, va));
    CHECK(va == 0x1000);
    CHECK_FALSE(m.cpu.linear(kCs, 0, 1, Access::kWrite, va));
}

TEST_CASE("A20 masks physical addresses") {
    Machine m;
    m.protected32();
    m.put(0x100000, 0xAA, 1);
    m.put(0, 0x55, 1);
    u8 v = 0;
    m.cpu.set_a20(false);
    CHECK(m.cpu.read(kDs, 0x100000, v));
    CHECK(v == 0x55);
    m.cpu.set_a20(true);
    CHECK(m.cpu.read(kDs, 0x100000, v));
    CHECK(v == 0xAA);
}
