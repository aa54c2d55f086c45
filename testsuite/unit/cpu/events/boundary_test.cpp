// Work at instruction boundaries: interrupts, shadows, NMI, traps, halts, INIT and SIPI.
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

TEST_CASE("an interrupt is taken when IF allows, STI delays it by one instruction") {
    Machine m;
    m.protected32();
    m.code({0x90, 0xFB, 0x90, 0x90});
    m.apic.raise(0x31);
    (void)m.run(2);  // NOP, STI
    CHECK(m.cpu.rip == kCodeAt + 2);
    (void)m.run();  // NOP in the shadow, then the interrupt
    CHECK(m.in_handler(0x31));
    CHECK(m.stack(0) == kCodeAt + 3);
}

TEST_CASE("POPF that sets IF has no shadow") {
    Machine m;
    m.protected32();
    m.code({0x9D, 0x90});
    m.cpu.gpr[kRsp] -= 4;
    m.put(m.cpu.gpr[kRsp], 0x202);
    m.apic.raise(0x31);
    (void)m.run(2);
    CHECK(m.in_handler(0x31));
    CHECK(m.stack(0) == kCodeAt + 1);
}

TEST_CASE("MOV SS holds off interrupts, NMI and debug traps for one instruction") {
    Machine m;
    m.protected32();
    m.code({0x8E, 0xD0, 0x90, 0x90});
    m.cpu.gpr[kRax] = kData0;
    m.cpu.flags_other |= kFlagIf;
    (void)m.run();
    m.apic.raise(0x31);
    m.cpu.pulse_nmi();
    (void)m.run();
    CHECK(m.in_handler(kNmiVector));
    CHECK(m.stack(0) == kCodeAt + 3);
}

TEST_CASE("NMI: blocked until IRET, then the next one") {
    Machine m;
    m.protected32();
    m.code({0x90, 0x90, 0x90});
    m.bytes(m.handler(kNmiVector), {0x90, 0xCF});
    m.cpu.pulse_nmi();
    (void)m.run();
    CHECK(m.cpu.rip == m.handler(kNmiVector) + 1);
    m.cpu.pulse_nmi();
    CHECK(m.cpu.rip == m.handler(kNmiVector) + 1);
    (void)m.run();  // IRET, then the second one
    CHECK(m.cpu.rip == m.handler(kNmiVector));
    CHECK(m.stack(0) == kCodeAt);
    CHECK(m.cpu.gpr[kRsp] == kStack0 - 12);
}

TEST_CASE("HLT: wakes by an interrupt only with IF; the return address is behind it") {
    Machine m;
    m.protected32();
    m.code({0xF4, 0x90});
    CHECK(m.run(10) == Processor::Stop::kHalted);
    CHECK(m.cpu.halted());
    m.apic.raise(0x31);
    CHECK(m.run(10) == Processor::Stop::kHalted);
    CHECK(m.cpu.halted());
    m.cpu.flags_other |= kFlagIf;
    m.cpu.recheck_events();
    CHECK_FALSE(m.cpu.halted());
    (void)m.run();
    CHECK(m.in_handler(0x31));
    CHECK(m.stack(0) == kCodeAt + 1);
}

TEST_CASE("MWAIT: wakes by a store to the line, and with ECX bit 0 by a masked interrupt") {
    Machine m;
    m.protected32();
    m.code({0x0F, 0x01, 0xC8, 0x89, 0xD9, 0x0F, 0x01, 0xC9, 0x90,
            0x90});  // MONITOR; MOV ECX,EBX; MWAIT
    m.cpu.gpr[kRax] = 0x40000;
    SUBCASE("store by somebody else") {
        CHECK(m.run(10) == Processor::Stop::kHalted);
        CHECK(m.cpu.rip == kCodeAt + 8);
        CHECK(m.cpu.halted());
        m.put(0x40020, 1);
        CHECK_FALSE(m.cpu.halted());
        (void)m.run();
        CHECK(m.cpu.rip == kCodeAt + 9);
    }
    SUBCASE("masked interrupt with ECX bit 0") {
        m.cpu.gpr[kRbx] = 1;
        CHECK(m.run(10) == Processor::Stop::kHalted);
        m.apic.raise(0x31);
        (void)m.run();
        CHECK(m.cpu.rip == kCodeAt + 9);
    }
    SUBCASE("masked interrupt without it") {
        CHECK(m.run(10) == Processor::Stop::kHalted);
        m.apic.raise(0x31);
        CHECK(m.run(10) == Processor::Stop::kHalted);
    }
}

TEST_CASE("single step: #DB after the instruction with DR6.BS") {
    Machine m;
    m.protected32();
    m.code({0x90, 0x90});
    m.cpu.flags_other |= kFlagTf;
    (void)m.run(2);
    CHECK(m.in_handler(kDb));
    CHECK(m.stack(0) == kCodeAt + 1);
    CHECK((m.cpu.dr6 & bit(14)));
    CHECK_FALSE((m.stack(2) & kFlagRf));
}

TEST_CASE("breakpoints: instruction (fault, RF skips it), data (trap), general detect") {
    Machine m;
    m.protected32();
    SUBCASE("instruction") {
        m.code({0x90, 0x90});
        m.bytes(m.handler(kDb),
                {0x81, 0x4C, 0x24, 0x08, 0, 0, 1, 0, 0xCF});  // OR [ESP+8], RF; IRET
        m.cpu.dr[1] = kCodeAt;
        m.cpu.dr7 = 0x400 | 4;
        (void)m.run();
        CHECK(m.in_handler(kDb));
        CHECK((m.cpu.dr6 & 0xF) == 2);
        CHECK(m.stack(0) == kCodeAt);
        (void)m.run(2);
        CHECK(m.cpu.rip == kCodeAt);
        CHECK(m.cpu.flag(kFlagRf));
        (void)m.run();
        CHECK(m.cpu.rip == kCodeAt + 1);
        CHECK_FALSE(m.cpu.flag(kFlagRf));
    }
    SUBCASE("data write, not read") {
        m.code({0x8B, 0x03, 0x89, 0x03, 0x90});
        m.cpu.gpr[kRbx] = 0x40002;
        m.cpu.dr[0] = 0x40004;
        m.cpu.dr7 = 0x400 | 1 | 1 << 16;  // write, one byte
        m.cpu.update_mode();
        (void)m.run();
        CHECK(m.cpu.rip == kCodeAt + 2);
        (void)m.run();
        CHECK(m.in_handler(kDb));
        CHECK(m.stack(0) == kCodeAt + 4);
        CHECK((m.cpu.dr6 & 0xF) == 1);
    }
    SUBCASE("general detect") {
        m.code({0x0F, 0x23, 0xC0});
        m.cpu.dr7 = 0x400 | bit(13);
        (void)m.run();
        CHECK(m.in_handler(kDb));
        CHECK((m.cpu.dr6 & bit(13)));
        CHECK(m.stack(0) == kCodeAt);
        CHECK_FALSE((m.cpu.dr7 & bit(13)));
    }
}

TEST_CASE("INIT and SIPI") {
    Machine m("max", true);
    CHECK(m.cpu.activity == Activity::kWaitForSipi);
    CHECK(m.run(10) == Processor::Stop::kHalted);
    m.bytes(0x9000, {0x90, 0x90});
    m.cpu.startup_ipi(9);
    (void)m.run();
    CHECK(m.cpu.seg[kCs].selector == 0x900);
    CHECK(m.cpu.seg[kCs].base == 0x9000);
    CHECK(m.cpu.rip == 1);
    m.cpu.startup_ipi(7);  // ignored: not waiting
    (void)m.run();
    CHECK(m.cpu.rip == 2);
    m.cpu.fpu.fcw = 0x27F;
    m.cpu.cr2 = 5;
    m.cpu.pulse_init();
    CHECK(m.run(10) == Processor::Stop::kHalted);
    CHECK(m.apic.init_seen);
    CHECK(m.cpu.cr2 == 0);
    CHECK(m.cpu.fpu.fcw == 0x27F);
    CHECK(m.cpu.activity == Activity::kWaitForSipi);
    // INIT and SIPI that arrive together.
    m.cpu.pulse_init();
    m.cpu.startup_ipi(9);
    (void)m.run();
    CHECK(m.cpu.seg[kCs].selector == 0x900);
}

TEST_CASE("SMM: entry, NMI held off, RSM restores, SMBASE moves") {
    for (const char* spec : {"max", "max,-lm,-svm,-vmx"}) {
        CAPTURE(spec);
        Machine m(spec);
        m.protected32();
        m.code({0x90, 0x90});
        // Handler at 38000H: MOV AX, [CS:FEFCH] ; patch SMBASE to 50000H ; RSM
        const bool wide = m.model.features.has(Feature::k_lm);
        const int base = wide ? 0xFF00 : 0xFEF8;
        m.bytes(0x38000, {0x66, 0x2E, 0xC7, 0x06, base & 0xFF, base >> 8, 0, 0, 5, 0, 0x0F, 0xAA});
        std::vector<bool> changes;
        m.cpu.on_smm_change = [&](bool in) { changes.push_back(in); };
        const CpuState before = m.cpu;
        m.cpu.pulse_smi();
        (void)m.run();
        CHECK(m.cpu.smm);
        CHECK(m.cpu.seg[kCs].base == 0x30000);
        CHECK(m.cpu.rip == 0x800A);
        CHECK_FALSE(m.cpu.protected_mode());
        m.cpu.pulse_nmi();
        (void)m.run();
        CHECK_FALSE(m.cpu.smm);
        CHECK(m.cpu.smbase == 0x50000);
        CHECK(m.cpu.rip == m.handler(kNmiVector));  // taken at once after RSM
        CHECK(m.stack(0) == kCodeAt);
        CHECK(m.cpu.cr0 == before.cr0);
        CHECK(m.cpu.rflags() == before.rflags());
        for (unsigned s = 0; s < kSegRegs; ++s) CHECK(m.cpu.seg[s] == before.seg[s]);
        CHECK(m.cpu.tr == before.tr);
        CHECK(m.cpu.idtr == before.idtr);
        CHECK(changes == std::vector<bool>{true, false});
    }
    Machine m;
    m.protected32();
    m.code({0x0F, 0xAA});
    (void)m.run();
    CHECK(m.in_handler(kUd));
}

TEST_CASE("SMM: a halted processor halts again after RSM") {
    Machine m;
    m.protected32();
    m.code({0xF4});
    m.bytes(0x38000, {0x0F, 0xAA});
    CHECK(m.run(5) == Processor::Stop::kHalted);
    m.cpu.pulse_smi();
    CHECK(m.run(5) == Processor::Stop::kHalted);
    CHECK(m.cpu.activity == Activity::kHlt);
    CHECK(m.cpu.rip == kCodeAt + 1);
}
