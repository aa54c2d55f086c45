// IDENTIFY data as tables of words. Sections as in ata_identify.h.
#include "platform/storage/ata_identify.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace rm::platform {
namespace {

using Words = std::array<u16, 256>;

struct Word {
    u8 index;
    u16 value;
};

constexpr u8 kUltraModes = 0x3F;      // UDMA 0-5
constexpr u8 kMultiwordModes = 0x07;  // MWDMA 0-2
constexpr u64 kMaxLba28 = 0x0FFFFFFF;

// 6.17: what does not depend on the disk or its settings.
constexpr Word kDisk[] = {
    {0, 0x0040},                                // fixed ATA device
    {3, 16},                                    // heads of the default translation
    {4, 63 * 512},                              // (retired) bytes per track, sector
    {5, 512},      {6, 63},                     // sectors per track of the default translation
    {20, 3},                                    // (retired) buffer type, size in sectors
    {21, 512},     {22, 4},      {48, 0x0001},  // 32-bit data port accesses work
    {49, 0x0F00},                               // IORDY (may be disabled), LBA, DMA
    {50, 0x4000},  {51, 0x0200},                // (retired) PIO and DMA timing
    {52, 0x0200},  {53, 0x0007},                // words 54-58, 64-70, 88 are valid
    {64, 0x0003},                               // PIO 3 and 4
    {65, 120},                                  // MWDMA and PIO cycle times, ns
    {66, 120},     {67, 120},    {68, 120},
    {80, 0x00F0},  // ATA/ATAPI-4 to 7
    {82, 0x4068},  // NOP, look-ahead, write cache, power management
    {83, 0x7400},  // FLUSH CACHE (EXT), 48-bit addresses
    {84, 0x4000},  {86, 0x3400}, {87, 0x4000},
    {93, 0x600B},  // 80-conductor cable seen, device 0 passed its diagnostics
};

// 6.18.
constexpr Word kPacket[] = {
    {0, 0x85C0},  // ATAPI CD-ROM, removable, DRQ within 50 us, 12-byte packets
    {20, 3},      {21, 512},    {22, 4},      {48, 0x0001}, {49, 0x0F00},
    {53, 0x0007}, {64, 0x0003}, {65, 120},    {66, 120},    {67, 120},
    {68, 120},    {71, 30},  // ns from PACKET to bus release, SERVICE to BSY clear: not used
    {72, 30},     {80, 0x00F0}, {82, 0x4210},  // NOP, DEVICE RESET, PACKET
    {83, 0x4000}, {84, 0x4000}, {85, 0x4210}, {87, 0x4000}, {93, 0x600B},
};

template <size_t N>
Words from_table(const Word (&table)[N]) {
    Words words{};
    for (const Word& row : table) words[row.index] = row.value;
    return words;
}

// ATA strings: two characters a word, the first in the high byte, padded with spaces.
void put_string(Words& words, unsigned first, unsigned count, std::string_view text) {
    for (unsigned i = 0; i < count * 2; ++i) {
        const u16 c = static_cast<u8>(i < text.size() ? text[i] : ' ');
        u16& word = words[first + i / 2];
        word = static_cast<u16>(i & 1 ? (word & 0xFF00) | c : (word & 0x00FF) | c << 8);
    }
}

void put_modes(Words& words, u8 multiword, u8 ultra) {
    words[63] = static_cast<u16>(kMultiwordModes | multiword << 8);
    words[88] = static_cast<u16>(kUltraModes | ultra << 8);
}

void store(const Words& words, std::span<u8, 512> out) { std::memcpy(out.data(), &words, 512); }

}  // namespace

void fill_identify_device(const IdentifyState& state, std::span<u8, 512> out) {
    Words words = from_table(kDisk);
    put_string(words, 10, 10, state.serial);
    put_string(words, 23, 4, "1.0");
    put_string(words, 27, 20, "RINGMINUS HARDDISK");
    put_modes(words, state.multiword_mode, state.ultra_mode);
    words[1] = state.default_cylinders;
    words[47] = static_cast<u16>(0x8000 | state.max_multiple);
    const u32 track = u32{state.heads} * state.sectors_per_track;
    const u64 cylinders = std::min<u64>(state.sectors / track, 65535);
    const u32 chs_sectors = static_cast<u32>(cylinders * track);
    words[54] = static_cast<u16>(cylinders);
    words[55] = state.heads;
    words[56] = state.sectors_per_track;
    words[57] = static_cast<u16>(chs_sectors);
    words[58] = static_cast<u16>(chs_sectors >> 16);
    words[59] = state.multiple ? static_cast<u16>(0x0100 | state.multiple) : 0;
    const u32 lba28 = static_cast<u32>(std::min(state.sectors, kMaxLba28));
    words[60] = static_cast<u16>(lba28);
    words[61] = static_cast<u16>(lba28 >> 16);
    words[85] =
        static_cast<u16>(0x4008 | (state.write_cache ? 0x20 : 0) | (state.look_ahead ? 0x40 : 0));
    for (unsigned i = 0; i < 4; ++i) words[100 + i] = static_cast<u16>(state.sectors >> (16 * i));
    store(words, out);
}

void fill_identify_packet(u8 multiword_mode, u8 ultra_mode, std::string_view serial,
                          std::span<u8, 512> out) {
    Words words = from_table(kPacket);
    put_string(words, 10, 10, serial);
    put_string(words, 23, 4, "1.0");
    put_string(words, 27, 20, "RINGMINUS DVD-ROM");
    put_modes(words, multiword_mode, ultra_mode);
    store(words, out);
}

bool decode_transfer_mode(u8 value, u8& multiword, u8& ultra) {
    const unsigned mode = value & 7;
    switch (value >> 3) {
        case 0x00: return mode <= 1;  // PIO default, without IORDY
        case 0x01: return mode <= 4;  // PIO flow control mode 0-4
        case 0x04:                    // multiword DMA
            if (!(kMultiwordModes >> mode & 1)) return false;
            multiword = static_cast<u8>(1 << mode);
            ultra = 0;
            return true;
        case 0x08:  // ultra DMA
            if (!(kUltraModes >> mode & 1)) return false;
            ultra = static_cast<u8>(1 << mode);
            multiword = 0;
            return true;
        default: return false;
    }
}

}  // namespace rm::platform
