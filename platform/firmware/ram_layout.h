// How RAM is laid around the PCI hole below 4 GiB, and the E820 entries that say so.
// Owns: the split rule of QEMU's `pc`: RAM below 3.5 GiB stays whole; from 3.5 GiB on, 3 GiB lie
// below the hole and the rest starts at 4 GiB. Assumes: RAM size is a multiple of a page.
// Source: ACPI 6.4, 15 (E820 types); QEMU documentation, fw_cfg file "etc/e820".
#pragma once
#include <vector>

#include "base/types.h"

namespace rm::platform {

struct RamLayout {
    u64 below_4g = 0;  // bytes from address 0
    u64 above_4g = 0;  // bytes from 4 GiB

    static constexpr u64 kFourGiB = u64{1} << 32;
    static constexpr RamLayout of(u64 bytes) {
        constexpr u64 kWhole = 0xE0000000, kSplit = 0xC0000000;
        if (bytes < kWhole) return {bytes, 0};
        return {kSplit, bytes - kSplit};
    }
    constexpr u64 total() const { return below_4g + above_4g; }
};

enum class E820Type : u32 { kRam = 1, kReserved = 2, kAcpi = 3, kNvs = 4 };

// The file "etc/e820": RAM ranges as {u64 base, u64 length, u32 type}, little-endian. What the
// firmware reserves for itself (EBDA, ACPI tables, its own image) it adds on its own.
std::vector<u8> e820_file(const RamLayout& layout);

}  // namespace rm::platform
