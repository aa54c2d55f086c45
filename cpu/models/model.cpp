// From a -cpu argument to a Model: finds the row, cuts its features down to what is implemented,
// and applies +feature, -feature, feature=on|off. Every error names the nearest spelling.
#include <algorithm>

#include "base/bits.h"
#include "cpu/models/silicon.h"

namespace rm::cpu {

namespace {

struct FeatureName {
    std::string_view name;
    Feature feature;
    u32 leaf;
};
constexpr FeatureName kFeatureNames[] = {
#define RM_FEATURE(name, leaf, subleaf, reg, bit) {#name, Feature::k_##name, leaf},
#include "cpu/models/features.def"
#undef RM_FEATURE
};

// Other spellings of features (QEMU's); compared after '-' and '.' became '_'.
constexpr std::pair<std::string_view, Feature> kFeatureAliases[] = {
    {"pni", Feature::k_sse3},        {"pclmuldq", Feature::k_pclmulqdq},
    {"xd", Feature::k_nx},           {"i64", Feature::k_lm},
    {"lzcnt", Feature::k_abm},       {"ffxsr", Feature::k_fxsr_opt},
    {"clfsh", Feature::k_clflush},   {"3dnowprefetch", Feature::k_prefetchnow},
    {"nrips", Feature::k_nrip_save}, {"tsc_invariant", Feature::k_invtsc},
    {"svml", Feature::k_svm_lock},   {"sse4a", Feature::k_sse4a},
};

std::string normalized(std::string_view s) {
    std::string out(s);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c == '-' || c == '.') c = '_';
    }
    return out;
}

// Insertions, deletions, replacements and swaps of neighbours that turn a into b.
unsigned edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<unsigned>> d(a.size() + 1, std::vector<unsigned>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<unsigned>(i);
    for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<unsigned>(j);
    for (std::size_t i = 1; i <= a.size(); ++i)
        for (std::size_t j = 1; j <= b.size(); ++j) {
            d[i][j] = std::min(
                {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a.size()][b.size()];
}

class Nearest {
public:
    explicit Nearest(std::string_view wanted) : wanted_(normalized(wanted)) {}
    void offer(std::string_view candidate) {
        const unsigned d = edit_distance(wanted_, normalized(candidate));
        if (d < best_distance_) {
            best_distance_ = d;
            best_ = candidate;
        }
    }
    std::string best() const { return std::string(best_); }

private:
    std::string wanted_;
    std::string_view best_;
    unsigned best_distance_ = ~0u;
};

u32 silicon_register(const SiliconRow& row, u32 leaf, std::string_view reg) {
    switch (leaf) {
        case 0x1: return reg == "ECX" ? row.l1_ecx : row.l1_edx;
        case 0x6: return row.l6_eax;
        case 0x7: return reg == "EBX" ? row.l7_ebx : row.l7_ecx;
        case 0xD: return row.ld1_eax;
        case 0x80000001: return reg == "ECX" ? row.x1_ecx : row.x1_edx;
        case 0x80000007: return row.x7_edx;
        case 0x8000000A: return row.xa_edx;
        default: return 0;
    }
}

Model model_from(const SiliconRow& row) {
    Model m;
    m.silicon = &row;
    m.name = row.name;
    m.vendor = row.vendor;
    m.signature = row.signature;
    m.brand = row.brand;
    m.max_basic = row.max_basic;
    m.max_extended = row.max_extended;
    m.physical_bits = row.physical_bits;
    m.linear_bits = row.linear_bits;
    m.svm_asids = row.svm_asids;
    m.vmx_generation = row.vmx_generation;
#define RM_FEATURE(name, leaf, subleaf, reg, bit) \
    if (has_bit(silicon_register(row, leaf, #reg), bit)) m.features.add(Feature::k_##name);
#include "cpu/models/features.def"
#undef RM_FEATURE
    return m;
}

const SiliconRow* find_row(std::string_view name) {
    std::string wanted = normalized(name);
    for (const ModelAlias& a : model_aliases())
        if (normalized(a.alias) == wanted) wanted = normalized(a.name);
    for (const SiliconRow& row : silicon_rows())
        if (normalized(row.name) == wanted) return &row;
    return nullptr;
}

Result<const SiliconRow*> row_of(std::string_view name) {
    if (const SiliconRow* row = find_row(name)) return row;
    if (normalized(name) == "host")
        return fail(
            "-cpu host: the processor is emulated, the host's model is not used; "
            "'max' has everything implemented");
    Nearest nearest(name);
    for (const SiliconRow& row : silicon_rows()) nearest.offer(row.name);
    for (const ModelAlias& a : model_aliases()) nearest.offer(a.alias);
    return fail("-cpu %.*s: no such CPU model; the nearest is '%s'", static_cast<int>(name.size()),
                name.data(), nearest.best().c_str());
}

Result<Feature> feature_of(std::string_view name) {
    const std::string wanted = normalized(name);
    for (const FeatureName& f : kFeatureNames)
        if (f.name == wanted) return f.feature;
    for (const auto& [alias, feature] : kFeatureAliases)
        if (alias == wanted) return feature;
    Nearest nearest(name);
    for (const FeatureName& f : kFeatureNames) nearest.offer(f.name);
    return fail("-cpu feature '%.*s' does not exist or is not implemented; the nearest is '%s'",
                static_cast<int>(name.size()), name.data(), nearest.best().c_str());
}

struct Toggle {
    Feature feature;
    bool on;
};

Result<Toggle> parse_toggle(std::string_view item) {
    bool on = true;
    if (item.starts_with('+') || item.starts_with('-')) {
        on = item[0] == '+';
        item.remove_prefix(1);
    } else if (const auto eq = item.find('='); eq != item.npos) {
        const std::string_view value = item.substr(eq + 1);
        on = value == "on" || value == "yes" || value == "true";
        if (!on && value != "off" && value != "no" && value != "false")
            return fail("-cpu %.*s: the value must be 'on' or 'off'", static_cast<int>(item.size()),
                        item.data());
        item = item.substr(0, eq);
    }
    auto feature = feature_of(item);
    if (!feature) return std::unexpected(feature.error());
    return Toggle{*feature, on};
}

// Bits that cannot stand without another (SDM 2A CPUID, APM3 appendix E): removed together.
constexpr std::pair<Feature, Feature> kNeeds[] = {
    {Feature::k_sse, Feature::k_fxsr},
    {Feature::k_sse2, Feature::k_sse},
    {Feature::k_sse3, Feature::k_sse2},
    {Feature::k_ssse3, Feature::k_sse3},
    {Feature::k_sse4_1, Feature::k_ssse3},
    {Feature::k_sse4_2, Feature::k_sse4_1},
    {Feature::k_sse4a, Feature::k_sse3},
    {Feature::k_misalignsse, Feature::k_sse},
    {Feature::k_aes, Feature::k_sse2},
    {Feature::k_pclmulqdq, Feature::k_sse2},
    {Feature::k_xsave, Feature::k_fxsr},
    {Feature::k_xsaveopt, Feature::k_xsave},
    {Feature::k_lm, Feature::k_pae},
    {Feature::k_nx, Feature::k_pae},
    {Feature::k_pcid, Feature::k_lm},
    {Feature::k_cx16, Feature::k_lm},
    {Feature::k_lahf_lm, Feature::k_lm},
    {Feature::k_fsgsbase, Feature::k_lm},
    {Feature::k_pdpe1gb, Feature::k_lm},
    {Feature::k_x2apic, Feature::k_apic},
    {Feature::k_tsc_deadline, Feature::k_apic},
    {Feature::k_rdtscp, Feature::k_tsc},
    {Feature::k_invtsc, Feature::k_tsc},
    {Feature::k_tsc_adjust, Feature::k_tsc},
    {Feature::k_npt, Feature::k_svm},
    {Feature::k_svm_lock, Feature::k_svm},
    {Feature::k_nrip_save, Feature::k_svm},
    {Feature::k_vmcb_clean, Feature::k_svm},
    {Feature::k_flushbyasid, Feature::k_svm},
    {Feature::k_decodeassists, Feature::k_svm},
    {Feature::k_pause_filter, Feature::k_svm},
    {Feature::k_pfthreshold, Feature::k_pause_filter},
};

void drop_dependents(Model& m) {
    for (bool again = true; again;) {
        again = false;
        for (const auto& [feature, needs] : kNeeds)
            if (m.features.has(feature) && !m.features.has(needs)) {
                m.features.remove(feature);
                again = true;
            }
    }
}

// The leaves that carry an enabled feature must be within range.
void raise_limits(Model& m) {
    for (const FeatureName& f : kFeatureNames) {
        if (!m.features.has(f.feature)) continue;
        u32& limit = f.leaf >= 0x80000000 ? m.max_extended : m.max_basic;
        limit = std::max(limit, f.leaf);
    }
}

std::vector<std::string_view> split(std::string_view spec) {
    std::vector<std::string_view> items;
    for (;;) {
        const auto comma = spec.find(',');
        items.push_back(spec.substr(0, comma));
        if (comma == spec.npos) return items;
        spec.remove_prefix(comma + 1);
    }
}

}  // namespace

Result<Model> make_model(std::string_view spec) {
    const auto items = split(spec);
    auto row = row_of(items[0]);
    if (!row) return std::unexpected(row.error());
    std::vector<Toggle> toggles;
    for (std::size_t n = 1; n < items.size(); ++n) {
        auto toggle = parse_toggle(items[n]);
        if (!toggle) return std::unexpected(toggle.error());
        toggles.push_back(*toggle);
        if (toggle->feature == Feature::k_svm && toggle->on && (*row)->name == "max")
            *row = find_row("max-amd");
    }
    Model m = model_from(**row);
    for (const Toggle& t : toggles) {
        if (t.on && t.feature == Feature::k_vmx && m.vmx_generation == 0)
            return fail("-cpu %s: VT-x needs an Intel model", m.name.c_str());
        if (t.on && t.feature == Feature::k_svm && m.svm_asids == 0)
            return fail("-cpu %s: SVM needs an AMD model ('max,+svm' has everything)",
                        m.name.c_str());
        t.on ? m.features.add(t.feature) : m.features.remove(t.feature);
    }
    drop_dependents(m);
    raise_limits(m);
    if (!m.features.has(Feature::k_vmx)) m.vmx_generation = 0;
    if (!m.features.has(Feature::k_svm)) m.svm_asids = 0;
    return m;
}

std::vector<std::string> model_names() {
    std::vector<std::string> names;
    for (const SiliconRow& row : silicon_rows()) names.emplace_back(row.name);
    return names;
}

}  // namespace rm::cpu
