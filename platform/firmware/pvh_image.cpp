// PVH kernels: ELF files with the Xen note PHYS32_ENTRY. They get an hvm_start_info of version 1
// with one module, the command line, the ACPI root pointer and the BIOS' memory map. Source: PVH
// boot ABI, xen/include/public/arch-x86/hvm/start_info.h (layout and entry state).
#include "base/bits.h"
#include "platform/firmware/byte_buffer.h"
#include "platform/firmware/elf_image.h"
#include "platform/firmware/kernel_loader.h"

namespace rm::platform {
namespace {

constexpr u32 kStartInfoMagic = 0x336EC578, kStartInfoVersion = 1;
// Offsets: start info 56 bytes, one module entry of 32 bytes, command line, then the memory map.
constexpr u32 kRsdp = 32, kMapEntries = 48, kModuleAt = 56, kCmdlineAt = 88;

std::vector<u8> build_start_info(const KernelInput& in, u64 initrd, u32 base, u32& map_offset) {
    map_offset = static_cast<u32>(align_up(kCmdlineAt + in.append.size() + 1, 8));
    ByteBuffer out;
    out.u32v(kStartInfoMagic).u32v(kStartInfoVersion).u32v(0);
    out.u32v(in.modules.empty() ? 0 : 1);
    out.u64v(in.modules.empty() ? 0 : base + kModuleAt);
    out.u64v(base + kCmdlineAt).u64v(0);          // rsdp_paddr: by the ROM
    out.u64v(base + map_offset).u32v(0).u32v(0);  // entry count: by the ROM
    out.u64v(initrd).u64v(in.modules.empty() ? 0 : in.modules.front().bytes.size());
    out.u64v(0).u64v(0);  // the module has no command line
    out.ctext(in.append);
    out.zeros(map_offset - out.size()).zeros(E820Request::kRoom);
    return out.take();
}

}  // namespace

Result<std::vector<u8>> load_pvh(const KernelInput& in) {
    const auto elf = parse_elf(in.name, in.kernel);
    if (!elf) return std::unexpected(elf.error());
    if (!elf->pvh_entry || *elf->pvh_entry > 0xFFFFFFFF)
        return fail("kernel '%s': no PVH entry point below 4 GiB", in.name.c_str());
    if (!elf->contains(*elf->pvh_entry))
        return fail("kernel '%s': the PVH entry point %#llx is outside what is loaded",
                    in.name.c_str(), (unsigned long long)*elf->pvh_entry);
    BootMemory memory(in.ram);
    BootScript script;
    if (auto ok = place_elf(in.name, *elf, in.kernel, memory, script); !ok)
        return std::unexpected(ok.error());
    u64 initrd = 0;
    if (!in.modules.empty()) {
        const BootModule& module = in.modules.front();
        const auto at = memory.place_high("initrd '" + module.name + "'", module.bytes.size(),
                                          kPageSize, ~u64{0});
        if (!at) return std::unexpected(at.error());
        initrd = *at;
        script.load(initrd, module.bytes);
    }
    u32 map_offset = 0;
    const u64 size = build_start_info(in, initrd, 0, map_offset).size();
    const auto base =
        memory.place("the PVH start info", size, 16, BootMemory::kLowStart, BootMemory::kLowEnd);
    if (!base) return std::unexpected(base.error());
    const u32 info = static_cast<u32>(*base);
    script.load(info, build_start_info(in, initrd, info, map_offset));
    script.e820(
        {.format = E820Request::kPlain, .dest = info + map_offset, .count_at = info + kMapEntries});
    script.rsdp(info + kRsdp);
    script.enter32({.eip = static_cast<u32>(*elf->pvh_entry), .ebx = info});
    return script.take();
}

}  // namespace rm::platform
