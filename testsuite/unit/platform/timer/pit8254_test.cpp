// The 8254's modes, latches and read-back, counter 0's interrupt, and port 61H.
#include "platform/timer/pit8254.h"

#include <doctest/doctest.h>

#include "bench.h"
#include "platform/clock/rates.h"
#include "platform/timer/port61.h"

using namespace rm;
using namespace rm::platform;
using namespace rm::platform::test;

namespace {

struct Fixture : Bench {
    TimedLine irq{queue};
    Pit8254 pit{queue, irq};
    Port61 port61{pit};

    void out(u16 port, u8 value) { pit.port_write(port - 0x40, 1, value); }
    u8 in(u16 port) { return pit.port_read(port - 0x40, 1); }
    void count(unsigned n, u16 value) {
        out(0x40 + n, value & 0xFF);
        out(0x40 + n, value >> 8);
    }
    u16 read_latched(unsigned n) {
        out(0x43, n << 6);
        const u8 low = in(0x40 + n);
        return low | in(0x40 + n) << 8;
    }
    void run_to_cycle(u64 cycle) { run_to_ns(ns_of_cycle(cycle, kPitHz) + 3); }
    bool out2() { return port61.port_read(0, 1) & 0x20; }
    void gate2(bool on) { port61.port_write(0, 1, on); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "silent until programmed") { CHECK(silent()); }

TEST_CASE_FIXTURE(Fixture, "mode 2 on counter 0: exact period, no drift") {
    irq.rises.clear();
    out(0x43, 0x34);
    count(0, 1193);
    run_to_ns(10'000'000'000);  // 10 s
    const u64 expected = cycles_at_ns(10'000'000'000, kPitHz) / 1193;
    REQUIRE(irq.rises.size() == expected);
    for (u64 k : {u64{1}, u64{500}, expected}) {
        const u64 due = ns_of_cycle(1193 * k, kPitHz);
        CHECK(irq.rises[k - 1] >= due);
        CHECK(irq.rises[k - 1] < due + 4);
    }
}

TEST_CASE_FIXTURE(Fixture, "mode 0 on counter 0: one interrupt") {
    out(0x43, 0x30);
    CHECK(!irq.level);
    irq.rises.clear();
    count(0, 100);
    run_to_cycle(99);
    CHECK(irq.rises.empty());
    CHECK(read_latched(0) == 1);
    run_to_cycle(100);
    CHECK(irq.level);
    CHECK(silent());
    run_to_cycle(110);
    CHECK(read_latched(0) == 65526);  // goes on below zero
    out(0x40, 5);                     // first byte of a new count: OUT low
    CHECK(!irq.level);
    out(0x40, 0);
    run_to_cycle(115);
    CHECK(irq.rises.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "mode 4 strobes low for one cycle") {
    out(0x43, 0x38);
    irq.rises.clear();
    count(0, 10);
    CHECK(irq.level);
    run_to_cycle(11);
    CHECK(irq.rises.size() == 1);
    CHECK(silent());
}

TEST_CASE_FIXTURE(Fixture, "mode 3: square wave, counts by two, odd counts") {
    gate2(true);
    out(0x43, 0xB6);
    count(2, 7);
    const bool expect_out[] = {1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0};
    const u16 expect_count[] = {6, 4, 2, 0, 6, 4, 2, 6, 4, 2, 0, 6, 4, 2};
    const u64 base = pit.now();
    for (unsigned i = 0; i < 14; ++i) {
        run_to_cycle(base + i);
        CHECK(out2() == expect_out[i]);
        CHECK(read_latched(2) == expect_count[i]);
    }
}

TEST_CASE_FIXTURE(Fixture, "a new count waits for the end of the period") {
    gate2(true);
    out(0x43, 0xB4);  // mode 2
    count(2, 10);
    run_to_cycle(4);
    count(2, 100);
    out(0x43, 0xE8);  // read-back status of counter 2: null count
    CHECK((in(0x42) & 0x40) != 0);
    CHECK(read_latched(2) == 6);
    run_to_cycle(10);
    CHECK(read_latched(2) == 100);
    out(0x43, 0xE8);
    CHECK(in(0x42) == 0xB4);
    out(0x43, 0xB6);  // mode 3: at the end of the half period
    count(2, 20);
    const u64 base = pit.now();
    run_to_cycle(base + 3);
    count(2, 8);
    run_to_cycle(base + 9);
    CHECK(out2());
    run_to_cycle(base + 10);
    CHECK(!out2());
    run_to_cycle(base + 14);
    CHECK(out2());
    run_to_cycle(base + 18);
    CHECK(!out2());
}

TEST_CASE_FIXTURE(Fixture, "gate: mode 0 pauses, mode 2 restarts") {
    gate2(true);
    out(0x43, 0xB0);
    count(2, 100);
    run_to_cycle(30);
    gate2(false);
    run_to_cycle(60);
    CHECK(read_latched(2) == 70);
    gate2(true);
    run_to_cycle(129);
    CHECK(!out2());
    run_to_cycle(130);
    CHECK(out2());
    out(0x43, 0xB4);
    count(2, 50);
    run_to_cycle(140);
    gate2(false);
    CHECK(out2());
    run_to_cycle(200);
    gate2(true);
    CHECK(read_latched(2) == 50);
    run_to_cycle(249);
    CHECK(!out2());
    run_to_cycle(250);
    CHECK(out2());
}

TEST_CASE_FIXTURE(Fixture, "gate: modes 1 and 5 are triggered") {
    out(0x43, 0xB2);
    count(2, 10);
    CHECK(out2());
    gate2(true);
    CHECK(!out2());
    run_to_cycle(5);
    gate2(false);
    gate2(true);  // retrigger
    run_to_cycle(14);
    CHECK(!out2());
    run_to_cycle(15);
    CHECK(out2());
    gate2(false);
    out(0x43, 0xBA);
    count(2, 4);
    gate2(true);
    run_to_cycle(18);
    CHECK(out2());
    run_to_cycle(19);
    CHECK(!out2());
    run_to_cycle(20);
    CHECK(out2());
}

TEST_CASE_FIXTURE(Fixture, "BCD, byte accesses, latch and read-back") {
    gate2(true);
    out(0x43, 0xB1);  // BCD, mode 0
    count(2, 0x1000);
    run_to_cycle(1);
    CHECK(read_latched(2) == 0x0999);
    run_to_cycle(1001);
    CHECK(read_latched(2) == 0x9999);
    out(0x43, 0xA0);  // high byte only, mode 0
    out(0x42, 2);
    const u64 base = pit.now();
    run_to_cycle(base + 1);
    CHECK(in(0x42) == 1);
    out(0x43, 0xC8);  // latch count and status of counter 2
    run_to_cycle(base + 300);
    CHECK((in(0x42) & 0x7F) == 0x20);  // status first
    CHECK(in(0x42) == 1);              // then the latched count
    CHECK(in(0x42) == 0);              // 511 - 299 = 212, high byte
    out(0x43, 0xB0);
    count(2, 0);  // 65536
    CHECK(read_latched(2) == 0);
    run_for_ns(1000);
    CHECK(read_latched(2) == 0xFFFF);
    CHECK(in(0x43) == 0xFF);
}

TEST_CASE_FIXTURE(Fixture, "port 61H") {
    CHECK((port61.port_read(0, 1) & 0xCF) == 0);
    port61.port_write(0, 1, 0xFF);
    CHECK((port61.port_read(0, 1) & 0xCF) == 0x0F);
    const u8 before = port61.port_read(0, 1) & 0x10;
    run_for_ns(15'100);
    CHECK((port61.port_read(0, 1) & 0x10) != before);
}
