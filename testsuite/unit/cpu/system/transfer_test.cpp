// Far transfers, segment loads, system calls, hardware task switches.
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

// Far call at kCodeAt: CALL selector:offset (32-bit operand).
void far_call_code(Machine& m, u16 selector, u32 offset, int opcode = 0x9A) {
    m.bytes(kCodeAt, {opcode});
    m.put(kCodeAt + 1, offset);
    m.put(kCodeAt + 5, selector, 2);
    m.bytes(kCodeAt + 7, {0x90, 0x90, 0x90});
}

void second_task(Machine& m, u32 eip) {
    m.put(kTss2At + 0x1C, 0);
    m.put(kTss2At + 0x20, eip);
    m.put(kTss2At + 0x24, 2);
    for (unsigned r = 0; r < 8; ++r) m.put(kTss2At + 0x28 + 4 * r, 0x1000 + r);
    m.put(kTss2At + 0x38, 0x30000);
    for (unsigned s = 0; s < 6; ++s) m.put(kTss2At + 0x48 + s * 4, s == kCs ? kCode0 : kData0);
    m.put(kTss2At + 0x60, 0);
    m.put(kTss2At + 0x64, 0x680000);
}

}  // namespace

TEST_CASE("descriptor to segment") {
    const Segment s = segment_from_descriptor(0x18, descriptor(0x12345678, 0xABCDE, 0xC0FB));
    CHECK(s.base == 0x12345678);
    CHECK(s.limit == 0xABCDEFFF);
    CHECK(s.attr == 0xC0FB);
    CHECK(s.dpl() == 3);
    CHECK(segment_from_descriptor(8, descriptor(0, 0xFFFF, 0x9B)).limit == 0xFFFF);
}

TEST_CASE("real mode keeps attributes and limit of a loaded segment") {
    Machine m;
    m.real();
    m.cpu.seg[kDs].limit = 0xFFFFFFFF;
    m.code({0x8E, 0xD8, 0xEA, 0x10, 0x00, 0x00, 0x09});  // MOV DS,AX; JMP 0900:0010
    m.cpu.gpr[kRax] = 0x1234;
    (void)m.run(2);
    CHECK(m.cpu.seg[kDs].base == 0x12340);
    CHECK(m.cpu.seg[kDs].limit == 0xFFFFFFFF);
    CHECK(m.cpu.seg[kCs].selector == 0x900);
    CHECK(m.cpu.seg[kCs].attr == 0x9B);
    CHECK(m.cpu.rip == 0x10);
}

TEST_CASE("entering protected mode: CS stays usable until the far jump") {
    Machine m;
    m.real();
    m.tables();
    m.code({0x0F, 0x22, 0xC0, 0x66, 0xEA, 0x00, 0x80, 0, 0, 0x08, 0});  // MOV CR0,EAX; JMP 8:8000
    m.cpu.gpr[kRax] = kCr0Pe | kCr0Et;
    (void)m.run(2);
    CHECK(m.cpu.seg[kCs].selector == kCode0);
    CHECK(m.cpu.mode.code_size_log2() == 2);
    CHECK(m.cpu.rip == 0x8000);
}

TEST_CASE("far jump: direct checks") {
    Machine m;
    m.protected32();
    struct {
        u16 selector;
        u8 vector;
        u32 error;
    } rows[] = {{0, kGp, 0},         {kData0, kGp, kData0},     {kCode3, kGp, kCode3 & ~3u},
                {0x200, kGp, 0x200}, {kCode0 | 3, kGp, kCode0}, {kLdt, kGp, kLdt},
                {0x2C, kGp, 0x2C}};
    for (const auto& r : rows) {
        CAPTURE(r.selector);
        m.protected32();
        far_call_code(m, r.selector, 0x9000, 0xEA);
        (void)m.run();
        CHECK(m.in_handler(r.vector));
        CHECK(m.stack(0) == r.error);
        CHECK(m.stack(1) == kCodeAt);
    }
    m.protected32();
    far_call_code(m, kConforming | 3, 0x9000, 0xEA);
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.seg[kCs].selector == kConforming);  // RPL = CPL
    m.protected32();
    far_call_code(m, kCode16, 0x10000, 0xEA);  // beyond the limit
    (void)m.run();
    CHECK(m.in_handler(kGp));
    CHECK(m.stack(0) == 0);
}

TEST_CASE("call gate: to an inner level with parameters, and RETF back") {
    Machine m;
    m.protected32(3);
    m.put(kGdt + kGateSel, gate(kCode0, 0x9000, 0xEC, 2), 8);
    far_call_code(m, kGateSel | 3, 0xDEAD);
    m.bytes(0x9000, {0xCA, 8, 0});  // RETF 8
    m.cpu.gpr[kRsp] -= 8;
    m.put(m.cpu.gpr[kRsp], 0x11);
    m.put(m.cpu.gpr[kRsp] + 4, 0x22);
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.cpl == 0);
    CHECK(m.stack(0) == kCodeAt + 7);
    CHECK(m.stack(1) == kCode3);
    CHECK(m.stack(2) == 0x11);
    CHECK(m.stack(3) == 0x22);
    CHECK(m.stack(4) == kStack3 - 8);
    CHECK(m.stack(5) == kData3);
    m.load(kDs, kData0);  // must become null on the way out
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 7);
    CHECK(m.cpu.cpl == 3);
    CHECK(m.cpu.gpr[kRsp] == kStack3);
    CHECK(m.cpu.seg[kDs].unusable());
    CHECK(m.cpu.seg[kEs].selector == kData3);
}

TEST_CASE("call gate: DPL and presence") {
    Machine m;
    m.protected32(3);
    m.put(kGdt + kGateSel, gate(kCode0, 0x9000, 0x8C), 8);
    far_call_code(m, kGateSel | 3, 0);
    (void)m.run();
    CHECK(m.in_handler(kGp));
    CHECK(m.stack(0) == kGateSel);
    m.protected32(3);
    m.put(kGdt + kGateSel, gate(kCode0, 0x9000, 0x6C), 8);
    (void)m.run();
    CHECK(m.in_handler(kNp));
}

TEST_CASE("long mode call gate uses RSP0 and a null SS; RETFQ returns") {
    Machine m;
    m.long64(3);
    m.put(kGdt + kGateSel, gate(kCode64, 0x9000, 0xEC), 8);
    m.put(kGdt + kGateSel + 8, 0, 8);
    m.code({0xFF, 0x1B});  // CALL FAR [RBX], m16:32
    m.cpu.gpr[kRbx] = 0x40000;
    m.put(0x40000, 0);
    m.put(0x40004, kGateSel | 3, 2);
    m.bytes(0x9000, {0x48, 0xCB});
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.cpl == 0);
    CHECK(m.cpu.seg[kSs].selector == 0);
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 32);
    CHECK(m.stack(3, 8) == kData3);
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 2);
    CHECK(m.cpu.cpl == 3);
    CHECK(m.cpu.gpr[kRsp] == kStack3);
}

TEST_CASE("segment loads: checks and error codes") {
    Machine m;
    struct {
        int modrm;  // MOV Sreg, AX
        u16 selector;
        unsigned cpl;
        u8 vector;  // 0 = fine
        u32 error;
    } rows[] = {
        {0xD8, kData0, 0, 0, 0},
        {0xD8, 0, 0, 0, 0},
        {0xD8, kData0, 3, kGp, kData0},
        {0xD8, kAbsent, 0, kNp, kAbsent},
        {0xD8, kConforming, 3, 0, 0},
        {0xD8, kLdt, 0, kGp, kLdt},
        {0xD0, 0, 0, kGp, 0},
        {0xD0, kData3, 0, kGp, kData3 & ~3u},
        {0xD0, kAbsent, 0, kSs12, kAbsent},
        {0xD0, kCode0, 0, kGp, kCode0},
        {0xD8, 0x7FF8, 0, kGp, 0x7FF8},
        {0xD8, 0x0C, 0, kGp, 0x0C},
    };
    for (const auto& r : rows) {
        CAPTURE(r.selector);
        CAPTURE(r.modrm);
        m.protected32(r.cpl);
        m.code({0x8E, r.modrm});
        m.cpu.gpr[kRax] = r.selector;
        (void)m.run();
        if (r.vector) {
            CHECK(m.in_handler(r.vector));
            CHECK(m.stack(0) == r.error);
        } else {
            CHECK(m.cpu.rip == kCodeAt + 2);
            CHECK(m.cpu.seg[kDs].selector == r.selector);
            CHECK(m.cpu.seg[kDs].unusable() == (r.selector == 0));
        }
    }
    // The accessed bit is written back.
    m.protected32();
    m.put(kGdt + kData0, descriptor(0, 0xFFFFF, 0xC092), 8);
    m.code({0x8E, 0xD8});
    m.cpu.gpr[kRax] = kData0;
    (void)m.run();
    CHECK(m.get(kGdt + kData0 + 5, 1) == 0x93);
}

TEST_CASE("LAR, LSL, VERR, VERW, ARPL") {
    Machine m;
    m.protected32(3);
    m.code({0x0F, 0x02, 0xC3, 0x0F, 0x03, 0xCB, 0x0F, 0x00, 0xE3, 0x0F, 0x00, 0xEB});
    m.cpu.gpr[kRbx] = kData3;
    (void)m.run(4);
    CHECK(m.cpu.gpr[kRax] == 0x00C0F300);
    CHECK(m.cpu.gpr[kRcx] == 0xFFFFFFFF);
    CHECK((m.cpu.cc & kCcZf));
    m.protected32(3);
    m.cpu.gpr[kRbx] = kData0;
    (void)m.run();
    CHECK_FALSE((m.cpu.cc & kCcZf));
    m.protected32();
    m.code({0x63, 0xC3});  // ARPL BX, AX
    m.cpu.gpr[kRbx] = 0x100;
    m.cpu.gpr[kRax] = 3;
    (void)m.run();
    CHECK(m.cpu.gpr[kRbx] == 0x103);
    CHECK((m.cpu.cc & kCcZf));
}

TEST_CASE("SYSCALL and SYSRET") {
    Machine m;
    m.long64(3);
    m.code({0x0F, 0x05, 0x90});
    m.bytes(0x9000, {0x48, 0x0F, 0x07});
    m.cpu.msr.star = u64{0x53} << 48 | u64{kCode64} << 32;
    m.cpu.msr.lstar = 0x9000;
    m.cpu.msr.sfmask = kFlagIf;
    m.cpu.flags_other |= kFlagIf;
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.cpl == 0);
    CHECK(m.cpu.gpr[kRcx] == kCodeAt + 2);
    CHECK((m.cpu.gpr[kR11] & kFlagIf));
    CHECK_FALSE(m.cpu.flag(kFlagIf));
    CHECK(m.cpu.seg[kSs].selector == kCode64 + 8);
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 2);
    CHECK(m.cpu.cpl == 3);
    CHECK(m.cpu.seg[kCs].selector == 0x63);
    CHECK(m.cpu.flag(kFlagIf));
    m.cpu.efer &= ~kEferSce;
    m.cpu.rip = kCodeAt;
    (void)m.run();
    CHECK(m.in_handler(kUd));
}

TEST_CASE("SYSENTER and SYSEXIT") {
    Machine m;
    m.protected32(3);
    m.code({0x0F, 0x34});
    m.bytes(0x9000, {0x0F, 0x35});
    (void)m.run();
    CHECK(m.in_handler(kGp));
    m.protected32(3);
    m.cpu.msr.sysenter_cs = kCode0;
    m.cpu.msr.sysenter_eip = 0x9000;
    m.cpu.msr.sysenter_esp = 0x20000;
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.cpl == 0);
    CHECK(m.cpu.seg[kSs].selector == kData0);
    m.cpu.gpr[kRdx] = 0xA000;
    m.cpu.gpr[kRcx] = 0x28000;
    (void)m.run();
    CHECK(m.cpu.rip == 0xA000);
    CHECK(m.cpu.gpr[kRsp] == 0x28000);
    CHECK(m.cpu.seg[kCs].selector == kCode3);
    CHECK(m.cpu.cpl == 3);
}

TEST_CASE("task switch: JMP saves and loads everything, busy bits move") {
    Machine m;
    m.protected32();
    second_task(m, 0x9000);
    far_call_code(m, kTss2, 0, 0xEA);
    m.cpu.gpr[kRsi] = 0x5151;
    m.cpu.dr7 = 0x555;
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.tr.selector == kTss2);
    CHECK(m.cpu.gpr[kRbx] == 0x1003);
    CHECK(m.cpu.gpr[kRsp] == 0x30000);
    CHECK_FALSE(m.cpu.flag(kFlagNt));
    CHECK(m.cpu.dr7 == 0x400);
    CHECK(m.get(kTssAt + 0x20) == kCodeAt + 7);
    CHECK(m.get(kTssAt + 0x40) == 0x5151);
    CHECK(m.get(kTssAt + 0x4C) == kCode0);
    CHECK(m.get(kGdt + kTss + 5, 1) == 0x89);
    CHECK(m.get(kGdt + kTss2 + 5, 1) == 0x8B);
}

TEST_CASE("task switch: CALL through a task gate nests, IRET returns") {
    Machine m;
    m.protected32();
    second_task(m, 0x9000);
    far_call_code(m, kTaskGate, 0);
    m.bytes(0x9000, {0xCF, 0x90});
    m.cpu.gpr[kRdi] = 0x77;
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK(m.cpu.flag(kFlagNt));
    CHECK(m.get(kTss2At, 2) == kTss);
    CHECK(m.get(kGdt + kTss + 5, 1) == 0x8B);
    (void)m.run();
    CHECK(m.cpu.tr.selector == kTss);
    CHECK(m.cpu.rip == kCodeAt + 7);
    CHECK(m.cpu.gpr[kRdi] == 0x77);
    CHECK_FALSE(m.cpu.flag(kFlagNt));
    CHECK(m.get(kGdt + kTss2 + 5, 1) == 0x89);
    CHECK(m.get(kTss2At + 0x20) == 0x9001);
    CHECK((m.get(kTss2At + 0x24) & kFlagNt) == 0);
}

TEST_CASE("task switch: faults before and after the switch") {
    Machine m;
    m.protected32();
    SUBCASE("busy TSS: #GP(selector)") {
        second_task(m, 0x9000);
        far_call_code(m, kTss, 0, 0xEA);
        (void)m.run();
        CHECK(m.in_handler(kGp));
        CHECK(m.stack(0) == kTss);
    }
    SUBCASE("TSS too short: #TS(selector), old task") {
        second_task(m, 0x9000);
        m.put(kGdt + kTss2, descriptor(kTss2At, 0x60, 0x89), 8);
        far_call_code(m, kTss2, 0, 0xEA);
        (void)m.run();
        CHECK(m.in_handler(kTs));
        CHECK(m.stack(0) == kTss2);
        CHECK(m.cpu.tr.selector == kTss);
        CHECK(m.stack(1) == kCodeAt);
    }
    SUBCASE("bad data segment: #TS(selector) in the new task") {
        second_task(m, 0x9000);
        m.put(kTss2At + 0x54, kTss);  // DS
        far_call_code(m, kTss2, 0, 0xEA);
        (void)m.run();
        CHECK(m.in_handler(kTs));
        CHECK(m.stack(0) == kTss);
        CHECK(m.stack(1) == 0x9000);
        CHECK(m.cpu.tr.selector == kTss2);
    }
    SUBCASE("debug trap bit") {
        second_task(m, 0x9000);
        m.put(kTss2At + 0x64, 0x680001);
        far_call_code(m, kTss2, 0, 0xEA);
        (void)m.run();
        CHECK(m.in_handler(kDb));
        CHECK((m.cpu.dr6 & bit(15)));
        CHECK(m.stack(0) == 0x9000);
    }
    SUBCASE("LDT of the new task") {
        second_task(m, 0x9000);
        m.put(0x3F00, descriptor(0x5000, 0xFFFFF, 0xC093), 8);
        m.put(kTss2At + 0x60, kLdt);
        m.put(kTss2At + 0x54, 4);
        far_call_code(m, kTss2, 0, 0xEA);
        (void)m.run();
        CHECK(m.cpu.rip == 0x9000);
        CHECK(m.cpu.ldtr.selector == kLdt);
        CHECK(m.cpu.seg[kDs].base == 0x5000);
    }
}

TEST_CASE("task switch: 16-bit TSS") {
    Machine m;
    m.protected32();
    m.put(kGdt + kTss2, descriptor(kTss2At, 0x2B, 0x81), 8);
    m.put(kTss2At + 0x0E, 0x9000, 2);
    m.put(kTss2At + 0x10, 2, 2);
    m.put(kTss2At + 0x12, 0xABCD, 2);
    m.put(kTss2At + 0x1A, 0x7000, 2);
    for (unsigned s = 0; s < 4; ++s) m.put(kTss2At + 0x22 + 2 * s, s == kCs ? kCode0 : kData0, 2);
    m.put(kTss2At + 0x2A, 0, 2);
    far_call_code(m, kTss2, 0, 0xEA);
    (void)m.run();
    CHECK(m.cpu.rip == 0x9000);
    CHECK((m.cpu.gpr[kRax] & 0xFFFF) == 0xABCD);
    CHECK(m.cpu.seg[kSs].selector == kData0);
    CHECK(m.cpu.seg[kFs].unusable());
}

TEST_CASE("I/O permission bitmap") {
    Machine m;
    m.protected32(3);
    m.code({0xE4, 0x60, 0x90});
    m.put(kTssAt + 0x66, 0x68, 2);
    for (unsigned n = 0; n < 0x20; ++n) m.put(kTssAt + 0x68 + n, 0xFF, 1);
    (void)m.run();
    CHECK(m.in_handler(kGp));
    m.protected32(3);
    m.put(kTssAt + 0x66, 0x68, 2);
    m.put(kTssAt + 0x68 + 0x60 / 8, 0xFE, 1);
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 2);
    CHECK((m.cpu.gpr[kRax] & 0xFF) == 0xFF);
    m.protected32(3);
    m.code({0xE5, 0x60});  // four ports, three of them closed
    m.put(kTssAt + 0x66, 0x68, 2);
    (void)m.run();
    CHECK(m.in_handler(kGp));
    m.protected32(3);
    m.cpu.flags_other |= kFlagIopl;
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 2);
}
