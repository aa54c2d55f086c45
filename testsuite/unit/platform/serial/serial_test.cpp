// UART registers, FIFO, interrupts and pacing; debug ports; kvm-unit-tests' device.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "platform/serial/debug_port.h"
#include "platform/serial/pc_testdev.h"
#include "platform/serial/uart16550.h"

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

struct FakeBackend final : CharBackend {
    void write(u8 byte) override { text += static_cast<char>(byte); }
    void flush() override {}
    void poll() override {}
    void type(const char* s) {
        for (; *s; ++s)
            if (room()) deliver(static_cast<u8>(*s));
    }
    std::string text;
};

struct Port {
    memory::IoBus io;
    EventQueue clock;
    FakeLine irq;
    FakeBackend backend;
    std::string seen;
    Uart16550 uart{
        io, clock, {.base = 0x3F8, .irq = &irq, .backend = &backend, .on_output = [this](u8 b) {
                        seen += static_cast<char>(b);
                    }}};
    void out(u16 reg, u8 v) { io.write(static_cast<u16>(0x3F8 + reg), 1, v); }
    u8 in(u16 reg) { return static_cast<u8>(io.read(static_cast<u16>(0x3F8 + reg), 1)); }
    void run_us(u64 us) {
        const u64 end = clock.now_ticks() + us * 250;
        while (clock.next_deadline_ticks() <= end) {
            clock.advance_to(clock.next_deadline_ticks());
            clock.fire_due();
        }
        clock.advance_to(end);
    }
    void set_115200() {
        out(3, 0x83);
        out(0, 1);
        out(1, 0);
        out(3, 0x03);
    }
};

}  // namespace

TEST_CASE("UART: reset values, scratch, divisor latch") {
    Port p;
    CHECK(p.in(5) == 0x60);
    CHECK(p.in(2) == 0x01);
    CHECK(p.in(6) == 0xB0);
    p.out(7, 0x5A);
    CHECK(p.in(7) == 0x5A);
    p.set_115200();
    p.out(3, 0x80);
    CHECK(p.in(0) == 1);
    CHECK(p.in(1) == 0);
    p.out(3, 0x03);
    CHECK(p.in(1) == 0);
    p.out(1, 0xFF);
    CHECK(p.in(1) == 0x0F);
    p.out(2, 1);
    CHECK((p.in(2) & 0xC0) == 0xC0);
}

TEST_CASE("UART: output reaches backend and observer, THRE interrupt") {
    Port p;
    for (char c : std::string("hello")) p.out(0, static_cast<u8>(c));
    CHECK(p.backend.text == "hello");
    CHECK(p.seen == "hello");
    CHECK(p.in(5) == 0x60);
    p.out(1, 2);
    CHECK(!p.irq.level);  // OUT2 is off
    p.out(4, 8);
    CHECK(p.irq.level);
    CHECK(p.in(2) == 2);
    CHECK(!p.irq.level);
    CHECK(p.in(2) == 1);
    p.out(0, 'x');
    CHECK(p.irq.level);
    const int edges = p.irq.edges;
    p.out(0, 'y');  // a fresh edge for each character
    CHECK(p.irq.edges == edges + 1);
    p.out(1, 0);
    CHECK(!p.irq.level);
    p.out(1, 2);
    CHECK(p.irq.level);
}

TEST_CASE("UART: reception is paced, FIFO trigger and time-out interrupt") {
    Port p;
    p.set_115200();
    p.out(2, 0x81);  // FIFO, trigger 8
    p.out(1, 1);
    p.out(4, 8);
    p.backend.type("0123456789");
    CHECK((p.in(5) & 1) == 0);
    p.run_us(90);  // 86.8 us a character
    CHECK((p.in(5) & 1) == 1);
    CHECK(!p.irq.level);
    p.run_us(620);
    CHECK(p.irq.level);
    CHECK(p.in(2) == 0xC4);
    for (char c : std::string("01234567")) CHECK(p.in(0) == c);
    CHECK(!p.irq.level);
    p.run_us(200);  // 8 and 9 arrived: below the trigger
    CHECK(!p.irq.level);
    p.run_us(400);
    CHECK(p.irq.level);
    CHECK(p.in(2) == 0xCC);
    CHECK(p.in(0) == '8');
    CHECK(!p.irq.level);
    CHECK(p.in(0) == '9');
    CHECK((p.in(5) & 1) == 0);
    // More than the FIFO takes is not lost.
    for (int i = 0; i < 100; ++i) p.backend.type("z");
    p.run_us(20'000);
    int got = 0;
    for (int i = 0; i < 200; ++i) {
        while (p.in(5) & 1) got += p.in(0) == 'z';
        p.run_us(100);
    }
    CHECK(got == 100);
    CHECK((p.in(5) & 2) == 0);
}

TEST_CASE("UART: loopback, modem status and break") {
    Port p;
    p.out(4, 0x10);
    (void)p.in(6);
    p.out(4, 0x1F);
    CHECK((p.in(6) & 0xF0) == 0xF0);
    p.out(4, 0x10 | 2);
    const u8 msr = p.in(6);
    CHECK((msr & 0xF0) == 0x10);
    CHECK((msr & 0x0F) == 0x0E);  // DSR, DCD changed, ring's trailing edge
    p.out(0, 0xAE);
    CHECK(p.backend.text.empty());
    CHECK((p.in(5) & 1) == 1);
    p.out(0, 0xAF);  // overrun without FIFO
    CHECK((p.in(5) & 2) == 2);
    CHECK((p.in(5) & 2) == 0);
    CHECK(p.in(0) == 0xAF);
    p.out(4, 0x08);
    p.out(1, 4);
    p.uart.receive_break();
    CHECK(p.irq.level);
    CHECK(p.in(2) == 6);
    CHECK((p.in(5) & 0x10) == 0x10);
    CHECK(!p.irq.level);
    CHECK(p.in(0) == 0);
}

TEST_CASE("UART: random register traffic") {
    Port p;
    std::mt19937 random(2);
    for (int i = 0; i < 100'000; ++i) {
        const u16 reg = random() % 8;
        if (random() % 2)
            p.out(reg, static_cast<u8>(random()));
        else
            (void)p.in(reg);
        if (i % 16 == 0) p.backend.type("ab");
        if (i % 64 == 0) p.run_us(random() % 500);
    }
    CHECK(p.backend.text.size() > 100);
}

TEST_CASE("debug console and exit port") {
    memory::IoBus io;
    FakeBackend backend;
    std::string seen;
    int code = -1;
    {
        DebugConsole console(io, 0x402, &backend, [&](u8 b) { seen += static_cast<char>(b); });
        DebugExit exit(io, 0xF4, 4, [&](int c) { code = c; });
        CHECK(io.read(0x402, 1) == 0xE9);
        io.write(0x402, 1, 'A');
        CHECK(backend.text == "A");
        CHECK(seen == "A");
        CHECK(io.read(0xF4, 1) == 0);
        io.write(0xF4, 4, 0x10);
        CHECK(code == 0x21);
        io.write(0xF4, 1, 0);
        CHECK(code == 1);
    }
    CHECK(io.read(0x402, 1) == 0xFF);
}

TEST_CASE("pc-testdev") {
    memory::IoBus io;
    memory::PhysicalMemory memory;
    std::array<FakeLine, 24> lines;
    std::array<IrqLine*, 24> pointers{};
    for (unsigned i = 0; i < 24; ++i) pointers[i] = &lines[i];
    PcTestdev dev(io, memory, pointers);
    io.write(0xE0, 4, 0x12345678);
    CHECK(io.read(0xE0, 4) == 0x12345678);
    CHECK(io.read(0xE1, 2) == 0x3456);
    CHECK(io.read(0xEA, 1) == 0x34);
    io.write(0xE3, 1, 0xFF);
    CHECK(io.read(0xE0, 4) == 0xFF345678);
    io.write(0x2000 + 10, 1, 1);
    CHECK(lines[10].level);
    io.write(0x2000 + 10, 4, 0);
    CHECK(!lines[10].level);
    memory.store(0xFF000100, 8, 0x1122334455667788);
    CHECK(memory.load(0xFF000104, 4) == 0x11223344);
    memory.store(0xFF00FFFE, 4, 0xFFFFFFFF);
    CHECK(memory.load(0xFF00FFFE, 2) == 0xFFFF);
}
