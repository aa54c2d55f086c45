// CPUID as the guest sees it. One function per group of leaves; feature registers are assembled
// from features.def, never from raw masks, so that nothing unimplemented can show. Topology: one
// package, `processors` cores, one thread each; APIC ids count from 0. Sources: SDM 2A CPUID; APM3
// appendix E.
#include <bit>
#include <cstring>

#include "base/bits.h"
#include "cpu/models/silicon.h"

namespace rm::cpu {

namespace {

enum Register : u8 { EAX, EBX, ECX, EDX };

struct FeatureRow {
    Feature feature;
    u32 leaf, subleaf;
    Register reg;
    u8 bit;
};
constexpr FeatureRow kFeatureRows[] = {
#define RM_FEATURE(name, leaf, subleaf, reg, bit) {Feature::k_##name, leaf, subleaf, reg, bit},
#include "cpu/models/features.def"
#undef RM_FEATURE
};

// The feature bits of one register.
u32 feature_bits(const Model& model, u32 leaf, u32 subleaf, Register reg) {
    u32 value = 0;
    for (const FeatureRow& row : kFeatureRows)
        if (row.leaf == leaf && row.subleaf == subleaf && row.reg == reg &&
            model.features.has(row.feature))
            value |= 1u << row.bit;
    return value;
}

u32 text(std::string_view s, unsigned offset) {
    char bytes[4] = {};
    for (unsigned n = 0; n < 4 && offset + n < s.size(); ++n) bytes[n] = s[offset + n];
    u32 v;
    std::memcpy(&v, bytes, 4);
    return v;
}

constexpr std::string_view kVendorText[] = {"GenuineIntel", "AuthenticAMD"};

struct Query {
    const Model& model;
    u32 subleaf, apic_id;
    unsigned processors;
    bool osxsave, apic_enabled;

    // Bits of the APIC id that number the cores of the package.
    unsigned core_bits() const { return static_cast<unsigned>(std::bit_width(processors - 1)); }
    u32 core_ids() const { return 1u << core_bits(); }
    bool intel() const { return model.vendor == Vendor::kIntel; }
};

constexpr u32 kHtt = 1u << 28, kApic = 1u << 9, kOsxsaveBit = 1u << 27, kCmpLegacy = 1u << 1;

CpuidResult vendor_leaf(const Query& q, u32 max) {
    const std::string_view v = kVendorText[static_cast<unsigned>(q.model.vendor)];
    return {max, text(v, 0), text(v, 8), text(v, 4)};
}

CpuidResult leaf_1(const Query& q) {
    CpuidResult r;
    r.eax = q.model.signature;
    r.ecx = feature_bits(q.model, 1, 0, ECX);
    r.edx = feature_bits(q.model, 1, 0, EDX);
    if (q.osxsave) r.ecx |= kOsxsaveBit;
    if (!q.apic_enabled) r.edx &= ~kApic;
    if (q.processors == 1) r.edx &= ~kHtt;
    const u32 logical = q.processors == 1 ? 1 : q.intel() ? q.core_ids() : q.processors;
    const u32 line_quads = q.model.features.has(Feature::k_clflush) ? 8 : 0;
    r.ebx = q.apic_id << 24 | logical << 16 | line_quads << 8;
    return r;
}

CpuidResult leaf_4(const Query& q) {
    const auto caches = q.model.silicon->caches;
    if (q.subleaf >= caches.size()) return {};
    const CacheRow& c = caches[q.subleaf];
    constexpr u32 kLine = 64, kSelfInitializing = 1 << 8;
    const u32 sharing = c.shared ? q.core_ids() : 1;
    return {
        c.type | c.level << 5 | kSelfInitializing | (sharing - 1) << 14 | (q.core_ids() - 1) << 26,
        (kLine - 1) | static_cast<u32>(c.ways - 1) << 22, c.bytes / kLine / c.ways - 1,
        c.inclusive ? 2u : 0u};
}

// MONITOR/MWAIT: 64-byte lines; extensions enumerated, interrupts break MWAIT although masked; C1.
CpuidResult leaf_5(const Query& q) {
    if (!q.model.features.has(Feature::k_monitor)) return {};
    return {64, 64, 3, q.intel() ? 0x10u : 0u};
}

CpuidResult leaf_b(const Query& q) {
    if (!q.intel() && !q.model.features.has(Feature::k_x2apic)) return {};
    constexpr u32 kThreads = 1 << 8, kCores = 2 << 8;
    switch (q.subleaf) {
        case 0: return {0, 1, kThreads | 0, q.apic_id};
        case 1: return {q.core_bits(), q.processors, kCores | 1, q.apic_id};
        default: return {0, 0, q.subleaf & 0xFF, q.apic_id};
    }
}

// x87 and SSE state only: 512 bytes of the legacy area and the header, whatever XCR0 says.
CpuidResult leaf_d(const Query& q) {
    if (!q.model.features.has(Feature::k_xsave)) return {};
    constexpr u32 kArea = 512 + 64;
    if (q.subleaf == 0) return {3, kArea, kArea, 0};
    if (q.subleaf == 1) return {feature_bits(q.model, 0xD, 1, EAX), 0, 0, 0};
    return {};
}

CpuidResult basic_leaf(const Query& q, u32 leaf) {
    switch (leaf) {
        case 0: return vendor_leaf(q, q.model.max_basic);
        case 1: return leaf_1(q);
        case 2: return q.model.silicon->l2;
        case 4: return leaf_4(q);
        case 5: return leaf_5(q);
        case 6: return {feature_bits(q.model, 6, 0, EAX), 0, 0, 0};
        case 7:
            if (q.subleaf != 0) return {};
            return {0, feature_bits(q.model, 7, 0, EBX), feature_bits(q.model, 7, 0, ECX), 0};
        case 0xB: return leaf_b(q);
        case 0xD: return leaf_d(q);
        default: return {};
    }
}

CpuidResult extended_leaf_1(const Query& q) {
    CpuidResult r;
    r.ecx = feature_bits(q.model, 0x80000001, 0, ECX);
    r.edx = feature_bits(q.model, 0x80000001, 0, EDX);
    if (q.processors == 1) r.ecx &= ~kCmpLegacy;
    if (!q.intel()) {
        constexpr u32 kMirrored = 0x0183F3FF;  // bits that repeat leaf 1 (APM3 E.4.2)
        r.eax = q.model.signature;
        r.edx |= leaf_1(q).edx & kMirrored;
    }
    return r;
}

CpuidResult extended_leaf(const Query& q, u32 leaf) {
    const Model& m = q.model;
    switch (leaf) {
        case 0x80000000:
            if (q.intel()) return {m.max_extended, 0, 0, 0};
            return vendor_leaf(q, m.max_extended);
        case 0x80000001: return extended_leaf_1(q);
        case 0x80000002:
        case 0x80000003:
        case 0x80000004: {
            const unsigned at = (leaf - 0x80000002) * 16;
            return {text(m.brand, at), text(m.brand, at + 4), text(m.brand, at + 8),
                    text(m.brand, at + 12)};
        }
        case 0x80000005: return m.silicon->x5;
        case 0x80000006: return m.silicon->x6;
        case 0x80000007: return {0, 0, 0, feature_bits(m, 0x80000007, 0, EDX)};
        case 0x80000008: {
            const u32 cores = q.intel() ? 0 : (q.processors - 1) | q.core_bits() << 12;
            return {m.physical_bits | m.linear_bits << 8, 0, cores, 0};
        }
        case 0x8000000A:
            if (!m.features.has(Feature::k_svm)) return {};
            return {1, m.svm_asids, 0, feature_bits(m, 0x8000000A, 0, EDX)};
        default: return {};
    }
}

}  // namespace

CpuidResult Model::cpuid(u32 leaf, u32 subleaf, u32 apic_id, unsigned processors, bool osxsave,
                         bool apic_enabled, u64) const {
    const Query q{*this, subleaf, apic_id, processors ? processors : 1, osxsave, apic_enabled};
    if (leaf >= 0x80000000 && leaf <= max_extended) return extended_leaf(q, leaf);
    if (leaf <= max_basic) return basic_leaf(q, leaf);
    // Out of range: Intel answers with the highest basic leaf, AMD with zeros.
    return vendor == Vendor::kIntel ? basic_leaf(q, max_basic) : CpuidResult{};
}

}  // namespace rm::cpu
