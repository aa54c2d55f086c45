// Exceptions, nested page faults, GIF, physical and virtual interrupts, injection.
#include "testsuite/unit/vt-emulation/svm/guest.h"

using namespace rm;
using namespace rm::vt::svm;
using namespace rm::vt::svm::test;

namespace {

constexpr u64 kLoopHere = 0xFEEB;  // JMP $

void loop(Guest& g) { g.put(kGuestCode, kLoopHere, 2); }

}  // namespace

TEST_CASE("intercepted exceptions") {
    SUBCASE("#UD") {
        Guest g;
        g.set(F::INTERCEPT_EXCEPTION, bit(6));
        g.guest_code({0x0F, 0x0B});
        CHECK(g.exit_code_after(2) == exit_code::EXCP + 6);
        CHECK(g.field(F::RIP) == kGuestCode);
        CHECK(g.field(F::EXITINTINFO) == 0);
    }
    SUBCASE("#PF: error code, address, instruction bytes; CR2 unchanged") {
        Guest g;
        g.set(F::INTERCEPT_EXCEPTION, bit(14));
        g.set(F::CR2, 7);
        g.guest_code({0x88, 0x03});  // MOV [rbx], al
        g.cpu.gpr[cpu::kRbx] = 0x40000000;
        CHECK(g.exit_code_after(2) == exit_code::EXCP + 14);
        CHECK(g.field(F::EXITINFO1) == 2);
        CHECK(g.field(F::EXITINFO2) == 0x40000000);
        CHECK(g.field(F::CR2) == 7);
        CHECK(g.field(F::FETCHED_COUNT) == 15);
        CHECK(g.get(kVmcbAt + 0xD1, 2) == 0x0388);
    }
    SUBCASE("INT3: RIP at the instruction, nRIP behind it") {
        Guest g;
        g.set(F::INTERCEPT_EXCEPTION, bit(3));
        g.guest_code({0xCC});
        CHECK(g.exit_code_after(2) == exit_code::EXCP + 3);
        CHECK(g.field(F::RIP) == kGuestCode);
        CHECK(g.field(F::NRIP) == kGuestCode + 1);
    }
    SUBCASE("not intercepted: delivered in the guest") {
        Guest g;
        g.guest_code({0x0F, 0x0B});
        g.enter(2);
        CHECK(g.in_guest());
        CHECK(g.in_handler(6));
    }
    SUBCASE("a fault during delivery names the event under way") {
        Guest g;
        g.set(F::INTERCEPT_EXCEPTION, bit(14));
        g.set(F::IDTR_BASE, 0x50000000);  // unmapped
        g.guest_code({0x0F, 0x0B});
        CHECK(g.exit_code_after(2) == exit_code::EXCP + 14);
        CHECK(g.field(F::EXITINTINFO) == (kEventValid | 0x306));
    }
    SUBCASE("triple fault: SHUTDOWN") {
        Guest g;
        g.add(kShutdown);
        g.set(F::IDTR_LIMIT, 0);
        g.guest_code({0x0F, 0x0B});
        CHECK(g.exit_code_after(2) == exit_code::SHUTDOWN);
    }
}

TEST_CASE("nested page faults") {
    SUBCASE("identity map: the guest runs") {
        Guest g;
        g.nested();
        g.add(kHlt);
        g.guest_code({0x8A, 0x03, 0xF4});  // MOV al, [rbx]; HLT
        g.put(0x70000, 0x5A, 1);
        g.cpu.gpr[cpu::kRbx] = 0x70000;
        CHECK(g.exit_code_after(4) == exit_code::HLT);
        CHECK((g.field(F::RAX) & 0xFF) == 0x5A);
    }
    SUBCASE("final address, write, not present") {
        Guest g;
        g.nested();
        g.put(g.nested_entry(0x70000), 0, 8);
        g.guest_code({0x88, 0x03});
        g.cpu.gpr[cpu::kRbx] = 0x70008;
        CHECK(g.exit_code_after(2) == exit_code::NPF);
        CHECK(g.field(F::EXITINFO1) == (bit(32) | 6));  // write, user
        CHECK(g.field(F::EXITINFO2) == 0x70008);
        CHECK(g.get(kVmcbAt + 0xD1, 2) == 0x0388);
        CHECK(g.sink.exits[0].physical_valid);
    }
    SUBCASE("the guest's own table") {
        Guest g;
        g.nested();
        g.put(g.nested_entry(kPages + 0x1000), 0, 8);
        g.guest_code({0x90});
        CHECK(g.exit_code_after(2) == exit_code::NPF);
        CHECK((g.field(F::EXITINFO1) & (bit(32) | bit(33))) == bit(33));
        CHECK((g.field(F::EXITINFO2) & kPageMask) == kPages + 0x1000);
    }
    SUBCASE("fetch: no instruction bytes") {
        Guest g;
        g.nested();
        g.put(g.nested_entry(kGuestCode), 0, 8);
        CHECK(g.exit_code_after(2) == exit_code::NPF);
        CHECK((g.field(F::EXITINFO1) & 0x10) != 0);
        CHECK(g.field(F::FETCHED_COUNT) == 0);
    }
    SUBCASE("the guest's PAT is its own") {
        Guest g;
        g.nested();
        g.add(kHlt);
        g.set(F::G_PAT, 0x0606060606060606);
        g.guest_code({0xF4});
        g.enter(1);
        CHECK(g.cpu.msr.pat == 0x0606060606060606);
        CHECK(g.exit_code_after(2) == exit_code::HLT);
        CHECK(g.cpu.msr.pat == 0x0007040600070406);
    }
}

TEST_CASE("GIF") {
    SUBCASE("while 0, interrupts and NMIs wait; STGI lets them in") {
        Guest g;
        g.code({0x0F, 0x01, 0xDD, 0x90, 0x90, 0x0F, 0x01, 0xDC, 0x90});  // CLGI NOP NOP STGI NOP
        g.cpu.flags_other |= cpu::kFlagIf;
        g.enter(1);
        CHECK(!g.svm.gif());
        g.apic.raise(0x30);
        g.cpu.pulse_nmi();
        g.enter(2);
        CHECK(g.cpu.rip == kCodeAt + 5);
        g.enter(1);
        CHECK(g.svm.gif());
        g.enter(1);
        CHECK(g.in_handler(cpu::kNmiVector));
    }
    SUBCASE("#VMEXIT clears it, the interrupt that caused it stays pending") {
        Guest g;
        g.add(kIntr);
        g.set(F::V_INTR, kVIntrMasking);
        g.cpu.flags_other |= cpu::kFlagIf;
        loop(g);
        g.enter(3);
        CHECK(g.in_guest());
        g.apic.raise(0x31);
        CHECK(g.exit_code_after(1) == exit_code::INTR);
        CHECK(!g.svm.gif());
        CHECK(g.apic.queue.size() == 1);
        CHECK(g.back_in_host());
    }
    SUBCASE("NMI intercept: pending until the host sets GIF") {
        Guest g;
        g.add(kNmi);
        loop(g);
        g.bytes(kCodeAt + 3, {0x90, 0x0F, 0x01, 0xDC, 0x90});
        g.enter(3);
        g.cpu.pulse_nmi();
        CHECK(g.exit_code_after(1) == exit_code::NMI);
        CHECK(g.cpu.rip == kCodeAt + 4);  // the hypervisor's NOP has run, undisturbed
        g.enter(1);
        CHECK(g.in_handler(cpu::kNmiVector));
    }
}

TEST_CASE("VM_CR.R_INIT turns INIT into #SX with error code 1") {
    constexpr u32 kVmCr = 0xC0010114;
    SUBCASE("in the host") {
        Guest g;
        g.code({0x90, 0x90});
        CHECK(g.svm.msr_write(g.cpu, kVmCr, 2) == cpu::MsrAnswer::kDone);
        g.enter(1);
        g.cpu.pulse_init();
        g.enter(1);
        CHECK(g.in_handler(cpu::kSx));
        CHECK(g.get(g.cpu.gpr[cpu::kRsp], 8) == 1);
    }
    SUBCASE("in a guest that intercepts neither INIT nor #SX") {
        Guest g;
        loop(g);
        CHECK(g.svm.msr_write(g.cpu, kVmCr, 2) == cpu::MsrAnswer::kDone);
        g.enter(2);
        g.cpu.pulse_init();
        g.enter(1);
        CHECK(g.in_guest());
        CHECK(g.in_handler(cpu::kSx));
    }
    SUBCASE("an INIT intercept comes first") {
        Guest g;
        g.add({F::INTERCEPT_1, 3});
        loop(g);
        CHECK(g.svm.msr_write(g.cpu, kVmCr, 2) == cpu::MsrAnswer::kDone);
        g.enter(2);
        g.cpu.pulse_init();
        CHECK(g.exit_code_after(1) == exit_code::INIT);
    }
}

TEST_CASE("physical interrupts and V_INTR_MASKING") {
    SUBCASE("masking, host IF = 0: blocked although the guest's IF is 1") {
        Guest g;
        g.add(kIntr);
        g.set(F::V_INTR, kVIntrMasking);
        g.set(F::RFLAGS, 2 | cpu::kFlagIf);
        loop(g);
        g.enter(2);
        g.apic.raise(0x30);
        g.enter(5);
        CHECK(g.in_guest());
    }
    SUBCASE("no masking: the guest's IF decides, no intercept: its IDT is used") {
        Guest g;
        g.set(F::RFLAGS, 2 | cpu::kFlagIf);
        g.cpu.flags_other &= ~cpu::kFlagIf;
        loop(g);
        g.enter(2);
        g.apic.raise(0x30);
        g.enter(1);
        CHECK(g.in_guest());
        CHECK(g.in_handler(0x30));
        CHECK(g.apic.queue.empty());
    }
    SUBCASE("no masking, intercepted, guest IF = 0: no exit") {
        Guest g;
        g.add(kIntr);
        g.cpu.flags_other |= cpu::kFlagIf;
        loop(g);
        g.enter(2);
        g.apic.raise(0x30);
        g.enter(5);
        CHECK(g.in_guest());
    }
}

TEST_CASE("virtual interrupts") {
    constexpr u64 kPending =
        kVIrq | kVIntrMasking | u64{5} << kVIntrPrioShift | u64{0x2A} << kVIntrVectorShift;
    SUBCASE("taken through the guest's IDT when its IF allows") {
        Guest g;
        g.set(F::V_INTR, kPending);
        g.guest_code({0x90, 0xFB, 0x90, 0x90, 0xF4});  // NOP STI NOP NOP HLT
        g.add(kHlt);
        g.enter(3);
        CHECK(g.in_guest());
        CHECK(!g.in_handler(0x2A));
        g.enter(2);
        CHECK(g.field(F::EXITCODE) == exit_code::HLT);  // the handler's HLT
        CHECK(g.field(F::RIP) == g.handler(0x2A));
        CHECK((g.field(F::V_INTR) & kVIrq) == 0);
        CHECK(g.get(g.field(F::RSP), 8) == kGuestCode + 3);  // after STI's shadow
    }
    SUBCASE("V_TPR holds it back, V_IGN_TPR does not") {
        Guest g;
        g.set(F::RFLAGS, 2 | cpu::kFlagIf);
        g.set(F::V_INTR, kPending | 5);
        loop(g);
        g.enter(4);
        CHECK(g.cpu.rip == kGuestCode);
        Guest h;
        h.set(F::RFLAGS, 2 | cpu::kFlagIf);
        h.set(F::V_INTR, kPending | 5 | kVIgnoreTpr);
        loop(h);
        h.enter(2);
        CHECK(h.in_handler(0x2A));
    }
    SUBCASE("a lower CR8 lets it in") {
        Guest g;
        g.set(F::RFLAGS, 2 | cpu::kFlagIf);
        g.set(F::V_INTR, kPending | 9);
        g.guest_code({0x44, 0x0F, 0x22, 0xC3, 0xEB, 0xFE});  // MOV cr8, rbx; JMP $
        g.cpu.gpr[cpu::kRbx] = 4;
        g.enter(4);
        CHECK(g.in_handler(0x2A));
        CHECK(g.apic.tpr_value == 0);
    }
    SUBCASE("the VINTR intercept leaves V_IRQ set") {
        Guest g;
        g.add(kVintr);
        g.set(F::RFLAGS, 2 | cpu::kFlagIf);
        g.set(F::V_INTR, kPending);
        loop(g);
        CHECK(g.exit_code_after(2) == exit_code::VINTR);
        CHECK((g.field(F::V_INTR) & kVIrq) != 0);
    }
    SUBCASE("the VMCB's interrupt shadow holds for one instruction") {
        Guest g;
        g.add(kVintr);
        g.set(F::RFLAGS, 2 | cpu::kFlagIf);
        g.set(F::V_INTR, kPending);
        g.set(F::INTERRUPT_SHADOW, 1);
        g.guest_code({0x90, 0x90, 0x90});
        CHECK(g.exit_code_after(4) == exit_code::VINTR);
        CHECK(g.field(F::RIP) == kGuestCode + 1);
        CHECK(g.field(F::INTERRUPT_SHADOW) == 0);
    }
    SUBCASE("CR8 without masking is the local APIC's") {
        Guest g;
        g.guest_code({0x44, 0x0F, 0x22, 0xC3, 0xF4});
        g.add(kHlt);
        g.cpu.gpr[cpu::kRbx] = 4;
        CHECK(g.exit_code_after(4) == exit_code::HLT);
        CHECK(g.apic.tpr_value == 0x40);
        CHECK((g.field(F::V_INTR) & 0xF) == 4);
    }
}

TEST_CASE("event injection") {
    SUBCASE("interrupt, whatever IF says") {
        Guest g;
        g.set(F::EVENTINJ, kEventValid | 0x2B);
        loop(g);
        g.enter(1);
        CHECK(g.in_guest());
        CHECK(g.in_handler(0x2B));
        CHECK(g.sink.entries[0].injected.vector() == 0x2B);
        CHECK(g.sink.entries[0].guest_rip == kGuestCode);
    }
    SUBCASE("exception with error code is not intercepted itself") {
        Guest g;
        g.set(F::INTERCEPT_EXCEPTION, bit(13));
        g.set(F::EVENTINJ, kEventValid | kEventErrorValid | 0x30D | u64{0x1234} << 32);
        loop(g);
        g.enter(1);
        CHECK(g.in_handler(13));
        CHECK(g.stack(0, 8) == 0x1234);
        CHECK(g.stack(1, 8) == kGuestCode);
    }
    SUBCASE("software interrupt returns to nRIP") {
        Guest g;
        g.set(F::NRIP, kGuestCode + 2);
        g.set(F::EVENTINJ, kEventValid | 0x420);
        loop(g);
        g.enter(1);
        CHECK(g.in_handler(0x20));
        CHECK(g.stack(0, 8) == kGuestCode + 2);
    }
    SUBCASE("a fault while injecting exits with EXITINTINFO; EVENTINJ.V is clear") {
        Guest g;
        g.set(F::INTERCEPT_EXCEPTION, bit(14));
        g.set(F::IDTR_BASE, 0x50000000);
        g.set(F::EVENTINJ, kEventValid | 0x2B);
        g.enter(1);
        CHECK(g.back_in_host());
        CHECK(g.field(F::EXITCODE) == exit_code::EXCP + 14);
        CHECK(g.field(F::EXITINTINFO) == (kEventValid | 0x2B));
        CHECK((g.field(F::EVENTINJ) & kEventValid) == 0);
        CHECK(g.field(F::RIP) == kGuestCode);
    }
}

TEST_CASE("ASIDs and TLB_CONTROL") {
    Guest g;
    g.add(kHlt);
    g.guest_code({0x8A, 0x03, 0xF4});
    g.cpu.gpr[cpu::kRbx] = 0x800000;
    g.put(0x800000, 1, 1);
    g.put(0xA00000, 2, 1);
    auto run_with = [&](u64 control) {
        g.set(F::TLB_CONTROL, control);
        g.set(F::RIP, kGuestCode);
        g.cpu.rip = kCodeAt;
        CHECK(g.exit_code_after(3) == exit_code::HLT);
        return g.field(F::RAX) & 0xFF;
    };
    CHECK(run_with(0) == 1);
    g.put(kPages + 0x2000 + 4 * 8, 0xA00087, 8);  // 800000H now maps A00000H
    CHECK(run_with(0) == 1);                      // stale, as the guest's ASID is not flushed
    CHECK(run_with(3) == 2);
    g.put(kPages + 0x2000 + 4 * 8, 0x800087, 8);
    CHECK(run_with(0) == 2);
    CHECK(run_with(1) == 1);
}

TEST_CASE("TSC offset") {
    Guest g;
    g.add(kHlt);
    g.set(F::TSC_OFFSET, u64{1} << 40);
    g.guest_code({0x0F, 0x31, 0xF4});
    CHECK(g.exit_code_after(3) == exit_code::HLT);
    CHECK(g.cpu.gpr[cpu::kRdx] == 0x100);
}
