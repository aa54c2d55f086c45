// What is on the screen: text with the font in plane 2, planar, CGA and 256-colour graphics, VBE
// frame buffers. Called by screendump, never by the guest; every read of video memory is masked.
// Source: VGA register descriptions (CRTC, AR10-AR14, SR1, SR3, GR5); VBE formats as in
// vga_vbe.cpp.
#include <algorithm>

#include "platform/display/cp437.h"
#include "platform/display/vga.h"

namespace rm::platform {
namespace {

constexpr u8 kClockingBlank = 1 << 5, kClocking8Dots = 1;  // SR1
constexpr u8 kModeMono = 1 << 1, kModeLineGraphics = 1 << 2, kModeBlink = 1 << 3,
             kModeColor256 = 1 << 6, kModeP54 = 1 << 7;  // AR10

void put(Picture& out, unsigned x, unsigned y, u32 rgb) {
    u8* p = &out.rgb[(size_t{y} * out.width + x) * 3];
    p[0] = static_cast<u8>(rgb >> 16);
    p[1] = static_cast<u8>(rgb >> 8);
    p[2] = static_cast<u8>(rgb);
}

constexpr u32 widen(u32 value, unsigned bits) { return value * 255 / ((1u << bits) - 1); }

}  // namespace

u32 Vga::dac_rgb(u8 index) const {
    const u8* p = &palette_[(index & pel_mask_) * 3u];
    if (vbe_[kVbeEnable] & 0x20) return u32{p[0]} << 16 | u32{p[1]} << 8 | p[2];
    return widen(p[0] & 63, 6) << 16 | widen(p[1] & 63, 6) << 8 | widen(p[2] & 63, 6);
}

u32 Vga::attribute_rgb(u8 index) const {
    u8 value = attribute_[index & 15];
    if (attribute_[0x10] & kModeP54)
        value = static_cast<u8>((value & 0x0F) | (attribute_[0x14] & 3) << 4);
    return dac_rgb(static_cast<u8>(value | (attribute_[0x14] & 0x0C) << 4));
}

unsigned Vga::vertical_display() const {
    return (crtc_[0x12] | (crtc_[7] & 2u) << 7 | (crtc_[7] & 0x40u) << 3) + 1;
}

bool Vga::blanked() const { return seq_[1] & kClockingBlank || !(attribute_index_ & 0x20); }

Picture Vga::picture() const {
    Picture out;
    if (vbe_enabled()) {
        out.width = vbe_[kVbeXres];
        out.height = vbe_[kVbeYres];
    } else if (text_mode()) {
        out.width = (crtc_[1] + 1u) * (seq_[1] & kClocking8Dots ? 8 : 9);
        out.height = vertical_display();
    } else {
        out.width = (crtc_[1] + 1u) * 8;
        out.height = vertical_display();
    }
    out.rgb.assign(size_t{out.width} * out.height * 3, 0);
    if (vbe_enabled())
        render_vbe(out);
    else if (blanked())
        return out;
    else if (text_mode())
        render_text(out);
    else
        render_graphics(out);
    return out;
}

std::string Vga::text() const {
    if (!text_mode()) return {};
    const unsigned columns = crtc_[1] + 1u, height = (crtc_[9] & 31u) + 1;
    const unsigned rows = vertical_display() / height;
    const u32 start = crtc_[0x0C] << 8 | crtc_[0x0D];
    std::string out;
    for (unsigned row = 0; row < rows; ++row) {
        std::string line;
        size_t used = 0;
        for (unsigned column = 0; column < columns; ++column) {
            const u32 cell = (start + row * crtc_[0x13] * 2u + column) & 0xFFFF;
            const u8 character = vram_[cell * 4];
            line += cp437_utf8(character);
            if (character != 0 && character != ' ' && character != 0xFF) used = line.size();
        }
        out += line.substr(0, used) + "\n";
    }
    return out;
}

void Vga::render_text(Picture& out) const {
    const unsigned columns = crtc_[1] + 1u, height = (crtc_[9] & 31u) + 1;
    const unsigned width = seq_[1] & kClocking8Dots ? 8 : 9;
    const u32 start = crtc_[0x0C] << 8 | crtc_[0x0D];
    const u32 cursor = crtc_[0x0E] << 8 | crtc_[0x0F];
    for (unsigned row = 0; row * height < out.height; ++row)
        for (unsigned column = 0; column < columns; ++column) {
            const u32 cell = (start + row * crtc_[0x13] * 2u + column) & 0xFFFF;
            render_cell(out, column * width, row * height, vram_[cell * 4], vram_[cell * 4 + 1],
                        cell == cursor);
        }
}

void Vga::render_cell(Picture& out, unsigned x, unsigned y, u8 character, u8 attribute,
                      bool cursor) const {
    // SR3: attribute bit 3 chooses between two of eight fonts of 8 KiB in plane 2.
    static constexpr u32 kFont[8] = {0x0000, 0x4000, 0x8000, 0xC000,
                                     0x2000, 0x6000, 0xA000, 0xE000};
    const u8 select = seq_[3];
    const unsigned font_b = (select & 3) | (select >> 2 & 4),
                   font_a = (select >> 2 & 3) | (select >> 3 & 4);
    const u32 font = kFont[attribute & 8 ? font_a : font_b];
    const u8 mode = attribute_[0x10];
    const u32 foreground = attribute_rgb(attribute & 15);
    const u32 background = attribute_rgb(attribute >> 4 & (mode & kModeBlink ? 7 : 15));
    const unsigned height = (crtc_[9] & 31u) + 1, width = seq_[1] & kClocking8Dots ? 8 : 9;
    const bool cursor_on = cursor && !(crtc_[0x0A] & 0x20);
    const bool underline = mode & kModeMono && (attribute & 7) == 1;
    for (unsigned line = 0; line < height && y + line < out.height; ++line) {
        unsigned bits = vram_[(font + character * 32u + line) * 4 + 2] << 1;
        if (mode & kModeLineGraphics && character >= 0xC0 && character <= 0xDF)
            bits |= bits >> 1 & 1;
        if (underline && line == (crtc_[0x14] & 31u)) bits = 0x1FF;
        if (cursor_on && line >= (crtc_[0x0A] & 31u) && line <= (crtc_[0x0B] & 31u)) bits = 0x1FF;
        for (unsigned dot = 0; dot < width; ++dot)
            put(out, x + dot, y + line, bits >> (8 - dot) & 1 ? foreground : background);
    }
}

// The colour index of one dot, before the palette.
u8 Vga::graphics_pixel(u32 line_start, unsigned x, unsigned row) const {
    const u32 mask = static_cast<u32>(vram_.size() - 1);
    if (gc_[5] & 0x40) return vram_[(line_start * 4 + x / 2) & mask];  // 256 colours, dots doubled
    u32 cell = line_start + x / 8;
    // CR17 bits 0 and 1 clear: row scan counter bits replace address bits 13 and 14 (CGA,
    // Hercules).
    if (!(crtc_[0x17] & 1)) cell = (cell & ~0x2000u) | (row & 1) << 13;
    if (!(crtc_[0x17] & 2)) cell = (cell & ~0x4000u) | (row >> 1 & 1) << 14;
    if (gc_[5] & 0x20) {  // CGA: two bits a pixel, odd and even bytes in planes 0 and 1
        const u32 byte = line_start + x / 8;
        u32 base = byte;
        if (!(crtc_[0x17] & 1)) base = (base & ~0x1000u) | (row & 1) << 12;
        const u8 data = vram_[(base * 4 + x % 8 / 4) & mask];
        return data >> (6 - x % 4 * 2) & 3;
    }
    const u8* planes = &vram_[cell * 4 & mask];
    u8 index = 0;
    for (unsigned plane = 0; plane < 4; ++plane)
        index |= static_cast<u8>((planes[plane] >> (7 - x % 8) & 1) << plane);
    return index & attribute_[0x12];
}

void Vga::render_graphics(Picture& out) const {
    const unsigned repeat = ((crtc_[9] & 31u) + 1) * (crtc_[9] & 0x80 ? 2 : 1);
    const bool interleaved = !(crtc_[0x17] & 1);
    const u32 start = crtc_[0x0C] << 8 | crtc_[0x0D];
    for (unsigned y = 0; y < out.height; ++y) {
        // In interleaved modes the row scan counter addresses memory instead of repeating lines.
        const unsigned scans = interleaved ? (crtc_[9] & 0x80 ? 2u : 1u) : repeat;
        const unsigned line = y / scans;
        const unsigned row = interleaved ? line % ((crtc_[9] & 31u) + 1) : 0;
        const unsigned address_line = interleaved ? line / ((crtc_[9] & 31u) + 1) : line;
        const u32 line_start = start + address_line * crtc_[0x13] * 2u;
        for (unsigned x = 0; x < out.width; ++x) {
            const u8 index = graphics_pixel(line_start, x, row);
            put(out, x, y,
                attribute_[0x10] & kModeColor256 || gc_[5] & 0x40 ? dac_rgb(index)
                                                                  : attribute_rgb(index));
        }
    }
}

void Vga::render_vbe(Picture& out) const {
    const u64 mask = vram_.size() - 1;
    const unsigned bpp = vbe_[kVbeBpp], bytes = (bpp + 7) / 8;
    for (unsigned y = 0; y < out.height; ++y)
        for (unsigned x = 0; x < out.width; ++x) {
            const u64 column = x + vbe_[kVbeXOffset], line = y + vbe_[kVbeYOffset];
            if (bpp == 4) {
                const u8* planes = &vram_[(line * vbe_[kVbeVirtWidth] / 8 + column / 8) * 4 & mask];
                u8 index = 0;
                for (unsigned plane = 0; plane < 4; ++plane)
                    index |= static_cast<u8>((planes[plane] >> (7 - column % 8) & 1) << plane);
                put(out, x, y, attribute_rgb(index));
                continue;
            }
            const u64 at = line * vbe_stride() + column * bytes;
            u32 v = 0;
            for (unsigned i = 0; i < bytes; ++i) v |= u32{vram_[(at + i) & mask]} << (8 * i);
            if (bpp == 8)
                v = dac_rgb(static_cast<u8>(v));
            else if (bpp == 15)
                v = widen(v >> 10 & 31, 5) << 16 | widen(v >> 5 & 31, 5) << 8 | widen(v & 31, 5);
            else if (bpp == 16)
                v = widen(v >> 11 & 31, 5) << 16 | widen(v >> 5 & 63, 6) << 8 | widen(v & 31, 5);
            put(out, x, y, v);
        }
}

std::vector<u8> ppm(const Picture& picture) {
    const std::string header =
        "P6\n" + std::to_string(picture.width) + " " + std::to_string(picture.height) + "\n255\n";
    std::vector<u8> out(header.begin(), header.end());
    out.insert(out.end(), picture.rgb.begin(), picture.rgb.end());
    return out;
}

}  // namespace rm::platform
