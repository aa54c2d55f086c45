// 82441FX: PAM and SMRAM decide what lies below 1 MiB. Sections as in i440fx.h.
#include "platform/pci/i440fx.h"

#include <algorithm>

#include "base/assert.h"

namespace rm::platform {
namespace {

constexpr u8 kRamSizeReg = 0x57;  // RAM in units of 8 MiB, as QEMU tells coreboot
constexpr u8 kPam0 = 0x59;
constexpr u8 kSmram = 0x72;
constexpr u8 kSmramOpen = 1 << 6, kSmramLock = 1 << 4, kSmramEnable = 1 << 3;
constexpr u8 kSmramSegment = 2;  // C_BASE_SEG, hardwired: A0000-BFFFF
constexpr u8 kReadEnable = 1, kWriteEnable = 2;
constexpr u32 kVgaStart = 0xA0000, kVgaSize = 0x20000;

// Datasheet 3.2.18, table of PAM attribute fields: register offset from PAM0, bit, segment.
struct Segment {
    u8 reg, shift;
    u32 start, size;
};
constexpr Segment kSegments[] = {
    {0, 4, 0xF0000, 0x10000}, {1, 0, 0xC0000, 0x4000}, {1, 4, 0xC4000, 0x4000},
    {2, 0, 0xC8000, 0x4000},  {2, 4, 0xCC000, 0x4000}, {3, 0, 0xD0000, 0x4000},
    {3, 4, 0xD4000, 0x4000},  {4, 0, 0xD8000, 0x4000}, {4, 4, 0xDC000, 0x4000},
    {5, 0, 0xE0000, 0x4000},  {5, 4, 0xE4000, 0x4000}, {6, 0, 0xE8000, 0x4000},
    {6, 4, 0xEC000, 0x4000},
};
static_assert(std::size(kSegments) == 13);

}  // namespace

I440fx::I440fx(const Config& config)
    : PciDevice({.vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000}),
      config_area_(config) {
    RM_ASSERT(config.memory && config.ram && config.ram_size >= 0x100000, "i440FX needs RAM");
    set_default(kRamSizeReg, 1, static_cast<u32>(std::min<u64>(config.ram_size >> 23, 255)));
    set_default(kSmram, 1, kSmramSegment);
    apply_pam(true);
    apply_smram(true);
}

void I440fx::set_legacy_vga(memory::MmioWindow* window) {
    vga_ = window;
    apply_smram(true);
}

void I440fx::set_smm(bool in_smm) {
    in_smm_ = in_smm;
    apply_smram(false);
}

u8* I440fx::rom_at(u32 address) const {
    if (address >= 0xE0000)
        return config_area_.high_bios ? config_area_.high_bios + (address - 0xE0000) : nullptr;
    return config_area_.option_rom ? config_area_.option_rom + (address - 0xC0000) : nullptr;
}

void I440fx::apply_pam(bool force) {
    for (unsigned i = 0; i < std::size(kSegments); ++i) {
        const Segment& segment = kSegments[i];
        const u8 attributes = config8(static_cast<u8>(kPam0 + segment.reg)) >> segment.shift & 3;
        if (!force && attributes == pam_applied_[i]) continue;
        pam_applied_[i] = attributes;
        u8* ram = config_area_.ram + segment.start;
        config_area_.memory->map_split(segment.start, segment.size,
                                       attributes & kReadEnable ? ram : rom_at(segment.start),
                                       attributes & kWriteEnable ? ram : nullptr);
    }
}

void I440fx::apply_smram(bool force) {
    const u8 smram = config8(kSmram);
    const bool open = smram & kSmramOpen;
    const Show show = open || (in_smm_ && (smram & kSmramEnable)) ? Show::kRam : Show::kVga;
    if (!force && show == smram_applied_) return;
    smram_applied_ = show;
    auto& memory = *config_area_.memory;
    if (show == Show::kRam)
        memory.map_ram(kVgaStart, kVgaSize, config_area_.ram + kVgaStart);
    else if (vga_)
        memory.map_mmio(kVgaStart, kVgaSize, vga_);
    else
        memory.unmap(kVgaStart, kVgaSize);
}

void I440fx::config_write(u8 offset, unsigned size, u32 value) {
    const u8 smram_before = config8(kSmram);
    PciDevice::config_write(offset, size, value);
    if (offset <= kSmram && offset + size > kSmram) {
        u8 smram = static_cast<u8>((config8(kSmram) & 0x78) | kSmramSegment);
        if (smram_before & kSmramLock)  // locked until reset; only D_CLS still moves
            smram = static_cast<u8>((smram_before & ~0x20) | (smram & 0x20));
        if (smram & kSmramLock) smram &= static_cast<u8>(~kSmramOpen);
        poke(kSmram, 1, smram);
        apply_smram(false);
    }
    if (offset < kPam0 + 7 && offset + size > kPam0) apply_pam(false);
}

void I440fx::reset() {
    PciDevice::reset();
    in_smm_ = false;
    apply_pam(false);
    apply_smram(false);
}

}  // namespace rm::platform
