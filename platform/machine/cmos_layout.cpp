// Fills CMOS RAM. See cmos_layout.h.
// Assumes: two hard disks a channel at most, so register 39h has two bits for each.
#include "platform/machine/cmos_layout.h"

#include <algorithm>

namespace rm::platform {
namespace {

// Disk geometry translation for INT 13h: 0 none, 1 LBA. Without it 1024 cylinders of 16 heads and
// 63 sectors are addressable.
u8 translation(u64 sectors) { return sectors > 1024 * 16 * 63; }

}  // namespace

CmosBytes cmos_bytes(const CmosConfig& config) {
    CmosBytes out;
    const auto byte = [&out](u8 index, u64 value) {
        out.emplace_back(index, static_cast<u8>(value));
    };
    const auto word = [&byte](u8 index, u64 value) {
        byte(index, value);
        byte(static_cast<u8>(index + 1), value >> 8);
    };
    const u64 low = config.ram.below_4g;
    const u64 extended_kib = low > (1 << 20) ? std::min<u64>((low >> 10) - 1024, 65535) : 0;
    const u64 above_16m = low > (16 << 20) ? std::min<u64>((low - (16 << 20)) >> 16, 65535) : 0;
    const u64 above_4g = config.ram.above_4g >> 16;
    byte(0x10, 0);     // no floppy drives
    byte(0x14, 0x06);  // equipment: coprocessor, PS/2 mouse
    word(0x15, 640);
    word(0x17, extended_kib);
    word(0x30, extended_kib);
    word(0x34, above_16m);
    word(0x5B, above_4g);
    byte(0x5D, above_4g >> 16);
    byte(0x5F, config.cpus - 1);
    byte(0x38, config.boot[2] << 4 | 1);  // bit 0: no floppy signature check
    byte(0x3D, config.boot[1] << 4 | config.boot[0]);
    u8 translations = 0;
    for (unsigned i = 0; i < config.disk_sectors.size(); ++i)
        translations |= static_cast<u8>(translation(config.disk_sectors[i]) << (2 * i));
    byte(0x39, translations);
    return out;
}

Result<std::array<u8, 3>> boot_nibbles(const std::string& order) {
    std::array<u8, 3> out{};
    std::string seen;
    for (size_t i = 0; i < order.size(); ++i) {
        const char letter = order[i];
        const char* const known = "acdn";
        if (!std::string(known).contains(letter))
            return fail("-boot order '%s': unknown drive letter '%c'; known are a, c, d and n",
                        order.c_str(), letter);
        if (seen.contains(letter))
            return fail("-boot order '%s': '%c' is given twice", order.c_str(), letter);
        seen += letter;
        if (i < out.size()) out[i] = static_cast<u8>(std::string(known).find(letter) + 1);
    }
    return out;
}

}  // namespace rm::platform
