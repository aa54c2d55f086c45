// Loadable ELF kernels (32- and 64-bit, x86), parsed by libelf and then checked against the file.
// Owns: the list of segments by physical address. Assumes: nothing about the file.
// Source: System V ABI (ELF header, program headers); Xen ELF notes (xen/include/public/elfnote.h).
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "platform/firmware/boot_script.h"

namespace rm::platform {

struct ElfSegment {
    u64 physical, virtual_address, file_offset, file_size, memory_size;
};

struct ElfImage {
    std::vector<ElfSegment> segments;  // PT_LOAD with a size
    u64 entry = 0;                     // physical
    bool is_64bit = false;
    std::optional<u64> pvh_entry;  // XEN_ELFNOTE_PHYS32_ENTRY

    u64 end() const;                    // one past the highest physical byte
    bool contains(u64 physical) const;  // inside a segment
};

bool looks_like_elf(std::span<const u8> image);
// name is used in errors only.
Result<ElfImage> parse_elf(const std::string& name, std::span<const u8> image);
// Claims the segments' memory and adds the load commands.
Result<void> place_elf(const std::string& name, const ElfImage& elf, std::span<const u8> image,
                       BootMemory& memory, BootScript& script);

}  // namespace rm::platform
