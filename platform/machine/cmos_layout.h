// What firmware reads about memory, processors and boot order from CMOS RAM.
// Owns: the bytes and their meaning. Assumes: the RTC owns registers 00h-0Dh and the century 32h.
// Source: IBM AT technical reference (10h-31h); SeaBIOS/QEMU convention (34h, 35h, 38h, 39h, 3Dh,
// 5Bh-5Dh, 5Fh).
#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "platform/firmware/ram_layout.h"

namespace rm::platform {

struct CmosConfig {
    RamLayout ram;
    unsigned cpus = 1;
    std::array<u8, 3> boot = {2, 3, 1};    // boot_nibbles()
    std::array<u64, 4> disk_sectors = {};  // hda..hdd; 0: no hard disk
};

// {register, value}
using CmosBytes = std::vector<std::pair<u8, u8>>;
CmosBytes cmos_bytes(const CmosConfig& config);

// -boot order letters to the nibbles firmware expects: a 1, c 2, d 3, n 4; missing ones are 0.
// An unknown or repeated letter is an error.
Result<std::array<u8, 3>> boot_nibbles(const std::string& order);

}  // namespace rm::platform
