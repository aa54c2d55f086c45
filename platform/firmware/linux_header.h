// Linux' setup header, and what both entries into a bzImage (linux_image.cpp: real mode,
// linux_image64.cpp: 64-bit) do with it: checking and splitting the file, placing the initial
// ramdisk. Private to platform/firmware. Assumes: has_linux_header() is true of the kernel. Source:
// Linux Documentation/x86/boot.rst, "The Real-Mode Kernel Header".
#pragma once
#include <cstring>

#include "platform/firmware/kernel_loader.h"

namespace rm::platform::linux_header {

// Offsets of header fields in the file (and in boot_params), in the order of the specification's
// table.
enum Field : u32 {
    kSetupSects = 0x1F1,     // u8
    kSysSize = 0x1F4,        // u32, 16-byte units
    kVidMode = 0x1FA,        // u16
    kBootFlag = 0x1FE,       // u16 0xAA55
    kJumpDistance = 0x201,   // u8: the header ends this far after 202H
    kHeader = 0x202,         // "HdrS"
    kVersion = 0x206,        // u16
    kTypeOfLoader = 0x210,   // u8
    kLoadFlags = 0x211,      // u8
    kCode32Start = 0x214,    // u32
    kRamdiskImage = 0x218,   // u32
    kRamdiskSize = 0x21C,    // u32
    kHeapEndPtr = 0x224,     // u16
    kCmdLinePtr = 0x228,     // u32
    kInitrdAddrMax = 0x22C,  // u32, 2.03+
    kRelocatable = 0x234,    // u8, 2.05+
    kXLoadFlags = 0x236,     // u16, 2.12+
    kCmdlineSize = 0x238,    // u32, 2.06+
    kPrefAddress = 0x258,    // u64, 2.10+
    kInitSize = 0x260,       // u32, 2.10+
    kHeaderEnd = 0x264,
};

inline constexpr u32 kSetupAddress = 0x10000, kCmdlineAddress = 0x20000, kPayloadAddress = 0x100000;
inline constexpr u8 kLoadedHigh = 1, kCanUseHeap = 0x80;
inline constexpr u8 kLoaderUndefined = 0xFF;

struct Parts {
    u64 setup_size, payload_size;
    u16 version;
};
// Checks the header, the file's size against it, and the length of the command line.
Result<Parts> split(const KernelInput& in);
// Highest place for the ramdisk that the header allows, above `kernel_end`; 0 without one.
Result<u32> place_initrd(const KernelInput& in, const Parts& parts, u64 kernel_end,
                         BootMemory& memory);

template <class T>
void put(std::vector<u8>& header, u32 field, T value) {
    std::memcpy(header.data() + field, &value, sizeof value);
}

}  // namespace rm::platform::linux_header
