// Every row of entry_checks.def: a VMCS is found that violates this row and no other one before it
// in its group, starting from templates that pass. The search changes the row's fields and, where a
// rule applies only with certain controls or in certain modes, starts from a template in which it
// does.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "vmcs_template.h"
#include "vt-emulation/vmx/entry_checks.h"

using namespace rm;
using namespace rm::vt::vmx;

namespace {

struct Start {
    const char* name;
    Vmcs v;
    bool ia32e = true;
};

void or_into(Vmcs& v, F f, u64 bits) { v.set(f, v[f] | bits); }

// Templates that together make every rule applicable.
std::vector<Start> starts(const Capabilities& caps) {
    std::vector<Start> all;
    const auto add = [&](const char* name, bool guest64, auto&& change) {
        Start s{name, test::valid_vmcs(caps, guest64)};
        change(s);
        all.push_back(s);
    };
    const auto full = [](Start& s) {
        or_into(s.v, F::PIN_BASED_CONTROLS,
                pin::kNmiExiting | pin::kVirtualNmis | pin::kActivatePreemptionTimer);
        or_into(s.v, F::PRIMARY_CONTROLS,
                proc::kUseIoBitmaps | proc::kUseMsrBitmaps | proc::kUseTprShadow |
                    proc::kActivateSecondaryControls);
        or_into(s.v, F::SECONDARY_CONTROLS,
                proc2::kVirtualizeApicAccesses | proc2::kEnableEpt | proc2::kEnableVpid);
        or_into(s.v, F::EXIT_CONTROLS,
                exitc::kLoadPat | exitc::kLoadEfer | exitc::kSavePreemptionTimer);
        or_into(s.v, F::ENTRY_CONTROLS,
                entryc::kLoadPat | entryc::kLoadEfer | entryc::kLoadDebugControls);
    };
    add("plain64", true, [](Start&) {});
    add("plain32", false, [](Start&) {});
    add("full64", true, full);
    add("full32", false, full);
    add("tpr", true, [](Start& s) { or_into(s.v, F::PRIMARY_CONTROLS, proc::kUseTprShadow); });
    add("unrestricted", false, [&](Start& s) {
        full(s);
        or_into(s.v, F::SECONDARY_CONTROLS, proc2::kUnrestrictedGuest);
        s.v.set(F::GUEST_CR0, 0x30);
        s.v.set(F::GUEST_RFLAGS, 2);
    });
    add("unrestricted data CS", false, [&](Start& s) {
        full(s);
        or_into(s.v, F::SECONDARY_CONTROLS, proc2::kUnrestrictedGuest);
        s.v.set(F::GUEST_CS_ACCESS_RIGHTS, 0xC093);
    });
    add("pae", false, [&](Start& s) {
        full(s);
        or_into(s.v, F::GUEST_CR4, cpu::kCr4Pae);
    });
    add("v86", false, [](Start& s) {
        s.v.set(F::GUEST_RFLAGS, cpu::kFlagVm | 2);
        or_into(s.v, F::GUEST_CR4, cpu::kCr4Pae);
        for (unsigned n = 0; n < 6; ++n) {
            s.v.set(F::GUEST_ES_SELECTOR + n, 0x100);
            s.v.set(F::GUEST_ES_BASE + n, 0x1000);
            s.v.set(F::GUEST_ES_LIMIT + n, 0xFFFF);
            s.v.set(F::GUEST_ES_ACCESS_RIGHTS + n, 0xF3);
        }
    });
    add("ring3", true, [](Start& s) {
        for (unsigned n = 0; n < 6; ++n) {
            s.v.set(F::GUEST_ES_SELECTOR + n, 0x13);
            or_into(s.v, F::GUEST_ES_ACCESS_RIGHTS + n, 0x60);
        }
    });
    add("conforming", true, [](Start& s) {
        for (unsigned n = 0; n < 6; ++n) {
            s.v.set(F::GUEST_ES_SELECTOR + n, 0x13);
            or_into(s.v, F::GUEST_ES_ACCESS_RIGHTS + n, 0x60);
        }
        s.v.set(F::GUEST_CS_ACCESS_RIGHTS, 0xA09F);
    });
    const auto inject = [&](const char* name, u32 info, auto&& more) {
        add(name, true, [&](Start& s) {
            full(s);
            s.v.set(F::ENTRY_INTERRUPTION_INFO, info);
            s.v.set(F::ENTRY_INSTRUCTION_LENGTH, 2);
            more(s);
        });
    };
    inject("interrupt", 0x80000030, [](Start& s) { or_into(s.v, F::GUEST_RFLAGS, cpu::kFlagIf); });
    inject("nmi", 0x80000202, [](Start&) {});
    inject("gp", 0x80000B0D, [](Start&) {});
    inject("ud", 0x80000306, [](Start&) {});
    inject("int n", 0x80000480, [](Start&) {});
    add("halted", true, [](Start& s) { s.v.set(F::GUEST_ACTIVITY_STATE, 1); });
    add("halted stepping", true, [](Start& s) {
        s.v.set(F::GUEST_ACTIVITY_STATE, 1);
        or_into(s.v, F::GUEST_RFLAGS, cpu::kFlagTf);
        s.v.set(F::GUEST_PENDING_DEBUG_EXCEPTIONS, bit(14));
    });
    add("sti", true, [](Start& s) {
        s.v.set(F::GUEST_INTERRUPTIBILITY, 1);
        or_into(s.v, F::GUEST_RFLAGS, cpu::kFlagIf);
    });
    add("host32", false, [](Start& s) {
        s.ia32e = false;
        s.v.set(F::EXIT_CONTROLS, s.v[F::EXIT_CONTROLS] & ~u64{exitc::kHostAddressSpaceSize});
        s.v.set(F::HOST_SS_SELECTOR, 0x10);
    });
    add("x2apic", true, [](Start& s) {
        or_into(s.v, F::PRIMARY_CONTROLS, proc::kUseTprShadow | proc::kActivateSecondaryControls);
        or_into(s.v, F::SECONDARY_CONTROLS, proc2::kVirtualizeX2apicMode);
    });
    add("host ss", true, [](Start& s) { s.v.set(F::HOST_SS_SELECTOR, 0x10); });
    add("counts", true, [](Start& s) {
        for (F f : {F::EXIT_MSR_STORE_COUNT, F::EXIT_MSR_LOAD_COUNT, F::ENTRY_MSR_LOAD_COUNT})
            s.v.set(f, 1);
    });
    return all;
}

// Values worth trying in a field that now holds `now`.
std::vector<u64> candidates(u64 now) {
    std::vector<u64> c{0, ~u64{0}, 1, 2, 3, 5, 0xF, 0xFFFF, 0x1000, 0x15000};
    for (unsigned b = 0; b < 64; ++b) c.push_back(now ^ bit(b));
    for (unsigned t = 0; t < 16; ++t) c.push_back((now & ~u64{0xF}) | t);
    c.push_back(now ^ 0x60);
    return c;
}

const EntryCheck* failing(const Start& s, const Vmcs& v, const Capabilities& caps,
                          memory::PhysicalMemory& memory) {
    const CheckContext context(v, caps, s.ia32e, memory);
    u64 bits = 0;
    if (const EntryCheck* c = first_failure(context, false, &bits)) return c;
    return first_failure(context, true, &bits);
}

void explore(const Start& s, const EntryCheck& row, const Capabilities& caps,
             memory::PhysicalMemory& memory, std::set<const EntryCheck*>& seen) {
    for (F f : {row.field, row.other}) {
        for (u64 value : candidates(s.v[f])) {
            Vmcs v = s.v;
            v.set(f, value);
            if (const EntryCheck* c = failing(s, v, caps, memory)) seen.insert(c);
        }
    }
}

}  // namespace

TEST_CASE("entry checks: the templates pass") {
    test::Machine m;
    const Capabilities caps(test::model("Westmere,+x2apic"));
    for (const Start& s : starts(caps)) {
        const EntryCheck* c = failing(s, s.v, caps, m.memory);
        CHECK_MESSAGE(!c, std::string(s.name), std::string(c ? c->text : ""));
    }
}

TEST_CASE("entry checks: every row can be the one that fails") {
    test::Machine m;
    m.memory.store(0x15000, 4, 0x99);  // a region with another revision identifier
    const Capabilities caps(test::model("Westmere,+x2apic"));
    std::set<const EntryCheck*> seen;
    const auto all = starts(caps);
    for (const EntryCheck& row : entry_checks())
        for (const Start& s : all) {
            if (seen.contains(&row)) break;
            explore(s, row, caps, m.memory, seen);
        }
    for (const EntryCheck& row : entry_checks())
        CHECK_MESSAGE(seen.contains(&row),
                      std::string(kFields[static_cast<unsigned>(row.field)].name),
                      std::string(": "), std::string(row.text));
}

TEST_CASE("entry checks: rows name section, field and a reason") {
    for (const EntryCheck& row : entry_checks()) {
        CHECK(std::string_view(row.section).starts_with("SDM 3C 26."));
        CHECK(std::string_view(row.text).size() > 10);
    }
}
