// Expansion of entry_checks.def.
#include "vt-emulation/svm/entry_checks.h"

#include "cpu/system/system.h"

namespace rm::vt::svm {

namespace {

constexpr u64 kHigh = ~u64{0} << 32;
constexpr u64 kCsLd = bit(9) | bit(10);  // L and D/B in a VMCB attribute word

constexpr u64 when(bool p, u64 bits) { return p ? bits : 0; }
constexpr u64 bad(bool p) { return p ? kWholeField : 0; }

constexpr EntryCheck kChecks[] = {
#define RM_CHECK(field, other, section, text, expression) \
    {F::field, F::other, "APM2 " section, text,           \
     [](const CheckContext& c) -> u64 { return expression; }},
#include "vt-emulation/svm/entry_checks.def"
#undef RM_CHECK
};

}  // namespace

CheckContext::CheckContext(const Vmcb& vmcb, const cpu::Model& m, bool paging)
    : v(vmcb),
      model(m),
      host_paging(paging),
      cr0(vmcb[F::CR0]),
      cr4(vmcb[F::CR4]),
      efer(vmcb[F::EFER]),
      nested(m.features.has(cpu::Feature::k_npt) && (vmcb[F::NP_ENABLE] & 1)) {}

u64 CheckContext::bad_pat() const {
    constexpr u64 kTypes = 0xF3;  // UC 0, WC 1, WT 4, WP 5, WB 6, UC- 7
    const u64 pat = v[F::G_PAT];
    u64 offending = 0;
    for (unsigned n = 0; n < 64; n += 8) {
        const u64 type = (pat >> n) & 0xFF;
        if (type > 7 || !has_bit(kTypes, static_cast<unsigned>(type))) offending |= u64{0xFF} << n;
    }
    return offending;
}

std::span<const EntryCheck> entry_checks() { return kChecks; }

const EntryCheck* first_failure(const CheckContext& context, u64* bits) {
    for (const EntryCheck& check : kChecks)
        if ((*bits = check.offending(context)) != 0) return &check;
    return nullptr;
}

}  // namespace rm::vt::svm
