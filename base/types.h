// The integer names used everywhere, and the two address kinds as plain 64-bit numbers.
// Owns: spelling only. Assumes: a two's-complement, little-endian host (checked below).
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

namespace rm {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using i128 = __int128;

using LinearAddr = u64;  // after segmentation, before paging (SDM 3A 3.1)
using PhysAddr = u64;    // machine physical, or guest physical where a second stage is active

inline constexpr u64 kPageSize = 4096;
inline constexpr u64 kPageMask = ~(kPageSize - 1);

static_assert(std::endian::native == std::endian::little);

}  // namespace rm
