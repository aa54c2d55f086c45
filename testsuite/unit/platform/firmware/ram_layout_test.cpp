// The RAM split around the PCI hole and the E820 file.
#include "platform/firmware/ram_layout.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace rm;
using namespace rm::platform;

TEST_CASE("RAM split") {
    struct Row {
        u64 ram, below, above;
    };
    constexpr u64 kG = u64{1} << 30;
    for (const Row& row : {Row{64 << 20, 64 << 20, 0}, Row{3 * kG, 3 * kG, 0},
                           Row{0xDFFFF000, 0xDFFFF000, 0}, Row{0xE0000000, 3 * kG, kG / 2},
                           Row{4 * kG, 3 * kG, kG}, Row{64 * kG, 3 * kG, 61 * kG}}) {
        const RamLayout layout = RamLayout::of(row.ram);
        CHECK(layout.below_4g == row.below);
        CHECK(layout.above_4g == row.above);
        CHECK(layout.total() == row.ram);
    }
}

TEST_CASE("etc/e820") {
    const auto small = e820_file(RamLayout::of(64 << 20));
    REQUIRE(small.size() == 20);
    u64 length = 0;
    std::memcpy(&length, small.data() + 8, 8);
    CHECK(length == 64 << 20);
    CHECK(small[16] == 1);
    CHECK(e820_file(RamLayout::of(u64{8} << 30)).size() == 40);
}
