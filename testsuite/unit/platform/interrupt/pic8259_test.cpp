// The 8259A pair through its ports: initialisation, priorities, EOI kinds, modes, ELCR, polling.
#include "platform/interrupt/pic8259.h"

#include <doctest/doctest.h>

#include "fakes.h"

using namespace rm;
using namespace rm::platform;
using namespace rm::platform::test;

namespace {

struct Fixture {
    FakeLine intr;
    Pic8259Pair pic{intr};

    void out(unsigned chip, unsigned offset, u8 value) {
        (chip ? pic.slave_ports() : pic.master_ports()).port_write(offset, 1, value);
    }
    u8 in(unsigned chip, unsigned offset) {
        return (chip ? pic.slave_ports() : pic.master_ports()).port_read(offset, 1);
    }
    void init(u8 icw4 = 0x01) {
        for (unsigned chip = 0; chip < 2; ++chip) {
            out(chip, 0, 0x11);
            out(chip, 1, chip ? 0x28 : 0x20);
            out(chip, 1, chip ? 2 : 4);
            out(chip, 1, icw4);
            out(chip, 1, 0);
        }
    }
    void line(unsigned irq, bool level) { pic.input(irq).set(level); }
    u8 isr(unsigned chip) {
        out(chip, 0, 0x0B);
        return in(chip, 0);
    }
    u8 irr(unsigned chip) {
        out(chip, 0, 0x0A);
        return in(chip, 0);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "fixed priority, nesting and EOI") {
    init();
    line(5, true);
    CHECK(intr.level);
    line(3, true);
    CHECK(irr(0) == 0x28);
    CHECK(pic.acknowledge() == 0x23);
    CHECK(!intr.level);  // 5 waits behind 3
    line(1, true);
    CHECK(intr.level);  // 1 nests
    CHECK(pic.acknowledge() == 0x21);
    CHECK(isr(0) == 0x0A);
    out(0, 0, 0x20);  // non-specific: ends 1
    CHECK(isr(0) == 0x08);
    out(0, 0, 0x63);  // specific: ends 3
    CHECK(isr(0) == 0x00);
    CHECK(intr.level);
    CHECK(pic.acknowledge() == 0x25);
    out(0, 0, 0x20);
    CHECK(!intr.level);
    line(5, true);  // still high: no new edge
    CHECK(!intr.level);
    line(5, false);
    line(5, true);
    CHECK(intr.level);
}

TEST_CASE_FIXTURE(Fixture, "cascade, spurious level 7 and mask") {
    init();
    line(12, true);
    CHECK(irr(0) == 0x04);
    CHECK(pic.acknowledge() == 0x2C);
    CHECK(isr(0) == 0x04);
    CHECK(isr(1) == 0x10);
    line(8, true);  // higher on the slave, but the master is busy with input 2
    CHECK(!intr.level);
    out(1, 0, 0x20);
    out(0, 0, 0x20);
    CHECK(intr.level);
    CHECK(pic.acknowledge() == 0x28);
    out(1, 0, 0x20);
    out(0, 0, 0x20);
    CHECK(pic.acknowledge() == 0x27);  // nothing there: spurious, no in-service bit
    CHECK(isr(0) == 0);
    out(0, 1, 0xFF);
    CHECK(in(0, 1) == 0xFF);
    line(4, true);
    CHECK(!intr.level);
    out(0, 1, 0xEF);
    CHECK(intr.level);
}

TEST_CASE_FIXTURE(Fixture, "special fully nested mode lets a second slave request through") {
    init(0x11);
    line(12, true);
    CHECK(pic.acknowledge() == 0x2C);
    line(9, true);
    CHECK(intr.level);
    CHECK(pic.acknowledge() == 0x29);
}

TEST_CASE_FIXTURE(Fixture, "rotation") {
    init();
    out(0, 0, 0xC3);  // set priority: 3 lowest, 4 highest
    line(1, true);
    line(5, true);
    CHECK(pic.acknowledge() == 0x25);
    out(0, 0, 0xA0);  // rotate on non-specific EOI: 5 becomes lowest
    line(5, false);
    line(5, true);
    CHECK(pic.acknowledge() == 0x21);
    out(0, 0, 0xE1);  // rotate on specific EOI
    CHECK(pic.acknowledge() == 0x25);
}

TEST_CASE_FIXTURE(Fixture, "automatic EOI, also rotating") {
    init(0x03);
    line(0, true);
    CHECK(pic.acknowledge() == 0x20);
    CHECK(isr(0) == 0);
    out(0, 0, 0x80);  // rotate in automatic EOI mode
    line(2 + 1, true);
    line(4, true);
    CHECK(pic.acknowledge() == 0x23);  // 3 is now lowest
    line(3, false);
    line(3, true);
    CHECK(pic.acknowledge() == 0x24);
    line(9, true);
    line(10, true);
    CHECK(pic.acknowledge() == 0x29);  // 3 comes after 5, 6, 7, 0, 1, 2
    CHECK(pic.acknowledge() == 0x23);  // now 2 is lowest
    CHECK(intr.level);
    CHECK(pic.acknowledge() == 0x2A);  // the slave's second request is not lost
}

TEST_CASE_FIXTURE(Fixture, "special mask mode") {
    init();
    line(2 + 1, true);
    CHECK(pic.acknowledge() == 0x23);
    line(6, true);
    CHECK(!intr.level);
    out(0, 1, 0x08);
    out(0, 0, 0x68);  // set special mask
    CHECK(intr.level);
    CHECK(pic.acknowledge() == 0x26);
    out(0, 0, 0x20);  // ends 6, not the masked 3
    CHECK(isr(0) == 0x08);
    out(0, 0, 0x48);
    out(0, 0, 0x20);
    CHECK(isr(0) == 0);
}

TEST_CASE_FIXTURE(Fixture, "level triggering and ELCR") {
    init();
    pic.elcr_ports().port_write(0, 1, 0xFF);
    pic.elcr_ports().port_write(1, 1, 0xFF);
    CHECK(pic.elcr_ports().port_read(0, 1) == 0xF8);
    CHECK(pic.elcr_ports().port_read(1, 1) == 0xDE);
    line(11, true);
    CHECK(pic.acknowledge() == 0x2B);
    out(1, 0, 0x20);
    out(0, 0, 0x20);
    CHECK(intr.level);  // still asserted
    line(11, false);
    CHECK(!intr.level);
}

TEST_CASE_FIXTURE(Fixture, "poll command") {
    init();
    line(4, true);
    out(0, 0, 0x0C);
    CHECK(in(0, 0) == 0x84);
    CHECK(isr(0) == 0x10);
    CHECK(!intr.level);
    out(0, 0, 0x0C);
    CHECK(in(0, 1) == 0x00);
    CHECK(in(0, 1) == 0x00);  // one read only: now IMR
}
