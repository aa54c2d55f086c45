// SMBIOS structures: the table can be walked, lengths and counts agree with the anchor.
#include "platform/acpi/smbios.h"

#include <doctest/doctest.h>

#include <cstring>
#include <map>

using namespace rm;
using namespace rm::platform;

TEST_CASE("structures and anchor agree") {
    const SmbiosFiles s = build_smbios({.cpus = 2, .ram = RamLayout::of(u64{5} << 30)});
    REQUIRE(s.anchor.size() == 31);
    CHECK(std::memcmp(s.anchor.data(), "_SM_", 4) == 0);
    CHECK(s.anchor[5] == 31);
    CHECK(std::memcmp(s.anchor.data() + 16, "_DMI_", 5) == 0);
    CHECK((s.anchor[0x16] | s.anchor[0x17] << 8) == static_cast<int>(s.tables.size()));
    std::map<u8, unsigned> seen;
    size_t at = 0, largest = 0;
    unsigned count = 0;
    while (at + 4 <= s.tables.size()) {
        const size_t start = at;
        ++seen[s.tables[at]];
        ++count;
        at += s.tables[at + 1];
        while (at + 1 < s.tables.size() && (s.tables[at] || s.tables[at + 1])) ++at;
        at += 2;
        largest = std::max(largest, at - start);
    }
    CHECK(at == s.tables.size());
    CHECK((s.anchor[0x1C] | s.anchor[0x1D] << 8) == static_cast<int>(count));
    CHECK((s.anchor[8] | s.anchor[9] << 8) == static_cast<int>(largest));
    CHECK(seen[4] == 2);
    CHECK(seen[19] == 2);
    for (u8 type : {1, 3, 16, 17, 32, 127}) CHECK(seen[type] == 1);
}

TEST_CASE("formatted lengths are the specification's") {
    const SmbiosFiles s = build_smbios({.cpus = 1, .ram = RamLayout::of(64 << 20)});
    const std::map<u8, u8> lengths = {{1, 27},  {3, 22},  {4, 42},  {16, 23},
                                      {17, 40}, {19, 31}, {32, 11}, {127, 4}};
    size_t at = 0;
    while (at + 4 <= s.tables.size()) {
        CAPTURE(s.tables[at]);
        CHECK(s.tables[at + 1] == lengths.at(s.tables[at]));
        at += s.tables[at + 1];
        while (s.tables[at] || s.tables[at + 1]) ++at;
        at += 2;
    }
}
