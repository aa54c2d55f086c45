// Keyboard controller commands, translation, keyboard and mouse protocols.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "platform/input/i8042.h"

using namespace rm;
using namespace rm::platform;

namespace {

struct FakeLine final : IrqLine {
    void set(bool l) override {
        if (l && !level) ++edges;
        level = l;
    }
    bool level = false;
    int edges = 0;
};

struct Machine {
    memory::IoBus io;
    FakeLine irq1, irq12;
    int a20 = -1, resets = 0;
    I8042 kbc{{.io = &io,
               .keyboard_irq = &irq1,
               .mouse_irq = &irq12,
               .set_a20 = [this](bool on) { a20 = on; },
               .on_reset = [this] { ++resets; }}};
    void cmd(u8 v) { io.write(0x64, 1, v); }
    void data(u8 v) { io.write(0x60, 1, v); }
    u8 status() { return static_cast<u8>(io.read(0x64, 1)); }
    u8 read() { return static_cast<u8>(io.read(0x60, 1)); }
    std::vector<int> drain() {
        std::vector<int> out;
        while (status() & 1) out.push_back(read());
        return out;
    }
    std::vector<int> mouse(u8 v) {
        cmd(0xD4);
        data(v);
        return drain();
    }
};

using V = std::vector<int>;

}  // namespace

TEST_CASE("controller: self tests, command byte, ports") {
    Machine m;
    CHECK(m.status() == 0x18);
    m.cmd(0xAA);
    CHECK(m.status() == 0x1D);
    CHECK(m.read() == 0x55);
    CHECK((m.status() & 5) == 4);
    m.cmd(0xAB);
    CHECK(m.drain() == V{0});
    m.cmd(0xA9);
    CHECK(m.drain() == V{0});
    m.cmd(0x60);
    m.data(0x65);
    CHECK((m.status() & 8) == 0);
    m.cmd(0x20);
    CHECK(m.drain() == V{0x65});
    m.cmd(0xA7);
    m.cmd(0x20);
    CHECK((m.drain()[0] & 0x20));
    m.cmd(0xA8);
    m.cmd(0xAD);
    m.cmd(0x20);
    CHECK((m.drain()[0] & 0x30) == 0x10);
    m.cmd(0x63);
    m.data(0x99);
    m.cmd(0x23);
    CHECK(m.drain() == V{0x99});
    m.cmd(0xD0);
    CHECK((m.drain()[0] & 3) == 3);
    m.cmd(0xD1);
    m.data(0xDD);
    CHECK(m.a20 == 0);
    m.cmd(0xDF);
    CHECK(m.a20 == 1);
    CHECK(m.resets == 0);
    m.cmd(0xFE);
    CHECK(m.resets == 1);
    m.cmd(0xFF);
    CHECK(m.resets == 1);
    m.cmd(0xD2);
    m.data(0x1E);
    CHECK(m.irq1.level);
    CHECK(m.drain() == V{0x1E});
    m.cmd(0xD3);
    m.data(0x42);
    CHECK((m.status() & 0x21) == 0x21);
    CHECK(m.drain() == V{0x42});
}

TEST_CASE("keyboard: protocol and scan codes") {
    Machine m;
    m.data(0xFF);
    CHECK(m.drain() == V{0xFA, 0xAA});
    m.data(0xF2);
    CHECK(m.drain() == V{0xFA, 0xAB, 0x83});
    m.data(0xEE);
    CHECK(m.drain() == V{0xEE});
    m.data(0xED);
    m.data(0x05);
    CHECK(m.drain() == V{0xFA, 0xFA});
    CHECK(m.kbc.keyboard().leds() == 5);
    m.data(0xF0);
    m.data(0);
    CHECK(m.drain() == V{0xFA, 0xFA, 2});
    m.data(0x01);
    CHECK(m.drain() == V{0xFE});

    auto& k = m.kbc.keyboard();
    k.key(0x1E, true);  // A, untranslated set 2
    k.key(0x1E, false);
    CHECK(m.drain() == V{0x1C, 0xF0, 0x1C});
    m.cmd(0x60);
    m.data(0x41);  // translate
    k.key(0x1E, true);
    CHECK(m.irq1.level);
    k.key(0x1E, false);
    CHECK(m.drain() == V{0x1E, 0x9E});
    k.key(0xE048, true);
    k.key(0xE048, false);
    CHECK(m.drain() == V{0xE0, 0x48, 0xE0, 0xC8});
    k.key(Ps2Keyboard::kPrintScreen, true);
    CHECK(m.drain() == V{0xE0, 0x2A, 0xE0, 0x37});
    k.key(Ps2Keyboard::kPrintScreen, false);
    CHECK(m.drain() == V{0xE0, 0xB7, 0xE0, 0xAA});
    k.key(Ps2Keyboard::kPause, true);
    CHECK(m.drain() == V{0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5});
    for (u16 code = 1; code < 0x59; ++code) {
        if (code == 0x55) continue;
        k.key(code, true);
        k.key(code, false);
        CHECK(m.drain() == V{code, code | 0x80});
    }
    m.data(0xF2);
    CHECK(m.drain() == V{0xFA, 0xAB, 0x41});
    m.data(0xF5);  // scanning off
    CHECK(m.drain() == V{0xFA});
    k.key(0x1E, true);
    CHECK(m.drain().empty());
    m.data(0xF4);
    CHECK(m.drain() == V{0xFA});
    // One interrupt per byte.
    const int edges = m.irq1.edges;
    k.key(0xE048, true);
    m.drain();
    CHECK(m.irq1.edges == edges + 2);
    m.cmd(0x60);
    m.data(0x00);
    m.data(0xF0);
    m.data(3);
    m.drain();
    k.key(0x1E, true);
    k.key(0x1E, false);
    k.key(0x01, true);
    CHECK(m.drain() == V{0x1C, 0xF0, 0x1C, 0x08});
}

TEST_CASE("mouse: protocol, wheel, reports") {
    Machine m;
    m.cmd(0xA8);
    m.cmd(0x60);
    m.data(0x03);
    CHECK(m.mouse(0xFF) == V{0xFA, 0xAA, 0});
    CHECK(m.mouse(0xF2) == V{0xFA, 0});
    CHECK(m.mouse(0xE9) == V{0xFA, 0, 2, 100});
    auto& mouse = m.kbc.mouse();
    mouse.move(5, 5, 0, 0);
    CHECK(m.drain().empty());  // reporting is off
    CHECK(m.mouse(0xEB) == V{0xFA, 0x28, 5, 0xFB});
    CHECK(m.mouse(0xF4) == V{0xFA});
    mouse.move(-1, 2, 0, Ps2Mouse::kLeft);
    CHECK((m.status() & 0x21) == 0x21);
    CHECK(m.irq12.level);
    CHECK(m.drain() == V{0x39, 0xFF, 0xFE});
    CHECK(!m.irq12.level);
    for (u8 v : {0xF3, 200, 0xF3, 100, 0xF3, 80}) m.mouse(v);
    CHECK(m.mouse(0xF2) == V{0xFA, 3});
    mouse.move(0, 0, 1, 0);
    CHECK(m.drain() == V{0x08, 0, 0, 1});
    for (u8 v : {0xF3, 200, 0xF3, 200, 0xF3, 80}) m.mouse(v);
    CHECK(m.mouse(0xF2) == V{0xFA, 4});
    mouse.move(300, 0, -1, Ps2Mouse::kFourth);
    CHECK(m.drain() == V{0x08, 0xFF, 0, 0x1F, 0x08, 45, 0, 0x10});
    CHECK(m.mouse(0xEE) == V{0xFA});
    CHECK(m.mouse(0x12) == V{0x12});
    CHECK(m.mouse(0xEC) == V{0xFA});
    CHECK(m.mouse(0x12) == V{0xFE});
}

TEST_CASE("random traffic") {
    Machine m;
    std::mt19937 random(3);
    for (int i = 0; i < 200'000; ++i) {
        switch (random() % 6) {
            case 0: m.cmd(static_cast<u8>(random())); break;
            case 1: m.data(static_cast<u8>(random())); break;
            case 2: m.kbc.keyboard().key(static_cast<u16>(random()), random() & 1); break;
            case 3:
                m.kbc.mouse().move(static_cast<int>(random()), static_cast<int>(random()),
                                   static_cast<int>(random()), static_cast<u8>(random()));
                break;
            default: (void)m.read(); break;
        }
    }
    m.kbc.reset();
    CHECK(m.status() == 0x18);
}
