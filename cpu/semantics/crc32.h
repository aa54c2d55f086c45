// CRC-32C as the CRC32 instruction computes it (SDM 2): polynomial 11EDC6F41H, bit-reflected, no
// inversion before or after.
#pragma once
#include "base/types.h"

namespace rm::cpu {

struct Crc32Table {
    u32 of[256];
};
constexpr Crc32Table make_crc32_table() {
    Crc32Table t{};
    for (u32 n = 0; n < 256; ++n) {
        u32 v = n;
        for (unsigned k = 0; k < 8; ++k) v = (v >> 1) ^ (v & 1 ? 0x82F63B78 : 0);
        t.of[n] = v;
    }
    return t;
}
inline constexpr Crc32Table kCrc32 = make_crc32_table();

// crc with the bytes of value added, lowest first.
template <class T>
constexpr u32 crc32c(u32 crc, T value) {
    for (unsigned n = 0; n < sizeof(T); ++n)
        crc = (crc >> 8) ^ kCrc32.of[(crc ^ static_cast<u32>(u64{value} >> (8 * n))) & 0xFF];
    return crc;
}

}  // namespace rm::cpu
