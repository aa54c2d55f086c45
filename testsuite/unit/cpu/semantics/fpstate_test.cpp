// Layouts of FNSTENV, FNSAVE, FXSAVE and XSAVE, their checks, and round trips.
#include <doctest/doctest.h>

#include "cpu/semantics/x87_state.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

constexpr u64 kArea = 0x30000;

struct StateMachine : Machine {
    explicit StateMachine(const char* spec = "max") : Machine(spec) {}
    bool go(std::initializer_list<int> insn) {
        code(insn);
        const u64 start = cpu.mode.real_or_v86() ? 0 : kCodeAt;
        cpu.rip = start;
        cpu.blocks->flush();
        (void)run();
        return cpu.rip == start + insn.size();
    }
    void enter64() {
        long64();
        cpu.cr4 |= kCr4Osfxsr | kCr4Osxsave;
        cpu.xcr0 = 3;
        cpu.update_mode();
        cpu.gpr[kRsi] = kArea;
    }
    // Something recognisable everywhere.
    void fill() {
        FpuState& f = cpu.fpu;
        f.fcw = 0x27F;
        f.fsw = 3 << 11 | x87::kC2;
        f.ftw = 0xFFFF;
        f.fop = 0x5A5;
        f.fip = 0x1234'5678'9ABC;
        f.fdp = 0x2345'6789'ABCD;
        f.fcs = 0x1111;
        f.fds = 0x2222;
        f.mxcsr = 0x9FC0;
        for (unsigned n = 0; n < 8; ++n) {
            x87::st(f, n) = {0x8000'0000'0000'0000 | n, static_cast<u16>(0x3FFF + n)};
            if (n < 3) x87::set_valid(f, n);
        }
        x87::st(f, 1) = {};                               // zero
        x87::st(f, 2) = {0x8000'0000'0000'0000, 0x7FFF};  // infinity
        for (unsigned n = 0; n < 16; ++n) {
            f.xmm[n].q[0] = 0x0101'0101'0101'0101 * n;
            f.xmm[n].q[1] = ~f.xmm[n].q[0];
        }
    }
    void clear(unsigned bytes, u8 with = 0xEE) {
        for (unsigned n = 0; n < bytes; ++n) put(kArea + n, with, 1);
    }
    u64 at(unsigned offset, unsigned size) { return get(kArea + offset, size); }
};

}  // namespace

TEST_CASE("FNSTENV: layouts, and exceptions masked afterwards") {
    StateMachine m;
    m.protected32();
    m.cpu.gpr[kRsi] = kArea;
    m.fill();
    m.cpu.fpu.fcw = 0x270;
    m.clear(32);
    REQUIRE(m.go({0xD9, 0x36}));
    CHECK(m.at(0, 4) == 0xFFFF'0270);
    CHECK(m.at(4, 4) == (0xFFFF'0000 | 3 << 11 | x87::kC2));
    // Physical registers 3 (valid), 4 (zero), 5 (special); the others empty.
    CHECK(m.at(8, 4) == (0xFFFF'0000 | (0xFFFF & ~(0x3F << 6)) | 1 << 8 | 2 << 10));
    CHECK(m.at(12, 4) == 0x5678'9ABC);
    CHECK(m.at(16, 4) == 0x05A5'1111);
    CHECK(m.at(20, 4) == 0x6789'ABCD);
    CHECK(m.at(24, 4) == 0xFFFF'2222);
    CHECK(m.at(28, 1) == 0xEE);
    CHECK(m.cpu.fpu.fcw == 0x27F);
    m.clear(32);
    REQUIRE(m.go({0x66, 0xD9, 0x36}));
    CHECK(m.at(0, 2) == 0x27F);
    CHECK(m.at(2, 2) == (3 << 11 | x87::kC2));
    CHECK(m.at(6, 2) == 0x9ABC);
    CHECK(m.at(8, 2) == 0x1111);
    CHECK(m.at(10, 2) == 0xABCD);
    CHECK(m.at(12, 2) == 0x2222);
    CHECK(m.at(14, 1) == 0xEE);
}

TEST_CASE("FNSTENV in real mode stores linear addresses") {
    StateMachine m;
    m.real();
    set_real_segment(m.cpu, kDs, kArea >> 4);
    m.fill();
    m.cpu.fpu.fip = 0x0123;
    m.cpu.fpu.fcs = 0x4567;
    m.cpu.fpu.fdp = 0x0004;
    m.cpu.fpu.fds = 0xF000;
    m.clear(32);
    REQUIRE(m.go({0xD9, 0x36, 0x00, 0x00}));
    CHECK(m.at(6, 2) == ((0x45670 + 0x123) & 0xFFFF));
    CHECK(m.at(8, 2) == (4 << 12 | 0x5A5));
    CHECK(m.at(10, 2) == 4);
    CHECK(m.at(12, 2) == 0xF000);
    m.clear(32);
    REQUIRE(m.go({0x66, 0xD9, 0x36, 0x00, 0x00}));
    CHECK(m.at(12, 2) == ((0x45670 + 0x123) & 0xFFFF));
    CHECK(m.at(16, 4) == (4 << 12 | 0x5A5));
}

TEST_CASE("FNSAVE initialises, FRSTOR brings everything back") {
    StateMachine m;
    m.protected32();
    m.cpu.gpr[kRsi] = kArea;
    m.fill();
    m.cpu.fpu.fip &= 0xFFFF'FFFF;
    m.cpu.fpu.fdp &= 0xFFFF'FFFF;
    const FpuState before = m.cpu.fpu;
    m.clear(112);
    REQUIRE(m.go({0xDD, 0x36}));
    CHECK(m.cpu.fpu.fcw == 0x37F);
    CHECK(m.cpu.fpu.ftw == 0xFFFF);
    CHECK(m.at(28, 8) == 0x8000'0000'0000'0000);
    CHECK(m.at(28 + 8, 2) == 0x3FFF);
    CHECK(m.at(28 + 78, 2) == 0x3FFF + 7);
    CHECK(m.at(108, 1) == 0xEE);
    for (auto& r : m.cpu.fpu.st) r = {};
    REQUIRE(m.go({0xDD, 0x26}));
    CHECK(m.cpu.fpu.fsw == before.fsw);
    CHECK(m.cpu.fpu.fcw == before.fcw);
    CHECK(x87::full_tag_word(m.cpu.fpu) == x87::full_tag_word(before));
    CHECK(m.cpu.fpu.fip == before.fip);
    CHECK(m.cpu.fpu.fcs == before.fcs);
    CHECK(m.cpu.fpu.fop == before.fop);
    for (unsigned n = 0; n < 8; ++n)
        CHECK(m.cpu.fpu.st[n].sign_exponent == before.st[n].sign_exponent);
    // Unmasking an exception that is already flagged makes it pending.
    m.cpu.fpu.fsw |= x87::kZe;
    m.put(kArea, 0x37B, 2);
    REQUIRE(m.go({0xD9, 0x2E}));  // fldcw
    CHECK((m.cpu.fpu.fsw & x87::kSummary));
}

TEST_CASE("FXSAVE: layout, what is not written, FXSAVE64, and back") {
    StateMachine m("max-amd");
    m.enter64();
    m.fill();
    m.clear(512);
    REQUIRE(m.go({0x0F, 0xAE, 0x06}));
    CHECK(m.at(0, 8) ==
          (u64{0x5A5} << 48 | u64{0x38} << 32 | u64{3 << 11 | x87::kC2} << 16 | 0x27F));
    CHECK(m.at(8, 8) == (u64{0x1111} << 32 | 0x5678'9ABC));
    CHECK(m.at(16, 8) == (u64{0x2222} << 32 | 0x6789'ABCD));
    CHECK(m.at(24, 4) == 0x9FC0);
    CHECK(m.at(28, 4) == 0x2FFFF);
    CHECK(m.at(32, 8) == 0x8000'0000'0000'0000);  // ST(0), not R0
    CHECK(m.at(160 + 15 * 16, 8) == 0x0F0F'0F0F'0F0F'0F0F);
    CHECK(m.at(416, 1) == 0xEE);
    REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x06}));
    CHECK(m.at(8, 8) == 0x1234'5678'9ABC);
    const FpuState before = m.cpu.fpu;
    m.cpu.fpu = FpuState{};
    REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x0E}));
    CHECK(m.cpu.fpu.fip == before.fip);
    CHECK(m.cpu.fpu.mxcsr == before.mxcsr);
    CHECK(m.cpu.fpu.fsw == before.fsw);
    CHECK(m.cpu.fpu.xmm[15].q[1] == before.xmm[15].q[1]);
    CHECK(x87::full_tag_word(m.cpu.fpu) == x87::full_tag_word(before));

    SUBCASE("fast FXSAVE leaves XMM out at CPL 0") {
        m.cpu.efer |= kEferFfxsr;
        m.clear(512);
        REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x06}));
        CHECK(m.at(24, 4) == 0x9FC0);
        CHECK(m.at(160, 1) == 0xEE);
    }
    SUBCASE("misaligned, and reserved MXCSR bits") {
        m.put(kArea + 24, 0x10000);
        CHECK_FALSE(m.go({0x0F, 0xAE, 0x0E}));
        CHECK(m.in_handler(kGp));
        m.enter64();
        m.cpu.gpr[kRsi] = kArea + 8;
        CHECK_FALSE(m.go({0x0F, 0xAE, 0x06}));
        CHECK(m.in_handler(kGp));
    }
    SUBCASE("LDMXCSR") {
        m.put(kArea, 0x1FA0);
        CHECK(m.go({0x0F, 0xAE, 0x16}));
        CHECK(m.cpu.fpu.mxcsr == 0x1FA0);
        m.put(kArea, 0x40000);
        CHECK_FALSE(m.go({0x0F, 0xAE, 0x16}));
        CHECK(m.in_handler(kGp));
    }
}

TEST_CASE("FXSAVE in 32-bit code saves eight XMM registers; a fault writes nothing") {
    StateMachine m;
    m.protected32();
    m.cpu.cr4 |= kCr4Osfxsr;
    m.cpu.update_mode();
    m.cpu.gpr[kRsi] = kArea;
    m.fill();
    m.clear(512);
    REQUIRE(m.go({0x0F, 0xAE, 0x06}));
    CHECK(m.at(160 + 7 * 16, 1) == 7);
    CHECK(m.at(288, 1) == 0xEE);
    m.enter64();
    m.cpu.gpr[kRsi] = (16 << 20) - 256;  // the second half is not mapped
    m.put((16 << 20) - 256, 0xEE, 1);
    CHECK_FALSE(m.go({0x0F, 0xAE, 0x06}));
    CHECK(m.in_handler(kPf));
    CHECK((m.get(m.cpu.gpr[kRsp], 8) & 2));  // reported as a write
    CHECK(m.get((16 << 20) - 256, 1) == 0xEE);
}

TEST_CASE("XSAVE and XRSTOR: components, header, initial state, checks") {
    StateMachine m;
    m.enter64();
    m.fill();
    m.clear(576, 0);
    m.cpu.gpr[kRax] = 2;
    m.cpu.gpr[kRdx] = 0;
    m.put(kArea, 0x7777, 2);
    REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x26}));  // xsave64, SSE only
    CHECK(m.at(0, 2) == 0x7777);
    CHECK(m.at(24, 4) == 0x9FC0);
    CHECK(m.at(512, 8) == 2);
    m.cpu.gpr[kRax] = ~u64{0};                // cut to XCR0
    REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x36}));  // xsaveopt64
    CHECK(m.at(512, 8) == 3);
    CHECK(m.at(0, 2) == 0x27F);
    m.cpu.fpu = FpuState{};
    REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x2E}));  // xrstor64
    CHECK(m.cpu.fpu.fcw == 0x27F);
    CHECK(m.cpu.fpu.xmm[9].q[0] == 0x0909'0909'0909'0909);
    m.put(kArea + 512, 0, 8);  // both components in their initial state
    REQUIRE(m.go({0x48, 0x0F, 0xAE, 0x2E}));
    CHECK(m.cpu.fpu.fcw == 0x37F);
    CHECK(m.cpu.fpu.ftw == 0xFFFF);
    CHECK(m.cpu.fpu.xmm[9].q[0] == 0);
    CHECK(m.cpu.fpu.mxcsr == 0x9FC0);  // MXCSR comes from memory all the same

    auto faults = [&](unsigned offset, u64 value) {
        m.clear(576, 0);
        m.put(kArea + 24, 0x1F80);
        m.put(kArea + offset, value, 8);
        m.enter64();
        m.cpu.gpr[kRax] = 3;
        const bool faulted = !m.go({0x48, 0x0F, 0xAE, 0x2E}) && m.in_handler(kGp);
        return faulted;
    };
    CHECK(faults(512, 4));             // a component XCR0 does not have
    CHECK(faults(520, u64{1} << 63));  // compacted format
    CHECK(faults(528, 1));
    CHECK(faults(24, 0x10000));
    CHECK_FALSE(faults(560, 1));
    m.enter64();
    m.cpu.gpr[kRsi] = kArea + 32;
    CHECK_FALSE(m.go({0x0F, 0xAE, 0x26}));
    CHECK(m.in_handler(kGp));
    m.enter64();
    m.cpu.cr4 &= ~kCr4Osxsave;
    m.cpu.update_mode();
    CHECK_FALSE(m.go({0x0F, 0xAE, 0x26}));
    CHECK(m.in_handler(kUd));
}
