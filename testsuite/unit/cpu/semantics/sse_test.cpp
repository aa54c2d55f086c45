// Vector instructions: a spot of each operand pattern, floating-point control and exceptions,
// alignment and mode checks. Bit-exactness over random operands is testsuite/native's business.
#include <doctest/doctest.h>

#include <bit>
#include <cstring>

#include "cpu/semantics/aes.h"
#include "cpu/semantics/crc32.h"
#include "cpu/semantics/sse_host.h"
#include "cpu/semantics/sse_string.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

constexpr u64 kData = 0x30000;

struct SseMachine : Machine {
    explicit SseMachine(const char* spec = "max-amd") : Machine(spec) {
        long64();
        cpu.cr4 |= kCr4Osfxsr | kCr4Osxmmexcpt;
        cpu.update_mode();
        cpu.gpr[kRsi] = kData;
    }
    // Runs one instruction at kCodeAt; true: it retired.
    bool go(std::initializer_list<int> insn) {
        code(insn);
        cpu.rip = kCodeAt;
        cpu.blocks->flush();
        (void)run();
        return cpu.rip == kCodeAt + insn.size();
    }
    FpuState::Xmm& x(unsigned n) { return cpu.fpu.xmm[n]; }
    void set(unsigned n, u64 low, u64 high = 0) {
        x(n).q[0] = low;
        x(n).q[1] = high;
    }
    bool is(unsigned n, u64 low, u64 high) { return x(n).q[0] == low && x(n).q[1] == high; }
};

u32 bits(float v) { return std::bit_cast<u32>(v); }
u64 bits(double v) { return std::bit_cast<u64>(v); }

}  // namespace

TEST_CASE("integer operations: register, memory, immediate, and MMX forms") {
    SseMachine m;
    m.set(1, 0x00FF'0102'0304'0506, 0x8080'8080'8080'8080);
    m.set(2, 0x0001'0101'0101'0101, 0x8080'8080'8080'8080);
    REQUIRE(m.go({0x66, 0x0F, 0xFC, 0xCA}));  // paddb xmm1, xmm2
    CHECK(m.is(1, 0x0000'0203'0405'0607, 0));
    m.put(kData, 0x1111'2222'3333'4444, 8);
    m.put(kData + 8, 0x5555'6666'7777'8888, 8);
    REQUIRE(m.go({0x66, 0x0F, 0x70, 0x0E, 0x1B}));  // pshufd xmm1, [rsi], 1Bh
    CHECK(m.is(1, 0x7777'8888'5555'6666, 0x3333'4444'1111'2222));
    REQUIRE(m.go({0x66, 0x0F, 0x73, 0xF9, 0x03}));  // pslldq xmm1, 3
    REQUIRE(m.go({0x66, 0x0F, 0x73, 0xD9, 0x03}));  // psrldq xmm1, 3
    CHECK((m.x(1).q[1] >> 40) == 0);
    REQUIRE(m.go({0x66, 0x0F, 0xD7, 0xC1}));  // pmovmskb eax, xmm1
    CHECK(m.cpu.gpr[kRax] == 0x30);

    m.cpu.fpu.fsw = 5 << 11;
    REQUIRE(m.go({0x0F, 0x6F, 0x06}));  // movq mm0, [rsi]
    CHECK(m.cpu.fpu.st[0].mantissa == 0x1111'2222'3333'4444);
    CHECK(m.cpu.fpu.st[0].sign_exponent == 0xFFFF);
    CHECK(m.cpu.fpu.ftw == 0);
    CHECK(m.cpu.fpu.top() == 0);
    REQUIRE(m.go({0x0F, 0x69, 0xC0}));  // punpckhwd mm0, mm0
    CHECK(m.cpu.fpu.st[0].mantissa == 0x1111'1111'2222'2222);
    REQUIRE(m.go({0x0F, 0x77}));  // emms
    CHECK(m.cpu.fpu.ftw == 0xFFFF);
}

TEST_CASE("moves: what happens to the rest of the register") {
    SseMachine m;
    m.put(kData, 0x1122'3344'5566'7788, 8);
    m.set(1, ~u64{0}, ~u64{0});
    m.set(2, 7, 8);
    REQUIRE(m.go({0xF3, 0x0F, 0x10, 0x0E}));  // movss xmm1, [rsi]
    CHECK(m.is(1, 0x5566'7788, 0));
    REQUIRE(m.go({0xF2, 0x0F, 0x10, 0xD1}));  // movsd xmm2, xmm1
    CHECK(m.is(2, 0x5566'7788, 8));
    m.cpu.gpr[kRax] = 0x9ABC'DEF0'1234'5678;
    REQUIRE(m.go({0x66, 0x48, 0x0F, 0x6E, 0xC8}));  // movq xmm1, rax
    CHECK(m.is(1, 0x9ABC'DEF0'1234'5678, 0));
    REQUIRE(m.go({0x66, 0x0F, 0x7E, 0xC9}));  // movd ecx, xmm1
    CHECK(m.cpu.gpr[kRcx] == 0x1234'5678);
    m.set(3, 1, 2);
    REQUIRE(m.go({0xF3, 0x0F, 0x7E, 0xCB}));  // movq xmm1, xmm3
    CHECK(m.is(1, 1, 0));
    REQUIRE(m.go({0x66, 0x48, 0x0F, 0x7E, 0xD8}));  // movq rax, xmm3
    CHECK(m.cpu.gpr[kRax] == 1);
    REQUIRE(m.go({0x0F, 0x16, 0xCB}));  // movlhps xmm1, xmm3
    CHECK(m.is(1, 1, 1));
}

TEST_CASE("alignment: #GP(0), except for unaligned moves, string compares and AMD's MM bit") {
    SseMachine m;
    m.cpu.gpr[kRsi] = kData + 8;
    CHECK_FALSE(m.go({0x66, 0x0F, 0xFC, 0x0E}));  // paddb xmm1, [rsi]
    CHECK(m.in_handler(kGp));
    m.long64();
    m.cpu.cr4 |= kCr4Osfxsr;
    m.cpu.update_mode();
    CHECK(m.go({0x0F, 0x10, 0x0E}));                    // movups
    CHECK(m.go({0x66, 0x0F, 0x3A, 0x63, 0x0E, 0x00}));  // pcmpistri
    CHECK(m.go({0xF2, 0x0F, 0x10, 0x0E}));              // movsd
    m.cpu.fpu.mxcsr |= kMxcsrMm;
    CHECK(m.go({0x66, 0x0F, 0xFC, 0x0E}));
    CHECK_FALSE(m.go({0x0F, 0x28, 0x0E}));  // movaps is not forgiven
    CHECK(m.in_handler(kGp));
}

TEST_CASE("memory operands are read in their own size") {
    SseMachine m;
    m.cpu.gpr[kRsi] = (16 << 20) - 4;             // four bytes before the end of what is mapped
    CHECK(m.go({0xF3, 0x0F, 0x58, 0x0E}));        // addss xmm1, [rsi]
    CHECK(m.go({0x66, 0x0F, 0x38, 0x21, 0x0E}));  // pmovsxbd xmm1, [rsi]
    CHECK(m.go({0x0F, 0x60, 0x06}));              // punpcklbw mm0, [rsi]
    CHECK_FALSE(m.go({0xF2, 0x0F, 0x58, 0x0E}));  // addsd
    CHECK(m.in_handler(kPf));
}

TEST_CASE("mode checks: #UD without OSFXSR or with EM, #NM with TS") {
    SseMachine m;
    m.cpu.cr0 |= kCr0Ts;
    m.cpu.update_mode();
    CHECK_FALSE(m.go({0x0F, 0x58, 0xCA}));
    CHECK(m.in_handler(kNm));
    m.long64();
    CHECK_FALSE(m.go({0x0F, 0x58, 0xCA}));  // OSFXSR is clear again
    CHECK(m.in_handler(kUd));
    m.long64();
    m.cpu.cr0 |= kCr0Em;
    m.cpu.update_mode();
    CHECK_FALSE(m.go({0x0F, 0xFC, 0xC1}));  // paddb mm0, mm1
    CHECK(m.in_handler(kUd));
}

TEST_CASE("floating point: NaNs, rounding, flags, FTZ, DAZ") {
    SseMachine m;
    const u64 qnan_a = 0x7FF8'0000'0000'0001, qnan_b = 0x7FF8'0000'0000'0002;
    m.set(1, qnan_a);
    m.set(2, qnan_b);
    REQUIRE(m.go({0xF2, 0x0F, 0x58, 0xCA}));  // addsd: the destination's NaN wins
    CHECK(m.is(1, qnan_a, 0));
    CHECK(m.cpu.fpu.mxcsr == 0x1F80);
    m.set(1, 0x7FF0'0000'0000'0001);  // a signalling NaN is quieted
    REQUIRE(m.go({0xF2, 0x0F, 0x58, 0xCA}));
    CHECK(m.is(1, qnan_a, 0));
    CHECK(m.cpu.fpu.mxcsr == (0x1F80 | kMxcsrIe));

    m.cpu.fpu.mxcsr = 0x1F80;
    m.set(1, bits(1.0));
    m.set(2, bits(3.0));
    REQUIRE(m.go({0xF2, 0x0F, 0x5E, 0xCA}));  // divsd
    CHECK(m.x(1).q[0] == 0x3FD5'5555'5555'5555);
    CHECK(m.cpu.fpu.mxcsr == (0x1F80 | kMxcsrPe));
    m.cpu.fpu.mxcsr = 0x5F80;  // round up
    m.set(1, bits(1.0));
    REQUIRE(m.go({0xF2, 0x0F, 0x5E, 0xCA}));
    CHECK(m.x(1).q[0] == 0x3FD5'5555'5555'5556);
    CHECK(m.cpu.fpu.mxcsr == (0x5F80 | kMxcsrPe));

    m.cpu.fpu.mxcsr = 0x9F80;  // flush to zero
    m.set(1, bits(2e-38f));
    m.set(2, bits(0.01f));
    REQUIRE(m.go({0xF3, 0x0F, 0x59, 0xCA}));  // mulss
    CHECK(m.x(1).d[0] == 0);
    CHECK(m.cpu.fpu.mxcsr == (0x9F80 | kMxcsrUe | kMxcsrPe));
    m.cpu.fpu.mxcsr = 0x1FC0;  // denormals are zero
    m.set(1, 1);
    m.set(2, bits(0.0f));
    REQUIRE(m.go({0x0F, 0x2E, 0xCA}));  // ucomiss
    CHECK(m.cpu.cc == (kCcFixed | kCcZf));
    CHECK(m.cpu.fpu.mxcsr == 0x1FC0);

    m.cpu.fpu.mxcsr = 0x1F80;
    m.set(1, bits(3e9));
    REQUIRE(m.go({0xF2, 0x0F, 0x2D, 0xC1}));  // cvtsd2si eax, xmm1
    CHECK(m.cpu.gpr[kRax] == 0x8000'0000);
    CHECK(m.cpu.fpu.mxcsr == (0x1F80 | kMxcsrIe));
    REQUIRE(m.go({0xF2, 0x48, 0x0F, 0x2D, 0xC1}));
    CHECK(m.cpu.gpr[kRax] == 3'000'000'000);
    sse_host::leave();
}

TEST_CASE("an unmasked exception: #XM or #UD, flags set, destination unchanged") {
    SseMachine m;
    m.set(1, bits(1.0));
    m.set(2, 0);
    m.cpu.fpu.mxcsr = 0x1F80 & ~0x200u;  // ZM
    CHECK_FALSE(m.go({0xF2, 0x0F, 0x5E, 0xCA}));
    CHECK(m.in_handler(kXm));
    CHECK(m.x(1).q[0] == bits(1.0));
    CHECK(m.cpu.fpu.mxcsr == (0x1D80 | kMxcsrZe));
    CHECK(m.get(m.cpu.gpr[kRsp], 8) == kCodeAt);  // a fault: the instruction itself

    m.long64();
    m.cpu.cr4 |= kCr4Osfxsr;
    m.cpu.update_mode();
    CHECK_FALSE(m.go({0xF2, 0x0F, 0x5E, 0xCA}));
    CHECK(m.in_handler(kUd));

    m.long64();
    m.cpu.cr4 |= kCr4Osfxsr | kCr4Osxmmexcpt;
    m.cpu.update_mode();
    m.cpu.fpu.mxcsr = 0x1F80 & ~kMxcsrUm;
    m.set(1, 0x0010'0000'0000'0000);  // the least normal number: its half is exact and tiny
    m.set(2, bits(0.5));
    CHECK_FALSE(m.go({0xF2, 0x0F, 0x59, 0xCA}));
    CHECK(m.in_handler(kXm));
    CHECK(m.cpu.fpu.mxcsr == ((0x1F80 & ~kMxcsrUm) | kMxcsrUe));
    m.set(1, bits(2.0));  // nothing raised: the flags of an unmasked kind stay clear
    CHECK(m.go({0xF2, 0x0F, 0x59, 0xCA}));
    CHECK(m.x(1).q[0] == bits(1.0));
    sse_host::leave();
}

TEST_CASE("dot product leaves out unselected products and lanes") {
    SseMachine m;
    for (unsigned n = 0; n < 4; ++n) {
        m.x(1).f[n] = static_cast<float>(n + 1);
        m.x(2).f[n] = 10;
    }
    m.x(1).d[3] = 0x7F80'0001;  // a signalling NaN nobody looks at
    REQUIRE(m.go({0x66, 0x0F, 0x3A, 0x40, 0xCA, 0x75}));
    CHECK(m.x(1).f[0] == 60);
    CHECK(m.x(1).d[1] == 0);
    CHECK(m.x(1).f[2] == 60);
    CHECK(m.x(1).d[3] == 0);
    CHECK(m.cpu.fpu.mxcsr == 0x1F80);
}

TEST_CASE("MASKMOVDQU writes the selected bytes only") {
    SseMachine m;
    m.put(kData, ~u64{0}, 8);
    m.set(1, 0x0807'0605'0403'0201, 0);
    m.set(2, 0x0080'0000'0000'0080, 0);
    m.cpu.gpr[kRdi] = kData;
    REQUIRE(m.go({0x66, 0x0F, 0xF7, 0xCA}));
    CHECK(m.get(kData, 8) == 0xFF07'FFFF'FFFF'FF01);
    m.cpu.gpr[kRdi] = (16 << 20) - 8;  // the whole operand must be there
    CHECK_FALSE(m.go({0x66, 0x0F, 0xF7, 0xCA}));
    CHECK(m.in_handler(kPf));
}

TEST_CASE("SSE4.2: string compares and CRC32") {
    using namespace sse_string;
    auto text = [](const char* s) {
        char buffer[17] = {};
        std::strncpy(buffer, s, 16);
        return load_vec(buffer);
    };
    auto compare_text = [&](const char* a, const char* b, unsigned imm) {
        const V128 x = text(a), y = text(b);
        return compare(x, implicit_length(x, imm), y, implicit_length(y, imm), imm);
    };
    CHECK(index_of(compare_text("aeiou", "rhythm and", 0x00), 0x00) == 7);      // any of
    CHECK(index_of(compare_text("az", "HELLO world", 0x04), 0x04) == 6);        // ranges
    CHECK(index_of(compare_text("needle", "haystacneedle", 0x0C), 0x0C) == 7);  // substring
    CHECK(index_of(compare_text("same", "same", 0x18), 0x18) == 16);  // first difference: none
    CHECK(compare_text("same", "sane", 0x18).bits == 4);
    CHECK(compare_text("ab", "ab", 0x08).flags == (kCcFixed | kCcCf | kCcZf | kCcSf | kCcOf));
    CHECK(explicit_length(-3, 0) == 3);
    CHECK(explicit_length(INT64_MIN, 1) == 8);

    u32 crc = 0xFFFF'FFFF;
    for (const char c : {'1', '2', '3', '4', '5', '6', '7', '8', '9'})
        crc = crc32c<u8>(crc, static_cast<u8>(c));
    CHECK(~crc == 0xE306'9283);
    SseMachine m;
    m.cpu.gpr[kRax] = ~u64{0};
    m.cpu.gpr[kRbx] = 0x3837'3635'3433'3231;
    REQUIRE(m.go({0xF2, 0x48, 0x0F, 0x38, 0xF1, 0xC3}));  // crc32 rax, rbx
    m.cpu.gpr[kRbx] = 0x39;
    REQUIRE(m.go({0xF2, 0x0F, 0x38, 0xF0, 0xC3}));  // crc32 eax, bl
    CHECK(m.cpu.gpr[kRax] == static_cast<u32>(~0xE306'9283u));
}

TEST_CASE("AES: FIPS 197 appendix B, and the portable rounds equal the host's") {
    // State and round key of round 1.
    const u8 start[16] = {0x19, 0x3D, 0xE3, 0xBE, 0xA0, 0xF4, 0xE2, 0x2B,
                          0x9A, 0xC6, 0x8D, 0x2A, 0xE9, 0xF8, 0x48, 0x08};
    const u8 key[16] = {0xA0, 0xFA, 0xFE, 0x17, 0x88, 0x54, 0x2C, 0xB1,
                        0x23, 0xA3, 0x39, 0x39, 0x2A, 0x6C, 0x76, 0x05};
    const u8 after[16] = {0xA4, 0x9C, 0x7F, 0xF2, 0x68, 0x9F, 0x35, 0x2B,
                          0x6B, 0x5B, 0xEA, 0x43, 0x02, 0x6A, 0x50, 0x49};
    const V128 s = load_vec(start), k = load_vec(key);
    V128 r = aes::portable::enc(s, k);
    CHECK(std::memcmp(&r, after, 16) == 0);
    // Decryption rounds undo: InvMixColumns of a last round's result.
    const V128 last = aes::portable::enclast(s, V128{});
    CHECK((vec_low(aes::portable::declast(last, V128{})) == vec_low(s)));
    SseMachine m("max");
    std::memcpy(&m.x(1), &s, 16);
    std::memcpy(&m.x(2), &k, 16);
    REQUIRE(m.go({0x66, 0x0F, 0x38, 0xDC, 0xCA}));
    CHECK(std::memcmp(&m.x(1), after, 16) == 0);
    for (unsigned n = 0; n < 200; ++n) {
        const V128 a = m.cpu.fpu.xmm[1].q[0] ? load_vec(&m.x(1)) : s;
        const V128 want[] = {aes::portable::dec(a, k), aes::portable::declast(a, k),
                             aes::portable::imc(k)};
        const u8 opcode[] = {0xDE, 0xDF, 0xDB};
        for (unsigned op = 0; op < 3; ++op) {
            std::memcpy(&m.x(1), &a, 16);
            std::memcpy(&m.x(2), &k, 16);
            REQUIRE(m.go({0x66, 0x0F, 0x38, opcode[op], 0xCA}));
            REQUIRE(std::memcmp(&m.x(1), &want[op], 16) == 0);
        }
    }
}

TEST_CASE("SSE4a: bit fields, and #UD on processors without") {
    SseMachine m;
    m.set(1, 0x1122'3344'5566'7788, 5);
    REQUIRE(m.go({0x66, 0x0F, 0x78, 0xC1, 0x10, 0x08}));  // extrq xmm1, 16, 8
    CHECK(m.x(1).q[0] == 0x6677);
    m.set(2, 0xABCD, u64{4} << 8 | 12);       // position 4, length 12
    REQUIRE(m.go({0xF2, 0x0F, 0x79, 0xCA}));  // insertq xmm1, xmm2
    CHECK(m.x(1).q[0] == 0xBCD7);
    SseMachine intel("Westmere");
    CHECK_FALSE(intel.go({0xF2, 0x0F, 0x79, 0xCA}));
    CHECK(intel.in_handler(kUd));
}
