// I/O APIC registers, edge and level delivery, remote IRR and EOI; ISA line wiring; MSI.
#include "platform/interrupt/io_apic.h"

#include <doctest/doctest.h>

#include "fakes.h"
#include "platform/interrupt/isa_irqs.h"
#include "platform/interrupt/local_apic.h"

using namespace rm;
using namespace rm::platform;
using namespace rm::platform::test;

namespace {

struct Fixture {
    EventQueue queue;
    ApicBus bus;
    FakePins pins[2];
    LocalApic apic0{0, true, queue, bus, {}};
    LocalApic apic1{1, false, queue, bus, {}};
    IoApic io{bus};
    Pic8259Pair pic{bus.lint0()};
    IsaIrqs isa{pic, io};

    Fixture() {
        apic0.connect(pins[0]);
        apic1.connect(pins[1]);
        bus.set_pic_acknowledge([this] { return pic.acknowledge(); });
        apic0.mmio_write(0xF0, 4, 0x1FF);
        apic1.mmio_write(0xF0, 4, 0x1FF);
        pic.master_ports().port_write(1, 1, 0xFF);
    }
    void write(unsigned reg, u32 value) {
        io.mmio_write(0, 4, reg);
        io.mmio_write(0x10, 4, value);
    }
    u32 read(unsigned reg) {
        io.mmio_write(0, 4, reg);
        return static_cast<u32>(io.mmio_read(0x10, 4));
    }
    void route(unsigned pin, u32 low, u8 destination) {
        write(0x11 + 2 * pin, u32{destination} << 24);
        write(0x10 + 2 * pin, low);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "registers") {
    CHECK(read(1) == 0x00170020);
    write(0, 0xFFFFFFFF);
    CHECK(read(0) == 0x0F000000);
    CHECK(read(2) == 0x0F000000);
    CHECK(read(0x10) == 0x10000);
    write(0x3E, 0xFFFFFFFF);
    CHECK(read(0x3E) == 0x1AFFF);
    write(0x3F, 0xFFFFFFFF);
    CHECK(read(0x3F) == 0xFF000000);
    CHECK(read(0x40) == 0);
    CHECK(io.mmio_read(0, 1) == 0x40);
    CHECK(io.mmio_read(0x20, 4) == 0);
}

TEST_CASE_FIXTURE(Fixture, "edges: delivered once, lost while masked") {
    route(4, 0x34, 1);
    isa.irq(4).set(true);
    CHECK(!pins[0].intr);
    CHECK(pins[1].intr);
    CHECK(apic1.acknowledge() == 0x34);
    apic1.mmio_write(0xB0, 4, 0);
    CHECK(!pins[1].intr);
    isa.irq(4).set(false);
    write(0x10 + 8, 0x10034);
    isa.irq(4).pulse();
    write(0x10 + 8, 0x34);
    CHECK(!pins[1].intr);
}

TEST_CASE_FIXTURE(Fixture, "level: remote IRR, EOI by broadcast and by register") {
    route(11, 0x8051, 0);
    IrqLine& a = isa.add_source(11);
    IrqLine& b = isa.add_source(11);
    a.set(true);
    CHECK(read(0x10 + 22) == 0xC051);
    CHECK(apic0.acknowledge() == 0x51);
    b.set(true);
    a.set(false);
    CHECK(!pins[0].intr);
    apic0.mmio_write(0xB0, 4, 0);  // b still asserted: again
    CHECK(pins[0].intr);
    CHECK(apic0.acknowledge() == 0x51);
    b.set(false);
    apic0.mmio_write(0xB0, 4, 0);
    CHECK(!pins[0].intr);
    CHECK(read(0x10 + 22) == 0x8051);

    a.set(true);
    CHECK(apic0.acknowledge() == 0x51);
    a.set(false);
    io.mmio_write(0x40, 4, 0x51);
    CHECK(read(0x10 + 22) == 0x8051);
    a.set(true);
    write(0x10 + 22, 0x10051);  // masked and edge clears remote IRR
    CHECK(read(0x10 + 22) == 0x10051);
}

TEST_CASE_FIXTURE(Fixture, "a level that waits behind the mask is sent when it opens") {
    route(11, 0x18051, 0);
    isa.irq(11).set(true);
    CHECK(!pins[0].intr);
    write(0x10 + 22, 0x8051);
    CHECK(pins[0].intr);
}

TEST_CASE_FIXTURE(Fixture, "IRQ 0 arrives at input 2 and at the 8259") {
    route(2, 0x30, 0);
    pic.master_ports().port_write(0, 1, 0x11);
    pic.master_ports().port_write(1, 1, 0x08);
    pic.master_ports().port_write(1, 1, 4);
    pic.master_ports().port_write(1, 1, 1);
    pic.master_ports().port_write(1, 1, 0);
    isa.irq(0).set(true);
    CHECK(apic0.acknowledge() == 0x30);
    CHECK(pins[0].intr);  // virtual wire: LINT0 of the bootstrap processor
    CHECK(apic0.acknowledge() == 0x08);
    CHECK(!pins[0].intr);
    CHECK(!pins[1].intr);
}

TEST_CASE_FIXTURE(Fixture, "NMI and ExtINT entries") {
    route(5, 0x400, 1);
    isa.irq(5).pulse();
    CHECK(pins[1].nmi == 1);
    route(6, 0x700, 1);
    isa.irq(6).pulse();
    CHECK(pins[1].intr);
    CHECK(apic1.acknowledge() == 0x07);  // masked 8259: spurious level of base 0
    CHECK(!pins[1].intr);
}

TEST_CASE_FIXTURE(Fixture, "MSI") {
    bus.deliver_msi(0xFEE01000, 0x4041);
    CHECK(apic1.acknowledge() == 0x41);
    bus.deliver_msi(0xFEE01000, 0x8041);  // level de-assert
    CHECK(!pins[0].intr);
    bus.mmio_write(0x01000, 4, 0x0042);
    apic1.mmio_write(0xB0, 4, 0);
    CHECK(apic1.acknowledge() == 0x42);
    bus.deliver_msi(0xFEE00000, 0x05);  // illegal vector
    apic0.mmio_write(0x280, 4, 0);
    CHECK(apic0.mmio_read(0x280, 4) == 0x40);
}
