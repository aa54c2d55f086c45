// What both multiboot versions share: finding the header, loading the image, placing modules.
// Owns: the header as parsed. Assumes: nothing about the file.
// Source: Multiboot Specification 0.6.96, 3.1; Multiboot2 Specification 2.0, 3.1.
#pragma once
#include <optional>
#include <span>

#include "platform/firmware/boot_script.h"
#include "platform/firmware/kernel_loader.h"

namespace rm::platform {

// The load addresses of an image that is not ELF (the "a.out kludge" or the address tag).
struct MultibootAddresses {
    u32 header, load, load_end, bss_end, entry;
};

struct MultibootModuleRange {
    u32 start, end;
};

// Offset of the first dword `magic` at a multiple of `alignment` within `window` bytes for which
// the sum of the first `sum_dwords` dwords is 0.
std::optional<u32> find_multiboot_header(std::span<const u8> image, u32 magic, u32 window,
                                         u32 alignment, unsigned sum_dwords);

// Loads by the addresses if given, else as ELF. Gives the entry point.
struct MultibootLoad {
    u32 entry;
    u64 end;  // where modules may start
};
Result<MultibootLoad> load_multiboot_image(const KernelInput& input, u32 header_offset,
                                           const std::optional<MultibootAddresses>& addresses,
                                           BootMemory& memory, BootScript& script);

// Modules page-aligned after the kernel, in order.
Result<std::vector<MultibootModuleRange>> place_multiboot_modules(const KernelInput& input,
                                                                  u64 from, BootMemory& memory,
                                                                  BootScript& script);

// The kernel's command line as a boot loader writes it: file name, then the arguments.
std::string multiboot_command_line(const KernelInput& input);

}  // namespace rm::platform
