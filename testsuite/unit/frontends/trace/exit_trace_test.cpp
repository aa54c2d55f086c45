#include "frontends/trace/exit_trace.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "frontends/trace/failure_report.h"
#include "frontends/trace/trace_fanout.h"
#include "test_support.h"

using namespace rm;
using namespace rm::frontends::trace;
using namespace rm::vt::common;
using namespace trace_test;
using Json = nlohmann::ordered_json;

namespace {

constexpr u64 kText = 0xffffffff81000000;

struct Fixture {
    Symbols symbols;
    TempFile out;
    std::shared_ptr<OutputFile> file = *OutputFile::open(out.path());
    ExitTraceSink text{file, Format::kText, symbols}, json{file, Format::kJsonl, symbols};

    Fixture() {
        TempFile l1(make_elf32({{"vmx_resume", 0xc0100000, 0x100}}));
        TempFile l2(make_elf64({{"apic_read", kText, 0x100}}));
        REQUIRE(symbols.load(1, l1.path()).has_value());
        REQUIRE(symbols.load(2, l2.path()).has_value());
    }
};

ExitRecord ept_exit() {
    ExitRecord r;
    r.vcpu = 1;
    r.tick = 123456;
    r.ns = 1'000'493'824;
    r.control_block = 0x7f000;
    r.reason = r.reason_raw = 48;
    r.reason_name = "EPT_VIOLATION";
    r.guest_rip = r.guest_linear_rip = kText + 5;
    r.guest_rsp = 0xffff888000001000;
    r.guest_rflags = 0x246;
    r.guest_cr0 = 0x80050033;
    r.guest_cr3 = 0x2610000;
    r.code_size = 8;
    r.info1 = 0x181;
    r.linear_valid = r.physical_valid = true;
    r.guest_linear = 0xffffffffff5fb030;
    r.guest_physical = 0xfee00030;
    r.instruction_length = 2;
    r.idt_vectoring = {0x800000EF, 0, 0};
    r.bytes = {0x8B, 0x07, 0xC3, 0x90};
    r.byte_count = 4;
    return r;
}

EntryFailure failure() {
    EntryFailure f;
    f.vcpu = 0;
    f.tick = 99;
    f.ns = 396;
    f.control_block = 0x7f000;
    f.instruction = "VMLAUNCH";
    f.hypervisor_rip = 0xc0100010;
    f.check = "CR4 bits fixed to 1 must be 1";
    f.field_name = "HOST_CR4";
    f.field = 0x6C04;
    f.value = 0xA0;
    f.offending_bits = 0x2000;
    f.section = "SDM 3C 26.2.2";
    f.instruction_error = 8;
    f.writer_known = true;
    f.writer_rip = 0xc0100004;
    f.writer_value = 0xA0;
    return f;
}

}  // namespace

TEST_CASE("exit lines") {
    Fixture f;
    CHECK(f.text.exit_line(ept_exit(), {}) ==
          "        123456 1.000493824 cpu1 L2 exit reason=EPT_VIOLATION(48) rip=0xffffffff81000005 "
          "<apic_read+0x5> cpl=0 info1=0x181 decoded={read ept=--- linear_valid for=translation} "
          "gla=0xffffffffff5fb030 gpa=0xfee00030 bytes=8b07 insn=\"mov eax, [rdi]\" insn_length=2 "
          "idt_vectoring={vector=239 type=external-interrupt info=0x800000ef} "
          "rsp=0xffff888000001000 rflags=0x246 cr0=0x80050033 cr3=0x2610000 vmcs=0x7f000");
    CHECK(f.json.exit_line(ept_exit(), {}) ==
          R"({"event":"exit","vcpu":1,"level":"L2","insns":123456,"ns":1000493824,"isa":"vmx",)"
          R"("reason":"EPT_VIOLATION","reason_number":48,"rip":"0xffffffff81000005",)"
          R"("rip_symbol":"apic_read+0x5","cpl":0,"info1":"0x181","decoded":{"read":true,)"
          R"("ept":"---","linear_valid":true,"for":"translation"},"gla":"0xffffffffff5fb030",)"
          R"("gpa":"0xfee00030","bytes":"8b07","insn":"mov eax, [rdi]","insn_length":2,)"
          R"("idt_vectoring":{"vector":239,"type":"external-interrupt","info":"0x800000ef"},)"
          R"("rsp":"0xffff888000001000","rflags":"0x246","cr0":"0x80050033","cr3":"0x2610000",)"
          R"("vmcs":"0x7f000"})");
    CHECK_FALSE(Json::parse(f.json.exit_line(ept_exit(), {}), nullptr, false).is_discarded());
}

TEST_CASE("exit lines of SVM, of failed entries and of undecodable code") {
    Fixture f;
    ExitRecord r;
    r.vendor = Vendor::kSvm;
    r.reason = 0x400;
    r.reason_name = "NPF";
    r.info1 = u64{1} << 32 | 4;
    r.info2 = 0x1000;
    r.bytes = {0x0F, 0xFF};
    r.byte_count = 1;
    const std::string npf(f.text.exit_line(r, {}));
    CHECK(npf.find("reason=NPF(0x400) ") != std::string::npos);
    CHECK(npf.find(" info2=0x1000 ") != std::string::npos);
    CHECK(npf.find(" bytes=0f insn=\"(bad)\" ") != std::string::npos);
    CHECK(npf.find(" vmcb=0x0") != std::string::npos);
    r.reason = ~u64{0};
    r.reason_name = "INVALID";
    CHECK(f.text.exit_line(r, {}).find("reason=INVALID(-1) ") != std::string_view::npos);
    CHECK(Json::parse(f.json.exit_line(r, {}))["reason_number"] == -1);
    ExitRecord v;
    v.reason = 33;
    v.reason_raw = 0x80000021;
    v.reason_name = "ENTRY_FAIL_GUEST_STATE";
    CHECK(f.text.exit_line(v, {}).find("(33) failed_entry rip=") != std::string_view::npos);
    CHECK(Json::parse(f.json.exit_line(v, {}))["failed_entry"] == true);
}

TEST_CASE("disassembly names branch targets") {
    Fixture f;
    ExitRecord r = ept_exit();
    r.bytes = {0xE8, 0x06, 0, 0, 0};
    r.byte_count = 5;
    CHECK(f.text.exit_line(r, {}).find("insn=\"call 0xffffffff81000010 <apic_read+0x10>\"") !=
          std::string_view::npos);
    r.code_size = 2;  // E8 06 00 in 16-bit code
    CHECK(f.text.exit_line(r, {}).find("bytes=e80600 ") != std::string_view::npos);
}

TEST_CASE("entry lines") {
    Fixture f;
    const FieldChange changes[] = {{0x681E, 8, "GUEST_RIP", 0x1000, 0x1002, 0xc0100020},
                                   {0x4016, 4, "ENTRY_INTR_INFO", 0, 0x800000EF, 0}};
    EntryRecord r;
    r.tick = 5;
    r.ns = 20;
    r.instruction = "VMRESUME";
    r.hypervisor_rip = 0xc0100040;
    r.guest_rip = r.guest_linear_rip = 0x1002;
    r.guest_cr3 = 0x3000;
    r.injected.info = 0x800000EF;
    r.address_space_id = 7;
    r.second_stage = 0x5e;
    r.changes = changes;
    r.control_block = 0x7f000;
    CHECK(f.text.entry_line(r) ==
          "             5 0.000000020 cpu0 L2 entry instruction=VMRESUME hypervisor_rip=0xc0100040 "
          "<vmx_resume+0x40> rip=0x1002 cr3=0x3000 vpid=7 eptp=0x5e injected={vector=239 "
          "type=external-interrupt info=0x800000ef} changed=[field=GUEST_RIP(0x681e) old=0x1000 "
          "new=0x1002 by=0xc0100020 <vmx_resume+0x20>; field=ENTRY_INTR_INFO(0x4016) old=0x0 "
          "new=0x800000ef] vmcs=0x7f000");
    const Json j = Json::parse(f.json.entry_line(r));
    CHECK(j["changed"].size() == 2);
    CHECK(j["changed"][0].dump() ==
          R"({"field":"GUEST_RIP","field_number":26654,"old":"0x1000","new":"0x1002",)"
          R"("by":"0xc0100020","by_symbol":"vmx_resume+0x20"})");
    CHECK(j["hypervisor_rip_symbol"] == "vmx_resume+0x40");
}

TEST_CASE("refused entries: line and block") {
    Fixture f;
    CHECK(f.text.failure_line(failure()) ==
          "            99 0.000000396 cpu0 L2 entry_failed instruction=VMLAUNCH "
          "hypervisor_rip=0xc0100010 <vmx_resume+0x10> check=\"CR4 bits fixed to 1 must be 1\" "
          "field=HOST_CR4(0x6c04) value=0xa0 offending_bits=0x2000 section=\"SDM 3C 26.2.2\" "
          "written_by=0xc0100004 <vmx_resume+0x4> written_value=0xa0 vm_instruction_error=8 "
          "vmcs=0x7f000");
    CHECK(Json::parse(f.json.failure_line(failure()))["offending_bits"] == "0x2000");

    FailureReport report(f.symbols);
    CHECK(report.block(failure()) ==
          "ringminus: VM entry refused: VMLAUNCH on vCPU 0, instruction 99\n"
          "  at          0xc0100010 <vmx_resume+0x10>\n"
          "  check       CR4 bits fixed to 1 must be 1\n"
          "  field       HOST_CR4 (encoding 0x6c04) = 0xa0\n"
          "  offending   0x2000 (bit 13)\n"
          "  manual      SDM 3C 26.2.2\n"
          "  last write  0xa0 by 0xc0100004 <vmx_resume+0x4>\n"
          "  guest sees  VMfailValid, VM-instruction error 8 (VM entry with invalid host-state "
          "field(s))\n");
    EntryFailure guest = failure();
    guest.instruction_error = 0;
    guest.reason = 0x80000021;
    guest.qualification = 4;
    guest.offending_bits = 6;
    guest.writer_known = false;
    guest.other_field_name = "GUEST_CR0";
    guest.other_field = 0x6800;
    guest.other_value = 1;
    const std::string block = report.block(guest);
    CHECK(block.find("0x6 (bits 1, 2)") != std::string::npos);
    CHECK(block.find("compare     GUEST_CR0 (encoding 0x6800) = 0x1") != std::string::npos);
    CHECK(block.find("last write  none seen") != std::string::npos);
    CHECK(block.find("VM exit, reason 0x80000021 (ENTRY_FAIL_GUEST_STATE), qualification 0x4") !=
          std::string::npos);
    guest.vendor = Vendor::kSvm;
    guest.reason = ~u64{0};
    CHECK(report.block(guest).find("#VMEXIT(-1) VMEXIT_INVALID") != std::string::npos);
}

TEST_CASE("a repeated refusal does not flood the terminal") {
    const Symbols none;
    TempFile out;
    std::FILE* stream = std::fopen(out.path().c_str(), "w");
    REQUIRE(stream);
    FailureReport report(none, stream);
    for (int n = 0; n < 1000; ++n) report.report(failure());
    EntryFailure other = failure();
    other.value = 0xA1;
    report.report(other);
    std::fclose(stream);
    const std::string text = out.content();
    CHECK(std::count(text.begin(), text.end(), '\n') == 2 * 8 + 9);
    CHECK(text.find("the same again, 512 times by now") != std::string::npos);
}

TEST_CASE("VT instructions") {
    Fixture f;
    VtInstruction i;
    i.instruction = "VMPTRLD";
    i.rip = 0xc0100008;
    i.operand = 0x7f000;
    i.error = 11;
    CHECK(f.text.instruction_line(i) ==
          "             0 0.000000000 cpu0 L1 vt_instruction instruction=VMPTRLD rip=0xc0100008 "
          "<vmx_resume+0x8> operand=0x7f000 result=VMfailValid error=11 error_text=\"VMPTRLD with "
          "incorrect VMCS revision identifier\" vmcs=0x0");
    i.error = 0;
    CHECK(Json::parse(f.json.instruction_line(i))["result"] == "VMsucceed");
    i.invalid = true;
    CHECK(Json::parse(f.json.instruction_line(i))["result"] == "VMfailInvalid");
}

TEST_CASE("JSON survives any name") {
    const Symbols none;
    LineBuilder line(Format::kJsonl, none);
    line.begin("e", 0, 2, 0, 0);
    line.quoted("text", "a\"b\\c\n\t\x01\xff");
    const Json j = Json::parse(line.end());
    CHECK(j["text"] == "a\"b\\c\n\t\x01\u00ff");
}

TEST_CASE("the fanout needs what its sinks need") {
    struct Nothing : TraceSink {
        unsigned needs() const override { return 0; }
    } nothing;
    struct Bytes : TraceSink {
        unsigned needs() const override { return kNeedBytes; }
    } bytes;
    TraceFanout fanout;
    CHECK(fanout.needs() == 0);
    CHECK(fanout.empty());
    fanout.add(nothing);
    CHECK(fanout.needs() == 0);
    fanout.add(bytes);
    CHECK(fanout.needs() == TraceSink::kNeedBytes);
    Fixture f;
    fanout.add(f.text);
    CHECK(fanout.needs() == (TraceSink::kNeedBytes | TraceSink::kNeedChanges));
}
