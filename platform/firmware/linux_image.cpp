// Linux bzImage: splits the file into real-mode setup and payload, fills the setup header as a boot
// loader does and enters the setup code in real mode, which asks the BIOS for everything else.
// Assumes: boot protocol 2.00 or newer and a payload that loads at 1 MiB (every kernel since 1.3).
// Source: Linux Documentation/x86/boot.rst, "The Real-Mode Kernel Header", "Memory Layout".
#include <algorithm>
#include <cstring>

#include "platform/firmware/image_view.h"
#include "platform/firmware/linux_header.h"

namespace rm::platform {
namespace {

using namespace linux_header;

constexpr u16 kHeapEnd = 0xE000;  // the real-mode stack starts here and grows down

// "vga=" is the boot loader's business: normal, ext, ask or a number.
u16 video_mode(const std::string& cmdline, u16 current) {
    size_t at = cmdline.rfind("vga=");
    if (at == std::string::npos || (at > 0 && cmdline[at - 1] != ' ')) return current;
    const std::string value = cmdline.substr(at + 4, cmdline.find(' ', at) - (at + 4));
    if (value == "normal") return 0xFFFF;
    if (value == "ext") return 0xFFFE;
    if (value == "ask") return 0xFFFD;
    char* end = nullptr;
    const unsigned long number = std::strtoul(value.c_str(), &end, 0);
    return end != value.c_str() && !*end ? static_cast<u16>(number) : current;
}

}  // namespace

namespace linux_header {

Result<Parts> split(const KernelInput& in) {
    const ImageView view(in.kernel);
    const char* name = in.name.c_str();
    const u16 version = view.u16_at(kVersion);
    if (version < 0x200) return fail("kernel '%s': Linux boot protocol older than 2.00", name);
    if (!(view.get<u8>(kLoadFlags) & kLoadedHigh))
        return fail("kernel '%s': a zImage (loads below 1 MiB); only bzImage is supported", name);
    const u64 sectors = view.get<u8>(kSetupSects) ? view.get<u8>(kSetupSects) : 4;
    const u64 setup = (sectors + 1) * 512;
    if (setup >= view.size() || setup < kHeaderEnd)
        return fail("kernel '%s': truncated: %llu bytes of setup code, %llu bytes in the file",
                    name, (unsigned long long)setup, (unsigned long long)view.size());
    const u64 payload = view.size() - setup;
    const u64 promised = version >= 0x204 ? u64{view.u32_at(kSysSize)} * 16 : 0;
    if (payload + 16 < promised)
        return fail("kernel '%s': truncated: the header promises %llu bytes, the file has %llu",
                    name, (unsigned long long)(setup + promised), (unsigned long long)view.size());
    const u64 cmdline_limit = version >= 0x206 ? view.u32_at(kCmdlineSize) : 255;
    if (in.append.size() > cmdline_limit)
        return fail("kernel '%s': the command line has %zu characters, the kernel takes %llu", name,
                    in.append.size(), (unsigned long long)cmdline_limit);
    return Parts{setup, payload, version};
}

Result<u32> place_initrd(const KernelInput& in, const Parts& parts, u64 kernel_end,
                         BootMemory& memory) {
    if (in.modules.empty()) return 0;
    const ImageView view(in.kernel);
    const u64 limit =
        parts.version >= 0x203 ? u64{view.u32_at(kInitrdAddrMax)} + 1 : u64{0x38000000};
    const BootModule& initrd = in.modules.front();
    const auto at =
        memory.place_high("initrd '" + initrd.name + "'", initrd.bytes.size(), 4096, limit);
    if (!at) return std::unexpected(at.error());
    if (*at < kernel_end)
        return fail(
            "initrd '%s': %zu bytes do not fit beside the kernel, which needs memory up to "
            "%#llx; raise -m",
            initrd.name.c_str(), initrd.bytes.size(), (unsigned long long)kernel_end);
    return static_cast<u32>(*at);
}

}  // namespace linux_header

bool has_linux_header(std::span<const u8> image) {
    const ImageView view(image);
    return view.contains(0, kHeaderEnd) && view.u16_at(kBootFlag) == 0xAA55 &&
           std::memcmp(image.data() + kHeader, "HdrS", 4) == 0;
}

Result<LoadedKernel> load_linux(const KernelInput& in) {
    if (in.linux_entry64) return load_linux64(in);
    const auto parts = split(in);
    if (!parts) return std::unexpected(parts.error());
    const ImageView view(in.kernel);
    BootMemory memory(in.ram);
    const std::string what = "kernel '" + in.name + "'";
    Result<void> ok = memory.claim(what, kPayloadAddress, parts->payload_size);
    if (ok) ok = memory.claim(what + " setup", kSetupAddress, kHeapEnd);
    if (ok) ok = memory.claim(what + " command line", kCmdlineAddress, in.append.size() + 1);
    if (!ok) return std::unexpected(ok.error());
    u64 kernel_end = kPayloadAddress + parts->payload_size;
    if (parts->version >= 0x20A)
        kernel_end = std::max(kernel_end, view.get<u64>(kPrefAddress) + view.u32_at(kInitSize));
    const auto initrd_at = place_initrd(in, *parts, kernel_end, memory);
    if (!initrd_at) return std::unexpected(initrd_at.error());

    const auto setup_bytes = view.slice(0, parts->setup_size);
    LoadedKernel::Linux out;
    out.setup.assign(setup_bytes.begin(), setup_bytes.end());
    put(out.setup, kTypeOfLoader, kLoaderUndefined);
    put(out.setup, kLoadFlags, static_cast<u8>(view.get<u8>(kLoadFlags) | kCanUseHeap));
    put(out.setup, kHeapEndPtr, static_cast<u16>(kHeapEnd - 0x200));
    put(out.setup, kCmdLinePtr, kCmdlineAddress);
    put(out.setup, kVidMode, video_mode(in.append, view.u16_at(kVidMode)));
    if (!in.modules.empty()) {
        out.initrd = in.modules.front().bytes;
        put(out.setup, kRamdiskImage, *initrd_at);
        put(out.setup, kRamdiskSize, static_cast<u32>(out.initrd.size()));
    }
    const auto payload = view.slice(parts->setup_size, parts->payload_size);
    out.payload.assign(payload.begin(), payload.end());
    out.cmdline = in.append;
    out.setup_address = kSetupAddress;
    out.payload_address = kPayloadAddress;
    out.cmdline_address = kCmdlineAddress;
    out.initrd_address = *initrd_at;

    BootScript script;
    script.load(kSetupAddress, out.setup);
    script.load(kCmdlineAddress,
                std::span(reinterpret_cast<const u8*>(in.append.data()), in.append.size()), 1);
    script.load(kPayloadAddress, payload);
    script.load(*initrd_at, out.initrd);
    constexpr u16 kSegment = kSetupAddress >> 4;
    script.enter16(
        {.ip = 0, .cs = kSegment + 0x20, .ss = kSegment, .sp = kHeapEnd, .data = kSegment});
    return LoadedKernel{KernelKind::kLinux, script.take(), std::move(out)};
}

}  // namespace rm::platform
