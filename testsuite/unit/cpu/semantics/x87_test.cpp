// x87: register stack, stack faults, masked and unmasked exceptions, #MF and FERR#, pointers. That
// results are bit-exact over random operands is testsuite/native's business.
#include <doctest/doctest.h>

#include <bit>

#include "cpu/semantics/x87_host.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

constexpr u64 kData = 0x30000;
constexpr FpuState::Reg80 kOne{0x8000'0000'0000'0000, 0x3FFF}, kTwo{0x8000'0000'0000'0000, 0x4000},
    kThree{0xC000'0000'0000'0000, 0x4000}, kZero{}, kIndefinite{0xC000'0000'0000'0000, 0xFFFF};

struct FpuMachine : Machine {
    FpuMachine() : Machine("max") {
        long64();
        cpu.gpr[kRsi] = kData;
    }
    bool go(std::initializer_list<int> insn) {
        code(insn);
        cpu.rip = kCodeAt;
        cpu.blocks->flush();
        (void)run();
        return cpu.rip == kCodeAt + insn.size();
    }
    FpuState& f() { return cpu.fpu; }
    const FpuState::Reg80& st(unsigned n) { return x87::st(cpu.fpu, n); }
    bool st_is(unsigned n, const FpuState::Reg80& v) {
        return st(n).mantissa == v.mantissa && st(n).sign_exponent == v.sign_exponent;
    }
    void load(std::initializer_list<FpuState::Reg80> values) {  // the last becomes ST(0)
        x87::init(f());
        for (const auto& v : values) {
            x87::set_top(f(), f().top() - 1);
            x87::st(f(), 0) = v;
            x87::set_valid(f(), 0);
        }
    }
    unsigned depth() {
        unsigned n = 0;
        while (n < 8 && !x87::empty(f(), n)) ++n;
        return n;
    }
    u16 flags() { return f().fsw & 0x7F; }
};

}  // namespace

TEST_CASE("arithmetic: directions, memory forms, pops") {
    FpuMachine m;
    m.load({kThree, kOne});
    REQUIRE(m.go({0xDC, 0xE9}));  // fsub st1, st0
    CHECK(m.st_is(1, kTwo));
    m.load({kThree, kOne});
    REQUIRE(m.go({0xDE, 0xE9}));  // fsubp st1, st0
    CHECK(m.st_is(0, kTwo));
    CHECK(m.depth() == 1);
    m.put(kData, std::bit_cast<u32>(-1.0f));
    REQUIRE(m.go({0xD8, 0x2E}));  // fsubr dword [rsi]: -1 - 2
    CHECK(m.st_is(0, {0xC000'0000'0000'0000, 0xC000}));
    m.put(kData, std::bit_cast<u64>(2.0), 8);
    REQUIRE(m.go({0xDC, 0x06}));  // fadd qword
    m.put(kData, 0xFFFF, 2);
    REQUIRE(m.go({0xDE, 0x0E}));  // fimul word: -1 * -1
    CHECK(m.st_is(0, kOne));
    CHECK(m.flags() == 0);
    CHECK(m.f().fip == kCodeAt);
    CHECK(m.f().fdp == kData);
    CHECK(m.f().fop == 0x60E);
}

TEST_CASE("precision control, C1 and the precision flag") {
    FpuMachine m;
    m.load({kThree, kOne});
    REQUIRE(m.go({0xD8, 0xF1}));  // fdiv st0, st1
    CHECK(m.st_is(0, {0xAAAA'AAAA'AAAA'AAAB, 0x3FFD}));
    CHECK(m.flags() == x87::kPe);
    CHECK((m.f().fsw & x87::kC1));
    m.load({kThree, kOne});
    m.f().fcw = 0x7F;  // single precision
    REQUIRE(m.go({0xD8, 0xF1}));
    CHECK(m.st_is(0, {0xAAAA'AB00'0000'0000, 0x3FFD}));
    x87_host::leave();
    CHECK(x87_host::control_word() == 0x37F);
}

TEST_CASE("stack underflow and overflow, masked and not") {
    FpuMachine m;
    m.load({kOne});
    REQUIRE(m.go({0xD8, 0xC1}));  // fadd st0, st1 (empty)
    CHECK(m.st_is(0, kIndefinite));
    CHECK(m.flags() == (x87::kIe | x87::kSf));
    CHECK_FALSE((m.f().fsw & x87::kC1));
    m.load({kOne, kOne, kOne, kOne, kOne, kOne, kOne, kOne});
    REQUIRE(m.go({0xD9, 0xEE}));  // fldz
    CHECK(m.st_is(0, kIndefinite));
    CHECK(m.f().top() == 7);
    CHECK((m.f().fsw & x87::kC1));
    m.load({kOne});
    m.f().fcw = 0x37E;            // invalid operation unmasked
    REQUIRE(m.go({0xDE, 0xC1}));  // faddp: nothing happens but the flags
    CHECK(m.st_is(0, kOne));
    CHECK(m.depth() == 1);
    CHECK(m.f().fsw == (7 << 11 | x87::kIe | x87::kSf | x87::kSummary | x87::kBusy));
    x87_host::leave();
}

TEST_CASE("an unmasked exception is reported by the next waiting instruction") {
    FpuMachine m;
    m.load({kZero, kOne});
    m.f().fcw = 0x37B;            // ZM
    REQUIRE(m.go({0xD8, 0xF1}));  // fdiv st0, st1: retires
    CHECK(m.st_is(0, kOne));
    CHECK((m.f().fsw & (x87::kZe | x87::kSummary)) == (x87::kZe | x87::kSummary));
    CHECK(m.go({0xDF, 0xE0}));  // fnstsw ax does not wait
    CHECK((m.cpu.gpr[kRax] & 0x84) == 0x84);
    CHECK_FALSE(m.go({0xD9, 0xE8}));  // fld1 does
    CHECK(m.in_handler(kMf));
    m.long64();
    CHECK_FALSE(m.go({0x0F, 0x77}));  // emms too
    CHECK(m.in_handler(kMf));
    m.long64();
    CHECK_FALSE(m.go({0x9B}));  // fwait
    CHECK(m.in_handler(kMf));
    m.long64();
    CHECK(m.go({0xDB, 0xE2}));  // fnclex
    CHECK(m.go({0xD9, 0xE8}));
    x87_host::leave();
}

TEST_CASE("CR0.NE = 0: FERR#, and the instruction waits for IGNNE#") {
    FpuMachine m;
    unsigned asserted = 0, dropped = 0;
    m.cpu.on_ferr = [&](bool level) { ++(level ? asserted : dropped); };
    m.cpu.cr0 &= ~kCr0Ne;
    m.load({kZero, kOne});
    m.f().fcw = 0x37B;
    REQUIRE(m.go({0xD8, 0xF1}));
    CHECK(asserted == 0);
    const u64 before = m.cpu.ticks();
    CHECK_FALSE(m.go({0xD9, 0xE8}));
    CHECK(m.cpu.rip == kCodeAt);  // still there, but time has passed
    CHECK(m.cpu.ticks() == before + 1);
    CHECK(asserted == 1);
    m.cpu.ignne = true;
    CHECK(m.go({0xD9, 0xE8}));
    CHECK(dropped == 0);
    CHECK(m.go({0xDB, 0xE2}));  // fnclex
    CHECK(dropped == 1);
    x87_host::leave();
}

TEST_CASE("unmasked overflow gives registers a biased result and memory none") {
    FpuMachine m;
    const FpuState::Reg80 huge{0x8000'0000'0000'0000, 0x7FFE};
    m.load({huge, huge});
    m.f().fcw = 0x377;            // OM
    REQUIRE(m.go({0xD8, 0xC9}));  // fmul st0, st1
    CHECK(m.st_is(0, {0x8000'0000'0000'0000, 0x7FFE + 0x7FFE - 0x3FFF - 24576}));
    CHECK((m.f().fsw & x87::kOe));
    m.load({huge});
    m.f().fcw = 0x377;
    m.put(kData, 0x1234'5678);
    REQUIRE(m.go({0xD9, 0x1E}));  // fstp dword
    CHECK(m.get(kData) == 0x1234'5678);
    CHECK(m.depth() == 1);
    m.load({huge});
    REQUIRE(m.go({0xD9, 0x1E}));  // masked: infinity
    CHECK(m.get(kData) == 0x7F80'0000);
    CHECK(m.depth() == 0);
    x87_host::leave();
}

TEST_CASE("a store that faults leaves flags and stack alone") {
    FpuMachine m;
    m.load({{0xAAAA'AAAA'AAAA'AAAB, 0x3FFD}});
    m.cpu.gpr[kRsi] = 0x4000'0000;
    CHECK_FALSE(m.go({0xD9, 0x1E}));
    CHECK(m.in_handler(kPf));
    CHECK(m.flags() == 0);
    CHECK(m.depth() == 1);
}

TEST_CASE("integer and decimal stores") {
    FpuMachine m;
    m.load({{0x9C40'0000'0000'0000, 0x400E}});  // 40000
    REQUIRE(m.go({0xDF, 0x16}));                // fist word: too large
    CHECK(m.get(kData, 2) == 0x8000);
    CHECK(m.flags() == x87::kIe);
    REQUIRE(m.go({0xDF, 0x36}));  // fbstp
    CHECK(m.get(kData, 8) == 0x40000);
    CHECK(m.get(kData + 8, 2) == 0);
    REQUIRE(m.go({0xDF, 0x26}));  // fbld
    CHECK(m.st_is(0, {0x9C40'0000'0000'0000, 0x400E}));
    m.load({{0xE000'0000'0000'0000, 0x3FFF}});  // 1.75
    REQUIRE(m.go({0xDB, 0x0E}));                // fisttp dword
    CHECK(m.get(kData) == 1);
    CHECK(m.depth() == 0);
}

TEST_CASE("compares, FCMOV, FXAM, FPREM, FXTRACT") {
    FpuMachine m;
    m.load({kOne, kTwo});
    REQUIRE(m.go({0xDF, 0xF1}));  // fcomip st0, st1
    CHECK(m.cpu.cc == kCcFixed);
    CHECK(m.depth() == 1);
    REQUIRE(m.go({0xD9, 0xE4}));  // ftst
    CHECK((m.f().fsw & x87::kCodes) == 0);
    m.load({kOne, {0xC000'0000'0000'0001, 0x7FFF}});
    REQUIRE(m.go({0xDD, 0xE1}));  // fucom with a quiet NaN
    CHECK((m.f().fsw & x87::kCodes) == (x87::kC0 | x87::kC2 | x87::kC3));
    CHECK(m.flags() == 0);
    REQUIRE(m.go({0xD8, 0xD1}));  // fcom
    CHECK(m.flags() == x87::kIe);
    m.load({kOne, kTwo});
    m.cpu.cc = kCcFixed | kCcZf;
    REQUIRE(m.go({0xDA, 0xC9}));  // fcmove
    CHECK(m.st_is(0, kOne));
    m.load({});
    REQUIRE(m.go({0xD9, 0xE5}));  // fxam: empty
    CHECK((m.f().fsw & (x87::kC0 | x87::kC2 | x87::kC3)) == (x87::kC0 | x87::kC3));
    m.load({kTwo, kThree});
    REQUIRE(m.go({0xD9, 0xF8}));  // fprem: 3 mod 2, quotient 1
    CHECK(m.st_is(0, kOne));
    CHECK((m.f().fsw & x87::kCodes) == x87::kC1);
    m.load({kThree});
    REQUIRE(m.go({0xD9, 0xF4}));  // fxtract: 1.5 * 2^1
    CHECK(m.st_is(0, {0xC000'0000'0000'0000, 0x3FFF}));
    CHECK(m.st_is(1, kOne));
    m.load({{0x8000'0000'0000'0000, 0x4040}});
    REQUIRE(m.go({0xD9, 0xFE}));  // fsin out of range
    CHECK((m.f().fsw & x87::kC2));
    CHECK(m.st_is(0, {0x8000'0000'0000'0000, 0x4040}));
}
