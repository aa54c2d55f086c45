// Bochs' VBE extension ("dispi"): modes beyond VGA by a few 16-bit registers at ports 1CEh (index)
// and 1CFh (data), mirrored in BAR2 with the VGA ports.
// Source: QEMU documentation, "QEMU Standard VGA"; Bochs documentation, "VBE display interface".
#include <algorithm>

#include "platform/display/vga.h"

namespace rm::platform {
namespace {

constexpr u16 kIdLowest = 0xB0C0, kIdHighest = 0xB0C5;
constexpr u16 kMaxXres = 2560, kMaxYres = 1600, kMaxBpp = 32;
constexpr u16 kEnabled = 0x01, kGetCaps = 0x02, k8BitDac = 0x20, kLfb = 0x40, kNoClear = 0x80;
constexpr u64 kVgaPorts = 0x400, kVgaPortsEnd = 0x420, kDispi = 0x500;

}  // namespace

u16 Vga::vbe_read(unsigned index) const {
    if (vbe_[kVbeEnable] & kGetCaps) {
        if (index == kVbeXres) return kMaxXres;
        if (index == kVbeYres) return kMaxYres;
        if (index == kVbeBpp) return kMaxBpp;
    }
    if (index == kVbeMemory) return static_cast<u16>(vram_.size() >> 16);
    return index < kVbeCount ? vbe_[index] : 0;
}

unsigned Vga::vbe_stride() const {
    const unsigned width = vbe_[kVbeVirtWidth], bpp = vbe_[kVbeBpp];
    return bpp == 4 ? width / 2 : width * ((bpp + 7) / 8);
}

// The virtual screen is as wide as asked and as high as memory allows; the view stays inside.
void Vga::vbe_fix_geometry() {
    vbe_[kVbeVirtWidth] = std::max(vbe_[kVbeVirtWidth], vbe_[kVbeXres]);
    const u64 stride = std::max(1u, vbe_stride());
    const u64 rows = std::min<u64>(vram_.size() / stride, 0xFFFF);
    if (rows < vbe_[kVbeYres]) {  // too wide for the memory: back to the visible width
        vbe_[kVbeVirtWidth] = vbe_[kVbeXres];
        vbe_[kVbeVirtHeight] = vbe_[kVbeYres];
    } else {
        vbe_[kVbeVirtHeight] = static_cast<u16>(rows);
    }
    const auto clamp = [](u16 offset, u16 whole, u16 visible) {
        return std::min<u16>(offset, whole > visible ? static_cast<u16>(whole - visible) : 0);
    };
    vbe_[kVbeXOffset] = clamp(vbe_[kVbeXOffset], vbe_[kVbeVirtWidth], vbe_[kVbeXres]);
    vbe_[kVbeYOffset] = clamp(vbe_[kVbeYOffset], vbe_[kVbeVirtHeight], vbe_[kVbeYres]);
}

void Vga::vbe_enable(u16 value) {
    const bool was = vbe_enabled();
    vbe_[kVbeEnable] = value & (kEnabled | kGetCaps | k8BitDac | kLfb | kNoClear);
    if (!(value & kEnabled)) {
        vbe_[kVbeBank] = 0;
        return;
    }
    if (was) return;
    vbe_[kVbeVirtWidth] = 0;
    vbe_[kVbeXOffset] = vbe_[kVbeYOffset] = 0;
    vbe_fix_geometry();
    if (!(value & kNoClear)) {
        const u64 bytes = u64{vbe_stride()} * vbe_[kVbeYres];
        std::fill_n(vram_.begin(),
                    std::min<u64>(bytes * (vbe_[kVbeBpp] == 4 ? 4 : 1), vram_.size()), 0);
    }
}

void Vga::vbe_write(unsigned index, u16 value) {
    switch (index) {
        case kVbeId:
            if (value >= kIdLowest && value <= kIdHighest) vbe_[kVbeId] = value;
            break;
        case kVbeXres:
            if (!vbe_enabled() && value && value <= kMaxXres && value % 8 == 0) vbe_[index] = value;
            break;
        case kVbeYres:
            if (!vbe_enabled() && value && value <= kMaxYres) vbe_[index] = value;
            break;
        case kVbeBpp:
            if (value == 0) value = 8;
            if (!vbe_enabled() && (value == 4 || value == 8 || value == 15 || value == 16 ||
                                   value == 24 || value == 32))
                vbe_[index] = value;
            break;
        case kVbeEnable: vbe_enable(value); break;
        case kVbeBank: vbe_[index] = static_cast<u16>(value % (vram_.size() >> 16)); break;
        case kVbeVirtWidth:
        case kVbeXOffset:
        case kVbeYOffset:
            vbe_[index] = value;
            if (vbe_enabled()) vbe_fix_geometry();
            break;
        default: break;  // the virtual height and the memory size follow from the rest
    }
}

u32 Vga::VbePorts::port_read(u16 offset, unsigned size) {
    const u32 value = offset == 0 ? owner.vbe_index_ : owner.vbe_read(owner.vbe_index_);
    return size == 1 ? value & 0xFF : value;
}

void Vga::VbePorts::port_write(u16 offset, unsigned size, u32 value) {
    if (offset == 0)
        owner.vbe_index_ = value & 0xFFFF;
    else if (size == 2)
        owner.vbe_write(owner.vbe_index_, static_cast<u16>(value));
}

u64 Vga::mmio_read(u64 offset, unsigned size) {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const u64 at = offset + i;
        u8 byte = 0;
        if (at >= kVgaPorts && at < kVgaPortsEnd)
            byte = port_read(static_cast<u16>(0x3C0 + (at - kVgaPorts)));
        else if (at >= kDispi && at < kDispi + 2 * kVbeCount)
            byte =
                static_cast<u8>(vbe_read(static_cast<unsigned>(at - kDispi) / 2) >> (8 * (at & 1)));
        value |= u64{byte} << (8 * i);
    }
    return value;
}

void Vga::mmio_write(u64 offset, unsigned size, u64 value) {
    for (unsigned i = 0; i < size; ++i) {
        const u64 at = offset + i;
        if (at >= kVgaPorts && at < kVgaPortsEnd)
            port_write(static_cast<u16>(0x3C0 + (at - kVgaPorts)),
                       static_cast<u8>(value >> (8 * i)));
    }
    if (size == 2 && offset >= kDispi && offset + 1 < kDispi + 2 * kVbeCount && offset % 2 == 0)
        vbe_write(static_cast<unsigned>(offset - kDispi) / 2, static_cast<u16>(value));
}

}  // namespace rm::platform
