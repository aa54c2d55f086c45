// The capability MSRs of every generation against the tables they are computed from.
#include <doctest/doctest.h>

#include "vmcs_template.h"

using namespace rm;
using namespace rm::vt::vmx;

namespace {

constexpr const char* kModels[] = {"core2duo", "Penryn", "Nehalem", "Westmere", "Haswell", "max"};

u64 read(const Capabilities& caps, u32 msr) {
    u64 value = 0;
    CHECK_MESSAGE(caps.msr(msr, value), "MSR ", msr);
    return value;
}

}  // namespace

TEST_CASE("capability MSRs: every control bit that may be one has a row") {
    for (const char* name : kModels) {
        const auto made = cpu::make_model(name);
        if (!made || !made->vmx_generation) continue;
        CAPTURE(name);
        const Capabilities caps(*made);
        struct {
            u32 msr;
            Word word;
        } const kMsrs[] = {{0x481, Word::pin},
                           {0x482, Word::proc},
                           {0x483, Word::exitc},
                           {0x484, Word::entryc},
                           {0x48B, Word::proc2}};
        for (const auto& m : kMsrs) {
            u64 value = 0;
            if (!caps.msr(m.msr, value)) continue;
            const u32 must = static_cast<u32>(value), may = static_cast<u32>(value >> 32);
            CHECK((must & ~may) == 0);
            for (unsigned b = 0; b < 32; ++b) {
                if (!has_bit(may & ~must, b)) continue;
                bool known = false;
                for (const ControlRow& row : control_rows())
                    known |= row.word == m.word && row.bit == b &&
                             row.generation <= made->vmx_generation;
                CHECK_MESSAGE(known, "MSR ", m.msr, " bit ", b);
            }
        }
    }
}

TEST_CASE("capability MSRs: TRUE controls only add freedom") {
    const Capabilities caps(test::model("Westmere"));
    for (unsigned n = 0; n < 4; ++n) {
        const u64 plain = read(caps, 0x481 + n), exact = read(caps, 0x48D + n);
        CHECK((plain >> 32) == (exact >> 32));
        CHECK((exact & ~plain & 0xFFFFFFFF) == 0);
    }
    // CR3 exits and debug controls may be cleared.
    CHECK((read(caps, 0x482) & 0x18000) == 0x18000);
    CHECK((read(caps, 0x48E) & 0x18000) == 0);
    CHECK(has_bit(read(caps, 0x480), 55));
}

TEST_CASE("capability MSRs: generations") {
    u64 value;
    const Capabilities merom(test::model("core2duo"));
    CHECK(merom.allows(Word::proc, proc::kUseTprShadow));
    CHECK_FALSE(merom.ept());
    CHECK_FALSE(merom.msr(0x48C, value));
    CHECK_FALSE(merom.msr(0x48D, value));
    CHECK_FALSE(has_bit(merom.basic, 55));
    CHECK_FALSE(merom.supports(F::EPT_POINTER));

    const Capabilities westmere(test::model("Westmere"));
    CHECK(westmere.ept());
    CHECK(westmere.vpid());
    CHECK(westmere.allows(Word::proc2, proc2::kUnrestrictedGuest));
    CHECK(has_bit(westmere.misc, 5));
    // What Xen asks for before it uses EPT and VPID.
    CHECK((read(westmere, 0x48C) & 0x0000000004104040) == 0x0000000004104040);
    CHECK(has_bit(read(westmere, 0x48C), 42));
    CHECK((westmere.basic >> 50 & 0xF) == 6);
    CHECK_FALSE(has_bit(westmere.basic, 48));

    CHECK_FALSE(Capabilities(test::model("barcelona")).any());
}

TEST_CASE("capability MSRs: VMCS_ENUM is the highest index of an existing field") {
    const Capabilities caps(test::model("Westmere"));
    u64 highest = 0;
    for (const FieldRow& f : kFields)
        if (f.generation <= caps.generation) highest = std::max(highest, u64{f.encoding & 0x3FE});
    CHECK(caps.vmcs_enum == highest);
}

TEST_CASE("fields: encodings lead back to their rows, unknown ones to nothing") {
    unsigned found = 0;
    for (u32 encoding = 0; encoding < 0x10000; ++encoding) {
        bool high;
        const auto f = find_field(encoding, high);
        if (!f) continue;
        ++found;
        CHECK(row(*f).encoding == (encoding & ~1u));
        CHECK(high == ((encoding & 1) != 0));
        if (high) CHECK(row(*f).width() == FieldWidth::k64);
    }
    unsigned wide = 0;
    for (const FieldRow& f : kFields) wide += f.width() == FieldWidth::k64;
    CHECK(found == kFieldCount + wide);
    bool high;
    CHECK_FALSE(find_field(u64{1} << 32 | 0x4000, high));
}

TEST_CASE("fields: a VMCS survives its stay in memory") {
    test::Machine m;
    const Capabilities caps(test::model("Westmere"));
    Vmcs v = test::valid_vmcs(caps, true);
    v.launched = true;
    v.store(m.memory, 0x5000);
    Vmcs w;
    w.load(m.memory, 0x5000);
    CHECK(w.values == v.values);
    CHECK(w.launched);
    clear_launch_state(m.memory, 0x5000);
    w.load(m.memory, 0x5000);
    CHECK_FALSE(w.launched);
}
