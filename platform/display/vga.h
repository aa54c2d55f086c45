// Standard VGA with Bochs' VBE extension, as QEMU's `-vga std`: PCI 1234:1111, BAR0 video memory,
// BAR2 registers, the ISA ports and the window at A0000-BFFFF.
// Owns: all VGA registers and the palette; video memory belongs to the caller.
// Assumes: 256 KiB of planar memory are kept plane-interleaved at the start of video memory (byte
// 4 * offset + plane), so that a chain-4 byte n is byte n, and text cell n is bytes 4n and 4n+1.
// Source: IBM VGA as in the Intel 82810/G35 programmer's reference, volume "VGA registers"; QEMU
// documentation, "QEMU Standard VGA" (dispi registers, BAR2 layout).
#pragma once
#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"
#include "memory/physical/physical.h"
#include "platform/pci/pci_device.h"

namespace rm::platform {

// A picture, 3 bytes (red, green, blue) a pixel, rows from the top.
struct Picture {
    unsigned width = 0, height = 0;
    std::vector<u8> rgb;
};

class Vga final : public PciDevice {
public:
    static constexpr u64 kVramBytes = 16 << 20;
    static constexpr u32 kWindowBytes = 0x20000;  // A0000-BFFFF

    // vram: kVramBytes of page-aligned zeroed memory. rom: the VGA BIOS, padded to a power of two
    // of at least 4 KiB; may be empty. All must outlive the device.
    Vga(const VirtualClock& clock, std::span<u8> vram, std::span<u8> rom);
    ~Vga() override;

    void attach(memory::IoBus& bus);                         // the ISA ports
    memory::MmioWindow& legacy_window() { return window_; }  // for the host bridge
    void reset() override;

    // The screen now. Blank screens give black pictures.
    Picture picture() const;
    // The characters of a text screen, one line a row, trailing blanks cut; empty in graphics
    // modes.
    std::string text() const;
    bool text_mode() const { return !vbe_enabled() && !(gc_[6] & 1); }

private:
    // --- vga.cpp: ports ---
    u8 port_read(u16 port);
    void port_write(u16 port, u8 value);
    u8 crtc_read() const { return crtc_index_ < crtc_.size() ? crtc_[crtc_index_] : 0; }
    void crtc_write(u8 value);
    void attribute_write(u8 value);
    void dac_write(u8 value);
    u8 dac_read();
    u8 status1();
    // --- vga_vbe.cpp ---
    u16 vbe_read(unsigned index) const;
    void vbe_write(unsigned index, u16 value);
    void vbe_enable(u16 value);
    void vbe_fix_geometry();
    bool vbe_enabled() const { return vbe_[kVbeEnable] & 1; }
    unsigned vbe_stride() const;
    u64 mmio_read(u64 offset, unsigned size);
    void mmio_write(u64 offset, unsigned size, u64 value);
    // --- vga_memory.cpp: A0000-BFFFF ---
    bool decode(u32& offset) const;
    u8 window_read(u32 offset);
    void window_write(u32 offset, u8 value);
    void planar_write(u32 index, u8 value);
    // --- vga_render.cpp ---
    u32 dac_rgb(u8 index) const;
    u32 attribute_rgb(u8 index) const;
    unsigned vertical_display() const;
    bool blanked() const;
    void render_text(Picture& out) const;
    void render_cell(Picture& out, unsigned x, unsigned y, u8 character, u8 attribute,
                     bool cursor) const;
    void render_graphics(Picture& out) const;
    u8 graphics_pixel(u32 line_start, unsigned x, unsigned row) const;
    void render_vbe(Picture& out) const;

    enum VbeIndex : unsigned {
        kVbeId,
        kVbeXres,
        kVbeYres,
        kVbeBpp,
        kVbeEnable,
        kVbeBank,
        kVbeVirtWidth,
        kVbeVirtHeight,
        kVbeXOffset,
        kVbeYOffset,
        kVbeMemory,
        kVbeCount
    };
    struct Ports final : memory::PortWindow {
        explicit Ports(Vga& vga) : owner(vga) {}
        u32 port_read(u16 offset, unsigned) override {
            return owner.port_read(static_cast<u16>(0x3B0 + offset));
        }
        void port_write(u16 offset, unsigned, u32 value) override {
            owner.port_write(static_cast<u16>(0x3B0 + offset), static_cast<u8>(value));
        }
        Vga& owner;
    };
    struct VbePorts final : memory::PortWindow {
        explicit VbePorts(Vga& vga) : owner(vga) {}
        u32 port_read(u16 offset, unsigned size) override;
        void port_write(u16 offset, unsigned size, u32 value) override;
        Vga& owner;
    };
    struct Window final : memory::MmioWindow {
        explicit Window(Vga& vga) : owner(vga) {}
        u64 mmio_read(u64 offset, unsigned size) override;
        void mmio_write(u64 offset, unsigned size, u64 value) override;
        Vga& owner;
    };
    struct Registers final : memory::MmioWindow {
        explicit Registers(Vga& vga) : owner(vga) {}
        u64 mmio_read(u64 offset, unsigned size) override { return owner.mmio_read(offset, size); }
        void mmio_write(u64 offset, unsigned size, u64 value) override {
            owner.mmio_write(offset, size, value);
        }
        Vga& owner;
    };

    const VirtualClock& clock_;
    std::span<u8> vram_;
    Ports ports_{*this};
    VbePorts vbe_ports_{*this};
    Window window_{*this};
    Registers registers_{*this};

    u8 misc_ = 0, feature_ = 0;
    u8 seq_index_ = 0, gc_index_ = 0, crtc_index_ = 0, attribute_index_ = 0;
    bool attribute_data_next_ = false;
    std::array<u8, 8> seq_{};
    std::array<u8, 16> gc_{};
    std::array<u8, 25> crtc_{};
    std::array<u8, 21> attribute_{};
    u8 pel_mask_ = 0xFF;
    u8 dac_read_index_ = 0, dac_write_index_ = 0, dac_component_ = 0;
    bool dac_reading_ = false;
    std::array<u8, 768> palette_{};
    std::array<u8, 4> latch_{};
    std::array<u16, kVbeCount> vbe_{};
    unsigned vbe_index_ = 0;
};

// Binary PPM (P6).
std::vector<u8> ppm(const Picture& picture);

}  // namespace rm::platform
