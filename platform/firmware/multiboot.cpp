// Parts common to multiboot 1 and 2. See multiboot.h.
#include "platform/firmware/multiboot.h"

#include <algorithm>

#include "platform/firmware/elf_image.h"
#include "platform/firmware/image_view.h"

namespace rm::platform {
namespace {

Result<MultibootLoad> load_by_addresses(const KernelInput& in, u32 header_offset,
                                        const MultibootAddresses& a, BootMemory& memory,
                                        BootScript& script) {
    const char* name = in.name.c_str();
    const ImageView view(in.kernel);
    if (a.header < a.load || a.header - a.load > header_offset)
        return fail("kernel '%s': multiboot load address %#x does not fit the header at byte %u",
                    name, a.load, header_offset);
    const u64 offset = header_offset - (a.header - a.load);
    u64 size = view.size() - offset;
    if (a.load_end) {
        if (a.load_end < a.load || a.load_end - a.load > size)
            return fail(
                "kernel '%s': truncated: multiboot load addresses %#x..%#x, %llu bytes in "
                "the file",
                name, a.load, a.load_end, (unsigned long long)size);
        size = a.load_end - a.load;
    }
    const u64 end = std::max<u64>(a.load + size, a.bss_end);
    if (a.entry < a.load || a.entry >= end)
        return fail("kernel '%s': the multiboot entry point %#x is outside what is loaded", name,
                    a.entry);
    if (auto ok = memory.claim("kernel '" + in.name + "'", a.load, end - a.load); !ok)
        return std::unexpected(ok.error());
    script.load(a.load, view.slice(offset, size), end - a.load - size);
    return MultibootLoad{a.entry, end};
}

}  // namespace

std::optional<u32> find_multiboot_header(std::span<const u8> image, u32 magic, u32 window,
                                         u32 alignment, unsigned sum_dwords) {
    const ImageView view(image);
    const u64 limit = std::min<u64>(view.size(), window);
    for (u32 at = 0; at + 4 * sum_dwords <= limit; at += alignment) {
        if (view.u32_at(at) != magic) continue;
        u32 sum = 0;
        for (unsigned i = 0; i < sum_dwords; ++i) sum += view.u32_at(at + 4 * i);
        if (sum == 0) return at;
    }
    return std::nullopt;
}

Result<MultibootLoad> load_multiboot_image(const KernelInput& in, u32 header_offset,
                                           const std::optional<MultibootAddresses>& addresses,
                                           BootMemory& memory, BootScript& script) {
    if (addresses) return load_by_addresses(in, header_offset, *addresses, memory, script);
    if (!looks_like_elf(in.kernel))
        return fail("kernel '%s': a multiboot image that is not ELF and gives no load addresses",
                    in.name.c_str());
    const auto elf = parse_elf(in.name, in.kernel);
    if (!elf) return std::unexpected(elf.error());
    if (auto ok = place_elf(in.name, *elf, in.kernel, memory, script); !ok)
        return std::unexpected(ok.error());
    if (elf->entry > 0xFFFFFFFF)
        return fail("kernel '%s': entry point %#llx is above 4 GiB", in.name.c_str(),
                    (unsigned long long)elf->entry);
    if (!elf->contains(elf->entry))
        return fail("kernel '%s': the entry point %#llx is outside what is loaded", in.name.c_str(),
                    (unsigned long long)elf->entry);
    return MultibootLoad{static_cast<u32>(elf->entry), elf->end()};
}

Result<std::vector<MultibootModuleRange>> place_multiboot_modules(const KernelInput& in, u64 from,
                                                                  BootMemory& memory,
                                                                  BootScript& script) {
    std::vector<MultibootModuleRange> out;
    from = std::max<u64>(from, 0x100000);
    for (const BootModule& module : in.modules) {
        const auto at =
            memory.place("initrd '" + module.name + "'", module.bytes.size(), kPageSize, from);
        if (!at) return std::unexpected(at.error());
        script.load(*at, module.bytes);
        out.push_back({static_cast<u32>(*at), static_cast<u32>(*at + module.bytes.size())});
        from = *at + module.bytes.size();
    }
    return out;
}

std::string multiboot_command_line(const KernelInput& in) {
    return in.append.empty() ? in.name : in.name + " " + in.append;
}

}  // namespace rm::platform
