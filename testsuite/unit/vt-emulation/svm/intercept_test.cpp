// Instruction intercepts: exit codes, EXITINFO formats, permission maps, what comes first.
#include "testsuite/unit/vt-emulation/svm/guest.h"

using namespace rm;
using namespace rm::vt::svm;
using namespace rm::vt::svm::test;

namespace {

struct Case {
    const char* what;
    Bit bit;
    std::initializer_list<int> code;
    u64 exit, info1;
};

const Case kCases[] = {
    {"HLT", kHlt, {0xF4}, exit_code::HLT, 0},
    {"RDTSC", kRdtsc, {0x0F, 0x31}, exit_code::RDTSC, 0},
    {"RDTSCP has its own code", kRdtscp, {0x0F, 0x01, 0xF9}, exit_code::RDTSCP, 0},
    {"VMMCALL", kVmmcall, {0x0F, 0x01, 0xD9}, exit_code::VMMCALL, 0},
    {"INT n: vector", kIntn, {0xCD, 0x80}, exit_code::SWINT, 0x80},
    {"PUSHF", {F::INTERCEPT_1, 16}, {0x9C}, exit_code::PUSHF, 0},
    {"POPF", {F::INTERCEPT_1, 17}, {0x9D}, exit_code::POPF, 0},
    {"IRET", {F::INTERCEPT_1, 20}, {0x48, 0xCF}, exit_code::IRET, 0},
    {"INVD", {F::INTERCEPT_1, 22}, {0x0F, 0x08}, exit_code::INVD, 0},
    {"WBINVD", {F::INTERCEPT_2, 9}, {0x0F, 0x09}, exit_code::WBINVD, 0},
    {"INVLPG [rbx]: address", kInvlpg, {0x0F, 0x01, 0x3B}, exit_code::INVLPG, 0x12345678},
    {"INVLPGA", {F::INTERCEPT_1, 26}, {0x0F, 0x01, 0xDF}, exit_code::INVLPGA, 0},
    {"VMRUN", {F::INTERCEPT_2, 0}, {0x0F, 0x01, 0xD8}, exit_code::VMRUN, 0},
    {"VMLOAD", {F::INTERCEPT_2, 2}, {0x0F, 0x01, 0xDA}, exit_code::VMLOAD, 0},
    {"STGI", {F::INTERCEPT_2, 4}, {0x0F, 0x01, 0xDC}, exit_code::STGI, 0},
    {"ICEBP", {F::INTERCEPT_2, 8}, {0xF1}, exit_code::ICEBP, 0},
    {"MONITOR", {F::INTERCEPT_2, 10}, {0x0F, 0x01, 0xC8}, exit_code::MONITOR, 0},
    {"MWAIT", {F::INTERCEPT_2, 11}, {0x0F, 0x01, 0xC9}, exit_code::MWAIT, 0},
    {"SGDT", {F::INTERCEPT_1, 7}, {0x0F, 0x01, 0x03}, exit_code::GDTR_READ, 0},
    {"LIDT", {F::INTERCEPT_1, 10}, {0x0F, 0x01, 0x1B}, exit_code::IDTR_WRITE, 0},
    {"STR", {F::INTERCEPT_1, 9}, {0x0F, 0x00, 0xC8}, exit_code::TR_READ, 0},
    {"MOV rcx, cr3", {F::INTERCEPT_CR, 3}, {0x0F, 0x20, 0xD9}, exit_code::CR_READ + 3, bit(63) | 1},
    {"MOV cr4, rsi",
     {F::INTERCEPT_CR, 20},
     {0x0F, 0x22, 0xE6},
     exit_code::CR_WRITE + 4,
     bit(63) | 6},
    {"MOV cr8, r9",
     {F::INTERCEPT_CR, 24},
     {0x45, 0x0F, 0x22, 0xC1},
     exit_code::CR_WRITE + 8,
     bit(63) | 9},
    {"CLTS", {F::INTERCEPT_CR, 16}, {0x0F, 0x06}, exit_code::CR_WRITE, 0},
    {"LMSW, selective", kCr0Selective, {0x0F, 0x01, 0xF1}, exit_code::CR0_SEL_WRITE, 0},
    {"SMSW", {F::INTERCEPT_CR, 0}, {0x0F, 0x01, 0xE1}, exit_code::CR_READ, 0},
    {"MOV rdx, dr7", {F::INTERCEPT_DR, 7}, {0x0F, 0x21, 0xFA}, exit_code::DR_READ + 7, 2},
    {"MOV dr3, rbp", {F::INTERCEPT_DR, 19}, {0x0F, 0x23, 0xDD}, exit_code::DR_WRITE + 3, 5},
    {"RDPMC", {F::INTERCEPT_1, 15}, {0x0F, 0x33}, exit_code::RDPMC, 0},
};

void prepare(Guest& g, const Case& c) {
    g.add(c.bit);
    g.guest_code(c.code);
    g.cpu.gpr[cpu::kRbx] = 0x12345678;
    g.cpu.gpr[cpu::kRsi] = cpu::kCr4Pae;
    g.cpu.gpr[cpu::kRcx] = 0;
}

}  // namespace

TEST_CASE("instruction intercepts with decode assists and nRIP save") {
    for (const Case& c : kCases) {
        CAPTURE(c.what);
        Guest g;
        prepare(g, c);
        CHECK(g.exit_code_after(2) == c.exit);
        CHECK(g.field(F::EXITINFO1) == c.info1);
        CHECK(g.field(F::EXITINFO2) == 0);
        CHECK(g.field(F::EXITINTINFO) == 0);
        CHECK(g.field(F::RIP) == kGuestCode);
        CHECK(g.field(F::NRIP) == kGuestCode + c.code.size());
    }
}

TEST_CASE("without decode assists and nRIP save the fields stay as they are") {
    for (const char* spec : {"opteron-f", "barcelona"}) {
        Guest g(spec);
        g.add(kInvlpg);
        g.set(F::NRIP, 0x5A5A);
        g.guest_code({0x0F, 0x01, 0x3B});
        CHECK(g.exit_code_after(2) == exit_code::INVLPG);
        CHECK(g.field(F::EXITINFO1) == 0);
        CHECK(g.field(F::NRIP) == 0x5A5A);
    }
}

TEST_CASE("no intercept, no exit") {
    Guest g;
    g.guest_code({0x0F, 0xA2, 0x0F, 0x31, 0x0F, 0x20, 0xD9, 0x90, 0xEB, 0xFE});
    g.enter(10);
    CHECK(g.in_guest());
    CHECK(g.sink.exits.empty());
}

TEST_CASE("selective CR0 write: TS and MP are free") {
    Guest g;
    g.add(kCr0Selective);
    g.guest_code({0x0F, 0x22, 0xC3, 0x0F, 0x22, 0xC6});  // MOV cr0, rbx; MOV cr0, rsi
    g.cpu.gpr[cpu::kRbx] = g.cpu.cr0 | cpu::kCr0Ts | cpu::kCr0Mp;
    g.cpu.gpr[cpu::kRsi] = g.cpu.cr0 | cpu::kCr0Am;
    CHECK(g.exit_code_after(4) == exit_code::CR0_SEL_WRITE);
    CHECK(g.field(F::RIP) == kGuestCode + 3);
    CHECK((g.field(F::CR0) & cpu::kCr0Ts) != 0);
}

TEST_CASE("exceptions that need no memory come before the intercept") {
    SUBCASE("bad CR4 value") {
        Guest g;
        g.set(F::INTERCEPT_CR, bit(20));
        g.guest_code({0x0F, 0x22, 0xE6});
        g.cpu.gpr[cpu::kRsi] = bit(30);
        g.enter(2);
        CHECK(g.in_guest());
        CHECK(g.in_handler(cpu::kGp));
    }
    SUBCASE("RDTSC with CR4.TSD at CPL 3") {
        Guest g;
        g.add(kRdtsc);
        g.set(F::CR4, cpu::kCr4Pae | cpu::kCr4Tsd);
        g.set(F::CPL, 3);
        g.set(F::CS_SELECTOR, cpu::test::kUser64);
        g.set(F::CS_ATTRIB, 0xAFB);
        g.set(F::SS_SELECTOR, cpu::test::kData3);
        g.set(F::SS_ATTRIB, 0xCF3);
        g.guest_code({0x0F, 0x31});
        g.enter(2);
        CHECK(g.in_guest());
        CHECK(g.in_handler(cpu::kGp));
    }
    SUBCASE("SVM instruction at CPL 3") {
        Guest g;
        g.set(F::CPL, 3);
        g.set(F::CS_SELECTOR, cpu::test::kUser64);
        g.set(F::CS_ATTRIB, 0xAFB);
        g.set(F::SS_SELECTOR, cpu::test::kData3);
        g.set(F::SS_ATTRIB, 0xCF3);
        g.guest_code({0x0F, 0x01, 0xD8});
        g.enter(2);
        CHECK(g.in_guest());
        CHECK(g.in_handler(cpu::kGp));
    }
}

TEST_CASE("VMMCALL that is not intercepted is #UD") {
    Guest g;
    g.guest_code({0x0F, 0x01, 0xD9});
    g.enter(2);
    CHECK(g.in_guest());
    CHECK(g.in_handler(cpu::kUd));
}

TEST_CASE("I/O permissions map and EXITINFO1") {
    struct Io {
        std::initializer_list<int> code;
        unsigned map_bit;
        u64 info1;
    };
    const Io kIos[] = {
        {{0xEC}, 0x3F8, 0x03F80211},                    // IN al, dx
        {{0xEE}, 0x3F8, 0x03F80210},                    // OUT dx, al
        {{0x66, 0xED}, 0x3F9, 0x03F80221},              // IN ax, dx: second byte in the map
        {{0xEF}, 0x3FB, 0x03F80240},                    // OUT dx, eax: last byte
        {{0xE4, 0x60}, 0x60, 0x00600211},               // IN al, 60H
        {{0x6C}, 0x3F8, 0x03F80215},                    // INSB: ES = 0
        {{0xF3, 0x6E}, 0x3F8, 0x03F80E1C | 0},          // REP OUTSB: DS = 3
        {{0xF3, 0x67, 0x64, 0x6E}, 0x3F8, 0x03F8111C},  // FS segment, 32-bit addresses
    };
    for (const Io& io : kIos) {
        Guest g;
        g.add(kIo);
        g.put(kIopmAt + io.map_bit / 8, 1u << (io.map_bit & 7), 1);
        g.guest_code(io.code);
        g.cpu.gpr[cpu::kRdx] = 0x3F8;
        g.cpu.gpr[cpu::kRcx] = 2;
        CHECK(g.exit_code_after(2) == exit_code::IOIO);
        CHECK(g.field(F::EXITINFO1) == io.info1);
        CHECK(g.field(F::EXITINFO2) == kGuestCode + io.code.size());
    }
}

TEST_CASE("I/O: clear bits do not exit; port FFFFH looks at the third page") {
    Guest g;
    g.add(kIo);
    g.guest_code({0xEC, 0xEB, 0xFE});
    g.cpu.gpr[cpu::kRdx] = 0x3F8;
    g.put(kIopmAt + 0x3F7 / 8, 0x80, 1);
    g.put(kIopmAt + 0x3F9 / 8, 0xFE, 1);
    g.enter(3);
    CHECK(g.in_guest());
    Guest h;
    h.add(kIo);
    h.guest_code({0x66, 0xED});
    h.cpu.gpr[cpu::kRdx] = 0xFFFF;
    h.put(kIopmAt + 0x2000, 1, 1);
    CHECK(h.exit_code_after(2) == exit_code::IOIO);
}

TEST_CASE("MSR permissions map") {
    struct Access {
        u32 msr;
        bool write;
        unsigned byte, bit;  // that intercepts it
    };
    const Access kAccesses[] = {
        {0x10, false, 4, 0},           {0x10, true, 4, 1},
        {0x1FFF, false, 0x7FF, 6},     {0xC0000080, true, 0x820, 1},
        {0xC0000081, false, 0x820, 2}, {0xC0010117, true, 0x1045, 7},
    };
    for (const Access& a : kAccesses)
        for (const bool intercepted : {true, false}) {
            CAPTURE(a.msr);
            CAPTURE(intercepted);
            Guest g;
            g.add(kMsr);
            for (unsigned n = 0; n < 0x2000; n += 8)
                g.put(kMsrpmAt + n, intercepted ? 0 : ~u64{0}, 8);
            g.put(kMsrpmAt + a.byte, intercepted ? 1u << a.bit : 0xFF ^ (1u << a.bit), 1);
            if (a.write)
                g.guest_code({0x0F, 0x30, 0xEB, 0xFE});
            else
                g.guest_code({0x0F, 0x32, 0xEB, 0xFE});
            g.cpu.gpr[cpu::kRcx] = a.msr;
            g.enter(2);
            CHECK(g.in_guest() != intercepted);
            if (!intercepted) continue;
            CHECK(g.field(F::EXITCODE) == exit_code::MSR);
            CHECK(g.field(F::EXITINFO1) == (a.write ? 1 : 0));
        }
}

TEST_CASE("an MSR outside of the map's ranges always exits") {
    Guest g;
    g.add(kMsr);
    g.guest_code({0x0F, 0x32});
    g.cpu.gpr[cpu::kRcx] = 0x40000000;
    CHECK(g.exit_code_after(2) == exit_code::MSR);
}

TEST_CASE("PAUSE filter counts down") {
    Guest g;
    g.add(kPause);
    g.set(F::PAUSE_COUNT, 3);
    g.guest_code({0xF3, 0x90, 0xF3, 0x90, 0xF3, 0x90, 0xF3, 0x90});
    CHECK(g.exit_code_after(10) == exit_code::PAUSE);
    CHECK(g.field(F::RIP) == kGuestCode + 4);
    Guest h("barcelona");  // no filter: every PAUSE
    h.add(kPause);
    h.set(F::PAUSE_COUNT, 3);
    h.guest_code({0xF3, 0x90});
    CHECK(h.exit_code_after(2) == exit_code::PAUSE);
    CHECK(h.field(F::RIP) == kGuestCode);
}
