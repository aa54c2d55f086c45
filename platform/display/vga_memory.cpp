// The window A0000-BFFFF: chain-4, odd/even and planar accesses with latches, rotation, logic unit
// and bit mask. One byte at a time, as on the 8-bit data path the registers are defined for.
// Source: VGA register descriptions: SR2, SR4, GR0-GR8.
#include "platform/display/vga.h"

namespace rm::platform {
namespace {

constexpr u8 kSeqOddEvenOff = 1 << 2, kSeqChain4 = 1 << 3;  // SR4
constexpr u8 kGcReadMode = 1 << 3, kGcOddEven = 1 << 4;     // GR5
constexpr u32 kPlaneMask = 0xFFFF;                          // 64 KiB a plane

constexpr u8 rotate_right(u8 value, unsigned by) {
    return static_cast<u8>(value >> by | value << ((8 - by) & 7));
}

}  // namespace

// GR6 bits 3:2 choose the part of the window that is decoded; offset becomes relative to it.
bool Vga::decode(u32& offset) const {
    switch (gc_[6] >> 2 & 3) {
        case 0: return true;
        case 1: return offset < 0x10000;
        case 2: offset -= 0x10000; return offset < 0x8000;
        default: offset -= 0x18000; return offset < 0x8000;
    }
}

u8 Vga::window_read(u32 offset) {
    if (!decode(offset)) return 0xFF;
    const u32 bank = u32{vbe_[kVbeBank]} << 16;
    const u32 mask = static_cast<u32>(vram_.size() - 1);
    if (seq_[4] & kSeqChain4) {
        const u8* cell = &vram_[(offset + bank) & mask & ~3u];
        for (unsigned plane = 0; plane < 4; ++plane) latch_[plane] = cell[plane];
        return cell[offset & 3];
    }
    if (gc_[5] & kGcOddEven) {
        const u8* cell = &vram_[(offset >> 1 & kPlaneMask) * 4];
        for (unsigned plane = 0; plane < 4; ++plane) latch_[plane] = cell[plane];
        return cell[(gc_[4] & 2) | (offset & 1)];
    }
    const u32 index = (offset & kPlaneMask) + bank / 4;
    const u8* cell = &vram_[index * 4 & mask];
    for (unsigned plane = 0; plane < 4; ++plane) latch_[plane] = cell[plane];
    if (!(gc_[5] & kGcReadMode)) return latch_[gc_[4]];
    // Read mode 1: a bit is set where all compared planes match the colour.
    u8 result = 0xFF;
    for (unsigned plane = 0; plane < 4; ++plane)
        if (gc_[7] >> plane & 1)
            result &= gc_[2] >> plane & 1 ? latch_[plane] : static_cast<u8>(~latch_[plane]);
    return result;
}

void Vga::window_write(u32 offset, u8 value) {
    if (!decode(offset)) return;
    const u32 bank = u32{vbe_[kVbeBank]} << 16;
    if (seq_[4] & kSeqChain4) {
        if (seq_[2] >> (offset & 3) & 1)
            vram_[(offset + bank) & static_cast<u32>(vram_.size() - 1)] = value;
    } else if (!(seq_[4] & kSeqOddEvenOff)) {
        const u32 cell = (offset >> 1 & kPlaneMask) * 4;
        for (unsigned plane = offset & 1; plane < 4; plane += 2)
            if (seq_[2] >> plane & 1) vram_[cell + plane] = value;
    } else {
        planar_write((offset & kPlaneMask) + bank / 4, value);
    }
}

// GR5 bits 1:0 select one of four write modes.
void Vga::planar_write(u32 index, u8 value) {
    const unsigned mode = gc_[5] & 3;
    const u8 rotated = rotate_right(value, gc_[3] & 7);
    const u8 bit_mask = mode == 3 ? gc_[8] & rotated : gc_[8];
    u8* cell = &vram_[index * 4 & static_cast<u32>(vram_.size() - 1)];
    for (unsigned plane = 0; plane < 4; ++plane) {
        if (!(seq_[2] >> plane & 1)) continue;
        if (mode == 1) {
            cell[plane] = latch_[plane];
            continue;
        }
        u8 data;
        if (mode == 2)
            data = value >> plane & 1 ? 0xFF : 0;
        else if (mode == 3 || (gc_[1] >> plane & 1))
            data = gc_[0] >> plane & 1 ? 0xFF : 0;  // set/reset
        else
            data = rotated;
        switch (gc_[3] >> 3 & 3) {
            case 1: data &= latch_[plane]; break;
            case 2: data |= latch_[plane]; break;
            case 3: data ^= latch_[plane]; break;
            default: break;
        }
        cell[plane] = static_cast<u8>((data & bit_mask) | (latch_[plane] & ~bit_mask));
    }
}

u64 Vga::Window::mmio_read(u64 offset, unsigned size) {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i)
        value |= u64{owner.window_read(static_cast<u32>(offset) + i)} << (8 * i);
    return value;
}

void Vga::Window::mmio_write(u64 offset, unsigned size, u64 value) {
    for (unsigned i = 0; i < size; ++i)
        owner.window_write(static_cast<u32>(offset) + i, static_cast<u8>(value >> (8 * i)));
}

}  // namespace rm::platform
