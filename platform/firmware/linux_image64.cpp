// Linux bzImage by its 64-bit entry: a loader's whole work, since no setup code runs. Fills
// boot_params (header, memory map, ACPI root pointer, text screen), puts the payload where the
// kernel wants to run, with identity-mapped page tables, and enters it 200H bytes behind its start.
// Assumes: everything lies below 4 GiB. "vga=" does nothing: only setup code sets video modes.
// Source: Linux Documentation/x86/boot.rst, "64-bit Boot Protocol";
// Documentation/x86/zero-page.rst.
#include <algorithm>

#include "platform/firmware/byte_buffer.h"
#include "platform/firmware/image_view.h"
#include "platform/firmware/linux_header.h"

namespace rm::platform {
namespace {

using namespace linux_header;

// boot_params (zero-page.rst): one page.
constexpr u32 kScreenInfo = 0, kAcpiRsdp = 0x70, kE820Count = 0x1E8, kE820Table = 0x2D0;
constexpr u32 kHeaderStart = 0x1F1, kHeaderLimit = 0x290, kBootParamsBytes = 4096;
constexpr u32 kTablesAddress = 0x30000;
constexpr u32 kEntry64Offset = 0x200;
constexpr u16 kKernel64 = 1;  // XLF_KERNEL_64

// 4 GiB in 2 MiB pages: a PML4, a page of directory pointers, four page directories (SDM 3A 4.5).
std::vector<u8> identity_map() {
    constexpr u64 kTable = 3, kLargePage = 0x83;  // present, writable; page size
    constexpr unsigned kDirectories = 4, kEntries = 512;
    ByteBuffer out;
    out.u64v((kTablesAddress + kPageSize) | kTable).zeros(kPageSize - 8);
    for (unsigned n = 0; n < kDirectories; ++n)
        out.u64v((kTablesAddress + (2 + n) * kPageSize) | kTable);
    out.zeros(kPageSize - kDirectories * 8);
    for (u64 n = 0; n < kDirectories * kEntries; ++n) out.u64v(n << 21 | kLargePage);
    return out.take();
}

// The file's header in a page of zeros; what lies behind the header is not boot_params' (its end is
// told by the jump over it).
std::vector<u8> boot_params(const KernelInput& in, u32 load_address, u32 initrd_address) {
    const ImageView view(in.kernel);
    const u32 end =
        std::clamp<u32>(kHeader + view.get<u8>(kJumpDistance), kHeaderEnd, kHeaderLimit);
    std::vector<u8> out(kBootParamsBytes);
    const auto header = view.slice(kHeaderStart, end - kHeaderStart);
    std::copy(header.begin(), header.end(), out.begin() + kHeaderStart);
    put(out, kTypeOfLoader, kLoaderUndefined);
    put(out, kCode32Start, load_address);
    put(out, kCmdLinePtr, kCmdlineAddress);
    if (!in.modules.empty()) {
        put(out, kRamdiskImage, initrd_address);
        put(out, kRamdiskSize, static_cast<u32>(in.modules.front().bytes.size()));
    }
    return out;
}

}  // namespace

Result<LoadedKernel> load_linux64(const KernelInput& in) {
    const auto parts = split(in);
    if (!parts) return std::unexpected(parts.error());
    const ImageView view(in.kernel);
    if (parts->version < 0x20C || !(view.u16_at(kXLoadFlags) & kKernel64))
        return fail(
            "kernel '%s': no 64-bit entry (XLF_KERNEL_64 is not set); leave out linux-entry=64",
            in.name.c_str());
    if (parts->payload_size <= kEntry64Offset)
        return fail("kernel '%s': truncated: the 64-bit entry is behind its end", in.name.c_str());
    BootMemory memory(in.ram);
    const std::string what = "kernel '" + in.name + "'";
    const u64 load_at = view.get<u64>(kPrefAddress);
    const u64 room = std::max<u64>(parts->payload_size, view.u32_at(kInitSize));
    const std::vector<u8> tables = identity_map();
    Result<void> ok = memory.claim(what, load_at, room);
    if (ok) ok = memory.claim(what + " boot_params", kSetupAddress, kBootParamsBytes);
    if (ok) ok = memory.claim(what + " command line", kCmdlineAddress, in.append.size() + 1);
    if (ok) ok = memory.claim(what + " page tables", kTablesAddress, tables.size());
    if (!ok) return std::unexpected(ok.error());
    const auto initrd_at = place_initrd(in, *parts, load_at + room, memory);
    if (!initrd_at) return std::unexpected(initrd_at.error());

    const u32 load_address = static_cast<u32>(load_at);
    BootScript script;
    script.load(kSetupAddress, boot_params(in, load_address, *initrd_at));
    script.load(kCmdlineAddress,
                std::span(reinterpret_cast<const u8*>(in.append.data()), in.append.size()), 1);
    script.load(kTablesAddress, tables);
    script.load(load_at, view.slice(parts->setup_size, parts->payload_size));
    if (!in.modules.empty()) script.load(*initrd_at, in.modules.front().bytes);
    script.e820({.format = E820Request::kLinux,
                 .dest = kSetupAddress + kE820Table,
                 .count_at = kSetupAddress + kE820Count});
    script.rsdp(kSetupAddress + kAcpiRsdp);
    script.screen(kSetupAddress + kScreenInfo);
    script.enter64(
        {.rip = load_address + kEntry64Offset, .rsi = kSetupAddress, .cr3 = kTablesAddress});
    return LoadedKernel{KernelKind::kLinux, script.take(), std::nullopt};
}

}  // namespace rm::platform
