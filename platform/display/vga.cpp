// VGA registers: the ports 3B0h-3DFh, the palette and the retrace status from virtual time.
// Source: VGA register descriptions as named in vga.h; timing from the CRT controller's own
// numbers.
#include "platform/display/vga.h"

#include <algorithm>

namespace rm::platform {
namespace {

// Writable bits, by index (VGA register descriptions; reserved bits read as zero).
constexpr u8 kSeqMask[8] = {0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0, 0, 0xFF};
constexpr u8 kGcMask[16] = {0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF};

constexpr u8 kStatusDisplayDisabled = 1 << 0, kStatusVerticalRetrace = 1 << 3;

}  // namespace

Vga::Vga(const VirtualClock& clock, std::span<u8> vram, std::span<u8> rom)
    : PciDevice({.vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000}),
      clock_(clock),
      vram_(vram) {
    add_ram_bar(0, vram.size(), vram.data());
    add_mmio_bar(2, kPageSize, &registers_);
    if (!rom.empty()) add_rom_bar(static_cast<u32>(rom.size()), rom.data());
    reset();
}

Vga::~Vga() = default;

void Vga::attach(memory::IoBus& bus) {
    bus.add(0x3B0, 0x30, &ports_);
    bus.add(0x1CE, 3, &vbe_ports_, memory::IoBus::kByte | memory::IoBus::kWord);
}

void Vga::reset() {
    PciDevice::reset();
    misc_ = feature_ = 0;
    seq_index_ = gc_index_ = crtc_index_ = attribute_index_ = 0;
    attribute_data_next_ = dac_reading_ = false;
    seq_.fill(0);
    gc_.fill(0);
    crtc_.fill(0);
    attribute_.fill(0);
    pel_mask_ = 0xFF;
    dac_read_index_ = dac_write_index_ = dac_component_ = 0;
    palette_.fill(0);
    latch_.fill(0);
    vbe_.fill(0);
    vbe_[kVbeId] = 0xB0C5;
    vbe_[kVbeBpp] = 8;
    vbe_index_ = 0;
}

u8 Vga::port_read(u16 port) {
    // Misc bit 0 places the CRT controller and the status register at 3Dx (colour) or 3Bx.
    const u16 other = misc_ & 1 ? 0x3B0 : 0x3D0;
    if ((port & 0xFFF0) == other) return 0xFF;
    switch (port) {
        case 0x3C0: return attribute_index_;
        case 0x3C1: {
            const unsigned index = attribute_index_ & 0x1F;
            return index < attribute_.size() ? attribute_[index] : 0;
        }
        case 0x3C2: return 0x10;  // switch sense
        case 0x3C4: return seq_index_;
        case 0x3C5: return seq_[seq_index_ & 7];
        case 0x3C6: return pel_mask_;
        case 0x3C7: return dac_reading_ ? 3 : 0;
        case 0x3C8: return dac_write_index_;
        case 0x3C9: return dac_read();
        case 0x3CA: return feature_;
        case 0x3CC: return misc_;
        case 0x3CE: return gc_index_;
        case 0x3CF: return gc_[gc_index_ & 0xF];
        case 0x3B4:
        case 0x3D4: return crtc_index_;
        case 0x3B5:
        case 0x3D5: return crtc_read();
        case 0x3BA:
        case 0x3DA: return status1();
        default: return 0xFF;
    }
}

void Vga::port_write(u16 port, u8 value) {
    const u16 other = misc_ & 1 ? 0x3B0 : 0x3D0;
    if ((port & 0xFFF0) == other) return;
    switch (port) {
        case 0x3C0: attribute_write(value); break;
        case 0x3C2: misc_ = value & ~0x10; break;
        case 0x3C4: seq_index_ = value & 7; break;
        case 0x3C5: seq_[seq_index_] = value & kSeqMask[seq_index_]; break;
        case 0x3C6: pel_mask_ = value; break;
        case 0x3C7:
            dac_read_index_ = value;
            dac_component_ = 0;
            dac_reading_ = true;
            break;
        case 0x3C8:
            dac_write_index_ = value;
            dac_component_ = 0;
            dac_reading_ = false;
            break;
        case 0x3C9: dac_write(value); break;
        case 0x3CE: gc_index_ = value & 0xF; break;
        case 0x3CF: gc_[gc_index_] = value & kGcMask[gc_index_]; break;
        case 0x3B4:
        case 0x3D4: crtc_index_ = value & 0x3F; break;
        case 0x3B5:
        case 0x3D5: crtc_write(value); break;
        case 0x3BA:
        case 0x3DA: feature_ = value & 0x10; break;
        default: break;
    }
}

void Vga::crtc_write(u8 value) {
    if (crtc_index_ >= crtc_.size()) return;
    // CR11 bit 7 protects CR0-CR7, except the line-compare bit in CR7.
    if (crtc_index_ <= 7 && crtc_[0x11] & 0x80) {
        if (crtc_index_ == 7) crtc_[7] = static_cast<u8>((crtc_[7] & ~0x10) | (value & 0x10));
        return;
    }
    crtc_[crtc_index_] = value;
}

// One port for index and data; a read of status 1 makes the next write an index.
void Vga::attribute_write(u8 value) {
    if (!attribute_data_next_) {
        attribute_index_ = value & 0x3F;
    } else if (const unsigned index = attribute_index_ & 0x1F; index < attribute_.size()) {
        static constexpr u8 kMask[5] = {0xEF, 0xFF, 0x3F, 0x0F, 0x0F};
        attribute_[index] = value & (index < 16 ? 0x3F : kMask[index - 16]);
    }
    attribute_data_next_ = !attribute_data_next_;
}

void Vga::dac_write(u8 value) {
    palette_[dac_write_index_ * 3u + dac_component_] = value;
    if (++dac_component_ == 3) {
        dac_component_ = 0;
        ++dac_write_index_;
    }
}

u8 Vga::dac_read() {
    const u8 value = palette_[dac_read_index_ * 3u + dac_component_];
    if (++dac_component_ == 3) {
        dac_component_ = 0;
        ++dac_read_index_;
    }
    return value;
}

// Where the beam is follows from virtual time and the programmed totals.
u8 Vga::status1() {
    attribute_data_next_ = false;
    const u64 dot_hz = (misc_ >> 2 & 3) == 1 ? 28'322'000 : 25'175'000;
    const u64 dots_per_char = seq_[1] & 1 ? 8 : 9;
    const u64 chars = crtc_[0] + 5u;
    const u64 displayed_chars = crtc_[1] + 1u;
    const u64 lines = (crtc_[6] | (crtc_[7] & 1u) << 8 | (crtc_[7] & 0x20u) << 4) + 2;
    const u64 retrace_start = crtc_[0x10] | (crtc_[7] & 4u) << 6 | (crtc_[7] & 0x80u) << 2;
    const u64 retrace_lines = ((crtc_[0x11] - retrace_start) & 0xF) + 1;
    const u64 char_count = static_cast<u64>(static_cast<u128>(clock_.now_ns()) * dot_hz /
                                            (1'000'000'000 * dots_per_char));
    const u64 line = char_count / chars % lines;
    const u64 character = char_count % chars;
    const u64 displayed_lines = std::max<u64>(vertical_display(), 1);
    u8 status = 0;
    if (line >= displayed_lines || character >= displayed_chars) status |= kStatusDisplayDisabled;
    // An unprogrammed controller still retraces, or software that waits for it would hang.
    const u64 first = std::min(retrace_start, lines - 1);
    if (line >= first && line < first + retrace_lines)
        status |= kStatusVerticalRetrace | kStatusDisplayDisabled;
    return status;
}

}  // namespace rm::platform
