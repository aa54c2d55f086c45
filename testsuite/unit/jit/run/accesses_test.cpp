// Accesses of translated code that its TLB must not take for good ones.
#include <doctest/doctest.h>

#include <cstring>

#include "jit/run/translator.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

TEST_CASE("a push across the end of the address space misses the stack page") {
    for (u64 rsp = 0; rsp < 8; ++rsp) {
        CAPTURE(rsp);
        Machine m, plain;
        for (Machine* each : {&m, &plain}) {
            each->long64();
            each->code({0x66, 0x58, 0x53, 0xEB, 0xFB});  // POP AX; PUSH RBX; JMP
        }
        auto translator = jit::Translator::create(m.cpu, {.code_bytes = 1 << 20, .hot = 1});
        REQUIRE(translator.has_value());
        for (Machine* each : {&m, &plain}) {
            each->cpu.gpr[kRsp] = 0x5800;
            (void)each->run(99);
            CHECK(each->cpu.rip == kCodeAt);
            each->cpu.gpr[kRsp] = rsp;
            (void)each->run(99);
        }
        CHECK(m.cpu.rip == plain.cpu.rip);
        CHECK(m.cpu.gpr[kRsp] == plain.cpu.gpr[kRsp]);
        CHECK(!std::memcmp(m.ram->host(), plain.ram->host(), plain.ram->size()));
    }
}

TEST_CASE("a misaligned access to a page that no TLB entry is for faults") {
    for (const unsigned sites : {0u, 1u})
        for (u64 va = 0; va < 16; ++va) {
            CAPTURE(va);
            Machine m;
            m.long64();
            m.cpu.cr4 |= kCr4Osfxsr;
            m.cpu.update_mode();
            m.code({0x0F, 0x29, 0x03, 0xEB, 0xFB});  // MOVAPS [RBX], XMM0; JMP
            auto translator = jit::Translator::create(
                m.cpu, {.code_bytes = 1 << 20, .hot = 1, .samples = sites ? 0u : 16u, .trial = 1});
            REQUIRE(translator.has_value());
            m.cpu.gpr[kRbx] = 0x5000;
            (void)m.run(1000);
            CHECK(m.cpu.rip - kCodeAt < 5);
            m.cpu.mmu.flush_all();
            m.cpu.rip = kCodeAt;
            m.cpu.gpr[kRbx] = va;
            (void)m.run(1000);
            CHECK(m.in_handler(kGp) == (va != 0));
        }
}
