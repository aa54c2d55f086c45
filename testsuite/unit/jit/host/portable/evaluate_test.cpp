// The portable evaluator (jit/host/portable): exact results, and everything that is not a plain
// TLB hit is left to the interpreter with the state untouched.
#include "jit/host/portable/evaluate.h"

#include "jit/host/portable/run.h"
#include "jit/translate/build_ir.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;
using namespace rm::jit;
using portable::Outcome;
using What = portable::Outcome::What;

namespace {

struct World : Machine {
    World() { long64(0); }
    // Evaluates the block at kCodeAt.
    Outcome evaluate(std::initializer_list<int> list, u64 limit = ~u64{0}) {
        code(list);
        const Block* b = cpu.blocks->find();
        REQUIRE(b);
        ir::Block block;
        const std::span<const Insn> insns(b->insns, b->count);
        build_ir(block, insns, {.mode = b->mode, .block_rip = b->rip});
        return portable::evaluate(cpu, block, insns, b->rip, limit);
    }
};

constexpr u64 kData = 0x40000;

}  // namespace

TEST_CASE("registers, flags and jumps") {
    World w;
    w.cpu.gpr[kRax] = 0xFFFFFFFF;
    // add eax, 1; jc +16
    const Outcome o = w.evaluate({0x83, 0xC0, 0x01, 0x72, 0x10});
    CHECK(o.what == What::kLeft);
    CHECK(o.retired == 2);
    CHECK(o.rip == kCodeAt + 5 + 0x10);
    CHECK(w.cpu.gpr[kRax] == 0);
    CHECK((w.cpu.cc & (kCcZf | kCcCf)) == (kCcZf | kCcCf));
}

TEST_CASE("the limit ends a block between instructions") {
    World w;
    // inc eax; inc eax; inc eax; hlt
    const Outcome o = w.evaluate({0xFF, 0xC0, 0xFF, 0xC0, 0xFF, 0xC0, 0xF4}, 2);
    CHECK(o.what == What::kLeft);
    CHECK(o.retired == 2);
    CHECK(o.rip == kCodeAt + 4);
    CHECK(w.cpu.gpr[kRax] == 2);
}

TEST_CASE("memory is written through the TLB") {
    World w;
    w.put(kData, 5, 8);
    w.cpu.gpr[kRdi] = kData;
    // lock add qword [rdi], 3; push rdi; pop rsi; hlt
    const Outcome o = w.evaluate({0xF0, 0x48, 0x83, 0x07, 0x03, 0x57, 0x5E, 0xF4});
    CHECK(o.what == What::kInterpret);
    CHECK(o.retired == 3);
    CHECK(o.rip == kCodeAt + 7);
    CHECK(w.get(kData, 8) == 8);
    CHECK(w.cpu.gpr[kRsi] == kData);
    CHECK(w.cpu.gpr[kRsp] == kStack0);
}

TEST_CASE("faults change nothing") {
    auto interprets = [](World& w, std::initializer_list<int> list) {
        const CpuState before = w.cpu;
        const Outcome o = w.evaluate(list);
        CHECK(o.what == What::kInterpret);
        CHECK(o.retired == 0);
        CHECK(o.rip == kCodeAt);
        CHECK(std::equal(std::begin(before.gpr), std::end(before.gpr), std::begin(w.cpu.gpr)));
        CHECK(before.cc == w.cpu.cc);
        CHECK(before.fpu.mxcsr == w.cpu.fpu.mxcsr);
    };
    World w;
    w.cpu.gpr[kRdi] = 0x40000000;  // not present
    w.cpu.gpr[kRsi] = 0x800000000000;
    interprets(w, {0x48, 0x01, 0x07});  // add [rdi], rax
    interprets(w, {0x48, 0x03, 0x06});  // add rax, [rsi], not canonical
    interprets(w, {0xFF, 0xE6});        // jmp rsi
    interprets(w, {0xF7, 0xF0});        // div eax = 0
    w.cpu.gpr[kRdi] = kData + 1;
    w.cpu.cr4 |= kCr4Osfxsr;
    w.cpu.update_mode();
    interprets(w, {0x0F, 0x28, 0x07});  // movaps xmm0, [rdi]
    interprets(w, {0x0F, 0x58, 0x07});  // addps xmm0, [rdi]
    w.cpu.gpr[kRdi] = kData + 0xFFD;
    interprets(w, {0x8B, 0x07});  // mov eax, [rdi], over the page's end
    w.cpu.fpu.mxcsr = 0x1F00;
    interprets(w, {0x0F, 0x58, 0xC1});  // addps with unmasked exceptions
}

TEST_CASE("decoded code is never written") {
    World w;
    w.cpu.gpr[kRdi] = kCodeAt + 0x80;
    const Outcome o = w.evaluate({0x88, 0x07, 0xF4});  // mov [rdi], al
    CHECK(o.what == What::kInterpret);
    CHECK(o.retired == 0);
}

TEST_CASE("vectors") {
    World w;
    w.cpu.cr4 |= kCr4Osfxsr;
    w.cpu.update_mode();
    w.cpu.fpu.xmm[0].f[0] = 1.5f;
    w.cpu.fpu.xmm[1].f[0] = 2.25f;
    w.cpu.fpu.xmm[2].q[0] = 0x8000000000000000;
    w.cpu.gpr[kRcx] = 0x1122334455667788;
    // addss xmm0, xmm1; cvttss2si eax, xmm0; paddb xmm3, xmm2; movq xmm4, rcx; movmskpd edx, xmm2
    const Outcome o =
        w.evaluate({0xF3, 0x0F, 0x58, 0xC1, 0xF3, 0x0F, 0x2C, 0xC0, 0x66, 0x0F, 0xFC,
                    0xDA, 0x66, 0x48, 0x0F, 0x6E, 0xE1, 0x66, 0x0F, 0x50, 0xD2, 0xF4});
    CHECK(o.retired == 5);
    CHECK(w.cpu.fpu.xmm[0].f[0] == 3.75f);
    CHECK(w.cpu.gpr[kRax] == 3);
    CHECK((w.cpu.fpu.mxcsr & 0x20) == 0x20);  // the conversion was inexact
    CHECK(w.cpu.fpu.xmm[3].q[0] == 0x8000000000000000);
    CHECK(w.cpu.fpu.xmm[4].q[0] == 0x1122334455667788);
    CHECK(w.cpu.fpu.xmm[4].q[1] == 0);
    CHECK(w.cpu.gpr[kRdx] == 1);
}

TEST_CASE("a whole run gives the interpreter's state and tick count") {
    // mov ecx, 100; top: add [rdi], rcx; imul rax, rcx; xadd [rdi+8], rax; bts [rdi], rax; loop
    // top; ud2
    const std::initializer_list<int> program{0xB9, 100,  0,    0,    0,    0x48, 0x01, 0x0F,
                                             0x48, 0x0F, 0xAF, 0xC1, 0x48, 0x0F, 0xC1, 0x47,
                                             0x08, 0x0F, 0xAB, 0x0F, 0xE2, 0xEF, 0x0F, 0x0B};
    World a, b;
    portable::Totals totals;
    for (World* w : {&a, &b}) {
        w->code(program);
        w->cpu.gpr[kRdi] = kData;
        w->cpu.gpr[kRax] = 3;
    }
    (void)a.cpu.run(1000);
    (void)portable::run(b.cpu, 1000, totals);
    CHECK(totals.evaluated > 400);
    CHECK(a.cpu.ticks() == b.cpu.ticks());
    CHECK(a.cpu.rip == b.cpu.rip);
    CHECK(a.in_handler(kUd));
    CHECK(std::equal(std::begin(a.cpu.gpr), std::end(a.cpu.gpr), std::begin(b.cpu.gpr)));
    CHECK(a.cpu.rflags() == b.cpu.rflags());
    CHECK(a.get(kData, 8) == b.get(kData, 8));
    CHECK(a.get(kData + 8, 8) == b.get(kData + 8, 8));
}
