// The consistency checks of VMRUN, one row each in entry_checks.def. The first that fails ends in
// #VMEXIT(INVALID); each row knows the field to blame, the bits, and where the manual says so.
// Source: APM2 15.5.1, 15.20, 15.25.3.
#pragma once
#include <span>

#include "cpu/models/model.h"
#include "vt-emulation/svm/vmcb.h"

namespace rm::vt::svm {

inline constexpr u64 kIopmBytes = 12 * 1024, kMsrpmBytes = 8 * 1024;

struct CheckContext {
    // host_paging: CR0.PG at VMRUN.
    CheckContext(const Vmcb& v, const cpu::Model& model, bool host_paging);

    const Vmcb& v;
    const cpu::Model& model;
    const bool host_paging;
    const u64 cr0, cr4, efer;
    const bool nested;  // NP_ENABLE where the model has it

    bool long_mode() const { return (efer & cpu::kEferLme) && (cr0 & cpu::kCr0Pg); }
    u64 beyond_physical() const { return ~low_mask(model.physical_bits); }
    bool table_too_high(F base, u64 bytes) const {
        return (v[base] & kPageMask) + bytes - 1 > low_mask(model.physical_bits);
    }
    bool injects() const { return v[F::EVENTINJ] & kEventValid; }
    unsigned event_type() const { return static_cast<unsigned>(bits(v[F::EVENTINJ], 10, 8)); }
    unsigned event_vector() const { return static_cast<u8>(v[F::EVENTINJ]); }
    u64 bad_pat() const;
};

struct EntryCheck {
    F field, other;  // other = field: the rule concerns one field only
    const char* section;
    const char* text;
    u64 (*offending)(const CheckContext&);  // 0 = satisfied; kWholeField where no bits stand out
};
inline constexpr u64 kWholeField = ~u64{0};

std::span<const EntryCheck> entry_checks();
// The first row that fails; null: all are satisfied.
const EntryCheck* first_failure(const CheckContext& context, u64* bits);

}  // namespace rm::vt::svm
