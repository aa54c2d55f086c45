// VM entries and exits of a small guest: exit reasons, qualifications, lengths and information of a
// table of instructions; events, windows, timers, injection; EPT and the APIC-access page; failed
// entries. Source: SDM 3C chapters 25-29.
#include <string>

#include "vmx_machine.h"

using namespace rm;
using namespace rm::vt::vmx;
using namespace rm::vt::vmx::test;
using cpu::Step;

namespace {

struct ExitCase {
    const char* what;
    std::vector<u8> code;
    u32 proc, proc2;
    ExitReason reason;
    u64 qualification;
    u32 length;
    u32 info;
    std::function<void(VmxMachine&)> prepare;
};

const auto kNothing = [](VmxMachine&) {};
void use_ept(VmxMachine& m) {
    m.add(F::PRIMARY_CONTROLS, proc::kActivateSecondaryControls);
    m.add(F::SECONDARY_CONTROLS, proc2::kEnableEpt);
}

const ExitCase kCases[] = {
    {"CPUID", {0x0F, 0xA2}, 0, 0, ExitReason::CPUID, 0, 2, 0, kNothing},
    {"HLT", {0xF4}, proc::kHltExiting, 0, ExitReason::HLT, 0, 1, 0, kNothing},
    {"INVD", {0x0F, 0x08}, 0, 0, ExitReason::INVD, 0, 2, 0, kNothing},
    {"INVLPG [rax+8]",
     {0x0F, 0x01, 0x78, 0x08},
     proc::kInvlpgExiting,
     0,
     ExitReason::INVLPG,
     0x1234508,
     4,
     0,
     [](VmxMachine& m) { m.cpu.gpr[cpu::kRax] = 0x1234500; }},
    {"RDPMC", {0x0F, 0x33}, proc::kRdpmcExiting, 0, ExitReason::RDPMC, 0, 2, 0, kNothing},
    {"RDTSC", {0x0F, 0x31}, proc::kRdtscExiting, 0, ExitReason::RDTSC, 0, 2, 0, kNothing},
    {"RDTSCP",
     {0x0F, 0x01, 0xF9},
     proc::kRdtscExiting,
     proc2::kEnableRdtscp,
     ExitReason::RDTSCP,
     0,
     3,
     0,
     kNothing},
    {"VMCALL", {0x0F, 0x01, 0xC1}, 0, 0, ExitReason::VMCALL, 0, 3, 0, kNothing},
    {"VMXOFF", {0x0F, 0x01, 0xC4}, 0, 0, ExitReason::VMXOFF, 0, 3, 0, kNothing},
    {"VMLAUNCH", {0x0F, 0x01, 0xC2}, 0, 0, ExitReason::VMLAUNCH, 0, 3, 0, kNothing},
    {"VMPTRLD [rbx+rcx*4+10h]",
     {0x0F, 0xC7, 0x74, 0x8B, 0x10},
     0,
     0,
     ExitReason::VMPTRLD,
     0x10,
     5,
     2 | 2 << 7 | 3 << 15 | 1 << 18 | 3 << 23,
     kNothing},
    {"VMREAD rax, rdx",
     {0x0F, 0x78, 0xD0},
     0,
     0,
     ExitReason::VMREAD,
     0,
     3,
     1 << 10 | 2u << 28,
     kNothing},
    {"VMWRITE rdx, rax",
     {0x0F, 0x79, 0xD0},
     0,
     0,
     ExitReason::VMWRITE,
     0,
     3,
     1 << 10 | 2u << 28,
     kNothing},
    {"MOV CR0, RBX",
     {0x0F, 0x22, 0xC3},
     0,
     0,
     ExitReason::CR_ACCESS,
     3 << 8,
     3,
     0,
     [](VmxMachine& m) {
         m.vmx.vmcs().set(F::CR0_GUEST_HOST_MASK, 0x8);
         m.vmx.vmcs().set(F::CR0_READ_SHADOW, 0);
         m.cpu.gpr[cpu::kRbx] = 0x8;
     }},
    {"MOV CR3, RAX",
     {0x0F, 0x22, 0xD8},
     proc::kCr3LoadExiting,
     0,
     ExitReason::CR_ACCESS,
     3,
     3,
     0,
     kNothing},
    {"MOV RDX, CR3",
     {0x0F, 0x20, 0xDA},
     proc::kCr3StoreExiting,
     0,
     ExitReason::CR_ACCESS,
     3 | 1 << 4 | 2 << 8,
     3,
     0,
     kNothing},
    {"MOV CR8, RAX",
     {0x44, 0x0F, 0x22, 0xC0},
     proc::kCr8LoadExiting,
     0,
     ExitReason::CR_ACCESS,
     8,
     4,
     0,
     kNothing},
    {"CLTS",
     {0x0F, 0x06},
     0,
     0,
     ExitReason::CR_ACCESS,
     2 << 4,
     2,
     0,
     [](VmxMachine& m) {
         m.vmx.vmcs().set(F::CR0_GUEST_HOST_MASK, 8);
         m.vmx.vmcs().set(F::CR0_READ_SHADOW, 8);
     }},
    {"LMSW AX",
     {0x0F, 0x01, 0xF0},
     0,
     0,
     ExitReason::CR_ACCESS,
     3 << 4 | 0xAull << 16,
     3,
     0,
     [](VmxMachine& m) {
         m.vmx.vmcs().set(F::CR0_GUEST_HOST_MASK, 8);
         m.cpu.gpr[cpu::kRax] = 0xA;
     }},
    {"MOV DR1, RCX",
     {0x0F, 0x23, 0xC9},
     proc::kMovDrExiting,
     0,
     ExitReason::MOV_DR,
     1 | 1 << 8,
     3,
     0,
     kNothing},
    {"MOV RAX, DR7",
     {0x0F, 0x21, 0xF8},
     proc::kMovDrExiting,
     0,
     ExitReason::MOV_DR,
     7 | 1 << 4,
     3,
     0,
     kNothing},
    {"OUT 80h, AL",
     {0xE6, 0x80},
     proc::kUnconditionalIoExiting,
     0,
     ExitReason::IO_INSTRUCTION,
     1 << 6 | 0x80 << 16,
     2,
     0,
     kNothing},
    {"IN EAX, DX",
     {0xED},
     proc::kUnconditionalIoExiting,
     0,
     ExitReason::IO_INSTRUCTION,
     3 | 1 << 3 | 0xCFCull << 16,
     1,
     0,
     [](VmxMachine& m) { m.cpu.gpr[cpu::kRdx] = 0xCFC; }},
    {"REP OUTSB",
     {0xF3, 0x6E},
     proc::kUnconditionalIoExiting,
     0,
     ExitReason::IO_INSTRUCTION,
     1 << 4 | 1 << 5 | 0x402ull << 16,
     2,
     2 << 7 | 3 << 15,
     [](VmxMachine& m) {
         m.cpu.gpr[cpu::kRdx] = 0x402;
         m.cpu.gpr[cpu::kRcx] = 3;
     }},
    {"IN AL, DX by bitmap",
     {0xEC},
     proc::kUseIoBitmaps,
     0,
     ExitReason::IO_INSTRUCTION,
     1 << 3 | 0x8001ull << 16,
     1,
     0,
     [](VmxMachine& m) {
         m.machine.memory.store(Layout::kIoB, 1, 2);
         m.cpu.gpr[cpu::kRdx] = 0x8001;
     }},
    {"RDMSR", {0x0F, 0x32}, 0, 0, ExitReason::RDMSR, 0, 2, 0, kNothing},
    {"WRMSR by bitmap",
     {0x0F, 0x30},
     proc::kUseMsrBitmaps,
     0,
     ExitReason::WRMSR,
     0,
     2,
     0,
     [](VmxMachine& m) {
         m.cpu.gpr[cpu::kRcx] = 0xC0000080;
         m.machine.memory.store(Layout::kMsr + 0xC00 + 0x10, 1, 1);
     }},
    {"WRMSR out of range",
     {0x0F, 0x30},
     proc::kUseMsrBitmaps,
     0,
     ExitReason::WRMSR,
     0,
     2,
     0,
     [](VmxMachine& m) { m.cpu.gpr[cpu::kRcx] = 0x40000000; }},
    {"MWAIT", {0x0F, 0x01, 0xC9}, proc::kMwaitExiting, 0, ExitReason::MWAIT, 0, 3, 0, kNothing},
    {"MONITOR",
     {0x0F, 0x01, 0xC8},
     proc::kMonitorExiting,
     0,
     ExitReason::MONITOR,
     0,
     3,
     0,
     kNothing},
    {"PAUSE", {0xF3, 0x90}, proc::kPauseExiting, 0, ExitReason::PAUSE, 0, 2, 0, kNothing},
    {"WBINVD", {0x0F, 0x09}, 0, proc2::kWbinvdExiting, ExitReason::WBINVD, 0, 2, 0, kNothing},
    {"LGDT [rax+rbx*2-4]",
     {0x0F, 0x01, 0x54, 0x58, 0xFC},
     0,
     proc2::kDescriptorTableExiting,
     ExitReason::GDTR_IDTR,
     ~u64{3},
     5,
     1 | 2 << 7 | 1 << 11 | 3 << 15 | 3 << 18 | 0 << 23 | 2u << 28,
     kNothing},
    {"STR CX",
     {0x0F, 0x00, 0xC9},
     0,
     proc2::kDescriptorTableExiting,
     ExitReason::LDTR_TR,
     0,
     3,
     1 << 3 | 1 << 10 | 1u << 28,
     kNothing},
    {"INVEPT rax, [rbx]",
     {0x66, 0x0F, 0x38, 0x80, 0x03},
     0,
     0,
     ExitReason::INVEPT,
     0,
     5,
     2 << 7 | 3 << 15 | 1 << 22 | 3 << 23,
     kNothing},
};

}  // namespace

TEST_CASE("exits: instructions") {
    for (const ExitCase& c : kCases) {
        CAPTURE(std::string(c.what));
        VmxMachine m("Westmere,+monitor");
        m.ready();
        m.remove(F::PRIMARY_CONTROLS, proc::kCr3LoadExiting | proc::kCr3StoreExiting);
        m.add(F::PRIMARY_CONTROLS, c.proc | (c.proc2 ? proc::kActivateSecondaryControls : 0));
        m.add(F::SECONDARY_CONTROLS, c.proc2);
        u64 at = VmxMachine::kGuestCode;
        for (u8 b : c.code) m.machine.memory.store(at++, 1, b);
        m.machine.memory.store(at, 1, 0xF4);
        c.prepare(m);
        m.run_guest();
        CHECK(m.cpu.vt_mode == cpu::VtMode::kVmxRoot);
        CHECK(m.cpu.activity == cpu::Activity::kHlt);
        CHECK(m.cpu.rip == VmxMachine::kHandler + 1);
        CHECK(m.reason() == static_cast<u32>(c.reason));
        CHECK(m.qualification() == c.qualification);
        CHECK(m.vmx.vmcs()[F::EXIT_INSTRUCTION_LENGTH] == c.length);
        CHECK(m.vmx.vmcs()[F::EXIT_INSTRUCTION_INFO] == c.info);
        CHECK(m.vmx.vmcs()[F::GUEST_RIP] == VmxMachine::kGuestCode);
        CHECK(m.vmx.vmcs()[F::GUEST_CS_ACCESS_RIGHTS] == 0xA09B);
        CHECK((m.vmx.vmcs()[F::EXIT_INTERRUPTION_INFO] >> 31) == 0);
    }
}

TEST_CASE("exits: disabled RDTSCP raises #UD, which the bitmap can intercept") {
    VmxMachine m;
    m.ready().set(F::EXCEPTION_BITMAP, 1 << cpu::kUd);
    m.poke(VmxMachine::kGuestCode, {0x0F, 0x01, 0xF9});
    m.run_guest();
    CHECK(m.reason() == 0);
    CHECK(m.vmx.vmcs()[F::EXIT_INTERRUPTION_INFO] == 0x80000306);
}

TEST_CASE("exits: page faults by error code mask and match") {
    VmxMachine m;
    Vmcs& v = m.ready();
    v.set(F::EXCEPTION_BITMAP, 1 << cpu::kPf);
    m.poke(VmxMachine::kGuestCode, {0xC6, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, 0x01});  // [400000h]
    m.run_guest();
    CHECK(m.reason() == 0);
    CHECK(v[F::EXIT_INTERRUPTION_INFO] == 0x80000B0E);
    CHECK(v[F::EXIT_INTERRUPTION_ERROR] == 2);
    CHECK(m.qualification() == 0x400000);
    CHECK(m.cpu.cr2 == 0);
    CHECK((v[F::GUEST_RFLAGS] & cpu::kFlagRf) != 0);
}

TEST_CASE("exits: a guest without an IDT triple-faults") {
    VmxMachine m;
    Vmcs& v = m.ready();
    v.set(F::GUEST_IDTR_LIMIT, 0);
    m.poke(VmxMachine::kGuestCode, {0x0F, 0x0B});
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::TRIPLE_FAULT));
}

TEST_CASE("exits: external interrupts, acknowledged or not") {
    for (bool acknowledge : {false, true}) {
        VmxMachine m;
        Vmcs& v = m.ready();
        m.add(F::PIN_BASED_CONTROLS, pin::kExternalInterruptExiting);
        if (acknowledge) m.add(F::EXIT_CONTROLS, exitc::kAcknowledgeInterrupt);
        m.poke(VmxMachine::kGuestCode, {0x90, 0xEB, 0xFD});
        CHECK(m.vmlaunch() == Step::kVmExit);
        m.run(10);
        CHECK(m.cpu.in_guest());
        m.cpu.set_intr(true);
        m.run(10);
        CHECK(m.reason() == 1);
        CHECK(v[F::EXIT_INTERRUPTION_INFO] == (acknowledge ? 0x80000031 : 0));
    }
}

TEST_CASE("exits: interrupt window opens one instruction after STI") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PRIMARY_CONTROLS, proc::kInterruptWindowExiting);
    m.poke(VmxMachine::kGuestCode, {0x90, 0xFB, 0x90, 0x90, 0xF4});
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::INTERRUPT_WINDOW));
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode + 3);
}

TEST_CASE("exits: NMIs, virtual NMI blocking and its window") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PIN_BASED_CONTROLS, pin::kNmiExiting | pin::kVirtualNmis);
    v.set(F::GUEST_INTERRUPTIBILITY, 8);
    m.poke(VmxMachine::kGuestCode, {0xEB, 0xFE});
    CHECK(m.vmlaunch() == Step::kVmExit);
    m.cpu.pulse_nmi();
    m.run(10);
    CHECK(m.reason() == 0);
    CHECK(v[F::EXIT_INTERRUPTION_INFO] == 0x80000202);
    CHECK(v[F::GUEST_INTERRUPTIBILITY] == 8);
    CHECK(m.cpu.nmi_blocked);
    // The window opens when virtual-NMI blocking is gone.
    m.add(F::PRIMARY_CONTROLS, proc::kNmiWindowExiting);
    v.set(F::GUEST_INTERRUPTIBILITY, 0);
    m.cpu.activity = cpu::Activity::kActive;
    CHECK(m.vmresume() == Step::kVmExit);
    m.run(10);
    CHECK(m.reason() == static_cast<u32>(ExitReason::NMI_WINDOW));
}

TEST_CASE("exits: monitor trap flag after one instruction") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PRIMARY_CONTROLS, proc::kMonitorTrapFlag);
    m.poke(VmxMachine::kGuestCode, {0x90, 0x90, 0x90, 0xEB, 0xFE});
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::MONITOR_TRAP_FLAG));
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode + 1);
}

TEST_CASE("exits: preemption timer") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PIN_BASED_CONTROLS, pin::kActivatePreemptionTimer);
    m.add(F::EXIT_CONTROLS, exitc::kSavePreemptionTimer);
    v.set(F::PREEMPTION_TIMER_VALUE, 10);
    m.poke(VmxMachine::kGuestCode, {0xEB, 0xFE});
    const u64 before = m.cpu.ticks();
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::PREEMPTION_TIMER));
    CHECK(v[F::PREEMPTION_TIMER_VALUE] == 0);
    // 10 units of 32 TSC cycles, 8 cycles a tick; the handler's HLT is one tick more.
    CHECK(m.cpu.ticks() - before >= 36);
    CHECK(m.cpu.ticks() - before <= 42);
    // 0 expires before the first instruction.
    v.set(F::GUEST_RIP, VmxMachine::kGuestCode);
    m.cpu.activity = cpu::Activity::kActive;
    CHECK(m.vmresume() == Step::kVmExit);
    m.run(10);
    CHECK(m.reason() == static_cast<u32>(ExitReason::PREEMPTION_TIMER));
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode);
}

TEST_CASE(
    "injection: an interrupt goes through the guest's IDT; a second entry does not repeat it") {
    VmxMachine m;
    Vmcs& v = m.ready();
    auto& mem = m.machine.memory;
    v.set(F::GUEST_GDTR_BASE, 0xA000);
    mem.store(0xA008, 8, 0x00AF9B000000FFFF);
    v.set(F::GUEST_IDTR_BASE, 0xB000);
    mem.store(0xB000 + 0x31 * 16, 8, 0x00008E0000087400);  // 8:7400h
    m.poke(0x7400, {0x0F, 0x01, 0xC1});
    v.set(F::GUEST_RFLAGS, 0x202);
    v.set(F::ENTRY_INTERRUPTION_INFO, 0x80000031);
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::VMCALL));
    CHECK(v[F::GUEST_RIP] == 0x7400);
    CHECK(v[F::GUEST_RSP] == 0x7800 - 40);
    CHECK(mem.load(0x7800 - 40, 8) == VmxMachine::kGuestCode);
    CHECK(v[F::ENTRY_INTERRUPTION_INFO] == 0x31);
    CHECK(v[F::IDT_VECTORING_INFO] == 0);
}

TEST_CASE("injection: an exit during delivery reports the event in IDT-vectoring information") {
    VmxMachine m;
    Vmcs& v = m.ready();
    v.set(F::GUEST_IDTR_LIMIT, 0);
    v.set(F::EXCEPTION_BITMAP, 1 << cpu::kGp);
    v.set(F::GUEST_RFLAGS, 0x202);
    v.set(F::ENTRY_INTERRUPTION_INFO, 0x80000431);  // INT 31h
    v.set(F::ENTRY_INSTRUCTION_LENGTH, 2);
    m.run_guest();
    CHECK(m.reason() == 0);
    CHECK(v[F::EXIT_INTERRUPTION_INFO] == 0x80000B0D);
    CHECK(v[F::IDT_VECTORING_INFO] == 0x80000431);
    CHECK(v[F::EXIT_INSTRUCTION_LENGTH] == 2);
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode);
}

TEST_CASE("EPT: violation of the access and of the page walk") {
    for (bool walk : {false, true}) {
        VmxMachine m;
        Vmcs& v = m.ready();
        use_ept(m);
        auto& mem = m.machine.memory;
        // Guest page 200000h: absent in EPT; the guest's tables map it or lie there.
        mem.store(0x4008, 8, 0x200087);
        if (walk) v.set(F::GUEST_CR3, 0x200000);
        m.poke(VmxMachine::kGuestCode, {0xC6, 0x04, 0x25, 0x34, 0x02, 0x20, 0x00, 0x01});
        m.run_guest();
        CHECK(m.reason() == static_cast<u32>(ExitReason::EPT_VIOLATION));
        if (walk) {
            CHECK(m.qualification() == (1 | bit(7)));
            CHECK(v[F::GUEST_PHYSICAL_ADDRESS] == 0x200000);
            CHECK(v[F::GUEST_LINEAR_ADDRESS] == VmxMachine::kGuestCode);
        } else {
            CHECK(m.qualification() == (2 | bit(7) | bit(8)));
            CHECK(v[F::GUEST_PHYSICAL_ADDRESS] == 0x200234);
            CHECK(v[F::GUEST_LINEAR_ADDRESS] == 0x200234);
        }
    }
}

TEST_CASE("EPT: misconfiguration") {
    VmxMachine m;
    m.ready();
    use_ept(m);
    m.machine.memory.store(0x22000, 8, 0xB6);  // writable, not readable
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::EPT_MISCONFIG));
    CHECK(m.vmx.vmcs()[F::GUEST_PHYSICAL_ADDRESS] == Layout::kGuestCr3);
}

TEST_CASE("unrestricted guest: real mode under EPT") {
    VmxMachine m;
    Vmcs& v = m.ready(false);
    use_ept(m);
    m.add(F::SECONDARY_CONTROLS, proc2::kUnrestrictedGuest);
    v.set(F::GUEST_CR0, 0x30);
    for (unsigned s = 0; s < 6; ++s) {
        v.set(F::GUEST_ES_SELECTOR + s, 0);
        v.set(F::GUEST_ES_LIMIT + s, 0xFFFF);
        v.set(F::GUEST_ES_ACCESS_RIGHTS + s, 0x93);
    }
    m.poke(VmxMachine::kGuestCode, {0xB8, 0x34, 0x12, 0x0F, 0xA2});  // MOV AX,1234h; CPUID
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::CPUID));
    CHECK((m.cpu.gpr[cpu::kRax] & 0xFFFF) == 0x1234);
    CHECK(v[F::GUEST_CR0] == 0x30);
    CHECK(m.cpu.code64());
}

TEST_CASE("APIC-access page: TPR is virtualized, everything else exits") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PRIMARY_CONTROLS, proc::kUseTprShadow | proc::kActivateSecondaryControls);
    m.add(F::SECONDARY_CONTROLS, proc2::kVirtualizeApicAccesses);
    auto& mem = m.machine.memory;
    mem.store(Layout::kVirtualApic + 0x80, 4, 0x50);
    m.poke(VmxMachine::kGuestCode, {0x8B, 0x04, 0x25, 0x80, 0x40, 0x01, 0x00,    // MOV EAX,[14080h]
                                    0x89, 0x04, 0x25, 0x00, 0x43, 0x01, 0x00});  // MOV [14300h],EAX
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::APIC_ACCESS));
    CHECK(m.cpu.gpr[cpu::kRax] == 0x50);
    CHECK(m.qualification() == (0x300 | 1 << 12));
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode + 7);
}

TEST_CASE("TPR shadow: MOV CR8 below the threshold exits after the instruction") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PRIMARY_CONTROLS, proc::kUseTprShadow);
    v.set(F::TPR_THRESHOLD, 4);
    m.machine.memory.store(Layout::kVirtualApic + 0x80, 4, 0x50);
    m.poke(VmxMachine::kGuestCode,
           {0x44, 0x0F, 0x20, 0xC3,                // MOV RBX, CR8
            0x31, 0xC0, 0x44, 0x0F, 0x22, 0xC0});  // XOR EAX,EAX; MOV CR8,RAX
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::TPR_BELOW_THRESHOLD));
    CHECK(m.cpu.gpr[cpu::kRbx] == 5);
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode + 10);
    CHECK(m.machine.memory.load(Layout::kVirtualApic + 0x80, 1) == 0);
}

namespace {

struct Recorder : vt::common::TraceSink {
    int exits = 0, entries = 0, failures = 0;
    vt::common::EntryFailure failure;
    vt::common::ExitRecord last;
    std::vector<vt::common::FieldChange> changes;
    void on_exit(const cpu::Cpu&, const vt::common::ExitRecord& r) override {
        ++exits;
        last = r;
    }
    void on_entry(const cpu::Cpu&, const vt::common::EntryRecord& r) override {
        ++entries;
        changes.assign(r.changes.begin(), r.changes.end());
    }
    void on_entry_failed(const cpu::Cpu&, const vt::common::EntryFailure& f) override {
        ++failures;
        failure = f;
    }
};

}  // namespace

TEST_CASE("failed entries: error 7, error 8, exit 33, exit 34, with their explanation") {
    Recorder sink;
    VmxMachine m("Westmere", &sink);
    m.ready();
    CHECK(m.vmwrite(0x4000, 0xFFFFFFFF) == Step::kNext);
    CHECK(m.vmlaunch() == Step::kEnd);
    CHECK(m.error() == 7);
    CHECK(sink.failures == 1);
    CHECK(sink.failure.field == 0x4000);
    CHECK((sink.failure.offending_bits & bit(31)) != 0);
    CHECK(sink.failure.writer_known);
    CHECK(sink.failure.writer_rip == m.cpu.rip);
    m.vmx.vmcs() = valid_vmcs(m.vmx.capabilities(), true);

    m.vmx.vmcs().set(F::HOST_TR_SELECTOR, 0);
    CHECK(m.vmlaunch() == Step::kEnd);
    CHECK(m.error() == 8);
    m.vmx.vmcs().set(F::HOST_TR_SELECTOR, 0x40);

    m.vmx.vmcs().set(F::GUEST_RFLAGS, 0);
    CHECK(m.vmlaunch() == Step::kVmExit);
    CHECK(m.reason() == 0x80000021);
    CHECK(m.cpu.rip == VmxMachine::kHandler);
    CHECK_FALSE(m.vmx.vmcs().launched);
    CHECK(sink.failure.offending_bits == 2);
    m.vmx.vmcs().set(F::GUEST_RFLAGS, 2);

    m.vmx.vmcs().set(F::VMCS_LINK_POINTER, 0x15000);
    CHECK(m.vmlaunch() == Step::kVmExit);
    CHECK(m.qualification() == 4);
    m.vmx.vmcs().set(F::VMCS_LINK_POINTER, kNoVmcs);

    m.vmx.vmcs().set(F::ENTRY_MSR_LOAD_COUNT, 2);
    m.vmx.vmcs().set(F::ENTRY_MSR_LOAD_ADDRESS, 0x16000);
    m.machine.memory.store(0x16000, 4, 0x174);
    m.machine.memory.store(0x16010, 4, 0xC0000100);
    CHECK(m.vmlaunch() == Step::kVmExit);
    CHECK(m.reason() == 0x80000022);
    CHECK(m.qualification() == 2);
    CHECK(sink.entries == 0);
}

TEST_CASE("trace: records of a round trip, with the fields the hypervisor changed") {
    Recorder sink;
    VmxMachine m("Westmere", &sink);
    m.ready();
    m.poke(VmxMachine::kGuestCode, {0x0F, 0xA2, 0x0F, 0xA2});
    m.run_guest();
    CHECK(sink.entries == 1);
    CHECK(sink.exits == 1);
    CHECK(std::string(sink.last.reason_name) == "CPUID");
    CHECK(sink.last.byte_count >= 2);
    CHECK(sink.last.bytes[1] == 0xA2);
    m.cpu.activity = cpu::Activity::kActive;
    CHECK(m.vmwrite(0x681E, VmxMachine::kGuestCode + 2) == Step::kNext);
    CHECK(m.vmresume() == Step::kVmExit);
    REQUIRE(sink.changes.size() == 1);
    CHECK(sink.changes[0].field == 0x681E);
    CHECK(sink.changes[0].new_value == VmxMachine::kGuestCode + 2);
    m.run();
    CHECK(sink.exits == 2);
    CHECK(sink.last.guest_rip == VmxMachine::kGuestCode + 2);
}

TEST_CASE("MSR lists: stored and loaded on exit") {
    VmxMachine m;
    Vmcs& v = m.ready();
    auto& mem = m.machine.memory;
    m.cpu.msr.sysenter_cs = 0x10;
    v.set(F::EXIT_MSR_STORE_COUNT, 1);
    v.set(F::EXIT_MSR_STORE_ADDRESS, 0x16000);
    mem.store(0x16000, 4, 0xC0000102);
    v.set(F::EXIT_MSR_LOAD_COUNT, 1);
    v.set(F::EXIT_MSR_LOAD_ADDRESS, 0x16010);
    mem.store(0x16010, 4, 0xC0000102);
    mem.store(0x16018, 8, 0x5555);
    m.cpu.msr.kernel_gs_base = 0x7777;
    m.poke(VmxMachine::kGuestCode, {0x0F, 0xA2});
    m.run_guest();
    CHECK(mem.load(0x16008, 8) == 0x7777);
    CHECK(m.cpu.msr.kernel_gs_base == 0x5555);
}

TEST_CASE("VPID 0 and VPIDs: what the guest cached is not what the host sees") {
    for (bool vpid : {false, true}) {
        VmxMachine m;
        m.ready();
        m.add(F::PRIMARY_CONTROLS, proc::kActivateSecondaryControls);
        if (vpid) m.add(F::SECONDARY_CONTROLS, proc2::kEnableVpid);
        // The guest maps 400000h to 0; the host does not map it at all.
        auto& mem = m.machine.memory;
        mem.store(Layout::kGuestCr3, 8, 0x17007);
        mem.store(0x17000, 8, 0x18007);
        mem.store(0x18000, 8, 0x87);
        mem.store(0x18010, 8, 0x87);
        m.poke(VmxMachine::kGuestCode, {0x8B, 0x04, 0x25, 0x00, 0x70, 0x40, 0x00, 0x0F, 0xA2});
        m.run_guest();
        CHECK(m.reason() == static_cast<u32>(ExitReason::CPUID));
        CHECK(m.cpu.gpr[cpu::kRax] == 0x0025048B);
        u32 value;
        CHECK_FALSE(m.cpu.mmu.load(0x407000, value));
    }
}

TEST_CASE("a hypervisor's loop in the run loop: with EPT and VPID, and without") {
    for (const char* spec : {"Westmere", "core2duo"}) {
        CAPTURE(std::string(spec));
        Recorder sink;
        VmxMachine m(spec, &sink);
        m.ready();
        if (m.vmx.capabilities().ept()) {
            use_ept(m);
            m.add(F::SECONDARY_CONTROLS, proc2::kEnableVpid);
        }
        for (u64 at = 0; at < 400; at += 2) m.poke(VmxMachine::kGuestCode + at, {0x0F, 0xA2});
        // Skips the CPUID and resumes, 100 times.
        m.poke(VmxMachine::kHandler, {0xBA, 0x1E, 0x68, 0x00, 0x00, 0x0F, 0x78, 0xD0, 0x48, 0x83,
                                      0xC0, 0x02, 0x0F, 0x79, 0xD0, 0x49, 0xFF, 0xC7, 0x49, 0x83,
                                      0xFF, 0x64, 0x74, 0x03, 0x0F, 0x01, 0xC3, 0xF4});
        m.poke(0x6000, {0x0F, 0x01, 0xC2});
        const u64 before = m.cpu.ticks();
        m.run(100000);
        CHECK(m.cpu.halted());
        CHECK(sink.exits == 100);
        CHECK(sink.entries == 100);
        CHECK(m.cpu.gpr[cpu::kR15] == 100);
        // VMLAUNCH, then per round: CPUID, seven of the handler, VMRESUME (at last HLT).
        CHECK(m.cpu.ticks() - before == 1 + 100 * 9);
        CHECK(m.vmx.vmcs()[F::GUEST_RIP] == VmxMachine::kGuestCode + 200);
    }
}

TEST_CASE("TPR threshold above VTPR exits right after an entry with virtualized APIC accesses") {
    VmxMachine m;
    Vmcs& v = m.ready();
    m.add(F::PRIMARY_CONTROLS, proc::kUseTprShadow | proc::kActivateSecondaryControls);
    m.add(F::SECONDARY_CONTROLS, proc2::kVirtualizeApicAccesses);
    v.set(F::TPR_THRESHOLD, 3);
    m.poke(VmxMachine::kGuestCode, {0x90});
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::TPR_BELOW_THRESHOLD));
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode);
}

TEST_CASE("activity states: HLT ends with the timer, wait-for-SIPI with a SIPI") {
    VmxMachine m;
    Vmcs& v = m.ready();
    v.set(F::GUEST_ACTIVITY_STATE, 1);
    v.set(F::GUEST_RFLAGS, 0x202);
    m.add(F::PIN_BASED_CONTROLS, pin::kActivatePreemptionTimer);
    v.set(F::PREEMPTION_TIMER_VALUE, 1000);
    CHECK(m.vmlaunch() == Step::kVmExit);
    m.run(10);
    CHECK(m.cpu.in_guest());
    CHECK(m.cpu.halted());
    const u64 wake = m.cpu.wake_at();
    CHECK(wake != ~u64{0});
    m.cpu.skip_to(wake);
    m.run(10);
    CHECK(m.reason() == static_cast<u32>(ExitReason::PREEMPTION_TIMER));
    CHECK(v[F::GUEST_ACTIVITY_STATE] == 1);

    m.cpu.activity = cpu::Activity::kActive;
    v.set(F::GUEST_ACTIVITY_STATE, 3);
    CHECK(m.vmresume() == Step::kVmExit);
    m.run(10);
    CHECK(m.cpu.in_guest());
    m.cpu.startup_ipi(0x9A);
    m.run(10);
    CHECK(m.reason() == static_cast<u32>(ExitReason::SIPI));
    CHECK(m.qualification() == 0x9A);
}

TEST_CASE("task switch exits: selector, source, length") {
    VmxMachine m;
    Vmcs& v = m.ready(false);
    auto& mem = m.machine.memory;
    // A 32-bit guest, identity-mapped by one 4-MByte page.
    v.set(F::GUEST_CR3, 0x19000);
    v.set(F::GUEST_CR4, cpu::kCr4Vmxe | cpu::kCr4Pse);
    mem.store(0x19000, 4, 0x87);
    v.set(F::GUEST_GDTR_BASE, 0xA000);
    mem.store(0xA028, 8, 0x000089000C000067);  // selector 28H: available 32-bit TSS at C00H
    m.poke(VmxMachine::kGuestCode, {0xEA, 0, 0, 0, 0, 0x28, 0});  // JMP 28h:0
    m.run_guest();
    CHECK(m.reason() == static_cast<u32>(ExitReason::TASK_SWITCH));
    CHECK(m.qualification() == (0x28 | 2ull << 30));
    CHECK(v[F::EXIT_INSTRUCTION_LENGTH] == 7);
    CHECK(v[F::GUEST_RIP] == VmxMachine::kGuestCode);
}
