// The consistency checks of VM entry, one row each in entry_checks.def: on the control fields, on
// the host-state area (both end in VMfailValid) and on the guest-state area (ends in a VM exit with
// reason 33). Each row knows the field to blame, the bits, and where the manual says so.
// Source: SDM 3C 26.2, 26.3.
#pragma once
#include <span>

#include "cpu/cpu.h"
#include "vt-emulation/vmx/capabilities.h"

namespace rm::vt::vmx {

// What the checks look at. Secondary controls are 0 unless activated.
struct CheckContext {
    CheckContext(const Vmcs& v, const Capabilities& c, bool in_ia32e, memory::PhysicalMemory& m);

    const Vmcs& v;
    const Capabilities& caps;
    bool in_ia32e;  // IA32_EFER.LMA before the entry
    memory::PhysicalMemory& memory;
    u32 pin, proc, proc2, exitc, entryc;
    u64 cr0, cr4, rflags;
    u32 intr_info;
    bool ia32e_guest, host64, v86, unrestricted;

    bool injects() const { return intr_info >> 31; }
    unsigned intr_type() const { return (intr_info >> 8) & 7; }
    unsigned intr_vector() const { return intr_info & 0xFF; }
    bool injects(unsigned type) const { return injects() && intr_type() == type; }

    // Offending bits of common conditions; 0 = fine.
    u64 non_canonical(F f) const { return caps.canonical(v[f]) ? 0 : v[f] & ~low_mask(47); }
    u64 bad_page_address(F f) const { return (v[f] & 0xFFF) | caps.physical_violation(v[f]); }
    u64 bad_msr_list(F address, F count) const;
    u64 bad_pat(F f) const;
    u64 bad_range(Word w, F f) const {
        return caps.range[static_cast<unsigned>(w)].violation(v.get32(f));
    }
    bool pae_paging() const;
    u64 bad_pdpte(F f) const;
    u64 bad_tpr_threshold() const;
    u64 bad_error_delivery() const;
    u64 bad_event_vector() const;
    bool activity_forbids_event() const;
    u64 bad_link_revision() const;
    bool trap_flag_steps() const;  // RFLAGS.TF = 1 and IA32_DEBUGCTL.BTF = 0

    // Segments by VMCS order: ES CS SS DS FS GS LDTR TR.
    u32 ar(unsigned s) const { return v.get32(F::GUEST_ES_ACCESS_RIGHTS + s); }
    bool usable(unsigned s) const { return !(ar(s) & cpu::Segment::kUnusable); }
    unsigned type(unsigned s) const { return ar(s) & 0xF; }
    unsigned dpl(unsigned s) const { return (ar(s) >> 5) & 3; }
    unsigned rpl(unsigned s) const { return v[F::GUEST_ES_SELECTOR + s] & 3; }
    u64 bad_granularity(unsigned s) const;
};

struct EntryCheck {
    enum class Group : u8 {
        kControls,    // VMfailValid(7)
        kHost,        // VMfailValid(8)
        kGuest,       // exit 33, qualification 0
        kGuestPdpte,  // exit 33, qualification 2
        kGuestLink,   // exit 33, qualification 4
    };
    Group group;
    F field, other;  // other = field: the rule concerns one field only
    const char* section;
    const char* text;
    u64 (*offending)(const CheckContext&);  // 0 = satisfied; kWholeField where no bits stand out
};
inline constexpr u64 kWholeField = ~u64{0};

std::span<const EntryCheck> entry_checks();
// The first row that fails among the given groups, in table order; null: all are satisfied.
const EntryCheck* first_failure(const CheckContext& context, bool guest_groups, u64* bits);

// Vector/error-code rules shared with tests: must the event push an error code?
bool error_code_expected(const CheckContext& context);

}  // namespace rm::vt::vmx
