// What a processor model can do in VMX operation: the capability MSRs 480H-490H, computed from
// controls.def, vmcs_fields.def and the model, and the same facts in the form the code asks for.
// Nothing is advertised that has no row, and no row exists for what is not implemented.
// Source: SDM 3D appendix A.
#pragma once
#include <span>

#include "cpu/models/model.h"
#include "vt-emulation/vmx/vmcs.h"

namespace rm::vt::vmx {

// Bits of the control words by name: pin::kNmiExiting, proc2::kEnableEpt ...
#define RM_CONTROL(word, name, bit, generation, feature) \
    namespace word {                                     \
    inline constexpr u32 k##name = 1u << bit;            \
    }
#include "vt-emulation/vmx/controls.def"

enum class Word : u8 { pin, proc, proc2, exitc, entryc, kCount };
inline constexpr unsigned kWords = static_cast<unsigned>(Word::kCount);

struct ControlRow {
    Word word;
    const char* name;
    u8 bit;
    u8 generation;
    cpu::Feature feature;
};
std::span<const ControlRow> control_rows();

struct ControlRange {
    u32 must_be_one = 0;  // allowed-0 settings: low half of the MSR
    u32 may_be_one = 0;   // allowed-1 settings: high half
    u64 msr() const { return u64{may_be_one} << 32 | must_be_one; }
    // Bits of a value that the processor does not support.
    u32 violation(u32 value) const { return (must_be_one & ~value) | (value & ~may_be_one); }
};

inline constexpr unsigned kPreemptionRate = 5;  // timer counts TSC bit 5 (IA32_VMX_MISC 4:0)
inline constexpr unsigned kCr3Targets = 4, kMaxMsrList = 512;

class Capabilities {
public:
    explicit Capabilities(const cpu::Model& model);

    bool any() const { return generation > 0; }  // the model has VMX
    bool supports(F f) const { return row(f).generation <= generation; }
    bool allows(Word word, u32 bits) const {
        return (range[static_cast<unsigned>(word)].may_be_one & bits) == bits;
    }
    bool ept() const { return allows(Word::proc2, proc2::kEnableEpt); }
    bool vpid() const { return allows(Word::proc2, proc2::kEnableVpid); }
    // One of MSRs 480H-491H; false: the model does not have it.
    bool msr(u32 index, u64& value) const;
    // Would VM entry accept it as EPTP (SDM 3C 26.2.1.1)? Offending bits; 0 = good.
    u64 eptp_violation(u64 eptp) const;
    u64 physical_violation(u64 address) const { return address & ~low_mask(physical_bits); }
    bool canonical(u64 address) const { return sign_extend(address, linear_bits) == address; }

    unsigned generation = 0, physical_bits = 36, linear_bits = 48;
    bool long_mode = false, true_controls = false, store_lma = false;
    // What the processor accepts; the MSRs 481H-484H report it with the default1 bits added.
    ControlRange range[kWords];
    u64 basic = 0, misc = 0, cr0_fixed0 = 0, cr0_fixed1 = 0, cr4_fixed0 = 0, cr4_fixed1 = 0;
    u64 vmcs_enum = 0, ept_vpid = 0;
    u64 cr4_bits = 0, efer_bits = 0;  // bits the model implements

private:
    ControlRange reported_[kWords];
};

}  // namespace rm::vt::vmx
