// FERR#, IRQ 13, port F0H and IGNNE# (82371SB datasheet, port F0H).
#include "platform/interrupt/coprocessor_error.h"

#include <doctest/doctest.h>

#include "fakes.h"

using namespace rm;
using namespace rm::platform;

namespace {

struct Bench {
    test::FakeLine irq;
    bool ignne = false;
    CoprocessorError logic{irq, [this](bool asserted) { ignne = asserted; }};
};

}  // namespace

TEST_CASE("FERR# raises IRQ 13 once; port F0H takes it back and asserts IGNNE#") {
    Bench b;
    b.logic.set_ferr(true);
    b.logic.set_ferr(true);  // a processor repeats itself while it waits
    CHECK(b.irq.level);
    CHECK(b.irq.rises == 1);
    CHECK_FALSE(b.ignne);
    b.logic.port_write(0, 1, 0);
    CHECK_FALSE(b.irq.level);
    CHECK(b.ignne);
    b.logic.set_ferr(true);  // no edge
    CHECK_FALSE(b.irq.level);
    b.logic.set_ferr(false);
    CHECK_FALSE(b.ignne);
    b.logic.set_ferr(true);
    CHECK(b.irq.rises == 2);
}

TEST_CASE("IGNNE# only while FERR# is asserted; the request outlives FERR#") {
    Bench b;
    b.logic.port_write(0, 1, 0);
    CHECK_FALSE(b.ignne);
    b.logic.set_ferr(true);
    b.logic.set_ferr(false);
    CHECK(b.irq.level);
    b.logic.port_write(0, 1, 0);
    CHECK_FALSE(b.irq.level);
    CHECK_FALSE(b.ignne);
}

TEST_CASE("reset makes all lines inactive") {
    Bench b;
    b.logic.set_ferr(true);
    b.logic.port_write(0, 1, 0);
    b.logic.reset();
    CHECK_FALSE(b.ignne);
    b.logic.set_ferr(true);
    CHECK(b.irq.level);
    b.logic.reset();
    CHECK_FALSE(b.irq.level);
    CHECK(b.logic.port_read(0, 1) == 0xFF);
}
