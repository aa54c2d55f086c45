#include "frontends/trace/decode.h"

#include <doctest/doctest.h>

using namespace rm;
using namespace rm::frontends::trace;
using namespace rm::vt::common;

namespace {

std::string after_event(std::string_view line) {
    const auto at = line.find(" e ");
    return at == std::string_view::npos ? "" : std::string(line.substr(at + 3));
}

std::string decode(const ExitRecord& exit, const GuestRegisters& registers = {}) {
    const Symbols none;
    LineBuilder line(Format::kText, none);
    line.begin("e", 0, 2, 0, 0);
    decode_exit(line, exit, registers);
    return after_event(line.end());
}

std::string vmx(u64 reason, u64 qualification, const GuestRegisters& registers = {}) {
    ExitRecord exit;
    exit.reason = reason;
    exit.info1 = qualification;
    return decode(exit, registers);
}

std::string vmx_info(u64 reason, u64 qualification, u32 info) {
    ExitRecord exit;
    exit.reason = reason;
    exit.info1 = qualification;
    exit.instruction_info = info;
    exit.instruction_info_valid = true;
    const std::string all = decode(exit);
    return all.substr(all.rfind("operand="));
}

std::string svm(u64 code, u64 info1, u64 info2 = 0, const GuestRegisters& registers = {},
                bool decode_assists = true) {
    ExitRecord exit;
    exit.vendor = Vendor::kSvm;
    exit.decode_assists = decode_assists;
    exit.reason = code;
    exit.info1 = info1;
    exit.info2 = info2;
    return decode(exit, registers);
}

std::string event(u32 info, u32 error = 0, u32 length = 0) {
    const Symbols none;
    LineBuilder line(Format::kText, none);
    line.begin("e", 0, 2, 0, 0);
    decode_event(line, "event", {info, error, length});
    return after_event(line.end());
}

}  // namespace

TEST_CASE("VMX exit qualifications (SDM 3C 27.2.1)") {
    CHECK(vmx(4, 0x9F) == "decoded={vector=0x9f}");
    CHECK(vmx(9, 0xC0000028) == "decoded={selector=0x28 source=task-gate}");
    CHECK(vmx(9, 0x40000028) == "decoded={selector=0x28 source=IRET}");
    CHECK(vmx(14, 0x7fff1000) == "decoded={address=0x7fff1000}");
    CHECK(vmx(28, 0x003) == "decoded={cr=3 access=mov-to-cr register=rax}");
    CHECK(vmx(28, 0xF18) == "decoded={cr=8 access=mov-from-cr register=r15}");
    CHECK(vmx(28, 0x020) == "decoded={cr=0 access=CLTS}");
    CHECK(vmx(28, 0x12340030) ==
          "decoded={cr=0 access=LMSW lmsw_operand=register lmsw_source=0x1234}");
    CHECK(vmx(28, 0x00010070) == "decoded={cr=0 access=LMSW lmsw_operand=memory lmsw_source=0x1}");
    CHECK(vmx(29, 0x317) == "decoded={dr=7 access=mov-from-dr register=rbx}");
    CHECK(vmx(29, 0x600) == "decoded={dr=0 access=mov-to-dr register=rsi}");
    CHECK(vmx(30, 0x03f80000) == "decoded={direction=out port=0x3f8 size=1 port_operand=dx}");
    CHECK(vmx(30, 0x0080007B) ==
          "decoded={direction=in port=0x80 size=4 string rep port_operand=immediate}");
    CHECK(vmx(33, 3) == "decoded={cause=NMI-injection}");
    CHECK(vmx(34, 5) == "decoded={entry=5}");
    CHECK(vmx(36, 1) == "decoded={monitor=armed}");
    CHECK(vmx(44, 0x1300) == "decoded={offset=0x300 access=linear-write}");
    CHECK(vmx(44, 0xF000) == "decoded={offset=0x0 access=physical}");
    CHECK(vmx(48, 0x181) == "decoded={read ept=--- linear_valid for=translation}");
    CHECK(vmx(48, 0x09A) == "decoded={write ept=rw- linear_valid for=page-walk}");
    CHECK(vmx(48, 0x102C) == "decoded={fetch ept=r-x nmi_unblocking_by_iret}");
    CHECK(vmx(12, 0) == "");
    CHECK(vmx(49, 0) == "");
}

TEST_CASE("VMX exits that a register explains") {
    CHECK(vmx(31, 0, {.rax = 1, .rcx = 0xc0000080}) == "decoded={msr=0xc0000080}");
    CHECK(vmx(32, 0, {.rax = 1, .rcx = 0xffffffff00000010}) == "decoded={msr=0x10}");
    CHECK(vmx(10, 0, {.rax = 0x40000000, .rcx = 9}) == "decoded={leaf=0x40000000}");
    CHECK(vmx(18, 0, {.rax = 12}) == "decoded={hypercall=0xc}");
    CHECK(vmx(55, 0, {.rcx = 0}) == "decoded={xcr=0x0}");
    CHECK(vmx(31, 0) == "");
}

TEST_CASE("VMX exception qualifications") {
    ExitRecord exit;
    exit.interruption.info = 0x80000B0E;
    exit.info1 = 0xdeadb000;
    CHECK(decode(exit) == "decoded={address=0xdeadb000}");
    exit.interruption.info = 0x80000301;
    exit.info1 = 0x4002;
    CHECK(decode(exit) == "decoded={b1 bs}");
    exit.interruption.info = 0x80000306;
    CHECK(decode(exit) == "");
}

TEST_CASE("VMX instruction information (SDM 3C 27.2.5)") {
    // VMPTRLD [ss:rsp+8]: base rsp, no index, 64-bit.
    CHECK(vmx_info(21, 8, 2 << 15 | 2 << 7 | 4 << 23 | 1 << 22) ==
          "operand={memory=\"ss:[rsp+0x8]\" info=0x2410100}");
    // VMREAD [ds:rax+rcx*4-0x10], field in rdx.
    CHECK(vmx_info(23, static_cast<u64>(-16), 2u << 28 | 0u << 23 | 1u << 18 | 3u << 15 | 2u) ==
          "operand={field_register=rdx memory=\"ds:[rax+rcx*4-0x10]\" info=0x20058002}");
    // VMWRITE rbx, field in r10.
    CHECK(vmx_info(25, 0, 10u << 28 | 1u << 10 | 3u << 3) ==
          "operand={field_register=r10 register=rbx info=0xa0000418}");
    CHECK(vmx_info(46, 0x1000, 2u << 28 | 1 << 27 | 1 << 22 | 3u << 15) ==
          "operand={instruction=LGDT memory=\"ds:[0x1000]\" info=0x28418000}");
    CHECK(vmx_info(47, 0, 3u << 28 | 1 << 10 | 9 << 3) ==
          "operand={instruction=LTR register=r9 info=0x30000448}");
    CHECK(vmx_info(50, 0, 1u << 28 | 7u << 23 | 1 << 22) ==
          "operand={type_register=rcx memory=\"es:[rdi]\" info=0x13c00000}");
    CHECK(vmx_info(30, 0, 1u << 7) == "operand={address_size=32 info=0x80}");
}

TEST_CASE("SVM exit information (APM2 15.8-15.13, 15.25.6)") {
    CHECK(svm(0x03, u64{1} << 63 | 7) == "decoded={cr=3 register=rdi}");
    CHECK(svm(0x10, 0) == "decoded={cr=0}");  // a model without decode assists
    CHECK(svm(0x37, 2) == "decoded={dr=7 register=rdx}");
    CHECK(svm(0x37, 0, 0, {}, false) == "decoded={dr=7}");
    CHECK(svm(0x79, 0, 0, {}, false) == "");
    CHECK(svm(0x4E, 2, 0xdeadb000) == "decoded={exception=#PF error=0x2 address=0xdeadb000}");
    CHECK(svm(0x46, 0) == "decoded={exception=#UD}");
    CHECK(svm(0x7B, 0x03f80010, 0x1002) ==
          "decoded={direction=out port=0x3f8 size=1 address_size=? next_rip=0x1002}");
    CHECK(svm(0x7B, 0x0060024D, 0x1002) ==
          "decoded={direction=in port=0x60 size=4 string rep address_size=64 next_rip=0x1002}");
    CHECK(svm(0x7C, 1, 0, {.rcx = 0xc0000080}) == "decoded={access=write msr=0xc0000080}");
    CHECK(svm(0x7C, 0, 0, {.rcx = 0x1b}) == "decoded={access=read msr=0x1b}");
    CHECK(svm(0x7D, 0x28, u64{1} << 36) == "decoded={selector=0x28 iret}");
    CHECK(svm(0x7D, 0x28, u64{1} << 38 | u64{1} << 44 | u64{1} << 48 | 5) ==
          "decoded={selector=0x28 jmp error=0x5 rf}");
    CHECK(svm(0x400, u64{1} << 32 | 6, 0xfee00000) == "decoded={write user for=translation}");
    CHECK(svm(0x400, u64{1} << 33 | 0x1D, 0) ==
          "decoded={present user reserved fetch for=page-walk}");
    CHECK(svm(0x72, 0, 0, {.rax = 1}) == "decoded={leaf=0x1}");
    CHECK(svm(0x81, 0, 0, {.rax = 3}) == "decoded={hypercall=0x3}");
    CHECK(svm(0x79, 0x1000) == "decoded={address=0x1000}");
    CHECK(svm(0x75, 0x80) == "decoded={vector=0x80}");
    CHECK(svm(0x78, 0) == "");
    CHECK(svm(~u64{0}, 0) == "");
}

TEST_CASE("SVM exceptions with an error code") {
    ExitRecord exit;
    exit.vendor = Vendor::kSvm;
    exit.reason = 0x4D;
    exit.info1 = 0x18;
    exit.interruption.info = 0x80000B0D;
    CHECK(decode(exit) == "decoded={exception=#GP error=0x18}");
}

TEST_CASE("interruption information (SDM 3C 24.8.3)") {
    CHECK(event(0x80000B0E, 2) ==
          "event={name=#PF vector=14 type=hardware-exception error=0x2 info=0x80000b0e}");
    CHECK(event(0x800000EF) == "event={vector=239 type=external-interrupt info=0x800000ef}");
    CHECK(event(0x80000202) == "event={vector=2 type=nmi info=0x80000202}");
    CHECK(event(0x80000480, 0, 2) ==
          "event={vector=128 type=software-interrupt length=2 info=0x80000480}");
    CHECK(event(0x80001603, 0, 1) ==
          "event={name=#BP vector=3 type=software-exception nmi_unblocking_by_iret length=1 "
          "info=0x80001603}");
    CHECK(event(0x00000B0E, 2) == "");
}

TEST_CASE("names of numbers without a name") {
    CHECK(std::string(vmx_reason_name(48)) == "EPT_VIOLATION");
    CHECK(std::string(vmx_reason_name(12345)) == "?");
    CHECK(std::string(vm_instruction_error_text(7)) == "VM entry with invalid control field(s)");
    CHECK(std::string(vm_instruction_error_text(99)) == "?");
    CHECK(exception_name(200) == nullptr);
    CHECK(std::string(segment_name(7)) == "?");
}
