// The embedded boot ROM is what firmware accepts as an option ROM with a bootstrap entry vector.
#include "roms/boot_rom.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace rm;

TEST_CASE("option ROM and PnP headers, checksums") {
    const auto rom = roms::boot_rom();
    REQUIRE(rom.size() >= 512);
    CHECK(rom[0] == 0x55);
    CHECK(rom[1] == 0xAA);
    CHECK(rom[2] * 512u == rom.size());
    u8 sum = 0;
    for (u8 b : rom) sum += b;
    CHECK(sum == 0);
    const unsigned pnp = rom[0x1A] | rom[0x1B] << 8;
    REQUIRE(pnp + 32 <= rom.size());
    CHECK(std::memcmp(&rom[pnp], "$PnP", 4) == 0);
    sum = 0;
    for (unsigned i = 0; i < rom[pnp + 5] * 16u; ++i) sum += rom[pnp + i];
    CHECK(sum == 0);
    const unsigned entry = rom[pnp + 0x1A] | rom[pnp + 0x1B] << 8;
    CHECK(entry > 0);
    CHECK(entry < rom.size());
}
