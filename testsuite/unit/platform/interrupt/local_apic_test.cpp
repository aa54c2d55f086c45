// Local APIC: registers in both modes, priorities, IPIs, destinations, LVT, timer, mode changes.
#include "platform/interrupt/local_apic.h"

#include <doctest/doctest.h>

#include "fakes.h"
#include "platform/interrupt/io_apic.h"

using namespace rm;
using namespace rm::platform;
using namespace rm::platform::test;

namespace {

struct Fixture {
    EventQueue queue;
    ApicBus bus;
    FakePins pins[3];
    LocalApic a{0, true, queue, bus, {}};
    LocalApic b{1, false, queue, bus, {}};
    LocalApic c{2, false, queue, bus, {.x2apic = false, .tsc_deadline = false}};

    Fixture() {
        a.connect(pins[0]);
        b.connect(pins[1]);
        c.connect(pins[2]);
    }
    u32 rd(LocalApic& apic, u32 offset) { return static_cast<u32>(apic.mmio_read(offset, 4)); }
    void wr(LocalApic& apic, u32 offset, u32 value) { apic.mmio_write(offset, 4, value); }
    void on() {
        for (LocalApic* apic : {&a, &b, &c}) wr(*apic, 0xF0, 0x1FF);
    }
    void x2apic(LocalApic& apic) { REQUIRE(apic.set_apic_base(apic.apic_base() | 0x400)); }
    void eoi(LocalApic& apic) { wr(apic, 0xB0, 0); }
    void at_ns(u64 ns) {
        while (queue.next_deadline_ticks() <= ns / 4) {
            queue.advance_to(queue.next_deadline_ticks());
            queue.fire_due();
        }
        queue.advance_to(ns / 4);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "state after power-up") {
    CHECK(a.apic_base() == 0xFEE00900);
    CHECK(b.apic_base() == 0xFEE00800);
    CHECK(rd(a, 0x30) == 0x00050014);
    CHECK(rd(b, 0x20) == 0x01000000);
    CHECK(rd(a, 0xF0) == 0xFF);
    CHECK(rd(a, 0xE0) == 0xFFFFFFFF);
    CHECK(rd(a, 0x350) == 0x700);
    CHECK(rd(b, 0x350) == 0x10000);
    for (u32 lvt : {0x320, 0x330, 0x340, 0x360, 0x370}) CHECK(rd(a, lvt) == 0x10000);
    bus.lint0().set(true);
    CHECK(pins[0].intr);
    CHECK(!pins[1].intr);
}

TEST_CASE_FIXTURE(Fixture, "priorities: TPR, PPR, nesting, spurious") {
    on();
    wr(a, 0x310, 0);
    wr(a, 0x300, 0x4041);
    wr(a, 0x300, 0x4055);
    CHECK(a.highest_request() == 0x55);
    CHECK(a.acknowledge() == 0x55);
    CHECK(rd(a, 0xA0) == 0x50);
    CHECK(!pins[0].intr);  // 41H is of a lower class
    CHECK(a.highest_pending() == -1);
    wr(a, 0x300, 0x405F);  // same class as in service: waits
    CHECK(!pins[0].intr);
    wr(a, 0x300, 0x4061);
    CHECK(pins[0].intr);
    a.set_tpr(0x60);
    CHECK(!pins[0].intr);
    CHECK(a.acknowledge() == 0xFF);  // withdrawn: spurious, nothing in service
    CHECK(rd(a, 0xA0) == 0x60);
    a.set_tpr(0);
    CHECK(a.acknowledge() == 0x61);
    eoi(a);
    eoi(a);
    CHECK(a.acknowledge() == 0x5F);
    eoi(a);
    CHECK(a.acknowledge() == 0x41);
    eoi(a);
    eoi(a);  // nothing in service: no effect
    CHECK(rd(a, 0xA0) == 0);
}

TEST_CASE_FIXTURE(Fixture, "software disable") {
    on();
    wr(a, 0x300, 0x4041);
    wr(a, 0xF0, 0xFF);
    CHECK(!pins[0].intr);
    CHECK(rd(a, 0x350) == 0x10700);
    wr(a, 0x350, 0x700);
    CHECK(rd(a, 0x350) == 0x10700);
    wr(a, 0x300, 0x4042);  // not accepted
    CHECK(a.highest_request() == 0x41);
    wr(a, 0x300, 0x500 | 3 << 18);  // can still send
    CHECK(pins[1].init == 1);
    wr(a, 0xF0, 0x1FF);
    CHECK(a.acknowledge() == 0x41);
}

TEST_CASE_FIXTURE(Fixture, "INIT, SIPI, NMI, SMI and their shorthands") {
    wr(a, 0x310, 0x01000000);
    wr(a, 0x300, 0xC500);
    wr(a, 0x300, 0x8500);  // level de-assert: nothing
    wr(a, 0x300, 0x0608);
    CHECK(pins[1].init == 1);
    CHECK(pins[1].sipi == std::vector<u8>{0x08});
    CHECK(pins[2].init == 0);
    wr(a, 0x300, 0xC4400);
    CHECK(pins[0].nmi == 0);
    CHECK(pins[1].nmi == 1);
    CHECK(pins[2].nmi == 1);
    wr(a, 0x300, 0x40500);  // INIT to self is not valid
    CHECK(pins[0].init == 0);
    wr(a, 0x310, 0xFF000000);
    wr(a, 0x300, 0x0200);
    CHECK(pins[0].smi == 1);
    CHECK(pins[2].smi == 1);
}

TEST_CASE_FIXTURE(Fixture, "logical destinations: flat and cluster") {
    on();
    wr(a, 0xD0, 0x01000000);
    wr(b, 0xD0, 0x02000000);
    wr(c, 0xD0, 0x04000000);
    wr(a, 0x310, 0x06000000);
    wr(a, 0x300, 0x0840);
    CHECK(!pins[0].intr);
    CHECK(pins[1].intr);
    CHECK(pins[2].intr);
    for (LocalApic* apic : {&a, &b, &c}) wr(*apic, 0xE0, 0x0FFFFFFF);
    wr(a, 0xD0, 0x11000000);
    wr(b, 0xD0, 0x12000000);
    wr(c, 0xD0, 0x21000000);
    b.acknowledge();
    c.acknowledge();
    eoi(b);
    eoi(c);
    wr(a, 0x310, 0x13000000);
    wr(a, 0x300, 0x0840);
    CHECK(pins[0].intr);
    CHECK(pins[1].intr);
    CHECK(!pins[2].intr);
}

TEST_CASE_FIXTURE(Fixture, "lowest priority goes to the least busy, first on a tie") {
    on();
    a.set_tpr(0x30);
    wr(a, 0x310, 0xFF000000);
    wr(a, 0x300, 0x0941);
    CHECK(!pins[0].intr);
    CHECK(pins[1].intr);
    wr(a, 0x300, 0x0942);  // b now has a request
    CHECK(pins[2].intr);
    CHECK(b.highest_request() == 0x41);
}

TEST_CASE_FIXTURE(Fixture, "errors") {
    on();
    wr(a, 0x370, 0xE0);
    wr(a, 0x300, 0x4005);
    CHECK(rd(a, 0x280) == 0);
    wr(a, 0x280, 0);
    CHECK(rd(a, 0x280) == 0x20);
    CHECK(a.acknowledge() == 0xE0);
    wr(a, 0x280, 0);
    CHECK(rd(a, 0x280) == 0);
    rd(a, 0x40);
    wr(a, 0x370, 0x02);  // an error entry with an illegal vector must not recurse
    wr(a, 0x300, 0x4005);
    wr(a, 0x280, 0);
    CHECK(rd(a, 0x280) == 0xE0);
}

TEST_CASE_FIXTURE(Fixture, "LINT0 and LINT1 modes") {
    on();
    wr(a, 0x350, 0x700);
    bus.set_pic_acknowledge([&] {
        bus.lint0().set(false);
        return u8{0x77};
    });
    bus.lint0().set(true);
    CHECK(a.acknowledge() == 0x77);
    CHECK(!pins[0].intr);
    CHECK(a.highest_in_service() == -1);
    wr(a, 0x360, 0x400);
    bus.lint1().set(true);
    bus.lint1().set(true);
    CHECK(pins[0].nmi == 1);
    CHECK(pins[1].nmi == 0);
    wr(b, 0x350, 0x8060);  // fixed, level
    bus.lint0().set(true);
    CHECK(rd(b, 0x350) == 0xC060);
    CHECK(b.acknowledge() == 0x60);
    eoi(b);
    CHECK(pins[1].intr);  // still asserted
    b.acknowledge();
    bus.lint0().set(false);
    eoi(b);
    CHECK(!pins[1].intr);
    CHECK(rd(b, 0x350) == 0x8060);
}

TEST_CASE_FIXTURE(Fixture, "one-shot timer, divide, current count") {
    on();
    wr(a, 0x320, 0x40);
    wr(a, 0x3E0, 0xB);  // divide by 1
    wr(a, 0x380, 1000);
    at_ns(400);
    CHECK(rd(a, 0x390) == 600);
    wr(a, 0x3E0, 0x3);  // by 16: 600 more counts are 9600 ns
    at_ns(400 + 1600);
    CHECK(rd(a, 0x390) == 500);
    at_ns(9996);
    CHECK(!pins[0].intr);
    at_ns(10000);
    CHECK(pins[0].intr);
    CHECK(rd(a, 0x390) == 0);
    CHECK(rd(a, 0x380) == 1000);
    CHECK(queue.next_deadline_ticks() == EventQueue::kNever);
}

TEST_CASE_FIXTURE(Fixture, "periodic timer does not drift") {
    on();
    wr(a, 0x320, 0x20040);
    wr(a, 0x3E0, 0xB);
    wr(a, 0x380, 333);  // not a multiple of a tick
    int count = 0;
    for (u64 t = 4; t <= 333'000; t += 4) {
        at_ns(t);
        queue.fire_due();
        if (!pins[0].intr) continue;
        ++count;
        CHECK(t >= u64{333} * count);
        CHECK(t < u64{333} * count + 4);
        a.acknowledge();
        eoi(a);
    }
    CHECK(count == 1000);
    wr(a, 0x320, 0x30040);  // masked: keeps counting
    at_ns(333'000 + 100);
    CHECK(rd(a, 0x390) == 233);
    wr(a, 0x380, 0);
    CHECK(rd(a, 0x390) == 0);
}

TEST_CASE_FIXTURE(Fixture, "TSC deadline") {
    on();
    u64 value = 1;
    CHECK(a.msr_write(0x6E0, 5000));  // not in deadline mode: ignored
    CHECK(a.msr_read(0x6E0, value));
    CHECK(value == 0);
    CHECK(!c.msr_write(0x6E0, 5000));
    wr(c, 0x320, 0x40040);
    CHECK(rd(c, 0x320) == 0x40);
    wr(a, 0x320, 0x40040);
    CHECK(a.msr_write(0x6E0, 5000));  // TSC 5000 = 2500 ns
    at_ns(2496);
    CHECK(!pins[0].intr);
    at_ns(2500);
    CHECK(pins[0].intr);
    a.msr_read(0x6E0, value);
    CHECK(value == 0);
    a.acknowledge();
    eoi(a);
    a.tsc_offset_changed(10000);
    a.msr_write(0x6E0, 12000);  // already past with the offset
    CHECK(pins[0].intr);
    a.acknowledge();
    eoi(a);
    a.msr_write(0x6E0, ~u64{0});
    CHECK(queue.next_deadline_ticks() > u64{1} << 60);
    wr(a, 0x320, 0x40);  // leaving the mode disarms
    CHECK(queue.next_deadline_ticks() == EventQueue::kNever);
}

TEST_CASE_FIXTURE(Fixture, "mode changes and #GP rules of IA32_APIC_BASE") {
    on();
    CHECK(!a.set_apic_base(0xFEE00500));          // extended without enable
    CHECK(!a.set_apic_base(0xFEE00900 | 0x200));  // reserved
    CHECK(!a.set_apic_base(u64{1} << 40 | 0xFEE00900));
    CHECK(!c.set_apic_base(0xFEE00C00));  // model without x2APIC
    CHECK(a.set_apic_base(0xF0000900));
    CHECK(a.mmio_base() == 0xF0000000);
    a.set_tpr(0x20);
    wr(a, 0xD0, 0x01000000);
    x2apic(a);
    CHECK(a.tpr() == 0x20);
    CHECK(!a.mmio_enabled());
    CHECK(!a.set_apic_base(0xFEE00900));  // back to xAPIC directly
    CHECK(a.set_apic_base(0xFEE00100));
    CHECK(!a.set_apic_base(0xFEE00D00));  // disabled to x2APIC
    CHECK(a.set_apic_base(0xFEE00900));
    CHECK(a.tpr() == 0);
    bus.lint0().set(true);
    a.set_apic_base(0xFEE00100);
    CHECK(pins[0].intr);  // LINT0 is INTR now
}

TEST_CASE_FIXTURE(Fixture, "x2APIC registers and IPIs") {
    on();
    u64 v = 0;
    CHECK(!a.msr_read(0x802, v));
    x2apic(a);
    x2apic(b);
    CHECK((b.msr_read(0x802, v) && v == 1));
    CHECK((b.msr_read(0x80D, v) && v == 2));
    CHECK(!b.msr_write(0x80D, 1));
    CHECK(!b.msr_read(0x80B, v));
    CHECK(!b.msr_read(0x80E, v));
    CHECK(!b.msr_read(0x831, v));
    CHECK(!b.msr_read(0x82F, v));
    CHECK(!b.msr_read(0x83F, v));
    CHECK(!b.msr_read(0x8FF, v));
    CHECK(!b.msr_write(0x808, 0x100));
    CHECK(!b.msr_write(0x80B, 1));
    CHECK(!b.msr_write(0x828, 1));
    CHECK(!b.msr_write(0x80F, 0x11FF));
    CHECK(!b.msr_write(0x832, 0x60020));
    CHECK(b.msr_write(0x808, 0x10));
    CHECK(a.msr_write(0x830, u64{1} << 32 | 0x4071));
    CHECK((a.msr_read(0x830, v) && v == (u64{1} << 32 | 0x4071)));
    CHECK(b.acknowledge() == 0x71);
    CHECK((b.msr_read(0x813, v) && v == u64{1} << 17));
    CHECK(b.msr_write(0x80B, 0));
    CHECK(a.msr_write(0x830, u64{3} << 32 | 0x0872));  // logical: cluster 0, members 0 and 1
    CHECK(pins[0].intr);
    CHECK(pins[1].intr);
    CHECK(a.msr_write(0x830, u64{0xFFFFFFFF} << 32 | 0x73));
    CHECK(c.highest_request() == 0x73);
    CHECK(b.msr_write(0x83F, 0x80));
    CHECK(b.acknowledge() == 0x80);
}

TEST_CASE_FIXTURE(Fixture, "INIT keeps id and base, clears the rest") {
    on();
    x2apic(b);
    b.msr_write(0x808, 0x40);
    b.msr_write(0x83F, 0x80);
    b.reset(true);
    CHECK(b.x2apic_mode());
    CHECK(b.tpr() == 0);
    CHECK(!pins[1].intr);
    b.reset(false);
    CHECK(b.apic_base() == 0xFEE00800);
}

TEST_CASE_FIXTURE(Fixture, "narrow and misaligned accesses to the page") {
    on();
    wr(a, 0x80, 0xAB);
    CHECK(a.mmio_read(0x80, 1) == 0xAB);
    CHECK(a.mmio_read(0x31, 1) == 0x00);
    CHECK(a.mmio_read(0x32, 2) == 0x0005);
    CHECK(a.mmio_read(0x84, 4) == 0);
    CHECK(a.mmio_read(0x80, 8) == 0xAB);
    a.mmio_write(0x80, 1, 0);
    a.mmio_write(0x84, 4, 0);
    CHECK(a.tpr() == 0xAB);
    for (u32 offset = 0; offset < 0x1000; ++offset) {  // nothing a guest does here may crash
        a.mmio_read(offset, 1);
        a.mmio_write(offset, 4, 0xFFFFFFFF);
    }
}
