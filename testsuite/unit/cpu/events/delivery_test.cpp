// Event delivery in every mode: stacks, error codes, gates, double and triple faults, virtual-8086.
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

TEST_CASE("real mode: INT n and IRET") {
    Machine m;
    m.real();
    m.code({0xCD, 0x21, 0x90});
    m.bytes(kHandlers + 0x21 * 16, {0xCF});
    m.cpu.flags_other |= kFlagIf;
    (void)m.run();
    CHECK(m.cpu.seg[kCs].selector == 0x800);
    CHECK(m.cpu.rip == 0x210);
    CHECK_FALSE(m.cpu.flag(kFlagIf));
    CHECK(m.cpu.gpr[kRsp] == 0x6FFA);
    CHECK(m.get(0x6FFA, 2) == 2);
    CHECK(m.get(0x6FFC, 2) == (kCodeAt >> 4));
    CHECK((m.get(0x6FFE, 2) & kFlagIf));
    (void)m.run();
    CHECK(m.cpu.rip == 2);
    CHECK(m.cpu.flag(kFlagIf));
    CHECK(m.cpu.gpr[kRsp] == 0x7000);
}

TEST_CASE(
    "real mode: no error code, vector beyond the table becomes #GP, then #DF, then shutdown") {
    Machine m;
    m.real();
    m.code({0xCD, 0x21});
    m.cpu.idtr.limit = 0x3F;  // up to vector 15
    (void)m.run();
    CHECK(m.cpu.rip == kGp * 16);
    CHECK(m.cpu.gpr[kRsp] == 0x6FFA);
    CHECK(m.get(0x6FFA, 2) == 0);  // the fault's own rip, no error code

    m.real();
    m.cpu.idtr.limit = 3;
    CHECK(m.run(5) == Processor::Stop::kTripleFault);
    CHECK(m.cpu.last_triple_fault.cs == (kCodeAt >> 4));
    CHECK(m.cpu.last_triple_fault.vectors[1] == kDf);
    m.cpu.reset();
    CHECK(m.cpu.rip == 0xFFF0);
    CHECK_FALSE(m.cpu.triple_faulted);
}

TEST_CASE("protected mode: #UD on the same level pushes RF, not an error code") {
    Machine m;
    m.protected32();
    m.code({0x0F, 0x0B});
    m.cpu.flags_other |= kFlagIf | kFlagTf;
    (void)m.run();
    CHECK(m.in_handler(kUd));
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 12);
    CHECK(m.stack(0) == kCodeAt);
    CHECK(m.stack(1) == kCode0);
    CHECK((m.stack(2) & kFlagRf));
    CHECK((m.stack(2) & kFlagTf));
    CHECK_FALSE(m.cpu.flag(kFlagRf | kFlagTf | kFlagIf));
}

TEST_CASE("protected mode: trap gate keeps IF, conforming handler keeps the level") {
    Machine m;
    m.protected32(3);
    m.put(kIdt + kUd * 8, gate(kConforming, m.handler(kUd), 0x8F), 8);
    m.code({0x0F, 0x0B});
    m.cpu.flags_other |= kFlagIf;
    (void)m.run();
    CHECK(m.in_handler(kUd));
    CHECK(m.cpu.cpl == 3);
    CHECK(m.cpu.seg[kCs].selector == (kConforming | 3));
    CHECK(m.cpu.flag(kFlagIf));
    CHECK(m.cpu.gpr[kRsp] == kStack3 - 12);
}

TEST_CASE("protected mode: from CPL 3 to 0, stack of the TSS, error code on top") {
    Machine m;
    m.protected32(3);
    m.code({0xF4});  // HLT: #GP(0)
    (void)m.run();
    CHECK(m.in_handler(kGp));
    CHECK(m.cpu.cpl == 0);
    CHECK(m.cpu.seg[kSs].selector == kData0);
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 24);
    CHECK(m.stack(0) == 0);
    CHECK(m.stack(1) == kCodeAt);
    CHECK(m.stack(2) == kCode3);
    CHECK(m.stack(4) == kStack3);
    CHECK(m.stack(5) == kData3);
}

TEST_CASE("gate checks of software interrupts") {
    Machine m;
    m.protected32(3);
    m.code({0xCD, 0x30});
    SUBCASE("DPL too low: #GP(vector*8+2), EXT clear") {
        (void)m.run();
        CHECK(m.in_handler(kGp));
        CHECK(m.stack(0) == 0x30 * 8 + 2);
        CHECK(m.stack(1) == kCodeAt);
    }
    SUBCASE("allowed: return address behind the instruction") {
        m.put(kIdt + 0x30 * 8, gate(kCode0, m.handler(0x30), 0xEE), 8);
        (void)m.run();
        CHECK(m.in_handler(0x30));
        CHECK(m.stack(0) == kCodeAt + 2);
        CHECK_FALSE((m.stack(2) & kFlagRf));
    }
    SUBCASE("absent gate: #NP") {
        m.put(kIdt + 0x30 * 8, gate(kCode0, m.handler(0x30), 0x6E), 8);
        (void)m.run();
        CHECK(m.in_handler(kNp));
        CHECK(m.stack(0) == 0x30 * 8 + 2);
    }
    SUBCASE("beyond the IDT: #GP") {
        m.code({0xCD, 0x80});
        (void)m.run();
        CHECK(m.in_handler(kGp));
        CHECK(m.stack(0) == 0x80 * 8 + 2);
    }
    SUBCASE("null code selector: #GP(0)") {
        m.put(kIdt + 0x30 * 8, gate(0, m.handler(0x30), 0xEE), 8);
        (void)m.run();
        CHECK(m.in_handler(kGp));
        CHECK(m.stack(0) == 0);
    }
    SUBCASE("16-bit gate pushes words") {
        m.put(kIdt + 0x30 * 8, gate(kCode0, m.handler(0x30), 0xE6), 8);
        (void)m.run();
        CHECK(m.in_handler(0x30));
        CHECK(m.cpu.gpr[kRsp] == kStack0 - 10);
        CHECK(m.stack(0, 2) == ((kCodeAt + 2) & 0xFFFF));
    }
}

TEST_CASE("a fault while an exception is delivered has EXT set") {
    Machine m;
    m.protected32();
    m.code({0x0F, 0x0B});
    m.put(kIdt + kUd * 8, gate(kCode0, m.handler(kUd), 0x0E), 8);  // not present
    (void)m.run();
    CHECK(m.in_handler(kNp));
    CHECK(m.stack(0) == kUd * 8 + 2 + 1);
    CHECK(m.stack(1) == kCodeAt);
}

TEST_CASE("#TS: bad stack segments for an inner level") {
    Machine m;
    m.protected32(3);
    m.code({0xF4});
    // The #TS handler runs on level 3, so it needs no inner stack.
    m.put(kIdt + kTs * 8, gate(kConforming, m.handler(kTs), 0x8E), 8);
    m.put(kIdt + kSs12 * 8, gate(kConforming, m.handler(kSs12), 0x8E), 8);
    m.put(kIdt + kDf * 8, gate(kConforming, m.handler(kDf), 0x8E), 8);
    // HLT's #GP is contributory, and so is #TS: take a benign one.
    m.code({0x0F, 0x0B});
    SUBCASE("null") {
        m.put(kTssAt + 8, 0);
        (void)m.run();
        CHECK(m.in_handler(kTs));
        CHECK(m.stack(0) == 1);
    }
    SUBCASE("wrong DPL") {
        m.put(kTssAt + 8, kData3);
        (void)m.run();
        CHECK(m.in_handler(kTs));
        CHECK(m.stack(0) == (kData3 & ~3u) + 1);
    }
    SUBCASE("TSS too short") {
        m.cpu.tr.limit = 8;
        (void)m.run();
        CHECK(m.in_handler(kTs));
        CHECK(m.stack(0) == kTss + 1);
    }
    SUBCASE("absent stack segment: #SS(selector)") {
        m.put(kTssAt + 8, kAbsent);
        (void)m.run();
        CHECK(m.in_handler(kSs12));
        CHECK(m.stack(0) == kAbsent + 1);
        CHECK(m.cpu.gpr[kRsp] == kStack3 - 16);
    }
    SUBCASE("contributory after contributory: #DF(0)") {
        m.code({0xF4});
        m.put(kTssAt + 8, 0);
        (void)m.run();
        CHECK(m.in_handler(kDf));
        CHECK(m.stack(0) == 0);
        CHECK_FALSE((m.stack(3) & kFlagVm));
    }
}

TEST_CASE("double fault and triple fault in protected mode") {
    Machine m;
    m.protected32();
    m.code({0x8E, 0xD8});  // MOV DS, AX with a bad selector: #GP(0xFFF8)
    m.cpu.gpr[kRax] = 0xFFF8;
    m.put(kIdt + kGp * 8, gate(kCode0, m.handler(kGp), 0x0E), 8);
    (void)m.run();
    CHECK(m.in_handler(kDf));
    CHECK(m.stack(0) == 0);

    m.protected32();
    m.cpu.gpr[kRax] = 0xFFF8;
    m.put(kIdt + kGp * 8, 0, 8);
    m.put(kIdt + kDf * 8, 0, 8);
    CHECK(m.run() == Processor::Stop::kTripleFault);
    CHECK(m.cpu.last_triple_fault.rip == kCodeAt);
    CHECK(m.cpu.last_triple_fault.vectors[0] == kGp);
    CHECK(m.cpu.activity == Activity::kShutdown);
}

TEST_CASE("a shutdown ends the delay of interrupts that STI has begun") {
    Machine m;
    m.protected32();
    m.code({0xFB, 0x8E, 0xD8});  // STI; MOV DS, AX
    m.cpu.gpr[kRax] = 0xFFF8;
    m.put(kIdt + kGp * 8, 0, 8);
    m.put(kIdt + kDf * 8, 0, 8);
    CHECK(m.run(2) == Processor::Stop::kTripleFault);
    CHECK(m.cpu.shadow == 0);
}

TEST_CASE("long mode: #PF with CR2, IST, aligned stack, null SS") {
    Machine m;
    m.long64(3);
    m.put(kIdt + kPf * 16, gate(kCode64, m.handler(kPf), 0x8E, 1), 8);
    m.code({0x48, 0x89, 0x03});  // MOV [RBX], RAX
    m.cpu.gpr[kRbx] = 0x12345678;
    m.cpu.gpr[kRsp] = kStack3 - 3;
    (void)m.run();
    CHECK(m.in_handler(kPf));
    CHECK(m.cpu.cr2 == 0x12345678);
    CHECK(m.cpu.seg[kSs].selector == 0);
    CHECK(m.cpu.cpl == 0);
    CHECK(m.cpu.gpr[kRsp] == kIstStack - 48);
    CHECK(m.stack(0, 8) == 6);  // user write, not present
    CHECK(m.stack(1, 8) == kCodeAt);
    CHECK(m.stack(2, 8) == kUser64);
    CHECK(m.stack(4, 8) == kStack3 - 3);
    CHECK(m.stack(5, 8) == kData3);
}

TEST_CASE("long mode: same level aligns RSP and pushes SS; IRETQ restores both") {
    Machine m;
    m.long64();
    m.code({0xCC, 0x90});
    m.bytes(m.handler(kBp), {0x48, 0xCF});
    m.cpu.gpr[kRsp] = kStack0 - 5;
    (void)m.run();
    CHECK(m.in_handler(kBp));
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 16 - 40);
    CHECK(m.stack(0, 8) == kCodeAt + 1);
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 1);
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 5);
    CHECK(m.cpu.seg[kSs].selector == kData0);
}

TEST_CASE("long mode: non-canonical addresses raise #GP(0), through the stack #SS(0)") {
    Machine m;
    m.long64();
    m.code({0x8A, 0x03});  // MOV AL, [RBX]
    m.cpu.gpr[kRbx] = u64{1} << 47;
    (void)m.run();
    CHECK(m.in_handler(kGp));
    CHECK(m.stack(0, 8) == 0);
    m.long64();
    m.put(kIdt + kSs12 * 16, gate(kCode64, m.handler(kSs12), 0x8E, 1), 8);
    m.code({0x50});  // PUSH RAX
    m.cpu.gpr[kRsp] = u64{1} << 47 | 8;
    (void)m.run();
    CHECK(m.in_handler(kSs12));
}

TEST_CASE("long mode: a page fault while delivering is taken serially; #PF in #PF is #DF") {
    Machine m;
    m.long64();
    m.code({0x0F, 0x0B});
    m.put(kIdt + kUd * 16, gate(kCode64, m.handler(kUd), 0x8E), 8);
    m.put(kIdt + kPf * 16, gate(kCode64, m.handler(kPf), 0x8E, 1), 8);
    m.put(kIdt + kDf * 16, gate(kCode64, m.handler(kDf), 0x8E, 1), 8);
    m.cpu.gpr[kRsp] = 0x5000000;  // not mapped
    (void)m.run();
    CHECK(m.in_handler(kPf));
    CHECK(m.cpu.cr2 == 0x5000000 - 8);
    CHECK(m.stack(0, 8) == 2);
    CHECK(m.stack(1, 8) == kCodeAt);
    CHECK(m.stack(4, 8) == 0x5000000);

    m.long64();
    m.code({0x8A, 0x03});
    m.cpu.gpr[kRbx] = 0x6000000;
    m.cpu.gpr[kRsp] = 0x5000000;
    m.put(kIdt + kDf * 16, gate(kCode64, m.handler(kDf), 0x8E, 1), 8);
    (void)m.run();
    CHECK(m.in_handler(kDf));
    CHECK(m.stack(0, 8) == 0);
    CHECK(m.stack(1, 8) == kCodeAt);
}

TEST_CASE("virtual-8086: into ring 0 with all segments, and back") {
    Machine m;
    m.v86();
    m.code({0x0F, 0x0B});
    m.bytes(m.handler(kUd), {0xCF});
    (void)m.run();
    CHECK(m.in_handler(kUd));
    CHECK(m.cpu.cpl == 0);
    CHECK_FALSE(m.cpu.v86());
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 36);
    CHECK(m.stack(0) == 0);
    CHECK(m.stack(1) == (kCodeAt >> 4));
    CHECK((m.stack(2) & kFlagVm));
    CHECK(m.stack(3) == 0x2000);
    for (unsigned n = 4; n < 9; ++n) CHECK(m.stack(n) == (kCodeAt >> 4));
    CHECK(m.cpu.seg[kDs].unusable());
    (void)m.run();
    CHECK(m.cpu.v86());
    CHECK(m.cpu.cpl == 3);
    CHECK(m.cpu.rip == 0);
    CHECK(m.cpu.seg[kGs].base == kCodeAt);
    CHECK(m.cpu.gpr[kRsp] == 0x2000);
}

TEST_CASE("virtual-8086: INT n needs IOPL 3, or VME redirection") {
    Machine m;
    m.v86();
    m.code({0xCD, 0x10});
    SUBCASE("IOPL 0: #GP(0)") {
        (void)m.run();
        CHECK(m.in_handler(kGp));
        CHECK(m.stack(0) == 0);
    }
    SUBCASE("VME: through the task's own table with VIF in the image") {
        m.cpu.cr4 |= kCr4Vme;
        m.cpu.flags_other |= kFlagVif;
        m.put(kTssAt + 0x66, 0x88, 2);  // redirection map at 68H, all zero
        m.put(0x10 * 4, 0x1000'0123);
        (void)m.run();
        CHECK(m.cpu.v86());
        CHECK(m.cpu.seg[kCs].selector == 0x1000);
        CHECK(m.cpu.rip == 0x123);
        CHECK_FALSE(m.cpu.flag(kFlagVif));
        CHECK(m.cpu.flag(kFlagIf));
        CHECK((m.get(kCodeAt + 0x1FFE, 2) & kFlagIf));
        CHECK((m.get(kCodeAt + 0x1FFE, 2) & kFlagIopl) == kFlagIopl);
    }
    SUBCASE("VME with the bit set: #GP(0)") {
        m.cpu.cr4 |= kCr4Vme;
        m.put(kTssAt + 0x66, 0x88, 2);
        m.put(kTssAt + 0x68 + 2, 1, 1);
        (void)m.run();
        CHECK(m.in_handler(kGp));
    }
}

TEST_CASE("task gate: the handler is a task, error code on its stack") {
    Machine m;
    m.protected32();
    m.code({0x8E, 0xD8});
    m.cpu.gpr[kRax] = 0xFFF8;
    m.put(kIdt + kGp * 8, gate(kTss2, 0, 0x85), 8);
    m.put(kTss2At + 0x20, m.handler(40));
    m.put(kTss2At + 0x24, 2);
    m.put(kTss2At + 0x38, 0x30000);
    for (unsigned s = 0; s < 6; ++s) m.put(kTss2At + 0x48 + s * 4, s == kCs ? kCode0 : kData0);
    m.put(kTss2At + 0x60, 0);
    m.put(kTss2At + 0x64, 0);
    (void)m.run();
    CHECK(m.in_handler(40));
    CHECK(m.cpu.tr.selector == kTss2);
    CHECK(m.cpu.gpr[kRsp] == 0x30000 - 4);
    CHECK(m.stack(0) == 0xFFF8);
    CHECK(m.cpu.flag(kFlagNt));
    CHECK((m.cpu.cr0 & kCr0Ts));
    CHECK(m.get(kTss2At, 2) == kTss);
    CHECK(m.get(kTssAt + 0x20) == kCodeAt);
    CHECK((m.get(kTssAt + 0x24) & kFlagRf));
}
