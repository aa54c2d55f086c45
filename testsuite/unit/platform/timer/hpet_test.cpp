// The HPET's registers, one-shot and periodic comparators, level interrupts, legacy replacement;
// and the small devices beside it: ACPI timer, port 92H.
#include "platform/timer/hpet.h"

#include <doctest/doctest.h>

#include "bench.h"
#include "platform/timer/acpi_pm_timer.h"
#include "platform/timer/port92.h"

using namespace rm;
using namespace rm::platform;
using namespace rm::platform::test;

namespace {

struct Fixture : Bench {
    TimedLine irq0{queue}, irq8{queue}, pin2{queue};
    Hpet hpet{queue, irq0, irq8, pin2};

    u64 rd(u64 offset, unsigned size = 8) { return hpet.mmio_read(offset, size); }
    void wr(u64 offset, u64 value, unsigned size = 8) { hpet.mmio_write(offset, size, value); }
};

constexpr u64 kRoute2 = 2 << 9, kEnable = 4, kLevel = 2, kPeriodic = 8, kSet = 0x40, k32 = 0x100;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "capabilities and access sizes") {
    CHECK(rd(0) == 0x009896808086A201);
    CHECK(rd(0, 4) == 0x8086A201);
    CHECK(rd(4, 4) == 10'000'000);
    CHECK(rd(2, 2) == 0x8086);
    CHECK(rd(0x100) == 0x0000000400000030);
    CHECK(rd(0x160) == 0);
    wr(0x100, kRoute2 | kEnable);
    CHECK(rd(0x100, 4) == (0x30 | kRoute2 | kEnable));
    wr(0x100, 5 << 9 | kEnable);  // a route that is not offered does not stick
    CHECK(rd(0x100, 4) == (0x30 | kRoute2 | kEnable));
    wr(0xF0, 0x1122334455667788);
    CHECK(rd(0xF4, 4) == 0x11223344);
    wr(0xF0, 0, 4);
    CHECK(rd(0xF0) == 0x1122334400000000);
    for (u64 offset = 0; offset < Hpet::kSize; offset += 4) {
        wr(offset, ~u64{0}, 4);
        rd(offset, 4);
    }
}

TEST_CASE_FIXTURE(Fixture, "the counter runs while enabled") {
    run_to_ns(1000);
    CHECK(rd(0xF0) == 0);
    wr(0x10, 1);
    run_to_ns(2004);
    CHECK(rd(0xF0) == 100);
    wr(0xF0, 5);  // running: ignored
    wr(0x10, 1);  // no restart, no lost phase
    run_to_ns(2012);
    CHECK(rd(0xF0) == 101);
    wr(0x10, 0);
    run_to_ns(3000);
    CHECK(rd(0xF0) == 101);
}

TEST_CASE_FIXTURE(Fixture, "one-shot on I/O APIC input 2") {
    wr(0x120, kRoute2 | kEnable);
    wr(0x10, 1);
    wr(0x128, 100);
    run_to_ns(996);
    CHECK(pin2.rises.empty());
    run_to_ns(5000);
    CHECK(pin2.rises == std::vector<u64>{1000});
    CHECK(silent());
    wr(0x128, 50);  // passed: not before the counter wraps
    CHECK(silent());
    wr(0x120, kRoute2 | kEnable | k32);
    run_to_ns((u64{1} << 32) * 10 + 496);
    CHECK(pin2.rises.size() == 1);
    run_to_ns((u64{1} << 32) * 10 + 500);
    CHECK(pin2.rises.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "periodic: as Linux programs it, no drift") {
    wr(0x10, 1);
    wr(0x100, kRoute2 | kEnable | kPeriodic | kSet | k32, 4);
    wr(0x108, 1000, 4);
    CHECK((rd(0x100, 4) & kSet) == 0);
    wr(0x108, 333, 4);
    run_to_ns(10'000 + 3330 * 1000);
    REQUIRE(pin2.rises.size() == 1001);
    CHECK(pin2.rises[0] == 10'000);
    CHECK(pin2.rises[1000] == 10'000 + 3330 * 1000);
    CHECK(rd(0x108) == 1000 + 333 * 1001);
    wr(0x108, 0, 4);  // period 0: no runaway
    run_for_ns(1'000'000);
    CHECK(silent() == false);  // only the 32-bit wrap is ahead
    CHECK(pin2.rises.size() <= 1002);
}

TEST_CASE_FIXTURE(Fixture, "level interrupts stay until the status bit is cleared") {
    wr(0x140, kRoute2 | kEnable | kLevel);
    wr(0x10, 1);
    wr(0x148, 10);
    run_to_ns(1000);
    CHECK(pin2.level);
    CHECK(rd(0x20) == 4);
    wr(0x20, 2);
    CHECK(pin2.level);
    wr(0x20, 4);
    CHECK(!pin2.level);
    CHECK(rd(0x20) == 0);
}

TEST_CASE_FIXTURE(Fixture, "legacy replacement takes IRQ 0 and 8 over") {
    hpet.pit_input().set(true);
    CHECK(irq0.level);
    hpet.rtc_input().set(true);
    CHECK(irq8.level);
    wr(0x10, 3);
    CHECK(!irq0.level);
    CHECK(!irq8.level);
    hpet.pit_input().pulse();
    CHECK(irq0.rises.size() == 1);
    wr(0x100, kEnable);
    wr(0x108, 10);
    wr(0x120, kEnable);
    wr(0x128, 20);
    run_to_ns(1000);
    CHECK(irq0.rises.size() == 2);
    CHECK(irq8.rises.size() == 2);
    CHECK(pin2.rises.empty());
    wr(0x10, 1);
    CHECK(irq8.level);  // the clock's line again
    CHECK(!irq0.level);
    hpet.reset();
    CHECK(rd(0x10) == 0);
    CHECK(rd(0x108) == ~u64{0});
}

TEST_CASE_FIXTURE(Bench, "ACPI timer") {
    AcpiPmTimer timer(queue);
    CHECK(timer.read() == 0);
    run_to_ns(1'000'000'000);
    CHECK(timer.read() == 3'579'545);
    const u64 next = timer.next_toggle_ns();
    run_to_ns(next - 4);
    CHECK(timer.read() == 0x7FFFFF);
    run_to_ns(next + 4);
    CHECK(timer.read() == 0x800000);
    CHECK(timer.toggles() == 1);
    run_to_ns(5'000'000'000);
    CHECK(timer.read() == (u64{5} * 3'579'545 & 0xFFFFFF));
}

TEST_CASE_FIXTURE(Bench, "port 92H") {
    TimedLine a20(queue);
    int resets = 0;
    Port92 port(a20, [&] { ++resets; });
    CHECK(port.port_read(0, 1) == 0);
    port.port_write(0, 1, 2);
    CHECK(a20.level);
    CHECK(resets == 0);
    port.port_write(0, 1, 3);
    port.port_write(0, 1, 3);
    CHECK(resets == 1);
    port.reset();
    CHECK(!a20.level);
}
