// The capability MSRs of a model.
#include "vt-emulation/vmx/capabilities.h"

#include <algorithm>

#include "cpu/state/cpu_state.h"
#include "cpu/system/system.h"

namespace rm::vt::vmx {

namespace {

constexpr ControlRow kControls[] = {
#define RM_CONTROL(word, name, bit, generation, feature) \
    {Word::word, #name, bit, generation, cpu::Feature::feature},
#include "vt-emulation/vmx/controls.def"
};

struct Default1 {
    u32 must_be_one, clearable;
};
constexpr Default1 kDefault1[] = {
#define RM_CONTROL(word, name, bit, generation, feature)
#define RM_DEFAULT1(word, must_be_one, clearable) {must_be_one, clearable},
#include "vt-emulation/vmx/controls.def"
};

// IA32_VMX_EPT_VPID_CAP bits and the generation that brought them (SDM 3D A.10).
struct EptVpidRow {
    u8 bit, generation;
};
constexpr EptVpidRow kEptVpid[] = {
    {0, 5},   // execute-only translations
    {6, 5},   // page-walk length 4
    {8, 5},   // paging structures may be UC
    {14, 5},  // ... or WB
    {16, 5},  // 2-MByte pages
    {17, 6},  // 1-GByte pages
    {20, 5},  // INVEPT
    {21, 9},  // accessed and dirty flags
    {25, 5},  // INVEPT single-context
    {26, 5},  // INVEPT all-context
    {32, 5},  // INVVPID
    {40, 5},  // INVVPID individual-address
    {41, 5},  // INVVPID single-context
    {42, 5},  // INVVPID all-context
    {43, 5},  // INVVPID single-context-retaining-globals
};

u64 highest_field_index(unsigned generation) {
    u64 highest = 0;
    for (const FieldRow& f : kFields)
        if (f.generation <= generation) highest = std::max(highest, bits(f.encoding, 9, 1));
    return highest << 1;
}

}  // namespace

std::span<const ControlRow> control_rows() { return kControls; }

Capabilities::Capabilities(const cpu::Model& model) {
    if (!model.features.has(cpu::Feature::k_vmx) || !model.vmx_generation) return;
    generation = model.vmx_generation;
    physical_bits = model.physical_bits;
    linear_bits = model.linear_bits;
    long_mode = model.features.has(cpu::Feature::k_lm);
    true_controls = generation >= 5;

    for (const ControlRow& row : kControls)
        if (row.generation <= generation && model.features.has(row.feature))
            range[static_cast<unsigned>(row.word)].may_be_one |= 1u << row.bit;
    for (unsigned w = 0; w < kWords; ++w) {
        range[w].may_be_one |= kDefault1[w].must_be_one;
        reported_[w] = {kDefault1[w].must_be_one, range[w].may_be_one};
        range[w].must_be_one =
            kDefault1[w].must_be_one & (true_controls ? ~kDefault1[w].clearable : ~0u);
    }

    // A 32-bit processor's VMX structures lie below 4 GBytes (bit 48). 53:50 = write-back.
    basic = kRevision | kRegionBytes << 32 | (long_mode ? 0 : bit(48)) | u64{6} << 50 |
            (generation >= 3 ? bit(54) : 0) | (true_controls ? bit(55) : 0);
    store_lma = allows(Word::proc2, proc2::kUnrestrictedGuest);
    misc = (generation >= 5 ? kPreemptionRate : 0) | (store_lma ? bit(5) : 0) | bit(6) | bit(7) |
           bit(8) | u64{kCr3Targets} << 16 | u64{kMaxMsrList / 512 - 1} << 25;
    cr4_bits = cpu::cr4_allowed(model) | cpu::kCr4Vmxe;
    efer_bits = cpu::efer_allowed(model);
    cr0_fixed0 = cpu::kCr0Pe | cpu::kCr0Ne | cpu::kCr0Pg;
    cr0_fixed1 = 0xFFFFFFFF;
    cr4_fixed0 = cpu::kCr4Vmxe;
    cr4_fixed1 = cr4_bits;
    vmcs_enum = highest_field_index(generation);
    if (ept() || vpid())
        for (const EptVpidRow& row : kEptVpid)
            if (row.generation <= generation) ept_vpid |= bit(row.bit);
}

bool Capabilities::msr(u32 index, u64& value) const {
    if (!any()) return false;
    const auto reported = [&](Word w) { return reported_[static_cast<unsigned>(w)].msr(); };
    const auto exact = [&](Word w) {
        value = range[static_cast<unsigned>(w)].msr();
        return true_controls;
    };
    switch (index) {
        case 0x480: value = basic; return true;
        case 0x481: value = reported(Word::pin); return true;
        case 0x482: value = reported(Word::proc); return true;
        case 0x483: value = reported(Word::exitc); return true;
        case 0x484: value = reported(Word::entryc); return true;
        case 0x485: value = misc; return true;
        case 0x486: value = cr0_fixed0; return true;
        case 0x487: value = cr0_fixed1; return true;
        case 0x488: value = cr4_fixed0; return true;
        case 0x489: value = cr4_fixed1; return true;
        case 0x48A: value = vmcs_enum; return true;
        case 0x48B:
            value = reported(Word::proc2);
            return allows(Word::proc, proc::kActivateSecondaryControls);
        case 0x48C: value = ept_vpid; return ept() || vpid();
        case 0x48D: return exact(Word::pin);
        case 0x48E: return exact(Word::proc);
        case 0x48F: return exact(Word::exitc);
        case 0x490: return exact(Word::entryc);
        default: return false;
    }
}

u64 Capabilities::eptp_violation(u64 eptp) const {
    u64 bad = physical_violation(eptp) | (eptp & 0xF80);
    if (bits(eptp, 2, 0) != 0 && bits(eptp, 2, 0) != 6) bad |= eptp & 7;
    if (bits(eptp, 5, 3) != 3) bad |= (eptp & 0x38) ^ 0x18;
    if (!has_bit(ept_vpid, 21)) bad |= eptp & 0x40;
    return bad;
}

}  // namespace rm::vt::vmx
