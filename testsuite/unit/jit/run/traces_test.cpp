// Traces: blocks that follow one another are translated as one, which goes when any of them
// changes.
#include <doctest/doctest.h>

#include "jit/run/translator.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

// for (; ecx; --ecx) { rax += 1; rbx += 5; }, as three blocks that jump to one another.
constexpr u64 kSecond = kCodeAt + 0x10, kThird = kCodeAt + 0x20;
struct Loop : Machine {
    std::unique_ptr<jit::Translator> translator;

    Loop() {
        long64();
        bytes(kCodeAt, {0x48, 0xFF, 0xC0, 0xEB, 0x0B});
        bytes(kSecond, {0x48, 0x81, 0xC3, 5, 0, 0, 0, 0xEB, 0x07});
        bytes(kThird, {0xFF, 0xC9, 0x75, 0xDC, 0xF4});
        auto t = jit::Translator::create(
            cpu, {.code_bytes = 1 << 20, .hot = 1, .samples = 0, .trial = 1});
        REQUIRE(t.has_value());
        translator = std::move(*t);
    }
    void count(u32 n) {
        cpu.gpr[kRax] = cpu.gpr[kRbx] = 0;
        cpu.gpr[kRcx] = n;
        cpu.activity = Activity::kActive;
        cpu.rip = kCodeAt;
        const u64 before = cpu.ticks();
        (void)run(100'000);
        CHECK(cpu.rip == kThird + 5);
        CHECK(cpu.ticks() - before == 6 * n + 1);
        CHECK(cpu.gpr[kRax] == n);
        CHECK(cpu.gpr[kRcx] == 0);
    }
};

}  // namespace

TEST_CASE("a loop of several blocks becomes a trace") {
    Loop loop;
    loop.count(1000);
    CHECK(loop.cpu.gpr[kRbx] == 5000);
    CHECK(loop.translator->statistics().traces > 0);
    CHECK(loop.translator->statistics().in_translated_code > 5000);
}

TEST_CASE("a trace goes when an immediate or an instruction of a later part changes") {
    Loop loop;
    loop.count(100);
    CHECK(loop.cpu.gpr[kRbx] == 500);
    REQUIRE(loop.translator->statistics().traces > 0);
    loop.put(kSecond + 3, 7);
    loop.count(100);
    CHECK(loop.cpu.gpr[kRbx] == 700);
    loop.put(kSecond + 3, 9);
    loop.count(100);
    CHECK(loop.cpu.gpr[kRbx] == 900);
    loop.bytes(kSecond + 2, {0xEB});  // SUB
    loop.count(100);
    CHECK(loop.cpu.gpr[kRbx] == u64{0} - 900);
}

TEST_CASE("events come at their tick in a trace, too") {
    Loop loop;
    loop.count(100);
    REQUIRE(loop.translator->statistics().traces > 0);
    for (const u64 ticks : {129u, 130u, 131u, 200u, 255u, 256u, 257u, 599u}) {
        loop.cpu.gpr[kRax] = loop.cpu.gpr[kRbx] = 0;
        loop.cpu.gpr[kRcx] = 1000;
        loop.cpu.activity = Activity::kActive;
        loop.cpu.rip = kCodeAt;
        const u64 before = loop.cpu.ticks();
        (void)loop.run(ticks);
        CHECK(loop.cpu.ticks() - before == ticks);
        CHECK(loop.cpu.gpr[kRax] == (ticks + 5) / 6);
    }
}

// The second block of the trace has no translation of its own, and its other way out is first taken
// when the trace is there.
TEST_CASE("ways out of a trace are linked, whatever becomes of its blocks' own translations") {
    Loop loop;
    constexpr u64 kSide = kCodeAt + 0x30;
    // second: add rbx, 5; test eax, edx; jnz side; jmp third. side: inc rsi; jmp third
    loop.bytes(kSecond, {0x48, 0x81, 0xC3, 5, 0, 0, 0, 0x85, 0xD0, 0x75, 0x15, 0xEB, 0x03});
    loop.bytes(kSide, {0x48, 0xFF, 0xC6, 0xEB, 0xEB});
    const auto count = [&](u32 mask) {
        loop.cpu.gpr[kRax] = loop.cpu.gpr[kRsi] = 0;
        loop.cpu.gpr[kRcx] = 8000;
        loop.cpu.gpr[kRdx] = mask;
        loop.cpu.activity = Activity::kActive;
        loop.cpu.rip = kCodeAt;
        const u64 before = loop.translator->statistics().entries;
        (void)loop.run(100'000);
        CHECK(loop.cpu.rip == kThird + 5);
        CHECK(loop.cpu.gpr[kRsi] == (mask ? 7000 : 0));
        return loop.translator->statistics().entries - before;
    };
    (void)count(0);
    REQUIRE(loop.translator->statistics().traces > 0);
    Block* const second = loop.cpu.blocks->known(kSecond);
    REQUIRE(second);
    if (second->translation) loop.translator->dropped(*second);
    CHECK(count(7) < 100);
}
