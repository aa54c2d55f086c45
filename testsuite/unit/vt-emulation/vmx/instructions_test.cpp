// VMX instructions in root operation: success, every VMfail number, faults; fields by both widths.
// Source: SDM 3C chapter 30.
#include "vmx_machine.h"

using namespace rm;
using namespace rm::vt::vmx;
using namespace rm::vt::vmx::test;
using cpu::Step;

TEST_CASE("VMXON: #UD, #GP, VMfailInvalid, success, error 15") {
    VmxMachine m;
    m.cpu.cr4 &= ~cpu::kCr4Vmxe;
    CHECK(m.vmxon() == Step::kFault);
    CHECK(m.cpu.raised.event.vector == cpu::kUd);
    m.cpu.cr4 |= cpu::kCr4Vmxe;
    for (u64 control : {0, 1, 4}) {
        m.vmx.set_feature_control(control);
        CHECK(m.vmxon() == Step::kFault);
        CHECK(m.cpu.raised.event.vector == cpu::kGp);
    }
    m.vmx.set_feature_control(5);
    m.cpu.cr0 &= ~cpu::kCr0Ne;
    CHECK(m.vmxon() == Step::kFault);
    m.cpu.cr0 |= cpu::kCr0Ne;
    for (u64 bad : {VmxMachine::kVmxon + 8, u64{1} << 41, u64{0x40000}}) {
        CHECK(m.vmxon(bad) == Step::kEnd);
        CHECK(m.failed_invalid());
    }
    CHECK(m.execute({0x0F, 0x01, 0xC2}) == Step::kFault);  // VMLAUNCH outside VMX operation
    CHECK(m.cpu.raised.event.vector == cpu::kUd);
    CHECK(m.vmxon() == Step::kEnd);
    CHECK(m.succeeded());
    CHECK(m.cpu.vt_mode == cpu::VtMode::kVmxRoot);
    CHECK(m.vmxon() == Step::kEnd);
    CHECK(m.failed_invalid());  // error 15, but there is no current VMCS to hold it
}

TEST_CASE("VMfail numbers") {
    VmxMachine m;
    m.ready();
    struct {
        const char* what;
        u32 error;
        std::function<Step()> run;
    } const kCases[] = {
        {"VMCALL", 1,
         [&] {
             return m.execute({0x0F, 0x01, 0xC1});
         }},
        {"VMCLEAR misaligned", 2, [&] { return m.vmclear(0x31008); }},
        {"VMCLEAR too high", 2, [&] { return m.vmclear(u64{1} << 45); }},
        {"VMCLEAR VMXON pointer", 3, [&] { return m.vmclear(VmxMachine::kVmxon); }},
        {"VMRESUME clear", 5, [&] { return m.vmresume(); }},
        {"VMPTRLD misaligned", 9, [&] { return m.vmptrld(0x31001); }},
        {"VMPTRLD VMXON pointer", 10, [&] { return m.vmptrld(VmxMachine::kVmxon); }},
        {"VMPTRLD revision", 11, [&] { return m.vmptrld(0x40000); }},
        {"VMREAD unsupported", 12, [&] { return m.vmread(0x0002); }},
        {"VMREAD high of 32 bits", 12, [&] { return m.vmread(0x4001); }},
        {"VMWRITE unsupported", 12, [&] { return m.vmwrite(0x2FFE, 0); }},
        {"VMWRITE read-only", 13, [&] { return m.vmwrite(0x4402, 0); }},
        {"VMXON in root", 15, [&] { return m.vmxon(); }},
        {"INVEPT type", 28,
         [&] {
             m.cpu.gpr[cpu::kRax] = 3;
             return m.with_pointer({0x66, 0x0F, 0x38, 0x80, 0x04}, 0x1E);
         }},
        {"INVVPID type 1 of VPID 0", 28,
         [&] {
             m.cpu.gpr[cpu::kRax] = 1;
             return m.with_pointer({0x66, 0x0F, 0x38, 0x81, 0x04}, 0);
         }},
    };
    for (const auto& c : kCases) {
        CAPTURE(std::string(c.what));
        CHECK(c.run() == Step::kEnd);
        CHECK(m.error() == c.error);
    }
    m.vmx.vmcs().launched = true;
    CHECK(m.vmlaunch() == Step::kEnd);
    CHECK(m.error() == 4);
    m.vmx.vmcs().launched = false;
    m.cpu.shadow = cpu::kShadowMovSs;
    CHECK(m.vmlaunch() == Step::kEnd);
    CHECK(m.error() == 26);
}

TEST_CASE("VMfailInvalid without a current VMCS; #GP at CPL 3") {
    VmxMachine m;
    CHECK(m.vmxon() == Step::kEnd);
    for (auto run : {+[](VmxMachine& x) { return x.vmlaunch(); },
                     +[](VmxMachine& x) { return x.vmread(0x4400); },
                     +[](VmxMachine& x) { return x.vmwrite(0x4000, 0); },
                     +[](VmxMachine& x) { return x.vmclear(1); }}) {
        CHECK(run(m) == Step::kEnd);
        CHECK(m.failed_invalid());
    }
    m.cpu.cpl = 3;
    m.cpu.update_mode();
    CHECK(m.execute({0x0F, 0x01, 0xC4}) == Step::kFault);
    CHECK(m.cpu.raised.event.vector == cpu::kGp);
}

TEST_CASE("VMREAD and VMWRITE: widths, halves, every field") {
    VmxMachine m;
    m.ready();
    CHECK(m.vmwrite(0x2010, 0x1122334455667788) == Step::kNext);
    CHECK(m.vmwrite(0x2011, 0xAABBCCDD) == Step::kNext);
    CHECK(m.vmread(0x2010) == Step::kNext);
    CHECK(m.cpu.gpr[cpu::kRax] == 0xAABBCCDD55667788);
    CHECK(m.vmread(0x2011) == Step::kNext);
    CHECK(m.cpu.gpr[cpu::kRax] == 0xAABBCCDD);
    CHECK(m.vmwrite(0x0800, 0x12345678) == Step::kNext);
    CHECK(m.vmread(0x0800) == Step::kNext);
    CHECK(m.cpu.gpr[cpu::kRax] == 0x5678);
    for (const FieldRow& f : kFields) {
        if (f.generation > m.cpu_model.vmx_generation) {
            CHECK(m.vmread(f.encoding) == Step::kEnd);
            CHECK(m.error() == 12);
            continue;
        }
        CHECK(m.vmread(f.encoding) == Step::kNext);
        CHECK(m.succeeded());
        if (f.kind() == FieldKind::kReadOnly) continue;
        CHECK(m.vmwrite(f.encoding, 0x0123456789ABCDEF) == Step::kNext);
        CHECK(m.vmread(f.encoding) == Step::kNext);
        CHECK(m.cpu.gpr[cpu::kRax] == (0x0123456789ABCDEF & low_mask(f.bytes() * 8u)));
    }
}

TEST_CASE("VMPTRLD and VMCLEAR keep data and launch state in memory") {
    VmxMachine m;
    m.ready();
    CHECK(m.vmwrite(0x681E, 0x1234) == Step::kNext);
    m.vmx.vmcs().launched = true;
    CHECK(m.vmptrld(VmxMachine::kOtherVmcs) == Step::kEnd);
    CHECK_FALSE(m.vmx.vmcs().launched);
    CHECK(m.vmptrld(VmxMachine::kVmcs) == Step::kEnd);
    CHECK(m.vmx.vmcs().launched);
    CHECK(m.vmread(0x681E) == Step::kNext);
    CHECK(m.cpu.gpr[cpu::kRax] == 0x1234);
    CHECK(m.vmclear(VmxMachine::kVmcs) == Step::kEnd);
    CHECK(m.vmx.current_pointer() == kNoVmcs);
    CHECK(m.vmptrld(VmxMachine::kVmcs) == Step::kEnd);
    CHECK_FALSE(m.vmx.vmcs().launched);
    CHECK(m.vmread(0x681E) == Step::kNext);
    CHECK(m.cpu.gpr[cpu::kRax] == 0x1234);
    // VMPTRST
    CHECK(m.with_pointer({0x0F, 0xC7, 0x3C}, 0) == Step::kEnd);
    CHECK(m.machine.memory.load(VmxMachine::kPointer, 8) == VmxMachine::kVmcs);
    CHECK(m.vmxoff() == Step::kEnd);
    CHECK(m.cpu.vt_mode == cpu::VtMode::kOff);
}

TEST_CASE("IA32_FEATURE_CONTROL locks; capability MSRs are read-only") {
    VmxMachine m;
    m.vmx.set_feature_control(0);
    u64 value;
    CHECK(m.vmx.msr_write(m.cpu, 0x3A, 0x100) == cpu::MsrAnswer::kGp);
    CHECK(m.vmx.msr_write(m.cpu, 0x3A, 5) == cpu::MsrAnswer::kDone);
    CHECK(m.vmx.msr_write(m.cpu, 0x3A, 5) == cpu::MsrAnswer::kGp);
    CHECK(m.vmx.msr_read(m.cpu, 0x3A, value) == cpu::MsrAnswer::kDone);
    CHECK(value == 5);
    CHECK(m.vmx.msr_write(m.cpu, 0x480, 0) == cpu::MsrAnswer::kGp);
    CHECK(m.vmx.msr_read(m.cpu, 0x492, value) == cpu::MsrAnswer::kNotMine);
    m.vmx.reset(m.cpu, true);
    CHECK(m.vmx.feature_control() == 5);
    m.vmx.reset(m.cpu, false);
    CHECK(m.vmx.feature_control() == 0);
}

TEST_CASE("CR0 and CR4 have fixed bits in VMX operation only") {
    VmxMachine m;
    u64 ones, may;
    m.vmx.cr_fixed(m.cpu, 0, ones, may);
    CHECK(ones == 0);
    CHECK(may == ~u64{0});
    m.ready();
    m.vmx.cr_fixed(m.cpu, 0, ones, may);
    CHECK(ones == 0x80000021);
    m.vmx.cr_fixed(m.cpu, 4, ones, may);
    CHECK(ones == cpu::kCr4Vmxe);
    CHECK(m.vmx.external(m.cpu, cpu::ExternalEvent::kInit) == cpu::EventAnswer::kBlocked);
}
