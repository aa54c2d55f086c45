// CPU models: every advertised bit is implemented, names and aliases, -cpu syntax, leaves.
#include <doctest/doctest.h>

#include "base/bits.h"
#include "cpu/models/silicon.h"

using namespace rm;
using namespace rm::cpu;

namespace {

Model model(std::string_view spec) {
    auto m = make_model(spec);
    REQUIRE_MESSAGE(m.has_value(), (m ? "" : m.error().message));
    return *m;
}
std::string error(std::string_view spec) {
    auto m = make_model(spec);
    REQUIRE(!m.has_value());
    return m.error().message;
}
CpuidResult leaf(const Model& m, u32 l, u32 sub = 0, unsigned processors = 1, u32 id = 0) {
    return m.cpuid(l, sub, id, processors, false, true, 1);
}

// Bits of one feature register that features.def names.
u32 implemented(u32 l, u32 sub, std::string_view reg) {
    u32 mask = 0;
#define RM_FEATURE(name, lf, sb, rg, bt) \
    if (lf == l && sb == sub && reg == #rg) mask |= 1u << bt;
#include "cpu/models/features.def"
#undef RM_FEATURE
    return mask;
}

constexpr u32 kMirrored = 0x0183F3FF;

}  // namespace

TEST_CASE("no model advertises a feature bit that features.def does not have") {
    for (const std::string& name : model_names()) {
        CAPTURE(name);
        const Model m = model(name);
        CHECK((leaf(m, 1, 0, 4).ecx & ~implemented(1, 0, "ECX")) == 0);
        CHECK((leaf(m, 1, 0, 4).edx & ~implemented(1, 0, "EDX")) == 0);
        if (m.max_basic >= 6) CHECK((leaf(m, 6).eax & ~implemented(6, 0, "EAX")) == 0);
        if (m.max_basic >= 7) {
            CHECK((leaf(m, 7).ebx & ~implemented(7, 0, "EBX")) == 0);
            CHECK((leaf(m, 7).ecx & ~implemented(7, 0, "ECX")) == 0);
            CHECK(leaf(m, 7).edx == 0);
        }
        if (m.max_basic >= 0xD) {
            CHECK((leaf(m, 0xD, 1).eax & ~implemented(0xD, 1, "EAX")) == 0);
            CHECK((leaf(m, 0xD, 0).eax & ~3u) == 0);
        }
        CHECK(leaf(m, 0xA).eax ==
              (m.vendor == Vendor::kIntel && m.max_basic < 0xA ? leaf(m, 0xA).eax : 0));
        const u32 mirrored = m.vendor == Vendor::kAmd ? kMirrored & implemented(1, 0, "EDX") : 0;
        CHECK((leaf(m, 0x80000001, 0, 4).edx & ~(implemented(0x80000001, 0, "EDX") | mirrored)) ==
              0);
        CHECK((leaf(m, 0x80000001, 0, 4).ecx & ~implemented(0x80000001, 0, "ECX")) == 0);
        CHECK((leaf(m, 0x80000007).edx & ~implemented(0x80000007, 0, "EDX")) == 0);
        if (m.max_extended >= 0x8000000A)
            CHECK((leaf(m, 0x8000000A).edx & ~implemented(0x8000000A, 0, "EDX")) == 0);
    }
}

TEST_CASE("real models advertise nothing their silicon lacks") {
    for (const SiliconRow& row : silicon_rows()) {
        const Model m = model(row.name);
        CHECK((leaf(m, 1, 0, 4).ecx & ~row.l1_ecx) == 0);
        CHECK((leaf(m, 1, 0, 4).edx & ~row.l1_edx) == 0);
        CHECK((leaf(m, 0x80000001, 0, 4).ecx & ~row.x1_ecx) == 0);
        CHECK((leaf(m, 0x80000001, 0, 4).edx & ~row.x1_edx) == 0);
        CHECK(row.brand.size() < 48);
    }
}

TEST_CASE("the four models of the mission") {
    const Model core2 = model("core2duo"), westmere = model("WESTMERE"), rev_f = model("opteron-f"),
                barcelona = model("barcelona");
    CHECK(core2.features.has(Feature::k_vmx));
    CHECK(core2.vmx_generation == 3);
    CHECK(westmere.vmx_generation == 6);
    CHECK(westmere.features.has(Feature::k_aes));
    CHECK(!westmere.features.has(Feature::k_xsave));
    CHECK(leaf(rev_f, 0x8000000A).ebx == 64);
    CHECK(leaf(rev_f, 0x8000000A).edx == 0);
    CHECK(rev_f.features.has(Feature::k_svm));
    CHECK(!rev_f.features.has(Feature::k_npt));
    CHECK(barcelona.features.has(Feature::k_npt));
    CHECK(!barcelona.features.has(Feature::k_nrip_save));
    CHECK(leaf(barcelona, 0x8000000A).edx == 5);  // NPT, SVML; LBR virtualization not implemented
    CHECK(leaf(barcelona, 1).eax == 0x00100F23);
    for (const Model* m : {&core2, &westmere, &rev_f, &barcelona})
        CHECK(m->features.has(Feature::k_lm));
}

TEST_CASE("names and aliases") {
    CHECK(model("Opteron_G3").name == "barcelona");
    CHECK(model("phenom").name == "barcelona");
    CHECK(model("core2_penryn_t9600").name == "Penryn");
    CHECK(model("Conroe").name == "core2duo");
    CHECK(model("max,+svm").vendor == Vendor::kAmd);
    CHECK(model("max").vendor == Vendor::kIntel);
    CHECK(model("max").vmx_generation == 9);
    CHECK(model("max,+svm").features.has(Feature::k_decodeassists));
    CHECK(error("Westmer").find("'Westmere'") != std::string::npos);
    CHECK(error("host").find("emulated") != std::string::npos);
    CHECK(error("").find("nearest") != std::string::npos);
}

TEST_CASE("feature syntax") {
    CHECK(model("barcelona,+nrip_save").features.has(Feature::k_nrip_save));
    CHECK(model("barcelona,+nrip-save,-pdpe1gb").features.has(Feature::k_nrip_save));
    CHECK(!model("barcelona,-npt").features.has(Feature::k_npt));
    CHECK(!model("Westmere,aes=off").features.has(Feature::k_aes));
    CHECK(model("Westmere,smep=on").features.has(Feature::k_smep));
    CHECK(model("Westmere,sse4.1").features.has(Feature::k_sse4_1));
    CHECK(model("Westmere,-vmx").vmx_generation == 0);
    CHECK(!model("barcelona,-svm").features.has(Feature::k_npt));
    CHECK(!model("Westmere,-sse2").features.has(Feature::k_sse4_2));
    CHECK(leaf(model("barcelona,-svm"), 0x8000000A).ebx == 0);
    CHECK(error("Westmere,+smpe").find("'smep'") != std::string::npos);
    CHECK(error("Westmere,aes=maybe").find("'on' or 'off'") != std::string::npos);
    CHECK(error("Westmere,+svm").find("AMD") != std::string::npos);
    CHECK(error("barcelona,+vmx").find("Intel") != std::string::npos);
    CHECK(error("Westmere,").find("nearest") != std::string::npos);
    CHECK(model("opteron-f,+smep").max_basic == 7);  // the leaf that carries it is in range
}

TEST_CASE("leaf 0, brand and address sizes") {
    const Model m = model("Westmere");
    const CpuidResult r = leaf(m, 0);
    CHECK(r.eax == 0xB);
    CHECK(r.ebx == 0x756E6547);
    CHECK(r.edx == 0x49656E69);
    CHECK(r.ecx == 0x6C65746E);
    CHECK(leaf(m, 0x80000002).eax == 0x65746E49);
    CHECK(leaf(m, 0x80000008).eax == 0x3028);
    CHECK(leaf(model("barcelona"), 0x80000000).ebx == 0x68747541);
}

TEST_CASE("topology follows -smp") {
    const Model m = model("Westmere");
    CHECK((leaf(m, 1, 0, 1).edx & bit(28)) == 0);
    CHECK(bits(leaf(m, 1, 0, 1).ebx, 23, 16) == 1);
    CHECK((leaf(m, 1, 0, 4).edx & bit(28)) != 0);
    CHECK(bits(leaf(m, 1, 0, 3, 2).ebx, 23, 16) == 4);
    CHECK(bits(leaf(m, 1, 0, 3, 2).ebx, 31, 24) == 2);
    CHECK(bits(leaf(m, 4, 0, 4).eax, 31, 26) == 3);
    CHECK(bits(leaf(m, 4, 0, 4).eax, 25, 14) == 0);
    CHECK(bits(leaf(m, 4, 3, 4).eax, 25, 14) == 3);
    CHECK(leaf(m, 4, 4, 4).eax == 0);
    CHECK(leaf(m, 0xB, 0, 4, 3).ecx == 0x100);
    CHECK(leaf(m, 0xB, 1, 4, 3).eax == 2);
    CHECK(leaf(m, 0xB, 1, 4, 3).ebx == 4);
    CHECK(leaf(m, 0xB, 1, 4, 3).ecx == 0x201);
    CHECK(leaf(m, 0xB, 5, 4, 3).ecx == 5);
    CHECK(leaf(m, 0xB, 5, 4, 3).edx == 3);
    const Model amd = model("barcelona");
    CHECK(leaf(amd, 0x80000008, 0, 4).ecx == 0x2003);
    CHECK((leaf(amd, 0x80000001, 0, 4).ecx & 2) == 2);
    CHECK((leaf(amd, 0x80000001, 0, 1).ecx & 2) == 0);
    CHECK((leaf(amd, 0x80000001, 0, 1).edx & 1) == 1);  // FPU, mirrored
}

TEST_CASE("machine state in leaf 1; MONITOR; XSAVE; out of range") {
    const Model m = model("max");
    CHECK((m.cpuid(1, 0, 0, 1, true, true, 3).ecx & bit(27)) != 0);
    CHECK((m.cpuid(1, 0, 0, 1, false, true, 3).ecx & bit(27)) == 0);
    CHECK((m.cpuid(1, 0, 0, 1, false, false, 3).edx & bit(9)) == 0);
    CHECK(leaf(m, 5).ecx == 3);
    CHECK(leaf(model("max,-monitor"), 5).ecx == 0);
    CHECK(leaf(m, 0xD).ebx == 576);
    const Model w = model("Westmere"), b = model("barcelona");
    CHECK(leaf(w, 0x40000000, 1, 4, 2).ecx == leaf(w, 0xB, 1, 4, 2).ecx);
    CHECK(leaf(w, 0x80000009, 1, 4, 2).ebx == 4);
    CHECK(leaf(b, 0x40000000).eax == 0);
    CHECK(leaf(b, 0x8000001B).eax == 0);
    CHECK(leaf(b, 6).eax == 0);
}
