// VMRUN: every consistency check with its explanation; what is loaded, saved and brought back.
#include "testsuite/unit/vt-emulation/svm/guest.h"

using namespace rm;
using namespace rm::vt::svm;
using namespace rm::vt::svm::test;

namespace {

struct Violation {
    const char* what;
    F field;  // set to `value`
    u64 value;
    F blamed;              // what the explanation must name
    u64 offending;         // 0: the whole field
    F also = F::EXITCODE;  // a second field to set; EXITCODE = none
    u64 also_value = 0;
};

constexpr u64 kEfer = cpu::kEferLme | cpu::kEferLma | cpu::kEferNxe | cpu::kEferSce;
constexpr u64 kCr0 = cpu::kCr0Pe | cpu::kCr0Et | cpu::kCr0Pg | cpu::kCr0Ne;

const Violation kViolations[] = {
    {"SVME", F::EFER, kEfer, F::EFER, cpu::kEferSvme},
    {"NW without CD", F::CR0, kCr0 | cpu::kCr0Nw, F::CR0, cpu::kCr0Nw},
    {"CR0 high", F::CR0, kCr0 | bit(40), F::CR0, bit(40)},
    {"CR3 high", F::CR3, kPages | bit(60), F::CR3, bit(60)},
    {"CR4 undefined", F::CR4, cpu::kCr4Pae | bit(30), F::CR4, bit(30)},
    {"CR4 VMXE", F::CR4, cpu::kCr4Pae | cpu::kCr4Vmxe, F::CR4, cpu::kCr4Vmxe},
    {"DR6 high", F::DR6, bit(32), F::DR6, bit(32)},
    {"DR7 high", F::DR7, bit(63), F::DR7, bit(63)},
    {"EFER undefined", F::EFER, kEfer | cpu::kEferSvme | bit(20), F::EFER, bit(20)},
    {"LME without PAE", F::CR4, 0, F::CR4, cpu::kCr4Pae},
    {"LME without PE", F::CR0, kCr0 & ~cpu::kCr0Pe, F::CR0, cpu::kCr0Pe},
    {"CS.L and CS.D", F::CS_ATTRIB, 0xE9B, F::CS_ATTRIB, 0x600},
    {"no VMRUN intercept", F::INTERCEPT_2, 0, F::INTERCEPT_2, 1},
    {"MSRPM high", F::MSRPM_BASE_PA, bit(48) - 0x1000, F::MSRPM_BASE_PA, 0},
    {"IOPM high", F::IOPM_BASE_PA, bit(48) - 0x2000, F::IOPM_BASE_PA, 0},
    {"event type 1", F::EVENTINJ, kEventValid | 0x100 | 3, F::EVENTINJ, 0x700},
    {"event type 5", F::EVENTINJ, kEventValid | 0x500 | 3, F::EVENTINJ, 0x700},
    {"exception 2", F::EVENTINJ, kEventValid | 0x302, F::EVENTINJ, 0xFF},
    {"exception 32", F::EVENTINJ, kEventValid | 0x320, F::EVENTINJ, 0xFF},
    {"ASID 0", F::GUEST_ASID, 0, F::GUEST_ASID, 0},
    {"ASID too high", F::GUEST_ASID, 0x10000, F::GUEST_ASID, 0},
    {"nCR3 high", F::N_CR3, bit(50), F::N_CR3, bit(50), F::NP_ENABLE, 1},
    {"G_PAT type 2", F::G_PAT, 0x0007040600070206, F::G_PAT, 0xFF00, F::NP_ENABLE, 1},
};

}  // namespace

TEST_CASE("each violated check of VMRUN ends in #VMEXIT(INVALID) and is explained") {
    for (const Violation& v : kViolations) {
        CAPTURE(v.what);
        Guest g;
        g.guest_code({0xF4});
        g.set(v.field, v.value);
        if (v.also != F::EXITCODE) g.set(v.also, v.also_value);
        const u64 rsp = g.cpu.gpr[cpu::kRsp];
        g.enter(1);
        CHECK(g.back_in_host());
        CHECK(!g.svm.gif());
        CHECK(g.field(F::EXITCODE) == exit_code::INVALID);
        CHECK(g.cpu.gpr[cpu::kRsp] == rsp);
        CHECK(g.cpu.gpr[cpu::kRax] == kVmcbAt);
        REQUIRE(g.sink.failures.size() == 1);
        const auto& f = g.sink.failures[0];
        CHECK(f.field == static_cast<u32>(v.blamed));
        CHECK(std::string(f.field_name) == field_row(v.blamed).name);
        CHECK(f.offending_bits == v.offending);
        CHECK(f.value == g.field(v.blamed));
        CHECK(std::string(f.section).starts_with("APM2 15."));
        CHECK(g.sink.entries.empty());
    }
}

TEST_CASE("every check has a violation above or below") {
    std::vector<const char*> seen;
    for (const Violation& v : kViolations) {
        Guest g;
        g.set(v.field, v.value);
        if (v.also != F::EXITCODE) g.set(v.also, v.also_value);
        g.enter(1);
        REQUIRE(!g.sink.failures.empty());
        seen.push_back(g.sink.failures[0].check);
    }
    for (const EntryCheck& check : entry_checks()) {
        CAPTURE(check.text);
        const bool host_paging = check.field == F::NP_ENABLE;
        CHECK((host_paging || std::find(seen.begin(), seen.end(), check.text) != seen.end()));
    }
}

TEST_CASE("nested paging needs paging in the host") {
    Vmcb v;
    v.set(F::EFER, cpu::kEferSvme);
    v.set(F::INTERCEPT_2, 1);
    v.set(F::GUEST_ASID, 1);
    v.set(F::NP_ENABLE, 1);
    const auto model = cpu::make_model("max,+svm");
    u64 bits = 0;
    CHECK(first_failure(CheckContext(v, *model, true), &bits) == nullptr);
    const EntryCheck* failed = first_failure(CheckContext(v, *model, false), &bits);
    REQUIRE(failed);
    CHECK(failed->field == F::NP_ENABLE);
    // A model without nested paging ignores the bit.
    const auto rev_f = cpu::make_model("opteron-f");
    CHECK(first_failure(CheckContext(v, *rev_f, false), &bits) == nullptr);
}

TEST_CASE("reserved bits in PDPTEs of a legacy PAE guest fail the entry without nested paging") {
    Guest g;
    g.set(F::EFER, cpu::kEferSvme);
    g.set(F::CS_ATTRIB, 0xC9B);
    g.set(F::CR3, 0x70000);
    g.put(0x70000, 0x71000 | 1 | bit(5), 8);
    g.enter(1);
    CHECK(g.back_in_host());
    CHECK(g.field(F::EXITCODE) == exit_code::INVALID);
    REQUIRE(g.sink.failures.size() == 1);
    CHECK(g.sink.failures[0].field == static_cast<u32>(F::CR3));
    CHECK(g.cpu.cr3 == kPages);
}

TEST_CASE("VMRUN's own exceptions") {
    SUBCASE("EFER.SVME clear: #UD") {
        Guest g;
        g.cpu.efer &= ~cpu::kEferSvme;
        g.enter(1);
        CHECK(g.in_handler(cpu::kUd));
    }
    SUBCASE("address not aligned: #GP(0)") {
        Guest g;
        g.cpu.gpr[cpu::kRax] = kVmcbAt + 8;
        g.enter(1);
        CHECK(g.in_handler(cpu::kGp));
    }
    SUBCASE("address beyond the physical width: #GP(0)") {
        Guest g;
        g.cpu.gpr[cpu::kRax] = bit(48);
        g.enter(1);
        CHECK(g.in_handler(cpu::kGp));
    }
    SUBCASE("VMMCALL outside of a guest, SKINIT: #UD") {
        Guest g;
        g.code({0x0F, 0x01, 0xD9});
        g.enter(1);
        CHECK(g.in_handler(cpu::kUd));
        Guest h;
        h.code({0x0F, 0x01, 0xDE});
        h.enter(1);
        CHECK(h.in_handler(cpu::kUd));
    }
}

TEST_CASE("state goes into the guest and comes back") {
    Guest g;
    g.add(kCpuid);
    g.set(F::CR2, 0x5555);
    g.set(F::DR7, 0x401);
    g.set(F::RFLAGS, 2 | cpu::kFlagCf);
    g.guest_code({0x48, 0xFF, 0xC0, 0x0F, 0xA2});  // INC RAX; CPUID
    g.cpu.gpr[cpu::kRbx] = 77;
    const u64 host_rsp = g.cpu.gpr[cpu::kRsp];
    g.enter(1);
    REQUIRE(g.in_guest());
    CHECK(g.svm.gif());
    CHECK(g.cpu.rip == kGuestCode);
    CHECK(g.cpu.gpr[cpu::kRax] == 0x1234);
    CHECK(g.cpu.gpr[cpu::kRbx] == 77);
    CHECK(g.cpu.cr2 == 0x5555);
    CHECK(g.cpu.asid == 1);
    CHECK(g.exit_code_after(2) == exit_code::CPUID);
    CHECK(!g.svm.gif());
    CHECK(g.field(F::RAX) == 0x1235);
    CHECK(g.field(F::RIP) == kGuestCode + 3);
    CHECK(g.field(F::NRIP) == kGuestCode + 5);
    CHECK((g.field(F::RFLAGS) & cpu::kFlagCf) != 0);
    CHECK(g.field(F::DR7) == 0x401);
    CHECK(g.cpu.gpr[cpu::kRax] == kVmcbAt);
    CHECK(g.cpu.gpr[cpu::kRsp] == host_rsp);
    CHECK(g.cpu.dr7 == 0x400);
    CHECK(g.cpu.asid == 0);
    CHECK(g.back_in_host());
    REQUIRE(g.sink.exits.size() == 1);
    CHECK(std::string(g.sink.exits[0].reason_name) == "CPUID");
    CHECK(g.sink.exits[0].byte_count >= 2);
    CHECK(g.sink.exits[0].bytes[0] == 0x0F);
}

TEST_CASE("what the hypervisor changed between exit and entry") {
    Guest g;
    g.add(kCpuid);
    g.guest_code({0x0F, 0xA2, 0x0F, 0xA2});
    CHECK(g.exit_code_after(2) == exit_code::CPUID);
    CHECK(g.sink.changes.empty());
    g.set(F::RIP, kGuestCode + 2);
    g.set(F::RAX, 9);
    g.set(F::FS_BASE, 0x1000);  // as a VMSAVE would
    g.cpu.rip = kCodeAt;
    g.enter(1);
    REQUIRE(g.sink.changes.size() == 2);
    CHECK(g.sink.changes[0].field == static_cast<u32>(F::RIP));
    CHECK(g.sink.changes[0].old_value == kGuestCode);
    CHECK(g.sink.changes[0].new_value == kGuestCode + 2);
    CHECK(std::string(g.sink.changes[1].name) == "RAX");
}

TEST_CASE("paged real mode: CR0.PG without CR0.PE (APM2 15.19)") {
    Guest g("opteron-f");
    g.add(kHlt);
    // PAE tables at 70000H: one 2-MByte page that maps 0 to 800000H.
    g.put(0x70000, 0x71000 | 1, 8);
    g.put(0x71000, 0x800000 | 0x87, 8);
    g.set(F::CR3, 0x70000);
    g.set(F::CR0, cpu::kCr0Pg | cpu::kCr0Et);
    g.set(F::EFER, cpu::kEferSvme);
    g.set(F::CPL, 3);  // ignored
    for (F s : {F::ES_SELECTOR, F::SS_SELECTOR, F::DS_SELECTOR})
        g.put(kVmcbAt + static_cast<unsigned>(s) + 8, 0, 8);
    g.set(F::CS_SELECTOR, 0x1000);
    g.set(F::CS_ATTRIB, 0x9B);
    g.set(F::CS_BASE, 0x10000);
    g.set(F::CS_LIMIT, 0xFFFF);
    g.set(F::RIP, 0x20);
    g.bytes(0x800000 + 0x10020, {0xA0, 0x00, 0x05, 0xF4});  // MOV al, [500H]; HLT
    g.put(0x800500, 0x77, 1);
    CHECK(g.exit_code_after(4) == exit_code::HLT);
    CHECK((g.field(F::RAX) & 0xFF) == 0x77);
    CHECK(g.field(F::CPL) == 0);
    CHECK(g.field(F::CR0) == (cpu::kCr0Pg | cpu::kCr0Et));
    CHECK(g.field(F::CS_SELECTOR) == 0x1000);
    CHECK((g.cpu.cr0 & cpu::kCr0Pe) != 0);
    CHECK(g.cpu.long_mode());
}

TEST_CASE("nested paging: a PAE guest's PDPTEs are read from memory on each walk") {
    Guest g("barcelona");
    g.nested();
    g.add(kHlt);
    g.put(0x70000, 0x71000 | 1, 8);
    g.put(0x71000, 0x87, 8);  // 0 to 0
    g.set(F::CR3, 0x70000);
    g.set(F::EFER, cpu::kEferSvme);
    g.set(F::CS_ATTRIB, 0xC9B);
    g.guest_code({0xA0, 0x00, 0x00, 0x07, 0x00, 0xF4});  // MOV al, [70000H]; HLT
    CHECK(g.exit_code_after(3) == exit_code::HLT);
    CHECK((g.field(F::RAX) & 0xFF) == 0x01);
    CHECK(g.field(F::EXITINFO1) == 0);
    g.put(0x70000, 0, 8);
    g.set(F::RIP, kGuestCode);
    g.set(F::TLB_CONTROL, 1);
    g.set(F::INTERCEPT_EXCEPTION, bit(14));
    g.cpu.rip = kCodeAt;
    CHECK(g.exit_code_after(4) == exit_code::EXCP + 14);
}

TEST_CASE("VMSAVE and VMLOAD move what VMRUN leaves alone") {
    Guest g;
    g.code({0x0F, 0x01, 0xDB, 0x0F, 0x01, 0xDA});  // VMSAVE; VMLOAD
    g.cpu.seg[cpu::kFs].base = 0x7FFF12345000;
    g.cpu.msr.lstar = 0xFFFFFFFF81000000;
    g.cpu.msr.kernel_gs_base = 0x42;
    g.cpu.msr.sysenter_eip = 0x43;
    const cpu::Segment tr = g.cpu.tr;
    g.enter(1);
    CHECK(g.field(F::FS_BASE) == 0x7FFF12345000);
    CHECK(g.field(F::LSTAR) == 0xFFFFFFFF81000000);
    CHECK(g.field(F::SYSENTER_EIP) == 0x43);
    CHECK(g.field(F::TR_SELECTOR) == tr.selector);
    CHECK(g.field(F::RAX) == 0x1234);  // not VMSAVE's
    g.cpu.msr.lstar = 0;
    g.cpu.tr = {};
    g.set(F::GS_BASE, 0x77000);
    g.enter(1);
    CHECK(g.cpu.msr.lstar == 0xFFFFFFFF81000000);
    CHECK(g.cpu.msr.kernel_gs_base == 0x42);
    CHECK(g.cpu.tr == tr);
    CHECK(g.cpu.seg[cpu::kGs].base == 0x77000);
    CHECK(g.cpu.seg_base64[cpu::kGs] == 0x77000);
}

TEST_CASE("SVM's MSRs") {
    Guest g;
    u64 v = 0;
    CHECK(g.svm.msr_write(g.cpu, 0xC0010117, 0x123000) == cpu::MsrAnswer::kDone);
    CHECK(g.svm.msr_read(g.cpu, 0xC0010117, v) == cpu::MsrAnswer::kDone);
    CHECK(v == 0x123000);
    CHECK(g.svm.msr_write(g.cpu, 0xC0010117, 0x123001) == cpu::MsrAnswer::kGp);
    // SVMDIS cannot be set while SVM is on; once set, SVME cannot be set.
    CHECK(g.svm.msr_write(g.cpu, 0xC0010114, 0x10) == cpu::MsrAnswer::kGp);
    g.cpu.efer &= ~cpu::kEferSvme;
    CHECK(g.svm.msr_write(g.cpu, 0xC0010118, 99) == cpu::MsrAnswer::kDone);  // key
    CHECK(g.svm.msr_write(g.cpu, 0xC0010114, 0x18) == cpu::MsrAnswer::kDone);
    CHECK(g.svm.msr_write(g.cpu, 0xC0000080, cpu::kEferSvme) == cpu::MsrAnswer::kGp);
    CHECK(g.svm.msr_write(g.cpu, 0xC0010114, 0) == cpu::MsrAnswer::kDone);
    CHECK(g.svm.msr_read(g.cpu, 0xC0010114, v) == cpu::MsrAnswer::kDone);
    CHECK(v == 0x18);  // locked
    CHECK(g.svm.msr_write(g.cpu, 0xC0010118, 98) == cpu::MsrAnswer::kDone);
    CHECK(g.svm.msr_write(g.cpu, 0xC0010118, 99) == cpu::MsrAnswer::kDone);
    CHECK(g.svm.msr_write(g.cpu, 0xC0010114, 0) == cpu::MsrAnswer::kDone);
    CHECK(g.svm.msr_read(g.cpu, 0xC0010114, v) == cpu::MsrAnswer::kDone);
    CHECK(v == 0);
}

TEST_CASE("segment attributes keep their bits through the VMCB's layout") {
    using cpu::Segment;
    CHECK(attributes_to_vmcb(0xA09B) == 0xA9B);
    CHECK(attributes_from_vmcb(0xA9B) == 0xA09B);
    CHECK(attributes_from_vmcb(0xC93) == 0xC093);
    CHECK((attributes_from_vmcb(0) & Segment::kUnusable) != 0);
    CHECK((attributes_to_vmcb(0xC093 | Segment::kUnusable) & Segment::kP) == 0);
}

TEST_CASE("field table: rows ascend and do not overlap") {
    unsigned end = 0;
    for (const FieldRow& row : vmcb_fields()) {
        CAPTURE(row.name);
        CHECK(static_cast<unsigned>(row.field) >= end);
        end = static_cast<unsigned>(row.field) + row.bytes;
        CHECK(end <= Vmcb::kBytes);
    }
    CHECK(std::string(exit_name(0x4E)) == "EXCP14 (#PF)");
    CHECK(std::string(exit_name(0x18)) == "CR8_WRITE");
    CHECK(std::string(exit_name(0x400)) == "NPF");
    CHECK(std::string(exit_name(~u64{0})) == "INVALID");
    CHECK(std::string(exit_name(0x500)) == "?");
}
