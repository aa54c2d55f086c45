// Evaluation of entry_checks.def.
#include "vt-emulation/vmx/entry_checks.h"

#include <iterator>
#include <utility>

#include "memory/physical/physical.h"
#include "vt-emulation/common/interruption.h"

namespace rm::vt::vmx {

namespace {

constexpr u64 when(u64 applies, u64 offending) { return applies ? offending : 0; }
constexpr u64 bad(bool violated) { return violated ? kWholeField : 0; }
constexpr u64 fixed_violation(u64 value, u64 must_be_one, u64 may_be_one) {
    return (must_be_one & ~value) | (value & ~may_be_one);
}

constexpr unsigned kLdtr = 6, kTr = 7;  // segment numbers in VMCS order
constexpr u64 kHigh32 = 0xFFFFFFFF00000000;
constexpr u64 kLmBits = cpu::kEferLma | cpu::kEferLme;
constexpr u64 kPePg = cpu::kCr0Pe | cpu::kCr0Pg;
constexpr u64 kDplBits = 0x60, kArReserved = 0xFFFE0F00;
// LBR and BTF: what WRMSR takes too (cpu/system/msr.def).
constexpr u64 kDebugctlBits = 3;

bool lme_is_lma(u64 efer) { return !(efer & cpu::kEferLme) == !(efer & cpu::kEferLma); }

// The guest is where a trap stays pending: blocked, or halted (SDM 3C 26.3.1.5).
bool held_trap(const CheckContext& c) {
    return (c.v[F::GUEST_INTERRUPTIBILITY] & 3) || c.v[F::GUEST_ACTIVITY_STATE] == 1;
}

constexpr EntryCheck kChecks[] = {
#define RM_CHECK(group, field, other, section, text, ...) \
    {EntryCheck::Group::group,                            \
     F::field,                                            \
     F::other,                                            \
     "SDM 3C " section,                                   \
     text,                                                \
     [](const CheckContext& c) -> u64 { return static_cast<u64>(__VA_ARGS__); }},
#include "vt-emulation/vmx/entry_checks.def"
};

constexpr bool guest_group(EntryCheck::Group g) { return g >= EntryCheck::Group::kGuest; }

// The rows as straight code: called one by one they would be a fifth of a VM entry.
template <bool GuestGroups, std::size_t... Row>
const EntryCheck* first_of(const CheckContext& c, u64* bits, std::index_sequence<Row...>) {
    const EntryCheck* failed = nullptr;
    (void)((guest_group(kChecks[Row].group) == GuestGroups &&
            (*bits = kChecks[Row].offending(c)) != 0 && (failed = &kChecks[Row])) ||
           ...);
    return failed;
}

}  // namespace

CheckContext::CheckContext(const Vmcs& vmcs, const Capabilities& c, bool ia32e,
                           memory::PhysicalMemory& m)
    : v(vmcs), caps(c), in_ia32e(ia32e), memory(m) {
    pin = v.get32(F::PIN_BASED_CONTROLS);
    proc = v.get32(F::PRIMARY_CONTROLS);
    proc2 = proc & proc::kActivateSecondaryControls ? v.get32(F::SECONDARY_CONTROLS) : 0;
    exitc = v.get32(F::EXIT_CONTROLS);
    entryc = v.get32(F::ENTRY_CONTROLS);
    cr0 = v[F::GUEST_CR0];
    cr4 = v[F::GUEST_CR4];
    rflags = v[F::GUEST_RFLAGS];
    intr_info = v.get32(F::ENTRY_INTERRUPTION_INFO);
    ia32e_guest = entryc & entryc::kIa32eModeGuest;
    host64 = exitc & exitc::kHostAddressSpaceSize;
    v86 = rflags & cpu::kFlagVm;
    unrestricted = proc2 & proc2::kUnrestrictedGuest;
}

u64 CheckContext::bad_msr_list(F address, F count) const {
    const u64 n = v[count];
    if (!n) return 0;
    const u64 last = v[address] + n * 16 - 1;
    return (v[address] & 0xF) | caps.physical_violation(v[address]) | caps.physical_violation(last);
}

// Memory types of IA32_PAT: 0, 1, 4, 5, 6, 7 (SDM 3A 11.12.2).
u64 CheckContext::bad_pat(F f) const {
    u64 offending = 0;
    for (unsigned n = 0; n < 8; ++n) {
        const u64 type = (v[f] >> (8 * n)) & 0xFF;
        if (type > 7 || type == 2 || type == 3) offending |= u64{0xFF} << (8 * n);
    }
    return offending;
}

bool CheckContext::pae_paging() const {
    return (cr0 & cpu::kCr0Pg) && (cr4 & cpu::kCr4Pae) && !ia32e_guest;
}

// Bits 2:1, 8:5 and those beyond the physical-address width (SDM 3A table 4-8).
u64 CheckContext::bad_pdpte(F f) const {
    if (!pae_paging() || !(proc2 & proc2::kEnableEpt) || !(v[f] & 1)) return 0;
    return (v[f] & 0x1E6) | caps.physical_violation(v[f]);
}

u64 CheckContext::bad_tpr_threshold() const {
    if (!(proc & proc::kUseTprShadow) || (proc2 & proc2::kVirtualizeApicAccesses)) return 0;
    const u64 vtpr = memory.load(v[F::VIRTUAL_APIC_ADDRESS] + 0x80, 1);
    return bad((v[F::TPR_THRESHOLD] & 0xF) > vtpr >> 4);
}

bool error_code_expected(const CheckContext& c) {
    // A real-mode guest never gets one; only an unrestricted guest can be one.
    return c.injects(3) && (!c.unrestricted || (c.cr0 & cpu::kCr0Pe)) &&
           common::vector_has_error(c.intr_vector());
}

u64 CheckContext::bad_error_delivery() const {
    if (!injects()) return 0;
    return has_bit(intr_info, 11) != error_code_expected(*this) ? bit(11) : 0;
}

u64 CheckContext::bad_event_vector() const {
    const unsigned vector = intr_vector();
    return when(
        (injects(2) && vector != 2) || (injects(3) && vector > 31) || (injects(7) && vector != 0),
        0xFF);
}

// SDM 3C 26.3.1.5: what may wake each activity state.
bool CheckContext::activity_forbids_event() const {
    if (!injects()) return false;
    const bool machine_check = injects(3) && intr_vector() == cpu::kMc;
    switch (v[F::GUEST_ACTIVITY_STATE]) {
        case 1:
            return !(injects(0) || injects(2) || machine_check || injects(7) ||
                     (injects(3) && intr_vector() == cpu::kDb));
        case 2: return !(injects(2) || machine_check);
        case 3: return true;
        default: return false;
    }
}

u64 CheckContext::bad_link_revision() const {
    const u64 link = v[F::VMCS_LINK_POINTER];
    if (link == kNoVmcs) return 0;
    return bad(memory.load(link, 4) != kRevision);
}

bool CheckContext::trap_flag_steps() const {
    return (rflags & cpu::kFlagTf) && !(v[F::GUEST_IA32_DEBUGCTL] & 2);
}

// SDM 3C 26.3.1.2: 1 needs limit bits 11:0 all ones, 0 needs bits 31:20 all zero.
u64 CheckContext::bad_granularity(unsigned s) const {
    const u32 limit = v.get32(F::GUEST_ES_LIMIT + s);
    const bool g = ar(s) & cpu::Segment::kG;
    const bool violated = g ? (limit & 0xFFF) != 0xFFF : (limit & 0xFFF00000) != 0;
    return when(violated, cpu::Segment::kG);
}

std::span<const EntryCheck> entry_checks() { return kChecks; }

const EntryCheck* first_failure(const CheckContext& context, bool guest_groups, u64* bits) {
    constexpr auto kRows = std::make_index_sequence<std::size(kChecks)>{};
    return guest_groups ? first_of<true>(context, bits, kRows)
                        : first_of<false>(context, bits, kRows);
}

}  // namespace rm::vt::vmx
