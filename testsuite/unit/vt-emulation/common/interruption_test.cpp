// Interruption information, profiles, and the operands that exits report.
#include <doctest/doctest.h>

#include "vt-emulation/common/interruption.h"
#include "vt-emulation/common/profile.h"

using namespace rm;
using namespace rm::vt::common;
using cpu::Event;
using cpu::EventType;

TEST_CASE("interruption information: both directions") {
    const Event gp{.vector = cpu::kGp, .has_error = true, .error = 0x18};
    CHECK(interruption_info(gp) == 0x80000B0D);
    CHECK(event_of(0x80000B0D, 0x18, 0) == gp);
    const Event nmi{.vector = 2, .type = EventType::kNmi};
    CHECK(interruption_info(nmi) == 0x80000202);
    const Event int80{.vector = 0x80, .type = EventType::kSoftwareInterrupt, .insn_length = 2};
    CHECK(event_of(0x80000480, 7, 2) == int80);
    // The length belongs to software events only.
    CHECK(event_of(0x80000031, 0, 5).insn_length == 0);
    CHECK_FALSE(event_info(nullptr).valid());
    const EventInfo info = event_info(&gp);
    CHECK(info.valid());
    CHECK(info.vector() == 13);
    CHECK(info.type() == 3);
    CHECK(info.error == 0x18);
}

TEST_CASE("vectors with an error code") {
    for (unsigned v = 0; v < 32; ++v) {
        const bool expected = v == 8 || (v >= 10 && v <= 14) || v == 17;
        CHECK(vector_has_error(v) == expected);
    }
}

TEST_CASE("profiles: equal answers share an id, ids are stable") {
    ProfileTable table;
    Answers a{}, b{};
    b[3] = cpu::InterceptAnswer::kAlways;
    const u32 first = table.intern(a), second = table.intern(b);
    CHECK(first != second);
    CHECK(table.intern(a) == first);
    CHECK(table.answer(second, static_cast<cpu::Intercept>(3)) == cpu::InterceptAnswer::kAlways);
    CHECK(table.answer(first, static_cast<cpu::Intercept>(3)) == cpu::InterceptAnswer::kNever);
    CHECK(table.answer(77, static_cast<cpu::Intercept>(3)) == cpu::InterceptAnswer::kAsk);
}
