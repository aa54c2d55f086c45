// VGA: registers, write modes and planes through the window, text and graphics on the screen, VBE.
#include "platform/display/vga.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace rm;
using namespace rm::platform;

namespace {

struct FakeClock final : VirtualClock {
    u64 ns = 0;
    u64 now_ticks() const override { return ns; }
    u64 now_ns() const override { return ns; }
};

struct Screen {
    FakeClock clock;
    std::unique_ptr<memory::Ram> vram = std::move(*memory::Ram::create(Vga::kVramBytes));
    memory::IoBus io;
    Vga vga{clock, {vram->host(), Vga::kVramBytes}, {}};
    Screen() { vga.attach(io); }

    void seq(u8 i, u8 v) { io.write(0x3C4, 2, static_cast<u32>(v) << 8 | i); }
    void gc(u8 i, u8 v) { io.write(0x3CE, 2, static_cast<u32>(v) << 8 | i); }
    void crtc(u8 i, u8 v) { io.write(0x3D4, 2, static_cast<u32>(v) << 8 | i); }
    void vbe(u16 i, u16 v) {
        io.write(0x1CE, 2, i);
        io.write(0x1CF, 2, v);
    }
    u32 vbe(u16 i) {
        io.write(0x1CE, 2, i);
        return io.read(0x1CF, 2);
    }
    void attribute(u8 i, u8 v) {
        io.read(0x3DA, 1);
        io.write(0x3C0, 1, i);
        io.write(0x3C0, 1, v);
        io.write(0x3C0, 1, 0x20);
    }
    void dac(u8 i, u8 r, u8 g, u8 b) {
        io.write(0x3C8, 1, i);
        for (u8 c : {r, g, b}) io.write(0x3C9, 1, c);
    }
    u8 read(u32 offset) { return static_cast<u8>(vga.legacy_window().mmio_read(offset, 1)); }
    void write(u32 offset, u8 v) { vga.legacy_window().mmio_write(offset, 1, v); }

    void set_geometry(u8 chars, unsigned lines, u8 char_height, u8 offset) {
        crtc(0x11, 0);
        crtc(1, static_cast<u8>(chars - 1));
        crtc(0x12, static_cast<u8>(lines - 1));
        crtc(7, static_cast<u8>(((lines - 1) >> 7 & 2) | ((lines - 1) >> 3 & 0x40)));
        crtc(9, static_cast<u8>(char_height - 1));
        crtc(0x13, offset);
        crtc(0x17, 0xA3);
    }
    // Mode 3: 80x25 text, 9x16 cells, at B8000.
    void text_mode() {
        io.write(0x3C2, 1, 0x67);
        seq(1, 0), seq(2, 3), seq(3, 0), seq(4, 2);
        gc(5, 0x10), gc(6, 0x0E), gc(8, 0xFF);
        set_geometry(80, 400, 16, 40);
        crtc(0x0A, 0x20);
        for (u8 i = 0; i < 16; ++i) attribute(i, i);
        attribute(0x12, 0x0F);
        attribute(0x10, 0x0C);
        for (u8 i = 0; i < 16; ++i) dac(i, i, static_cast<u8>(i * 2), static_cast<u8>(i * 4));
    }
    void planar_mode() {  // 640x480, 16 colours
        io.write(0x3C2, 1, 0xE3);
        seq(1, 1), seq(2, 0xF), seq(4, 6);
        gc(0, 0), gc(1, 0), gc(3, 0), gc(4, 0), gc(5, 0), gc(6, 5), gc(7, 0xF), gc(8, 0xFF);
        set_geometry(80, 480, 1, 40);
        crtc(0x17, 0xE3);
        for (u8 i = 0; i < 16; ++i) attribute(i, i);
        attribute(0x12, 0x0F);
        attribute(0x10, 1);
        for (u8 i = 0; i < 16; ++i) dac(i, i, 0, 63);
    }
    u32 pixel(const Picture& p, unsigned x, unsigned y) {
        const u8* c = &p.rgb[(size_t{y} * p.width + x) * 3];
        return u32{c[0]} << 16 | u32{c[1]} << 8 | c[2];
    }
};

}  // namespace

TEST_CASE("registers: masks, index/data, CRTC protection, palette") {
    Screen s;
    s.io.write(0x3C2, 1, 0x67);
    CHECK(s.io.read(0x3CC, 1) == 0x67);
    CHECK(s.io.read(0x3B4, 1) == 0xFF);  // colour addresses are selected
    s.crtc(0x11, 0x80);
    s.crtc(0, 0x5F);
    s.io.write(0x3D4, 1, 0);
    CHECK(s.io.read(0x3D5, 1) == 0);
    s.crtc(7, 0xFF);
    s.io.write(0x3D4, 1, 7);
    CHECK(s.io.read(0x3D5, 1) == 0x10);
    s.crtc(0x11, 0);
    s.crtc(0, 0x5F);
    s.io.write(0x3D4, 1, 0);
    CHECK(s.io.read(0x3D5, 1) == 0x5F);
    s.gc(8, 0xA5);
    CHECK(s.io.read(0x3CE, 2) == 0xA508);
    s.dac(7, 1, 2, 3);
    s.io.write(0x3C7, 1, 7);
    CHECK(s.io.read(0x3C7, 1) == 3);
    CHECK(s.io.read(0x3C9, 1) == 1);
    CHECK(s.io.read(0x3C9, 1) == 2);
    CHECK(s.io.read(0x3C9, 1) == 3);
    s.attribute(0x10, 0x4F);
    s.io.read(0x3DA, 1);
    s.io.write(0x3C0, 1, 0x30);
    CHECK(s.io.read(0x3C1, 1) == 0x4F);
    // Indexes beyond what exists are harmless.
    for (u16 port : {0x3C4, 0x3CE, 0x3D4, 0x3C0})
        for (unsigned i = 0; i < 256; ++i) {
            s.io.write(port, 1, i);
            s.io.write(static_cast<u16>(port + 1), 1, 0xFF);
            s.io.read(static_cast<u16>(port + 1), 1);
        }
}

TEST_CASE("retrace follows virtual time") {
    Screen s;
    s.text_mode();
    s.crtc(0, 0x5F), s.crtc(6, 0xBF), s.crtc(7, 0x1F), s.crtc(0x10, 0x9C), s.crtc(0x11, 0x8E);
    unsigned retrace = 0, disabled = 0;
    constexpr unsigned kSteps = 20000;
    for (unsigned i = 0; i < kSteps; ++i) {
        s.clock.ns = i * 5003ull;  // 100 ms
        const u32 status = s.io.read(0x3DA, 1);
        retrace += status >> 3 & 1;
        disabled += status & 1;
    }
    CHECK(retrace > 0);
    CHECK(retrace < kSteps / 50);  // a few of 449 lines
    CHECK(disabled > kSteps / 5);
    CHECK(disabled < kSteps / 2);
    // Even before anything is programmed.
    Screen fresh;
    fresh.io.write(0x3C2, 1, 1);
    bool seen = false, cleared = false;
    for (unsigned i = 0; i < 10000; ++i) {
        fresh.clock.ns = i * 101ull;
        (fresh.io.read(0x3DA, 1) & 8 ? seen : cleared) = true;
    }
    CHECK(seen);
    CHECK(cleared);
}

TEST_CASE("write modes, latches, logic unit, set/reset, bit mask") {
    Screen s;
    s.planar_mode();
    const auto plane = [&](u32 at, unsigned p) {
        s.gc(4, static_cast<u8>(p));
        return s.read(at);
    };
    SUBCASE("mode 0 with map mask and rotation") {
        s.seq(2, 0x5);
        s.gc(3, 3);
        s.write(10, 0x81);
        CHECK(plane(10, 0) == 0x30);
        CHECK(plane(10, 1) == 0);
        CHECK(plane(10, 2) == 0x30);
    }
    SUBCASE("set/reset replaces data in enabled planes") {
        s.gc(0, 0x2), s.gc(1, 0x3);
        s.write(0, 0x0F);
        CHECK(plane(0, 0) == 0);
        CHECK(plane(0, 1) == 0xFF);
        CHECK(plane(0, 2) == 0x0F);
    }
    SUBCASE("logic with latches through the bit mask") {
        s.write(0, 0xCC);
        s.read(0);
        for (const auto& [op, want] : {std::pair{0, 0xAA}, {1, 0x88}, {2, 0xEE}, {3, 0x66}}) {
            s.write(0, 0);
            s.gc(3, 0), s.gc(8, 0xFF);
            s.write(1, 0xCC);
            s.read(1);
            s.gc(3, static_cast<u8>(op << 3)), s.gc(8, 0xF0);
            s.write(1, 0xAA);
            CHECK(plane(1, 3) == ((want & 0xF0) | 0x0C));
            s.gc(3, 0), s.gc(8, 0xFF);
        }
    }
    SUBCASE("mode 1 copies latches") {
        for (unsigned p = 0; p < 4; ++p)
            s.seq(2, static_cast<u8>(1 << p)), s.write(5, static_cast<u8>(0x11 * (p + 1)));
        s.seq(2, 0xF);
        s.read(5);
        s.gc(5, 1);
        s.write(6, 0);
        for (unsigned p = 0; p < 4; ++p) CHECK(plane(6, p) == 0x11 * (p + 1));
    }
    SUBCASE("mode 2 expands a colour, mode 3 masks set/reset") {
        s.gc(5, 2);
        s.gc(8, 0x3C);
        s.read(7);
        s.write(7, 0xA);
        CHECK(plane(7, 0) == 0);
        CHECK(plane(7, 1) == 0x3C);
        CHECK(plane(7, 3) == 0x3C);
        s.gc(5, 3), s.gc(8, 0xF0), s.gc(0, 0x1);
        s.read(9);
        s.write(9, 0xAA);
        CHECK(plane(9, 0) == 0xA0);
        CHECK(plane(9, 1) == 0);
    }
    SUBCASE("read mode 1 compares colours") {
        s.gc(5, 2);
        s.gc(8, 0xF0);
        s.read(3);
        s.write(3, 6);
        s.gc(5, 8), s.gc(2, 6);
        CHECK(s.read(3) == 0xF0);
        s.gc(2, 0);
        CHECK(s.read(3) == 0x0F);
        s.gc(7, 0);
        CHECK(s.read(3) == 0xFF);
    }
}

TEST_CASE("window placement by GR6, wide accesses") {
    Screen s;
    s.text_mode();
    s.vga.legacy_window().mmio_write(0x18000, 4, 0x0F420E41);
    CHECK(s.vga.legacy_window().mmio_read(0x18000, 4) == 0x0F420E41);
    CHECK(s.read(0) == 0xFF);
    CHECK(s.read(0x17FFF) == 0xFF);
    CHECK(s.vram->host()[0] == 0x41);
    CHECK(s.vram->host()[5] == 0x0F);
    for (unsigned map = 0; map < 4; ++map) {
        s.gc(6, static_cast<u8>(map << 2));
        for (u32 offset = 0; offset < 0x20000; offset += 0x3FF) s.write(offset, 1), s.read(offset);
    }
}

TEST_CASE("text dump and text picture") {
    Screen s;
    s.text_mode();
    const char* text = "Hello \xC9\xCD\xBB";
    for (unsigned i = 0; text[i]; ++i) {
        s.write(0x18000 + 160 + 2 * i, static_cast<u8>(text[i]));
        s.write(0x18001 + 160 + 2 * i, 0x1F);
    }
    const std::string dump = s.vga.text();
    CHECK(dump.substr(0, dump.find('\n', 1)) == "\nHello ╔═╗");
    CHECK(std::count(dump.begin(), dump.end(), '\n') == 25);

    // A font: 'H' has its leftmost dots set in every line.
    s.seq(2, 4), s.seq(4, 6), s.gc(5, 0), s.gc(6, 4);
    for (unsigned line = 0; line < 16; ++line) s.write('H' * 32 + line, 0x80);
    s.text_mode();
    s.attribute(0x10, 0x0C);
    const Picture p = s.vga.picture();
    CHECK(p.width == 720);
    CHECK(p.height == 400);
    CHECK(s.pixel(p, 0, 16) == ((15 * 255 / 63) << 16 | (30 * 255 / 63) << 8 | 60 * 255 / 63));
    CHECK(s.pixel(p, 1, 16) == ((1 * 255 / 63) << 16 | (2 * 255 / 63) << 8 | 4 * 255 / 63));
    CHECK(s.pixel(p, 0, 0) == 0);
    const auto file = ppm(p);
    CHECK(std::memcmp(file.data(), "P6\n720 400\n255\n", 15) == 0);
    CHECK(file.size() == 15 + 720 * 400 * 3);
    s.seq(1, 0x20);
    CHECK(s.pixel(s.vga.picture(), 0, 16) == 0);  // blanked
}

TEST_CASE("text geometry: 40 columns, 50 rows, scrolled start") {
    Screen s;
    s.text_mode();
    s.set_geometry(40, 400, 8, 20);
    s.crtc(0x0D, 40);
    s.write(0x18000 + 2 * 40, 'A');
    s.write(0x18000 + 2 * 80, 'B');
    const std::string dump = s.vga.text();
    CHECK(dump.substr(0, 4) == "A\nB\n");
    CHECK(std::count(dump.begin(), dump.end(), '\n') == 50);
}

TEST_CASE("planar and 256-colour pictures") {
    Screen s;
    s.planar_mode();
    s.gc(5, 2);
    s.write(80, 5);
    Picture p = s.vga.picture();
    CHECK(p.width == 640);
    CHECK(p.height == 480);
    CHECK(s.pixel(p, 0, 1) == ((5 * 255 / 63) << 16 | 255));
    CHECK(s.pixel(p, 8, 1) == 255);
    CHECK(s.vga.text().empty());
    // Mode 13h: chain 4, doubled dots and lines.
    s.seq(4, 0xE), s.gc(5, 0x40);
    s.set_geometry(80, 400, 2, 40);
    s.crtc(0x17, 0xA3);
    s.attribute(0x10, 0x41);
    s.dac(200, 63, 0, 0);
    s.write(320 + 3, 200);
    p = s.vga.picture();
    CHECK(p.height == 400);
    CHECK(s.pixel(p, 6, 2) == 0xFF0000);
    CHECK(s.pixel(p, 7, 3) == 0xFF0000);
    CHECK(s.pixel(p, 8, 2) != 0xFF0000);
}

TEST_CASE("VBE: identification, geometry, banks, frame buffer formats") {
    Screen s;
    CHECK(s.vbe(0) == 0xB0C5);
    s.vbe(0, 0xB0C0);
    CHECK(s.vbe(0) == 0xB0C0);
    CHECK(s.vbe(10) == 256);
    s.vbe(4, 2);
    CHECK(s.vbe(1) == 2560);
    CHECK(s.vbe(3) == 32);
    s.vbe(4, 0);
    struct Row {
        u16 bpp;
        u32 raw;
        u32 want;
    };
    for (const Row& row : {Row{15, 0x7C00, 0xFF0000}, Row{16, 0x07E0, 0x00FF00},
                           Row{24, 0x123456, 0x123456}, Row{32, 0x00654321, 0x654321}}) {
        CAPTURE(row.bpp);
        s.vbe(4, 0);
        s.vbe(1, 64), s.vbe(2, 48), s.vbe(3, row.bpp), s.vbe(4, 0x41);
        CHECK(s.vbe(6) == 64);
        const unsigned bytes = (row.bpp + 7) / 8;
        std::memcpy(s.vram->host() + (2 * 64 + 3) * bytes, &row.raw, bytes);
        const Picture p = s.vga.picture();
        CHECK(p.width == 64);
        CHECK(s.pixel(p, 3, 2) == row.want);
    }
    // Virtual width and offsets.
    s.vbe(6, 128);
    CHECK(s.vbe(7) > 48);
    s.vbe(8, 1000);
    CHECK(s.vbe(8) == 64);
    // Changing the size while enabled is ignored; too-wide screens fall back.
    s.vbe(1, 32);
    CHECK(s.vbe(1) == 64);
    s.vbe(6, 0xFFFF);
    s.vga.picture();
    // A bank through A0000 in an 8-bit mode.
    s.vbe(4, 0);
    s.vbe(3, 8), s.vbe(4, 1);
    s.seq(2, 0xF), s.seq(4, 0xE), s.gc(6, 4);
    s.vbe(5, 3);
    s.write(5, 0x77);
    CHECK(s.vram->host()[3 * 65536 + 5] == 0x77);
    s.vbe(5, 0xFFFF);
    s.write(0xFFFF, 1);
    s.read(0xFFFF);
    // 4 bits: planes.
    s.vbe(4, 0);
    s.vbe(3, 4), s.vbe(4, 1);
    s.vga.picture();
}

TEST_CASE("random register contents never crash the renderer") {
    Screen s;
    u32 seed = 7;
    const auto random = [&] { return seed = seed * 1664525 + 1013904223, seed >> 16; };
    for (unsigned round = 0; round < 300; ++round) {
        for (unsigned i = 0; i < 40; ++i) {
            s.io.write(static_cast<u16>(0x3C0 + random() % 32), 1, random() & 0xFF);
            s.vbe(static_cast<u16>(random() % 16), static_cast<u16>(random()));
            s.write(random() % 0x20000, static_cast<u8>(random()));
            s.read(random() % 0x20000);
        }
        s.vbe(1, 64), s.vbe(2, 64);
        if (round % 10 == 0) s.vga.picture();
        s.vga.text();
        s.vbe(4, 0);
    }
}
