// Control registers, MSRs, flags with privilege, descriptor tables, debug registers.
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

bool refused(Cpu& cpu, Step step) {
    return step == Step::kFault && cpu.raised.event.vector == kGp && cpu.raised.event.error == 0;
}

}  // namespace

TEST_CASE("CR0: illegal combinations, long mode activation") {
    Machine m;
    m.protected32();
    Cpu& c = m.cpu;
    CHECK(refused(c, write_cr0(c, kCr0Pg)));
    CHECK(refused(c, write_cr0(c, kCr0Pe | kCr0Nw)));
    CHECK(refused(c, write_cr0(c, u64{1} << 32 | kCr0Pe)));
    CHECK(write_efer(c, kEferLme));
    CHECK(refused(c, write_cr0(c, kCr0Pe | kCr0Pg)));  // PAE off
    CHECK(write_cr4(c, kCr4Pae) == Step::kEnd);
    m.long_pages();
    CHECK(write_cr3(c, kPages) == Step::kEnd);
    CHECK(write_cr0(c, kCr0Pe | kCr0Pg) == Step::kEnd);
    CHECK(c.long_mode());
    CHECK((c.cr0 & kCr0Et));
    CHECK(refused(c, write_cr4(c, 0)));         // PAE must stay
    CHECK_FALSE(write_efer(c, kEferLma));       // LME must stay while paging
    CHECK(write_cr0(c, kCr0Pe) == Step::kEnd);  // compatibility code may leave
    CHECK_FALSE(c.long_mode());
    m.long64();
    CHECK(refused(c, write_cr0(c, kCr0Pe)));  // 64-bit code may not
}

TEST_CASE("CR3: reserved bits, PAE page-directory pointers") {
    Machine m;
    m.protected32();
    Cpu& c = m.cpu;
    CHECK(write_cr4(c, kCr4Pae) == Step::kEnd);
    m.put(kPages, (kPages + 0x1000) | 1, 8);
    for (unsigned n = 1; n < 4; ++n) m.put(kPages + n * 8, 0, 8);
    CHECK(write_cr3(c, kPages) == Step::kEnd);
    CHECK(write_cr0(c, kCr0Pe | kCr0Pg) == Step::kEnd);
    CHECK(c.pdpte[0] == ((kPages + 0x1000) | 1));
    m.put(kPages + 0x20, 0x1E7, 8);  // another table, reserved bits set
    CHECK(refused(c, write_cr3(c, kPages + 0x20)));
    CHECK(c.cr3 == kPages);
    m.long64();
    CHECK(refused(c, write_cr3(c, u64{1} << 60)));
}

TEST_CASE("CR4: unknown bits, PCIDE rules, CR3 bit 63") {
    Machine m;
    m.protected32();
    Cpu& c = m.cpu;
    CHECK(refused(c, write_cr4(c, bit(31))));
    CHECK(refused(c, write_cr4(c, kCr4Pcide)));  // not in long mode
    m.long64();
    if (cr4_allowed(m.model) & kCr4Pcide) {
        c.cr3 |= 5;
        CHECK(refused(c, write_cr4(c, kCr4Pae | kCr4Pcide)));
        c.cr3 = kPages;
        CHECK(write_cr4(c, kCr4Pae | kCr4Pcide) == Step::kEnd);
        CHECK(write_cr3(c, bit(63) | kPages | 7) == Step::kEnd);
        CHECK(c.cr3 == (kPages | 7));
        CHECK(c.mmu.tag().pcid == 7);
    }
}

TEST_CASE("CR3 writes drop non-global translations, CR4.PGE changes all of them") {
    Machine m;
    m.long64();
    Cpu& c = m.cpu;
    CHECK(write_cr4(c, kCr4Pae | kCr4Pge) == Step::kEnd);
    m.put(kPages + 0x2000 + 8, 2 << 20 | 0x187, 8);  // 2 MiB: global
    u32 v = 0;
    m.put(0x200000, 0x1111);
    m.put(0x400000, 0x2222);
    REQUIRE(c.mmu.load<u32>(0x200000, v));
    REQUIRE(c.mmu.load<u32>(0x400000, v));
    m.put(kPages + 0x2000 + 8, 0, 8);
    m.put(kPages + 0x2000 + 16, 0, 8);
    CHECK(write_cr3(c, kPages) == Step::kEnd);
    CHECK(c.mmu.load<u32>(0x200000, v));
    CHECK_FALSE(c.mmu.load<u32>(0x400000, v));
    CHECK(write_cr4(c, kCr4Pae) == Step::kEnd);
    CHECK_FALSE(c.mmu.load<u32>(0x200000, v));
}

TEST_CASE("MOV CR, CLTS, LMSW, SMSW") {
    Machine m;
    m.protected32();
    m.code({0x0F, 0x22, 0xD0, 0x0F, 0x20, 0xD3, 0x0F, 0x01, 0xF1, 0x0F, 0x01, 0xE2, 0x0F, 0x06});
    m.cpu.gpr[kRax] = 0xCAFE;
    m.cpu.gpr[kRcx] = 0xE;  // LMSW CX: cannot clear PE
    (void)m.run(4);
    CHECK(m.cpu.cr2 == 0xCAFE);
    CHECK(m.cpu.gpr[kRbx] == 0xCAFE);
    CHECK((m.cpu.cr0 & 0xF) == 0xF);
    CHECK((m.cpu.gpr[kRdx] & 0xF) == 0xF);
    (void)m.run();
    CHECK((m.cpu.cr0 & 0xF) == 0x7);
    m.protected32(3);
    m.code({0x0F, 0x20, 0xC0});
    (void)m.run();
    CHECK(m.in_handler(kGp));
}

TEST_CASE("MSRs: rows, reserved bits, canonical values, unknown numbers") {
    Machine m;
    m.long64();
    Cpu& c = m.cpu;
    u64 v = 0;
    CHECK(write_msr(c, 0xC0000082, 0xFFFFFFFF81000000));
    CHECK(read_msr(c, 0xC0000082, v));
    CHECK(v == 0xFFFFFFFF81000000);
    CHECK_FALSE(write_msr(c, 0xC0000082, u64{1} << 47));
    CHECK(write_msr(c, 0xC0000100, 0x123456789));
    CHECK(c.seg_base64[kFs] == 0x123456789);
    CHECK_FALSE(write_msr(c, 0x277, 0x0202020202020202));
    CHECK(write_msr(c, 0x277, 0x0007040600070406));
    CHECK(read_msr(c, 0xFE, v));
    CHECK(v == 0x508);
    CHECK_FALSE(write_msr(c, 0xFE, v));
    CHECK(write_msr(c, 0x200, 0xC0000006));
    CHECK_FALSE(write_msr(c, 0x200, 0xC0000002));
    CHECK_FALSE(write_msr(c, 0x201, 0x7FF));
    CHECK(write_msr(c, 0x269, 0x0606060606060606));
    CHECK(c.msr.mtrr_fixed[4] == 0x0606060606060606);
    CHECK(write_msr(c, 0x2FF, 0xC06));
    CHECK_FALSE(write_msr(c, 0x2FF, 0x1000));
    CHECK_FALSE(read_msr(c, 0x12345, v));
    CHECK_FALSE(read_msr(c, 0x12345, v));
    CHECK(c.reported_msrs.size() == 1);
    CHECK(write_msr(c, 0x10, 1000));
    CHECK(c.tsc() == 1000);
    CHECK(read_msr(c, 0x179, v));
    CHECK(v == 6);
    CHECK(write_msr(c, 0x401, 0));
    CHECK_FALSE(write_msr(c, 0x401, 1));
    CHECK(read_msr(c, 0x808, v));
    CHECK_FALSE(write_efer(c, bit(40)));
}

TEST_CASE("MSRs: APIC base moves the xAPIC page") {
    Machine m;
    m.protected32();
    Cpu& c = m.cpu;
    u32 v = 0;
    REQUIRE(c.mmu.load<u32>(0xFEE00020, v));
    CHECK(v == 0x11110020);
    REQUIRE(c.mmu.store<u32>(0xFEE000B0, 5));
    CHECK(m.apic.mmio_last == (u64{0xB0} << 32 | 5));
    CHECK(write_msr(c, 0x1B, 0x00300900));
    REQUIRE(c.mmu.load<u32>(0x00300030, v));
    CHECK(v == 0x11110030);
    CHECK_FALSE(write_msr(c, 0x1B, 1));
    CHECK(write_msr(c, 0x1B, 0x00300100));  // disabled: RAM again
    REQUIRE(c.mmu.load<u32>(0x00300030, v));
    CHECK(v == 0);
}

TEST_CASE("vendor and feature of MSR rows") {
    Machine intel("Westmere"), amd("barcelona");
    u64 v = 0;
    CHECK(read_msr(intel.cpu, 0x1A0, v));
    CHECK_FALSE(read_msr(amd.cpu, 0x1A0, v));
    CHECK(read_msr(amd.cpu, 0xC0010015, v));
    CHECK_FALSE(read_msr(intel.cpu, 0xC0010015, v));
    CHECK(write_msr(amd.cpu, 0xC0010010, bit(19)));
    CHECK(write_msr(amd.cpu, 0x250, 0x1818181818181818));
    CHECK_FALSE(write_msr(amd.cpu, 0xC0010010, 1));
}

TEST_CASE("CLI and STI: IOPL, PVI, VME") {
    Machine m;
    m.protected32(3);
    m.code({0xFA});
    (void)m.run();
    CHECK(m.in_handler(kGp));
    m.protected32(3);
    m.cpu.cr4 |= kCr4Pvi;
    m.cpu.flags_other |= kFlagVif | kFlagIf;
    (void)m.run();
    CHECK(m.cpu.rip == kCodeAt + 1);
    CHECK_FALSE(m.cpu.flag(kFlagVif));
    CHECK(m.cpu.flag(kFlagIf));
    m.protected32(3);
    m.cpu.flags_other |= kFlagVip;
    m.code({0xFB});
    (void)m.run();
    CHECK(m.in_handler(kGp));  // VIP and STI of VIF
}

TEST_CASE("PUSHF and POPF") {
    Machine m;
    m.protected32(3);
    set_flags_register(m.cpu, 2 | kFlagIf);
    m.code({0x9C, 0x9D, 0x90});
    (void)m.run();
    CHECK(m.stack(0) == (2 | kFlagIf));
    m.put(m.cpu.gpr[kRsp], kFlagIopl | kFlagDf | kFlagCf | kFlagAc | kFlagRf | kFlagVm);
    (void)m.run();
    CHECK(m.cpu.rflags() == (2 | kFlagIf | kFlagDf | kFlagCf | kFlagAc));
    m.v86();
    m.code({0x9C});
    (void)m.run();
    CHECK(m.in_handler(kGp));
    m.v86();
    m.cpu.cr4 |= kCr4Vme;
    (void)m.run();
    CHECK((m.get(kCodeAt + 0x1FFE, 2) & (kFlagIopl | kFlagIf)) == kFlagIopl);
}

TEST_CASE("#AC at CPL 3 only") {
    Machine m;
    m.protected32(3);
    m.code({0x8B, 0x03});
    m.cpu.gpr[kRbx] = 0x40001;
    m.cpu.cr0 |= kCr0Am;
    set_flags_register(m.cpu, 2 | kFlagAc);
    m.cpu.update_mode();
    (void)m.run();
    CHECK(m.in_handler(kAc));
    CHECK(m.stack(0) == 0);
}

TEST_CASE("descriptor-table instructions") {
    Machine m;
    m.protected32();
    m.code({0x0F, 0x01, 0x03, 0x0F, 0x01, 0x13, 0x0F, 0x00, 0xD1, 0x0F, 0x00, 0xDA});
    m.cpu.gpr[kRbx] = 0x40000;  // SGDT; LGDT; LLDT CX; LTR DX
    (void)m.run();
    CHECK(m.get(0x40000, 2) == m.cpu.gdtr.limit);
    CHECK(m.get(0x40002) == kGdt);
    m.cpu.gpr[kRcx] = kLdt;
    m.cpu.gpr[kRdx] = kTss2;
    (void)m.run(3);
    CHECK(m.cpu.gdtr.base == kGdt);
    CHECK(m.cpu.ldtr.base == 0x3F00);
    CHECK(m.cpu.tr.selector == kTss2);
    CHECK(m.get(kGdt + kTss2 + 5, 1) == 0x8B);
    m.cpu.rip = kCodeAt + 9;  // busy now
    (void)m.run();
    CHECK(m.in_handler(kGp));
    CHECK(m.stack(0) == kTss2);
}

TEST_CASE("UMIP") {
    Machine m;
    if (!(cr4_allowed(m.model) & kCr4Umip)) return;
    m.protected32(3);
    m.code({0x0F, 0x01, 0x03});
    m.cpu.gpr[kRbx] = 0x40000;
    m.cpu.cr4 |= kCr4Umip;
    (void)m.run();
    CHECK(m.in_handler(kGp));
}

TEST_CASE("debug registers: DR4/DR5 alias, fixed bits") {
    Machine m;
    m.protected32();
    m.code({0x0F, 0x23, 0xE0, 0x0F, 0x21, 0xF3, 0x0F, 0x23,
            0xE0});  // MOV DR4,EAX; MOV EBX,DR6; MOV DR4,EAX
    m.cpu.gpr[kRax] = 0;
    (void)m.run(2);
    CHECK(m.cpu.gpr[kRbx] == 0xFFFF0FF0);
    m.cpu.cr4 |= kCr4De;
    (void)m.run();
    CHECK(m.in_handler(kUd));
}

TEST_CASE("CR8 is the task priority") {
    Machine m;
    m.long64();
    m.code({0x44, 0x0F, 0x22, 0xC0, 0x44, 0x0F, 0x20, 0xC3});
    m.cpu.gpr[kRax] = 9;
    (void)m.run(2);
    CHECK(m.apic.tpr_value == 0x90);
    CHECK(m.cpu.gpr[kRbx] == 9);
    m.cpu.gpr[kRax] = 16;
    m.cpu.rip = kCodeAt;
    (void)m.run();
    CHECK(m.in_handler(kGp));
}

TEST_CASE("reset state") {
    Machine m;
    m.long64();
    m.cpu.reset();
    CHECK(m.cpu.rip == 0xFFF0);
    CHECK(m.cpu.seg[kCs].base == 0xFFFF0000);
    CHECK(m.cpu.cr0 == 0x60000010);
    CHECK(m.cpu.gpr[kRdx] == m.model.signature);
    CHECK(m.cpu.dr6 == 0xFFFF0FF0);
    CHECK_FALSE(m.cpu.mode.protected_mode());
    CHECK_FALSE(m.cpu.mode.code64());
}
