// A CPU model: data taken from silicon (docs/architecture.md, decision 10). Rows in models.cpp.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cpu/models/features.h"

namespace rm::cpu {

enum class Vendor : u8 { kIntel, kAmd };

struct CpuidResult {
    u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};

struct SiliconRow;  // cpu/models/silicon.h

struct Model {
    const SiliconRow* silicon = nullptr;  // where caches and TLBs are described
    std::string name;
    Vendor vendor = Vendor::kIntel;
    u32 signature = 0;  // CPUID.1:EAX
    std::string brand;  // up to 47 characters
    u32 max_basic = 0, max_extended = 0;
    unsigned physical_bits = 40, linear_bits = 48;
    u32 svm_asids = 0;  // CPUID 8000_000A EBX
    // VMX capability generation: which controls the model's capability MSRs allow (vt-emulation/vmx
    // walks its control rows and admits those whose generation <= this). 0 = no VMX.
    unsigned vmx_generation = 0;
    FeatureSet features;

    // CPUID as the guest sees it, for processor `apic_id` of `processors`, given the bits that
    // follow machine state: CR4.OSXSAVE (osxsave), IA32_APIC_BASE.EN (apic_enabled), XCR0.
    CpuidResult cpuid(u32 leaf, u32 subleaf, u32 apic_id, unsigned processors, bool osxsave,
                      bool apic_enabled, u64 xcr0) const;
};

// "Westmere", "barcelona,+nrip_save,-pdpe1gb", "max", "max,+svm". Names are case-insensitive;
// QEMU's and Bochs' aliases are accepted. Errors name the unknown model or feature and the nearest.
Result<Model> make_model(std::string_view spec);
std::vector<std::string> model_names();

}  // namespace rm::cpu
