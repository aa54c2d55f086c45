// Is a file the image of a CD-ROM, and is all of it there? A guest would only read sectors that
// make no sense, or none. Source: ECMA-119 6.7.1, 8.1, 8.4 (volume descriptors from sector 16 on);
// ECMA-167 2/8 (extended area of UDF).
#include <array>
#include <cstring>

#include "platform/backends/block_device.h"

namespace rm::platform {

Result<void> check_cd_image(const std::string& path, BlockDevice& image) {
    constexpr u64 kSector = 2048, kFirstDescriptor = 16 * kSector;
    constexpr u64 kPadding = 150 * kSector;  // what writers append and copies often lack
    const auto no_image = [&] {
        return fail(
            "CD-ROM image '%s': neither ISO 9660 nor UDF (no volume descriptor in sector 16)",
            path.c_str());
    };
    std::array<u8, kSector> descriptor;
    if (image.size() < kFirstDescriptor + kSector) return no_image();
    if (auto ok = image.read(kFirstDescriptor, descriptor); !ok) return ok;
    const auto is = [&](const char* id) { return std::memcmp(&descriptor[1], id, 5) == 0; };
    if (is("BEA01")) return {};
    if (!is("CD001")) return no_image();
    u32 blocks;
    u16 block_bytes;
    std::memcpy(&blocks, &descriptor[80], sizeof blocks);
    std::memcpy(&block_bytes, &descriptor[128], sizeof block_bytes);
    const u64 size = u64{blocks} * block_bytes;
    if (descriptor[0] == 1 && size > image.size() + kPadding)
        return fail("CD-ROM image '%s': truncated: its volume has %llu bytes, the file %llu",
                    path.c_str(), (unsigned long long)size, (unsigned long long)image.size());
    return {};
}

}  // namespace rm::platform
