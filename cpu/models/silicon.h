// One row per modelled processor: what the silicon reports. Internal to cpu/models; the effective
// model is this, cut down to what the emulator implements (features.def).
// Sources: CPUID dumps of the named parts as published (SDM 2A CPUID and APM3 appendix E name the
// bits); VMX generations as in vt-emulation/vmx.
#pragma once
#include <span>
#include <string_view>

#include "cpu/models/model.h"

namespace rm::cpu {

// CPUID leaf 4 (SDM 2A, CPUID): one cache.
struct CacheRow {
    u8 type;  // 1 data, 2 instruction, 3 unified
    u8 level;
    u16 ways;
    u32 bytes;
    bool shared;  // by all processors of the package; else one processor's own
    bool inclusive;
};

struct SiliconRow {
    std::string_view name;
    Vendor vendor;
    u32 signature;
    std::string_view brand;
    u32 max_basic, max_extended;
    u8 physical_bits, linear_bits;
    u8 vmx_generation;
    u32 svm_asids;
    // Feature registers, named leaf_register.
    u32 l1_ecx, l1_edx, l6_eax, l7_ebx, l7_ecx, ld1_eax, x1_ecx, x1_edx, x7_edx, xa_edx;
    CpuidResult l2;                    // cache and TLB descriptors
    CpuidResult x5, x6;                // L1 and L2/L3 caches and TLBs
    std::span<const CacheRow> caches;  // leaf 4
};

struct ModelAlias {
    std::string_view alias, name;
};

std::span<const SiliconRow> silicon_rows();
std::span<const ModelAlias> model_aliases();

}  // namespace rm::cpu
