// The rows of modelled processors and the other names they are known by. "max" is not silicon: its
// rows carry the address sizes and caches of a real part and every feature bit set, so that the cut
// with features.def leaves everything that is implemented.
#include "cpu/models/silicon.h"

namespace rm::cpu {

namespace {

constexpr u32 kKiB = 1024, kMiB = 1024 * 1024;

// clang-format off
constexpr CacheRow kMeromCaches[] = {
    //type level ways bytes       shared inclusive
    { 1,   1,    8,   32 * kKiB,  false, false },
    { 2,   1,    8,   32 * kKiB,  false, false },
    { 3,   2,    16,  4 * kMiB,   true,  false },
};
constexpr CacheRow kPenrynCaches[] = {
    { 1,   1,    8,   32 * kKiB,  false, false },
    { 2,   1,    8,   32 * kKiB,  false, false },
    { 3,   2,    24,  6 * kMiB,   true,  false },
};
constexpr CacheRow kNehalemCaches[] = {
    { 1,   1,    8,   32 * kKiB,  false, false },
    { 2,   1,    4,   32 * kKiB,  false, false },
    { 3,   2,    8,   256 * kKiB, false, false },
    { 3,   3,    16,  8 * kMiB,   true,  true  },
};
constexpr CacheRow kWestmereCaches[] = {
    { 1,   1,    8,   32 * kKiB,  false, false },
    { 2,   1,    4,   32 * kKiB,  false, false },
    { 3,   2,    8,   256 * kKiB, false, false },
    { 3,   3,    16,  12 * kMiB,  true,  true  },
};
// clang-format on

constexpr u32 kAll = 0xFFFFFFFF;
// Bits of the "max" rows that belong to one vendor only.
constexpr u32 kIntelOnlyL1Ecx = 1u << 5;  // VMX
constexpr u32 kAmdOnlyX1Ecx = 0x1 << 1 | 0x1 << 2 | 0x1 << 3 | 0x1 << 4 | 0x1 << 6 | 0x1 << 7;
constexpr u32 kAmdOnlyX1Edx = 1u << 22 | 1u << 25;  // MMX extensions, FFXSR
constexpr u32 kVirtualMachineBit = 1u << 31;  // leaf 1 ECX: we are the machine, not a guest of one

constexpr SiliconRow kRows[] = {
    {
        .name = "core2duo",  // Merom, Core 2 Duo T7700: VT-x with TPR shadow, no EPT
        .vendor = Vendor::kIntel,
        .signature = 0x000006FB,
        .brand = "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz",
        .max_basic = 0xA,
        .max_extended = 0x80000008,
        .physical_bits = 36,
        .linear_bits = 48,
        .vmx_generation = 3,
        .l1_ecx = 0x0000E3BD,
        .l1_edx = 0xBFEBFBFF,
        .l6_eax = 0x00000001,
        .x1_ecx = 0x00000001,
        .x1_edx = 0x20100800,
        .l2 = {0x05B0B101, 0x005657F0, 0, 0x2CB43049},
        .x6 = {0, 0, 0x10008040, 0},
        .caches = kMeromCaches,
    },
    {
        .name = "Penryn",  // Core 2 Duo T9600
        .vendor = Vendor::kIntel,
        .signature = 0x0001067A,
        .brand = "Intel(R) Core(TM)2 Duo CPU     T9600  @ 2.80GHz",
        .max_basic = 0xD,
        .max_extended = 0x80000008,
        .physical_bits = 36,
        .linear_bits = 48,
        .vmx_generation = 4,
        .l1_ecx = 0x0408E3FD,
        .l1_edx = 0xBFEBFBFF,
        .l6_eax = 0x00000003,
        .x1_ecx = 0x00000001,
        .x1_edx = 0x20100800,
        .l2 = {0x05B0B101, 0x005657F0, 0, 0x2CB4304E},
        .x6 = {0, 0, 0x18008040, 0},
        .caches = kPenrynCaches,
    },
    {
        .name = "Nehalem",  // Core i7-920, D0: EPT and VPID, no unrestricted guest
        .vendor = Vendor::kIntel,
        .signature = 0x000106A5,
        .brand = "Intel(R) Core(TM) i7 CPU         920  @ 2.67GHz",
        .max_basic = 0xB,
        .max_extended = 0x80000008,
        .physical_bits = 36,
        .linear_bits = 48,
        .vmx_generation = 5,
        .l1_ecx = 0x0098E3BD,
        .l1_edx = 0xBFEBFBFF,
        .l6_eax = 0x00000003,
        .x1_ecx = 0x00000001,
        .x1_edx = 0x28100800,
        .x7_edx = 0x00000100,
        .l2 = {0x55035A01, 0x00F0B2E4, 0, 0x09CA212C},
        .x6 = {0, 0, 0x01006040, 0},
        .caches = kNehalemCaches,
    },
    {
        .name = "Westmere",  // Xeon X5650 (Westmere-EP): unrestricted guest
        .vendor = Vendor::kIntel,
        .signature = 0x000206C2,
        .brand = "Intel(R) Xeon(R) CPU           X5650  @ 2.67GHz",
        .max_basic = 0xB,
        .max_extended = 0x80000008,
        .physical_bits = 40,
        .linear_bits = 48,
        .vmx_generation = 6,
        .l1_ecx = 0x029EE3FF,
        .l1_edx = 0xBFEBFBFF,
        .l6_eax = 0x00000007,
        .x1_ecx = 0x00000001,
        .x1_edx = 0x2C100800,
        .x7_edx = 0x00000100,
        .l2 = {0x55035A01, 0x00F0B2FF, 0, 0x00CA0000},
        .x6 = {0, 0, 0x01006040, 0},
        .caches = kWestmereCaches,
    },
    {
        .name = "opteron-f",  // Opteron 2218 (Santa Rosa, rev. F3): first SVM, no nested paging
        .vendor = Vendor::kAmd,
        .signature = 0x00040F13,
        .brand = "Dual-Core AMD Opteron(tm) Processor 2218",
        .max_basic = 0x1,
        .max_extended = 0x80000018,
        .physical_bits = 40,
        .linear_bits = 48,
        .svm_asids = 64,
        .l1_ecx = 0x00002001,
        .l1_edx = 0x178BFBFF,
        .x1_ecx = 0x0000001F,
        .x1_edx = 0xEBD3FBFF,
        .x7_edx = 0x0000003F,
        .xa_edx = 0x00000000,
        .x5 = {0xFF08FF08, 0xFF20FF20, 0x40020140, 0x40020140},
        .x6 = {0x00000000, 0x42004200, 0x04008140, 0x00000000},
    },
    {
        .name = "barcelona",  // Phenom 8650 (Toliman, DR-B3): nested paging, no nRIP save
        .vendor = Vendor::kAmd,
        .signature = 0x00100F23,
        .brand = "AMD Phenom(tm) 8650 Triple-Core Processor",
        .max_basic = 0x5,
        .max_extended = 0x8000001A,
        .physical_bits = 48,
        .linear_bits = 48,
        .svm_asids = 64,
        .l1_ecx = 0x00802009,
        .l1_edx = 0x178BFBFF,
        .x1_ecx = 0x000007FF,
        .x1_edx = 0xEFD3FBFF,
        .x7_edx = 0x000001F9,
        .xa_edx = 0x00000007,
        .x5 = {0xFF30FF10, 0xFF30FF20, 0x40020140, 0x40020140},
        .x6 = {0x20800000, 0x42004200, 0x02008140, 0x0010B140},
    },
    {
        .name = "max",  // Haswell's signature
        .vendor = Vendor::kIntel,
        .signature = 0x000306C3,
        .brand = "Ringminus max (Intel)",
        .max_basic = 0xD,
        .max_extended = 0x80000008,
        .physical_bits = 40,
        .linear_bits = 48,
        .vmx_generation = 9,
        .l1_ecx = kAll & ~kVirtualMachineBit,
        .l1_edx = kAll,
        .l6_eax = kAll,
        .l7_ebx = kAll,
        .l7_ecx = kAll,
        .ld1_eax = kAll,
        .x1_ecx = kAll & ~kAmdOnlyX1Ecx,
        .x1_edx = kAll & ~kAmdOnlyX1Edx,
        .x7_edx = kAll,
        .l2 = {0x55035A01, 0x00F0B2FF, 0, 0x00CA0000},
        .x6 = {0, 0, 0x01006040, 0},
        .caches = kNehalemCaches,
    },
    {
        .name = "max-amd",  // Bulldozer's signature; "max,+svm" means this one
        .vendor = Vendor::kAmd,
        .signature = 0x00600F12,
        .brand = "Ringminus max (AMD)",
        .max_basic = 0xD,
        .max_extended = 0x8000001A,
        .physical_bits = 48,
        .linear_bits = 48,
        .svm_asids = 0x10000,
        .l1_ecx = kAll & ~kVirtualMachineBit & ~kIntelOnlyL1Ecx,
        .l1_edx = kAll,
        .l6_eax = kAll,
        .l7_ebx = kAll,
        .l7_ecx = kAll,
        .ld1_eax = kAll,
        .x1_ecx = kAll,
        .x1_edx = kAll,
        .x7_edx = kAll,
        .xa_edx = kAll,
        .x5 = {0xFF30FF10, 0xFF30FF20, 0x40020140, 0x40020140},
        .x6 = {0x20800000, 0x42004200, 0x02008140, 0x0010B140},
    },
};

// QEMU's and Bochs' spellings, and code names, of the same class of processor.
constexpr ModelAlias kAliases[] = {
    {"merom", "core2duo"},
    {"conroe", "core2duo"},
    {"core2_penryn_t9600", "Penryn"},
    {"bloomfield", "Nehalem"},
    {"lynnfield", "Nehalem"},
    {"corei5_lynnfield_750", "Nehalem"},
    {"arrandale", "Westmere"},
    {"corei5_arrandale_m520", "Westmere"},
    {"opteron_g2", "opteron-f"},
    {"santa-rosa", "opteron-f"},
    {"turion64_tyler", "opteron-f"},
    {"phenom", "barcelona"},
    {"phenom_8650_toliman", "barcelona"},
    {"opteron_g3", "barcelona"},
    {"max-intel", "max"},
};

}  // namespace

std::span<const SiliconRow> silicon_rows() { return kRows; }
std::span<const ModelAlias> model_aliases() { return kAliases; }

}  // namespace rm::cpu
