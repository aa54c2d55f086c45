// Multiboot 1 kernels (Xen's default). The information structure lies below 640 KiB; the ROM fills
// the memory map and sizes from the BIOS' own E820 list.
// Source: Multiboot Specification 0.6.96, 3.1 (header), 3.2 (machine state), 3.3 (information).
#include "base/bits.h"
#include "platform/firmware/byte_buffer.h"
#include "platform/firmware/image_view.h"
#include "platform/firmware/multiboot.h"

namespace rm::platform {
namespace {

constexpr u32 kHeaderMagic = 0x1BADB002, kLoaderMagic = 0x2BADB002, kSearchBytes = 8192;
enum HeaderFlag : u32 { kAlignModules = 1, kMemoryInfo = 2, kVideoMode = 4, kAddresses = 1 << 16 };
enum InfoFlag : u32 {
    kHasMemory = 1,
    kHasCommandLine = 1 << 2,
    kHasModules = 1 << 3,
    kHasMemoryMap = 1 << 6,
    kHasLoaderName = 1 << 9,
};
// Offsets in the information structure (3.3).
enum InfoField : u32 { kMemLower = 4, kMemUpper = 8, kMmapLength = 44, kInfoSize = 120 };

// The whole block as it lies at `base`: structure, module list, strings, room for the memory map.
std::vector<u8> build_info(const KernelInput& in, const std::vector<MultibootModuleRange>& modules,
                           u32 base, u32& map_offset) {
    ByteBuffer strings;
    const u32 list_at = kInfoSize;
    const u32 strings_at = list_at + static_cast<u32>(modules.size()) * 16;
    const auto add_string = [&](const std::string& text) {
        const u32 at = base + strings_at + static_cast<u32>(strings.size());
        strings.ctext(text);
        return at;
    };
    const u32 cmdline = add_string(multiboot_command_line(in));
    const u32 loader = add_string("ringminus");
    ByteBuffer list;
    for (size_t i = 0; i < modules.size(); ++i)
        list.u32v(modules[i].start)
            .u32v(modules[i].end)
            .u32v(add_string(in.modules[i].cmdline))
            .u32v(0);
    strings.align(8);
    map_offset = static_cast<u32>(align_up(strings_at + strings.size(), 8));

    ByteBuffer out;
    out.u32v(kHasMemory | kHasCommandLine | kHasModules | kHasMemoryMap | kHasLoaderName);
    out.u32v(0).u32v(0);        // mem_lower, mem_upper: by the ROM
    out.u32v(0).u32v(cmdline);  // boot_device absent
    out.u32v(static_cast<u32>(modules.size())).u32v(base + list_at);
    out.zeros(16);                        // no symbol table
    out.u32v(0).u32v(base + map_offset);  // mmap_length by the ROM, mmap_addr
    out.zeros(12).u32v(loader);           // drives, config table absent
    out.zeros(kInfoSize - out.size());
    out.raw(list.bytes()).raw(strings.bytes());
    out.zeros(map_offset - out.size()).zeros(E820Request::kRoom);
    return out.take();
}

}  // namespace

bool has_multiboot1_header(std::span<const u8> image) {
    return find_multiboot_header(image, kHeaderMagic, kSearchBytes, 4, 3).has_value();
}

Result<std::vector<u8>> load_multiboot1(const KernelInput& in) {
    const ImageView view(in.kernel);
    const auto at = find_multiboot_header(in.kernel, kHeaderMagic, kSearchBytes, 4, 3);
    if (!at) return fail("kernel '%s': no multiboot header", in.name.c_str());
    const u32 flags = view.u32_at(*at + 4);
    if (const u32 unknown = flags & 0xFFFF & ~(kAlignModules | kMemoryInfo | kVideoMode))
        return fail("kernel '%s': multiboot header demands unknown features %#x", in.name.c_str(),
                    unknown);
    std::optional<MultibootAddresses> addresses;
    if (flags & kAddresses) {
        if (!view.contains(*at, 32))
            return fail("kernel '%s': truncated multiboot header", in.name.c_str());
        addresses = {view.u32_at(*at + 12), view.u32_at(*at + 16), view.u32_at(*at + 20),
                     view.u32_at(*at + 24), view.u32_at(*at + 28)};
    }
    BootMemory memory(in.ram);
    BootScript script;
    const auto image = load_multiboot_image(in, *at, addresses, memory, script);
    if (!image) return std::unexpected(image.error());
    const auto modules = place_multiboot_modules(in, image->end, memory, script);
    if (!modules) return std::unexpected(modules.error());

    u32 map_offset = 0;
    const u64 size = build_info(in, *modules, 0, map_offset).size();
    const auto base = memory.place("the multiboot information", size, 16, BootMemory::kLowStart,
                                   BootMemory::kLowEnd);
    if (!base) return std::unexpected(base.error());
    const u32 info = static_cast<u32>(*base);
    script.load(info, build_info(in, *modules, info, map_offset));
    script.e820({.format = E820Request::kMultiboot1,
                 .dest = info + map_offset,
                 .bytes_at = info + kMmapLength,
                 .lower_at = info + kMemLower,
                 .upper_at = info + kMemUpper});
    script.enter32({.eip = image->entry, .eax = kLoaderMagic, .ebx = info});
    return script.take();
}

}  // namespace rm::platform
