// User instructions that processors of Intel's and AMD's do differently (and one that they do
// alike, whatever the SDM says).
#include "cpu/interpreter/block_cache.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

constexpr u64 kEnd = 16 << 20;  // of memory and of the map
constexpr u64 kFree = 0x30000;

struct TwoVendors {
    Machine intel{"max"}, amd{"max-amd"};
};

// One instruction at kCodeAt.
void go(Machine& m, std::initializer_list<int> insn, u64 ticks = 1) {
    m.code(insn);
    m.cpu.rip = kCodeAt;
    m.cpu.blocks->flush();
    (void)m.run(ticks);
}

}  // namespace

TEST_CASE_FIXTURE(TwoVendors, "MOVSXD to a word register reads a word on Intel's processors") {
    for (Machine* m : {&intel, &amd}) {
        m->long64();
        m->cpu.gpr[kRsi] = kEnd - 2;
        m->put(kEnd - 2, 0x8765, 2);
        m->cpu.gpr[kRax] = 0x1111;
        go(*m, {0x66, 0x63, 0x06});  // movsxd ax, [rsi]
    }
    CHECK(intel.cpu.gpr[kRax] == 0x8765);
    CHECK(amd.in_handler(kPf));
}

TEST_CASE_FIXTURE(TwoVendors, "PUSH of a selector writes a word on Intel's, POP reads one") {
    for (Machine* m : {&intel, &amd}) {
        m->protected32();
        m->put(kStack0 - 4, 0xAAAA'AAAA);
        go(*m, {0x1E});  // push ds
        CHECK(m->cpu.gpr[kRsp] == kStack0 - 4);
    }
    CHECK(intel.get(kStack0 - 4) == (0xAAAA'0000 | kData0));
    CHECK(amd.get(kStack0 - 4) == kData0);
    SUBCASE("16-bit operand") {
        go(intel, {0x66, 0x1E});
        CHECK(intel.cpu.gpr[kRsp] == kStack0 - 6);
        CHECK(intel.get(kStack0 - 6, 2) == kData0);
    }
    SUBCASE("the word may be the segment's last") {
        for (Machine* m : {&intel, &amd}) {
            m->cpu.seg[kSs].limit = kStack0 - 3;
            m->cpu.update_segment(kSs);
            go(*m, {0x07});  // pop es
        }
        CHECK(intel.cpu.rip == kCodeAt + 1);
        CHECK(intel.cpu.gpr[kRsp] == kStack0);
        CHECK(intel.cpu.seg[kEs].selector == kData0);
        CHECK(amd.cpu.rip != kCodeAt + 1);
    }
    SUBCASE("64-bit code pushes eight bytes") {
        intel.long64();
        intel.put(kStack0 - 8, ~u64{0}, 8);
        go(intel, {0x0F, 0xA0});  // push fs
        CHECK(intel.get(kStack0 - 8, 8) == kData0);
    }
}

TEST_CASE_FIXTURE(TwoVendors, "IRETQ to compatibility mode: bits 63:32 of the target") {
    for (Machine* m : {&intel, &amd}) {
        m->long64();
        m->cpu.gpr[kRsp] -= 40;
        const u64 frame[5] = {u64{0x1234} << 32 | kFree, kCode0, 2, kStack0, kData0};
        for (unsigned n = 0; n < 5; ++n) m->put(m->cpu.gpr[kRsp] + 8 * n, frame[n], 8);
        go(*m, {0x48, 0xCF});
    }
    CHECK(intel.cpu.rip == kFree);
    CHECK(!intel.cpu.code64());
    CHECK(amd.in_handler(kGp));
}

TEST_CASE_FIXTURE(TwoVendors, "a repeated compare that faults gives Intel's old flags back") {
    const auto scan = [](Machine& m, u64 piece) {
        m.long64();
        for (u64 n = 1; n <= 3; ++n) m.put(kEnd - n, 0xFF, 1);
        m.cpu.gpr[kRax] = 1;
        m.cpu.gpr[kRcx] = 10;
        m.cpu.gpr[kRdi] = kEnd - 3;
        m.cpu.cc = static_cast<Cc>(kCcFixed | kCcZf | kCcOf);
        go(m, {0xF2, 0xAE}, piece);  // repne scasb
        while (!m.in_handler(kPf) && m.cpu.gpr[kRcx]) (void)m.run(piece);
        CHECK(m.cpu.gpr[kRdi] == kEnd);
        CHECK(m.cpu.gpr[kRcx] == 7);
        return m.get(m.cpu.gpr[kRsp] + 24, 8) & kFlagsArith;
    };
    for (u64 piece : {1, 2, 100}) {  // whatever it is done in
        CHECK(scan(intel, piece) == (kFlagZf | kFlagOf));
        CHECK(scan(amd, piece) == (kFlagCf | kFlagAf));  // 1 - FFH
    }
}

TEST_CASE_FIXTURE(TwoVendors, "CVTPI2PS from memory leaves the x87 state alone") {
    for (Machine* m : {&intel, &amd}) {
        m->long64();
        m->cpu.cr4 |= kCr4Osfxsr;
        m->cpu.update_mode();
        m->cpu.gpr[kRsi] = kFree;
        m->put(kFree, 1, 8);
        m->cpu.fpu.fsw = 5 << 11 | 0x80;  // a pending exception as well
        m->cpu.fpu.ftw = 0xFFFF;
        go(*m, {0x0F, 0x2A, 0x06});  // cvtpi2ps xmm0, [rsi]
        CHECK(m->cpu.rip == kCodeAt + 3);
        CHECK(m->cpu.fpu.top() == 5);
        CHECK(m->cpu.fpu.ftw == 0xFFFF);
        CHECK(m->cpu.fpu.xmm[0].q[0] == 0x3F800000);
        m->cpu.fpu.fsw = 5 << 11;
        go(*m, {0x0F, 0x2A, 0xC1});  // cvtpi2ps xmm0, mm1
        CHECK(m->cpu.fpu.top() == 0);
        CHECK(m->cpu.fpu.ftw == 0);
    }
}
