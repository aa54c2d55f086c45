// The MC146818: calendar, formats, SET and divider, update timing, alarm and periodic interrupts.
#include "platform/timer/rtc_cmos.h"

#include <doctest/doctest.h>

#include "bench.h"

using namespace rm;
using namespace rm::platform;
using namespace rm::platform::test;

namespace {

constexpr u64 kMs = 1'000'000, kSecond = 1'000'000'000;

struct Fixture : Bench {
    TimedLine irq{queue};
    RtcCmos rtc{queue, irq};

    u8 in(u8 index) {
        rtc.ports().port_write(0, 1, index);
        return rtc.ports().port_read(1, 1);
    }
    void out(u8 index, u8 value) {
        rtc.ports().port_write(0, 1, index);
        rtc.ports().port_write(1, 1, value);
    }
    void set_time(u8 century, u8 year, u8 month, u8 day, u8 hour, u8 minute, u8 second) {
        out(0x0B, in(0x0B) | 0x80);
        const u8 values[][2] = {{0x32, century}, {9, year},   {8, month}, {7, day},
                                {4, hour},       {2, minute}, {0, second}};
        for (auto& v : values) out(v[0], v[1]);
        out(0x0B, in(0x0B) & 0x7F);
    }
};

}  // namespace

TEST_CASE("calendar") {
    const CivilTime t = civil_from_seconds(1'709'210'096);  // Thursday
    CHECK((t.year == 2024 && t.month == 2 && t.day == 29 && t.hour == 12 && t.minute == 34));
    CHECK((t.second == 56 && t.weekday == 5));
    CHECK(seconds_from_civil(t) == 1'709'210'096);
    CHECK(civil_from_seconds(0).weekday == 5);
    CHECK(seconds_from_civil({.year = 2023, .month = 2, .day = 29}) ==
          seconds_from_civil({.year = 2023, .month = 3, .day = 1}));
    CHECK(civil_from_seconds(seconds_from_civil({.year = 1901, .month = 5})).year == 1901);
}

TEST_CASE_FIXTURE(Fixture, "time goes on, in BCD, binary, 24 and 12 hours") {
    CHECK(silent());
    CHECK(in(0x0D) == 0x80);
    CHECK((in(0x32) == 0x20 && in(9) == 0x24 && in(8) == 1 && in(7) == 1 && in(6) == 2));
    run_to_ns((13 * 3600 + 45 * 60 + 59) * kSecond);
    CHECK((in(4) == 0x13 && in(2) == 0x45 && in(0) == 0x59));
    out(0x0B, 0x00);
    CHECK(in(4) == 0x81);  // 1 p.m.
    out(0x0B, 0x06);
    CHECK((in(4) == 13 && in(2) == 45 && in(0) == 59 && in(0x32) == 20));
    run_for_ns(kSecond);
    CHECK((in(2) == 46 && in(0) == 0));
    out(0x0B, 0x00);
    set_time(0x20, 0x23, 0x12, 0x31, 0x92, 0x59, 0x59);  // 12:59:59 p.m.
    run_for_ns(kSecond);
    CHECK(in(4) == 0x81);
    set_time(0x20, 0x23, 0x12, 0x31, 0x12, 0x00, 0x00);
    out(0x0B, 0x02);
    CHECK(in(4) == 0x00);  // 12 a.m.
}

TEST_CASE_FIXTURE(Fixture, "setting: SET stops updates, carries, weekday counts by itself") {
    out(0x0B, 0x82);
    out(6, 7);
    const u8 second = in(0);
    run_for_ns(3 * kSecond);
    CHECK(in(0) == second);
    CHECK((in(0x0A) & 0x80) == 0);
    out(0x0B, 0x02);
    set_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    run_for_ns(kSecond);
    CHECK((in(0x32) == 0x20 && in(9) == 0 && in(8) == 1 && in(7) == 1));
    CHECK((in(4) == 0 && in(2) == 0 && in(0) == 0));
    CHECK(in(6) == 1);  // 7 went on to 1
    CHECK(rtc.now_seconds() == 946'684'800);
    out(2, 0x30);  // while running
    CHECK(rtc.now_seconds() == 946'684'800 + 1800);
}

TEST_CASE_FIXTURE(Fixture, "update in progress") {
    run_to_ns(kSecond - 3 * kMs);
    CHECK((in(0x0A) & 0x80) == 0);
    run_to_ns(kSecond - 2 * kMs);
    CHECK((in(0x0A) & 0x80) != 0);
    CHECK(in(0) == 0);
    run_to_ns(kSecond);
    CHECK((in(0x0A) & 0x80) == 0);
    CHECK(in(0) == 1);
}

TEST_CASE_FIXTURE(Fixture, "releasing the divider: first update after half a second") {
    run_to_ns(700 * kMs);
    out(0x0A, 0x76);
    run_for_ns(5 * kSecond);
    CHECK(in(0) == 0);
    out(0x0A, 0x26);
    run_for_ns(499 * kMs);
    CHECK(in(0) == 0);
    run_for_ns(2 * kMs);
    CHECK(in(0) == 1);
}

TEST_CASE_FIXTURE(Fixture, "update interrupt") {
    run_to_ns(300 * kMs);
    out(0x0B, 0x12);
    run_to_ns(2500 * kMs);
    CHECK(irq.rises == std::vector<u64>{kSecond});  // held until register C is read
    CHECK(in(0x0C) == 0xD0);                        // the periodic flag is set without PIE, too
    CHECK(!irq.level);
    CHECK(in(0x0C) == 0);
    run_to_ns(3 * kSecond);
    CHECK(irq.rises.size() == 2);
    out(0x0B, 0x92);  // SET clears UIE
    CHECK(in(0x0B) == 0x82);
    out(0x0B, 0x02);
    in(0x0C);
    CHECK(silent());
    run_for_ns(2 * kSecond);
    CHECK(in(0x0C) == 0x50);  // flags without interrupt
}

TEST_CASE_FIXTURE(Fixture, "periodic interrupt: exact, stops with rate 0") {
    out(0x0B, 0x42);  // 1024 Hz
    for (u64 ms = 1; ms <= 10'000; ++ms) {
        run_to_ns(ms * kMs);
        if (irq.level) CHECK((in(0x0C) & ~0x10) == 0xC0);
    }
    CHECK(irq.rises.size() >= 9990);
    CHECK(irq.rises[0] == 976'564);  // 1/1024 s, next tick
    out(0x0A, 0x20);
    in(0x0C);
    CHECK(silent());
}

TEST_CASE_FIXTURE(Fixture, "alarm") {
    out(1, 0x10);
    out(3, 0x02);
    out(5, 0xC0);  // every hour
    out(0x0B, 0x22);
    run_to_ns(122 * kSecond);
    CHECK(!irq.level);
    run_to_ns(3000 * kSecond);
    CHECK(irq.rises == std::vector<u64>{130 * kSecond});
    CHECK(in(0x0C) == 0xF0);
    run_to_ns(7000 * kSecond);
    CHECK(irq.rises.size() == 2);
    CHECK(irq.rises[1] == 3730 * kSecond);
    out(0x0B, 0x02);
    in(0x0C);
    CHECK(silent());
    run_to_ns(7400 * kSecond);
    CHECK(in(0x0C) == 0x70);
    out(5, 0x77);  // no such hour
    out(0x0B, 0x22);
    CHECK(silent());
}

TEST_CASE_FIXTURE(Fixture, "RAM, extended bank, NMI mask") {
    out(0x80 | 0x50, 0xAA);
    CHECK(rtc.nmi_masked());
    CHECK(in(0x50) == 0xAA);
    CHECK(!rtc.nmi_masked());
    rtc.extended_ports().port_write(0, 1, 0x50);
    CHECK(rtc.extended_ports().port_read(1, 1) == 0);
    rtc.extended_ports().port_write(1, 1, 0x55);
    CHECK(rtc.byte(0xD0) == 0x55);
    CHECK(in(0x50) == 0xAA);
    CHECK(rtc.ports().port_read(0, 1) == 0xFF);
    out(0x0D, 0);
    CHECK(in(0x0D) == 0x80);
    rtc.set_byte(0x34, 0xBF);
    CHECK(in(0x34) == 0xBF);
    out(0x0B, 0x72);
    run_for_ns(2 * kSecond);
    rtc.reset();
    CHECK(!irq.level);
    CHECK(in(0x0B) == 0x02);
    CHECK(in(0x50) == 0xAA);
}
