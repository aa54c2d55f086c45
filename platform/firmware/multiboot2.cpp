// Multiboot 2 kernels. The information is a list of tags; the memory map is the last tag before the
// end tag, so that the ROM can fill it from the BIOS' E820 list and fix the sizes.
// Source: Multiboot2 Specification 2.0, 3.1 (header tags), 3.3 (machine state), 3.6 (information).
#include "platform/firmware/byte_buffer.h"
#include "platform/firmware/image_view.h"
#include "platform/firmware/multiboot.h"

#include "base/bits.h"

namespace rm::platform {
namespace {

constexpr u32 kHeaderMagic = 0xE85250D6, kLoaderMagic = 0x36D76289, kSearchBytes = 32768;
constexpr u16 kOptional = 1;

enum HeaderTag : u16 {
    kEnd = 0,
    kInformationRequest = 1,
    kAddress = 2,
    kEntryAddress = 3,
    kConsoleFlags = 4,
    kFramebuffer = 5,
    kModuleAlignment = 6,
    kEfiBootServices = 7,
    kEfiEntry32 = 8,
    kEfiEntry64 = 9,
    kRelocatable = 10,
};
enum InfoTag : u32 {
    kTagEnd = 0,
    kTagCommandLine = 1,
    kTagLoaderName = 2,
    kTagModule = 3,
    kTagMemory = 4,
    kTagMemoryMap = 6,
};

struct Header {
    std::optional<MultibootAddresses> addresses;
    std::optional<u32> entry;
};

bool information_available(u32 type) {
    return (type >= kTagCommandLine && type <= kTagMemory) || type == kTagMemoryMap;
}

// One header tag at `at`, whose size is inside the file.
Result<void> take_tag(const std::string& name, const ImageView& view, u64 at, u32 size,
                      Header& out) {
    const u16 type = view.u16_at(at);
    const bool optional = view.u16_at(at + 2) & kOptional;
    switch (type) {
        case kInformationRequest:
            for (u64 i = at + 8; i + 4 <= at + size; i += 4)
                if (!optional && !information_available(view.u32_at(i)))
                    return fail(
                        "kernel '%s': multiboot2 demands information tag %u, which is not "
                        "available",
                        name.c_str(), view.u32_at(i));
            return {};
        case kAddress:
            if (size < 24) break;
            out.addresses = {view.u32_at(at + 8), view.u32_at(at + 12), view.u32_at(at + 16),
                             view.u32_at(at + 20), 0};
            return {};
        case kEntryAddress:
            if (size < 12) break;
            out.entry = view.u32_at(at + 8);
            return {};
        // Console and framebuffer wishes may be met with the text mode that exists; EFI entries
        // and relocation offer the loader a choice that it need not take.
        case kConsoleFlags:
        case kFramebuffer:
        case kModuleAlignment:
        case kEfiBootServices:
        case kEfiEntry32:
        case kEfiEntry64:
        case kRelocatable: return {};
        default:
            if (optional) return {};
            return fail("kernel '%s': multiboot2 demands unknown header tag %u", name.c_str(),
                        type);
    }
    return fail("kernel '%s': multiboot2 header tag %u is too short", name.c_str(), type);
}

Result<Header> parse_header(const std::string& name, const ImageView& view, u32 at) {
    Header out;
    if (view.u32_at(at + 4) != 0)
        return fail("kernel '%s': multiboot2 for another architecture", name.c_str());
    const u64 length = view.u32_at(at + 8);
    if (!view.contains(at, length))
        return fail("kernel '%s': truncated multiboot2 header", name.c_str());
    for (u64 tag = u64{at} + 16; tag + 8 <= at + length;) {
        const u32 size = view.u32_at(tag + 4);
        if (view.u16_at(tag) == kEnd) break;
        if (size < 8 || tag + size > at + length)
            return fail("kernel '%s': damaged multiboot2 header tag", name.c_str());
        if (auto ok = take_tag(name, view, tag, size, out); !ok) return std::unexpected(ok.error());
        tag = align_up(tag + size, 8);
    }
    if (out.addresses && !out.entry)
        return fail("kernel '%s': multiboot2 address tag without an entry address", name.c_str());
    if (out.addresses) out.addresses->entry = *out.entry;
    return out;
}

struct InfoOffsets {
    u32 memory, map;
};

std::vector<u8> build_info(const KernelInput& in, const std::vector<MultibootModuleRange>& modules,
                           InfoOffsets& offsets) {
    ByteBuffer out;
    out.u32v(0).u32v(0);  // total size: by the ROM
    const auto string_tag = [&out](u32 type, const std::string& text) {
        out.u32v(type).u32v(static_cast<u32>(8 + text.size() + 1)).ctext(text).align(8);
    };
    string_tag(kTagCommandLine, multiboot_command_line(in));
    string_tag(kTagLoaderName, "ringminus");
    for (size_t i = 0; i < modules.size(); ++i) {
        const std::string& text = in.modules[i].cmdline;
        out.u32v(kTagModule).u32v(static_cast<u32>(16 + text.size() + 1));
        out.u32v(modules[i].start).u32v(modules[i].end).ctext(text).align(8);
    }
    offsets.memory = static_cast<u32>(out.size());
    out.u32v(kTagMemory).u32v(16).u32v(0).u32v(0);
    offsets.map = static_cast<u32>(out.size());
    out.u32v(kTagMemoryMap).u32v(0).u32v(24).u32v(0).zeros(E820Request::kRoom);
    return out.take();
}

}  // namespace

bool has_multiboot2_header(std::span<const u8> image) {
    return find_multiboot_header(image, kHeaderMagic, kSearchBytes, 8, 4).has_value();
}

Result<std::vector<u8>> load_multiboot2(const KernelInput& in) {
    const ImageView view(in.kernel);
    const auto at = find_multiboot_header(in.kernel, kHeaderMagic, kSearchBytes, 8, 4);
    if (!at) return fail("kernel '%s': no multiboot2 header", in.name.c_str());
    const auto header = parse_header(in.name, view, *at);
    if (!header) return std::unexpected(header.error());
    BootMemory memory(in.ram);
    BootScript script;
    auto image = load_multiboot_image(in, *at, header->addresses, memory, script);
    if (!image) return std::unexpected(image.error());
    if (header->entry) image->entry = *header->entry;
    const auto modules = place_multiboot_modules(in, image->end, memory, script);
    if (!modules) return std::unexpected(modules.error());

    InfoOffsets offsets{};
    const std::vector<u8> info = build_info(in, *modules, offsets);
    const auto base = memory.place("the multiboot information", info.size(), 16,
                                   BootMemory::kLowStart, BootMemory::kLowEnd);
    if (!base) return std::unexpected(base.error());
    const u32 start = static_cast<u32>(*base);
    script.load(start, info);
    script.e820({.format = E820Request::kPlain,
                 .dest = start + offsets.map + 16,
                 .bytes_at = start + offsets.map + 4,
                 .bytes_bias = 16,
                 .total_at = start,
                 .total_bias = offsets.map + 16 + 8,
                 .lower_at = start + offsets.memory + 8,
                 .upper_at = start + offsets.memory + 12});
    script.enter32({.eip = image->entry, .eax = kLoaderMagic, .ebx = start});
    return script.take();
}

}  // namespace rm::platform
