// Bit fields, results and the -d item list.
#include <doctest/doctest.h>

#include <string>

#include "base/bits.h"
#include "base/log.h"
#include "base/result.h"

using namespace rm;

TEST_CASE("bit fields are total over their documented ranges") {
    CHECK(bits(0xF0, 7, 4) == 0xF);
    CHECK(bits(~u64{0}, 63, 0) == ~u64{0});
    CHECK(bits(bit(63), 63, 63) == 1);
    CHECK(low_mask(0) == 0);
    CHECK(low_mask(64) == ~u64{0});
    CHECK(low_mask(12) == 0xFFF);
    CHECK(has_bit(bit(63), 63));
    CHECK_FALSE(has_bit(bit(62), 63));
}

TEST_CASE("sign extension and alignment") {
    CHECK(sign_extend(0x80, 8) == 0xFFFF'FFFF'FFFF'FF80);
    CHECK(sign_extend(0x17F, 8) == 0x7F);
    CHECK(sign_extend(bit(47), 48) == 0xFFFF'8000'0000'0000);
    CHECK(sign_extend(5, 64) == 5);
    CHECK(align_down(0x1FFF, 0x1000) == 0x1000);
    CHECK(align_up(0x1001, 0x1000) == 0x2000);
    CHECK(align_up(0x1000, 0x1000) == 0x1000);
}

TEST_CASE("an error carries one formatted line") {
    const Result<int> bad = fail("option %s: %d is too big", "-m", 7);
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().message == "option -m: 7 is too big");
}

TEST_CASE("address ranges of the log") {
    CHECK(log::in_address_ranges(0, 0));  // none given: everything
    log::add_address_range(0x100, 0x1FF);
    log::add_address_range(~u64{0}, ~u64{0});
    CHECK(log::in_address_ranges(0x100, 0x100));
    CHECK(log::in_address_ranges(0x1FF, 0x300));
    CHECK(log::in_address_ranges(0, 0x100));
    CHECK(log::in_address_ranges(0, 0x1000));
    CHECK_FALSE(log::in_address_ranges(0, 0xFF));
    CHECK_FALSE(log::in_address_ranges(0x200, 0x200));
    CHECK(log::in_address_ranges(~u64{0}, ~u64{0}));
}

TEST_CASE("-d lists are taken whole or name the first unknown item") {
    const char* bad = nullptr;
    CHECK_FALSE(log::enabled(log::Item::kInAsm));
    CHECK(log::enable_list("in_asm,unimp", &bad));
    CHECK(log::enabled(log::Item::kInAsm));
    CHECK(log::enabled(log::Item::kUnimp));
    CHECK_FALSE(log::enabled(log::Item::kHash));
    CHECK_FALSE(log::enable_list("mm", &bad));
    CHECK(std::string(bad) == "mm");
    CHECK_FALSE(log::enable_list("int,nonsense", &bad));
    CHECK(std::string(bad) == "nonsense");
}
