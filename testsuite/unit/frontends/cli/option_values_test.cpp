// Numbers, sizes, dates, switches and property lists of the command line.
#include <doctest/doctest.h>

#include "frontends/cli/option_values.h"

using namespace rm;
using namespace rm::frontends;

TEST_CASE("property lists: doubled commas, equals signs, empty parts") {
    const auto p = split_properties("a,b=c,,d,e==f,g=,,,h");
    REQUIRE(p.size() == 5);
    CHECK(p[0].key == "a");
    CHECK_FALSE(p[0].has_value);
    CHECK(p[1].key == "b");
    CHECK(p[1].value == "c,d");
    CHECK(p[2].value == "=f");
    CHECK(p[3].value == ",");
    CHECK(p[3].has_value);
    CHECK(p[4].key == "h");
    CHECK(split_properties("").size() == 1);
    CHECK(split_properties(",").size() == 2);
    CHECK(split_properties("a,").size() == 2);
}

TEST_CASE("numbers: decimal, hexadecimal, range, nothing else") {
    struct Case {
        const char* text;
        i64 value;  // -1: refused
    };
    for (const Case& c : {Case{"0", 0},
                          {"7", 7},
                          {"0x1f", 31},
                          {"0X1F", 31},
                          {"100", 100},
                          {"101", -1},
                          {"", -1},
                          {"0x", -1},
                          {"-1", -1},
                          {"+1", -1},
                          {" 1", -1},
                          {"1 ", -1},
                          {"1.5", -1},
                          {"12ab", -1},
                          {"99999999999999999999", -1}}) {
        const auto n = parse_number("-x", c.text, 0, 100);
        CHECK_MESSAGE(n.has_value() == (c.value >= 0), c.text);
        if (n) CHECK(*n == static_cast<u64>(c.value));
        if (!n) CHECK(n.error().message.starts_with("-x: '" + std::string(c.text) + "'"));
    }
}

TEST_CASE("memory sizes are MiB without a suffix") {
    struct Case {
        const char* text;
        u64 bytes;  // 0: refused
    };
    constexpr u64 kM = 1 << 20;
    for (const Case& c : {Case{"1", kM},
                          {"512", 512 * kM},
                          {"512M", 512 * kM},
                          {"512m", 512 * kM},
                          {"2G", 2048 * kM},
                          {"64G", 65536 * kM},
                          {"1024k", kM},
                          {"1048576B", kM},
                          {"0x10M", 16 * kM},
                          {"0x1b", 27 * kM},
                          {"65G", 0},
                          {"0", 0},
                          {"1023K", 0},
                          {"1025k", 0 /* not even pages */},
                          {"", 0},
                          {"G", 0},
                          {"-1", 0},
                          {"1.5G", 0},
                          {"1GG", 0},
                          {"1T", 0},
                          {"18446744073709551615G", 0},
                          {"1 G", 0}}) {
        const auto n = parse_memory_size("-m", c.text);
        CHECK_MESSAGE(n.has_value() == (c.bytes != 0), c.text);
        if (n) CHECK_MESSAGE(*n == c.bytes, c.text);
        if (!n) CHECK(n.error().message.find("is not a memory size") != std::string::npos);
    }
}

TEST_CASE("switches") {
    for (const char* yes : {"on", "yes", "true", ""}) CHECK(parse_on_off("-x", yes).value());
    for (const char* no : {"off", "no", "false"}) CHECK_FALSE(parse_on_off("-x", no).value());
    for (const char* bad : {"1", "ON", "offf", " on"})
        CHECK_FALSE(parse_on_off("-x", bad).has_value());
}

TEST_CASE("dates are UTC, exact to the character") {
    CHECK(parse_date("1970-01-01").value() == 0);
    CHECK(parse_date("1970-01-02T00:00:01").value() == 86401);
    CHECK(parse_date("2024-02-29T12:34:56").value() == 1709210096);
    CHECK(parse_date("2099-12-31T23:59:59").value() == 4102444799ull);
    CHECK(parse_date("0").value() == 0);
    CHECK(parse_date("1700000000").value() == 1700000000);
    for (const char* bad : {"",
                            "2023-02-29",
                            "2024-13-01",
                            "2024-00-10",
                            "2024-01-32",
                            "1969-12-31",
                            "2100-01-01",
                            "2024-01-01T24:00:00",
                            "2024-01-01T00:60:00",
                            "2024-01-01T00:00:60",
                            "2024-01-01T",
                            "2024-01-01T00:00",
                            "2024-01-01x",
                            "2024-1-1",
                            " 2024-01-01",
                            "+024-01-01",
                            "-5",
                            "2024-01-01T00:00:00Z",
                            "2024-01-01 00:00:00",
                            "today",
                            "99999999999"})
        CHECK_MESSAGE(!parse_date(bad).has_value(), bad);
}

TEST_CASE("the nearest name") {
    const std::vector<std::string> names{"machine", "M",      "m",         "kernel",
                                         "smp",     "serial", "singlestep"};
    CHECK(nearest("kernal", names) == "kernel");
    CHECK(nearest("KERNEL", names) == "kernel");
    CHECK(nearest("ker", names) == "kernel");
    CHECK(nearest("serail", names) == "serial");
    CHECK(nearest("single-step", names) == "singlestep");
    CHECK(nearest("", names) == "M");
    CHECK(nearest("x", {}) == "");
    CHECK_FALSE(nearest(std::string(100000, 'k'), names).empty());
}

TEST_CASE("address ranges: QEMU's three forms, in both bases") {
    struct Case {
        const char* text;
        u64 first, last;
    };
    constexpr u64 kTop = ~u64{0};
    for (const Case& c : {Case{"0x8000..0x8fff", 0x8000, 0x8fff},
                          {"4096..4096", 4096, 4096},
                          {"0xffffffc000080000+0x200", 0xffffffc000080000, 0xffffffc0000801ff},
                          {"0xffffffc000060000-0x1000", 0xffffffc00005f000, 0xffffffc00005ffff},
                          {"16+1", 16, 16},
                          {"16-16", 0, 15},
                          {"0..0xffffffffffffffff", 0, kTop},
                          {"0xffffffffffffffff+1", kTop, kTop}}) {
        const auto r = parse_address_ranges("-x", c.text);
        REQUIRE_MESSAGE(r.has_value(), c.text);
        CHECK(*r == std::vector{AddressRange{c.first, c.last}});
    }
    CHECK(*parse_address_ranges("-x", "1+1,5..6") == std::vector<AddressRange>{{1, 1}, {5, 6}});
    for (const char* bad : {"",      "0x1000", "1..",     "..1", "1.2",
                            "1...2", "+1",     "1+",      "1-",  "-1",
                            "2..1",  "1+0",    "1-0",     "1-2", "0xffffffffffffffff+2",
                            "1 +1",  "1+1+1",  "1..2..3", "g+1", "1..0xg"}) {
        const auto r = parse_address_ranges("-x", bad);
        REQUIRE_FALSE_MESSAGE(r.has_value(), bad);
        CHECK(r.error().message.starts_with("-x: '" + std::string(bad) + "'"));
        CHECK(r.error().message.ends_with("; use START+SIZE, START-SIZE or START..END"));
    }
    CHECK_FALSE(parse_address_ranges("-x", "1+1,").has_value());
    CHECK(parse_address_ranges("-x", "1+1,7,2+2").error().message.starts_with("-x: '7'"));
}
