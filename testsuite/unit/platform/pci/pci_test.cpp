// Configuration space, BARs, PAM, SMRAM, PIRQ routing and power management through the ports.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "platform/pci/i440fx.h"
#include "platform/pci/pci_bus.h"
#include "platform/pci/piix3.h"
#include "platform/pci/piix4_pm.h"

using namespace rm;
using namespace rm::platform;

namespace {

struct FakeLine final : IrqLine {
    void set(bool l) override {
        level = l;
        ++changes;
    }
    bool level = false;
    int changes = 0;
};

struct FakePorts final : memory::PortWindow {
    u32 port_read(u16 offset, unsigned size) override { return 0xA0 + offset + size * 0x100; }
    void port_write(u16 offset, unsigned, u32 value) override { last = value | offset << 16; }
    u32 last = 0;
};

struct FakeMmio final : memory::MmioWindow {
    u64 mmio_read(u64 offset, unsigned) override { return offset ^ 0x5A; }
    void mmio_write(u64, unsigned, u64 value) override { last = value; }
    u64 last = 0;
};

struct Card final : PciDevice {
    Card(memory::PortWindow* ports, memory::MmioWindow* mmio, u8* ram, u8* rom)
        : PciDevice({.vendor = 0x1234,
                     .device = 0x5678,
                     .revision = 7,
                     .class_code = 0x020304,
                     .interrupt_pin = 1}) {
        add_io_bar(0, 0x20, ports, memory::IoBus::kAny);
        add_mmio_bar(1, 0x1000, mmio);
        add_ram_bar(2, 0x10000, ram);
        add_rom_bar(0x1000, rom);
        msi = add_msi();
    }
    using PciDevice::msi_enabled;
    using PciDevice::send_msi;
    using PciDevice::set_interrupt;
    u8 msi;
};

struct Machine {
    memory::IoBus io;
    memory::PhysicalMemory memory;
    EventQueue clock;
    std::vector<u8> ram = std::vector<u8>(2 << 20);
    std::vector<u8> bios = std::vector<u8>(128 << 10, 0xB1);
    std::array<FakeLine, 16> lines;
    FakeLine sci;
    int resets = 0, poweroffs = 0, smis = 0;
    PciBus bus{io, memory, 0xE0000000};
    I440fx host{
        {.memory = &memory, .ram = ram.data(), .ram_size = ram.size(), .high_bios = bios.data()}};
    Piix3 piix3{bus, irqs(), [this] { ++resets; }};
    Piix4Pm pm{{.io = &io,
                .clock = &clock,
                .sci = &sci,
                .on_poweroff = [this] { ++poweroffs; },
                .raise_smi = [this] { ++smis; }}};

    Machine() {
        memory.map_ram(0, 0xA0000, ram.data());
        bus.attach(host, 0, 0);
        bus.attach(piix3, 1, 0);
        bus.attach(pm, 1, 3);
    }
    std::array<IrqLine*, 16> irqs() {
        std::array<IrqLine*, 16> out;
        for (unsigned i = 0; i < 16; ++i) out[i] = &lines[i];
        return out;
    }
    void select(unsigned slot, unsigned fn, u8 reg) {
        io.write(0xCF8, 4, 0x80000000 | slot << 11 | fn << 8 | (reg & 0xFC));
    }
    u32 get(unsigned slot, unsigned fn, u8 reg, unsigned size = 4) {
        select(slot, fn, reg);
        return io.read(static_cast<u16>(0xCFC + (reg & 3)), size);
    }
    void put(unsigned slot, unsigned fn, u8 reg, u32 value, unsigned size = 4) {
        select(slot, fn, reg);
        io.write(static_cast<u16>(0xCFC + (reg & 3)), size, value);
    }
};

}  // namespace

TEST_CASE("configuration mechanism #1") {
    Machine m;
    CHECK(m.get(0, 0, 0) == 0x12378086);
    CHECK(m.get(0, 0, 8) == 0x06000002);
    CHECK(m.get(1, 0, 0) == 0x70008086);
    CHECK(m.get(1, 0, 0x0C) == 0x00800000);
    CHECK(m.get(1, 3, 0) == 0x71138086);
    CHECK(m.get(1, 3, 8) == 0x06800003);
    CHECK(m.get(1, 3, 0x3C) == 0x00000100);
    CHECK(m.get(0, 0, 0x2C) == 0x11001AF4);
    CHECK(m.get(1, 0, 2, 2) == 0x7000);
    CHECK(m.get(1, 0, 1, 1) == 0x80);
    CHECK(m.get(5, 0, 0) == 0xFFFFFFFF);
    CHECK(m.get(5, 0, 0, 2) == 0xFFFF);
    m.io.write(0xCF8, 4, 0x80010000);  // bus 1
    CHECK(m.io.read(0xCFC, 4) == 0xFFFFFFFF);
    m.io.write(0xCF8, 4, 0x00000000);  // disabled
    CHECK(m.io.read(0xCFC, 4) == 0xFFFFFFFF);
    // Linux' probe: byte to CFB, then the dword reads back.
    m.io.write(0xCFB, 1, 1);
    m.io.write(0xCF8, 4, 0x80000000);
    CHECK(m.io.read(0xCF8, 4) == 0x80000000);
    m.put(0, 0, 0, 0x12345678);  // ids are read-only
    CHECK(m.get(0, 0, 0) == 0x12378086);
    m.put(0, 0, 4, 0xFFFF, 2);
    CHECK(m.get(0, 0, 4, 2) == 0x0507);
}

TEST_CASE("BAR sizing, mapping and unmapping") {
    Machine m;
    FakePorts ports;
    FakeMmio mmio;
    std::vector<u8> ram(0x10000, 0x11), rom(0x1000, 0x22);
    Card card(&ports, &mmio, ram.data(), rom.data());
    m.bus.attach(card, 3, 0);
    m.put(3, 0, 0x10, 0xFFFFFFFF);
    CHECK(m.get(3, 0, 0x10) == 0xFFFFFFE1);
    m.put(3, 0, 0x14, 0xFFFFFFFF);
    CHECK(m.get(3, 0, 0x14) == 0xFFFFF000);
    m.put(3, 0, 0x18, 0xFFFFFFFF);
    CHECK(m.get(3, 0, 0x18) == 0xFFFF0008);
    m.put(3, 0, 0x30, 0xFFFFFFFE);
    CHECK(m.get(3, 0, 0x30) == 0xFFFFF000);
    CHECK(m.get(3, 0, 0x1C) == 0);

    m.put(3, 0, 0x10, 0xC040);
    m.put(3, 0, 0x14, 0xFEB00000);
    m.put(3, 0, 0x18, 0xF0000000);
    CHECK(m.io.read(0xC044, 1) == 0xFF);
    m.put(3, 0, 4, 3, 2);
    CHECK(m.io.read(0xC044, 1) == 0xA4);
    CHECK(m.memory.load(0xFEB00010, 4) == (0x10 ^ 0x5A));
    CHECK(m.memory.load(0xF0000000, 1) == 0x11);
    m.memory.store(0xF0000004, 4, 0xDEADBEEF);
    CHECK(ram[4] == 0xEF);
    m.put(3, 0, 0x30, 0xFEB10001);
    CHECK(m.memory.load(0xFEB10000, 1) == 0x22);
    m.memory.store(0xFEB10000, 1, 0);
    CHECK(rom[0] == 0x22);
    m.put(3, 0, 0x30, 0xFEB10000);
    CHECK(m.memory.load(0xFEB10000, 1) == 0xFF);
    m.put(3, 0, 0x10, 0xC080);  // moves while enabled
    CHECK(m.io.read(0xC044, 1) == 0xFF);
    CHECK(m.io.read(0xC084, 1) == 0xA4);
    m.put(3, 0, 0x14, 0x1000);  // over RAM: not decoded
    m.ram[0x1000] = 0x77;
    CHECK(m.memory.load(0x1000, 1) == 0x77);
    CHECK(m.memory.load(0xFEB00010, 4) == 0xFFFFFFFF);
    m.put(3, 0, 0x14, 0xF0000000);  // over the RAM BAR, and away again
    m.put(3, 0, 0x14, 0xFEB00000);
    CHECK(m.memory.load(0xF0000004, 1) == 0xEF);
    m.bus.reset();
    CHECK(m.io.read(0xC084, 1) == 0xFF);
    CHECK(m.memory.load(0xF0000000, 1) == 0xFF);
    CHECK(m.get(3, 0, 0x18) == 8);
}

TEST_CASE("interrupt pins, PIRQ routing and MSI") {
    Machine m;
    FakePorts ports;
    FakeMmio mmio;
    std::vector<u8> ram(0x10000), rom(0x1000);
    Card a(&ports, &mmio, ram.data(), rom.data()), b(&ports, &mmio, ram.data(), rom.data());
    m.bus.attach(a, 3, 0);  // INTA of slot 3: PIRQ C
    m.bus.attach(b, 7, 0);  // the same wire
    CHECK(m.piix3.route(2) == -1);
    a.set_interrupt(true);
    m.put(1, 0, 0x62, 11, 1);
    CHECK(m.lines[11].level);
    CHECK((m.get(3, 0, 6, 2) & 8));
    b.set_interrupt(true);
    a.set_interrupt(false);
    CHECK(m.lines[11].level);
    m.put(1, 0, 0x62, 10, 1);
    CHECK(!m.lines[11].level);
    CHECK(m.lines[10].level);
    m.put(7, 0, 4, 0x400, 2);  // INTx disable
    CHECK(!m.lines[10].level);
    m.put(7, 0, 4, 0, 2);
    CHECK(m.lines[10].level);
    m.put(1, 0, 0x62, 0, 1);  // IRQ 0 cannot be routed to
    CHECK(!m.lines[10].level);
    CHECK(!m.lines[0].level);

    u64 address = 0;
    u32 data = 0;
    m.bus.set_msi_sink([&](u64 x, u32 y) { address = x, data = y; });
    CHECK(m.get(3, 0, 0x34, 1) == a.msi);
    CHECK((m.get(3, 0, 6, 2) & 0x10));
    CHECK(m.get(3, 0, a.msi, 2) == 0x0005);
    m.put(3, 0, a.msi + 4, 0xFEE00000);
    m.put(3, 0, static_cast<u8>(a.msi + 12), 0x4041, 2);
    CHECK(!a.msi_enabled());
    m.put(3, 0, static_cast<u8>(a.msi + 2), 1, 2);
    m.put(3, 0, 4, 4, 2);
    REQUIRE(a.msi_enabled());
    a.send_msi();
    CHECK(address == 0xFEE00000);
    CHECK(data == 0x4041);
}

TEST_CASE("PAM routes reads and writes apart") {
    Machine m;
    CHECK(m.memory.load(0xF0000, 1) == 0xB1);
    CHECK(m.memory.load(0xC0000, 1) == 0xFF);
    m.put(0, 0, 0x59, 0x20, 1);  // writes to RAM, reads from ROM
    m.memory.store(0xF0000, 1, 0x12);
    CHECK(m.memory.load(0xF0000, 1) == 0xB1);
    CHECK(m.ram[0xF0000] == 0x12);
    m.put(0, 0, 0x59, 0x10, 1);  // shadow, write-protected
    CHECK(m.memory.load(0xF0000, 1) == 0x12);
    m.memory.store(0xF0000, 1, 0x34);
    CHECK(m.ram[0xF0000] == 0x12);
    m.put(0, 0, 0x5A, 0x33, 1);
    m.memory.store(0xC4000, 4, 0x11223344);
    CHECK(m.ram[0xC4000] == 0x44);
    CHECK(m.memory.load(0xC8000, 1) == 0xFF);
    m.bus.reset();
    CHECK(m.memory.load(0xF0000, 1) == 0xB1);
}

TEST_CASE("SMRAM: D_OPEN, G_SMRAME, D_LCK") {
    Machine m;
    FakeMmio vga;
    m.host.set_legacy_vga(&vga);
    CHECK(m.get(0, 0, 0x72, 1) == 0x02);
    CHECK(m.memory.load(0xA0000, 1) == 0x5A);
    m.host.set_smm(true);  // not enabled
    CHECK(m.memory.load(0xA0000, 1) == 0x5A);
    m.host.set_smm(false);
    m.put(0, 0, 0x72, 0x4A, 1);
    m.memory.store(0xA8000, 1, 0x99);
    CHECK(m.ram[0xA8000] == 0x99);
    m.put(0, 0, 0x72, 0x0A, 1);
    CHECK(m.memory.load(0xA8000, 1) == ((0x8000 ^ 0x5A) & 0xFF));
    m.host.set_smm(true);
    CHECK(m.memory.load(0xA8000, 1) == 0x99);
    m.host.set_smm(false);
    m.put(0, 0, 0x72, 0x1A, 1);  // lock
    m.put(0, 0, 0x72, 0x4A, 1);
    CHECK(m.get(0, 0, 0x72, 1) == 0x1A);
    CHECK(m.memory.load(0xA0000, 1) == 0x5A);
    m.bus.reset();
    CHECK(m.get(0, 0, 0x72, 1) == 0x02);
}

TEST_CASE("reset control at CF9") {
    Machine m;
    m.io.write(0xCF9, 1, 0x02);
    CHECK(m.resets == 0);
    CHECK(m.io.read(0xCF9, 1) == 0x02);
    m.io.write(0xCF9, 1, 0x06);
    CHECK(m.resets == 1);
}

TEST_CASE("PIIX4: PM block, timer, SCI, sleep and APM") {
    Machine m;
    CHECK(m.io.read(0x600, 2) == 0xFFFF);
    m.put(1, 3, 0x40, 0x601);
    m.put(1, 3, 0x80, 1, 1);
    CHECK(m.io.read(0x600, 2) == 0);
    CHECK(m.io.read(0x608, 4) == 0);
    m.clock.advance_to(250'000'000);  // 1 s at 4 ns a tick
    CHECK(m.io.read(0x608, 4) == 3579545);
    CHECK(m.io.read(0x608, 2) == (3579545 & 0xFFFF));
    CHECK(m.io.read(0x60A, 1) == (3579545 >> 16));
    m.io.write(0x602, 2, 0x0101);
    CHECK(!m.sci.level);
    m.clock.advance_to(2 * 250'000'000 + 100'000'000);  // 2.4 s: bit 23 has toggled
    m.clock.fire_due();
    CHECK(m.sci.level);
    CHECK(m.io.read(0x600, 2) == 1);
    m.io.write(0x600, 2, 1);
    CHECK(!m.sci.level);
    CHECK(m.io.read(0x600, 2) == 0);
    m.pm.press_power_button();
    CHECK(m.sci.level);
    m.io.write(0x601, 1, 1);
    CHECK(!m.sci.level);
    CHECK(m.io.read(0x602, 2) == 0x0101);

    CHECK(!m.pm.sci_enabled());
    m.io.write(0xB2, 1, 0xF1);
    CHECK(m.io.read(0x604, 2) == 1);
    CHECK(m.smis == 0);
    m.io.write(0xB2, 1, 0xF0);
    CHECK(m.io.read(0x604, 2) == 0);
    m.io.write(0xB3, 1, 0x55);
    CHECK(m.io.read(0xB3, 1) == 0x55);
    m.io.write(0xB2, 1, 0x00);
    CHECK(m.smis == 0);
    m.put(1, 3, 0x58, 1 << 25);
    m.io.write(0xB2, 1, 0x00);
    CHECK(m.smis == 1);

    m.io.write(0x604, 2, 0x2400);  // S3 without a handler
    CHECK(m.poweroffs == 0);
    m.io.write(0x604, 2, 0x2000);
    CHECK(m.poweroffs == 1);
    CHECK(m.io.read(0xAFE0, 4) == 0);
    m.io.write(0xAFE2, 2, 0xFFFF);
    CHECK(m.io.read(0xAFE2, 1) == 0xFF);
    // SMBus: a transaction finds nobody.
    m.put(1, 3, 0x90, 0x701);
    m.put(1, 3, 0xD2, 9, 1);
    m.io.write(0x702, 1, 0x48);
    CHECK(m.io.read(0x700, 1) == 4);
    m.io.write(0x700, 1, 4);
    CHECK(m.io.read(0x700, 1) == 0);
    m.bus.reset();
    CHECK(m.io.read(0x600, 2) == 0xFFFF);
}

TEST_CASE("any write to any configuration register or chipset port is survived") {
    Machine m;
    FakePorts ports;
    FakeMmio mmio;
    std::vector<u8> ram(0x10000), rom(0x1000);
    Card card(&ports, &mmio, ram.data(), rom.data());
    m.bus.attach(card, 2, 0);
    std::mt19937 random(1);
    constexpr u16 kPorts[] = {0xCF8, 0xCFC, 0xCF9, 0x600, 0xAFE0, 0xB2, 0x700, 0xC000};
    for (int i = 0; i < 100'000; ++i) {
        const unsigned size = 1u << random() % 3;
        if (i % 3) {
            const unsigned slot = random() % 4, fn = random() % 4;
            m.put(slot, fn, static_cast<u8>(random() % 256 & ~(size - 1)), random(), size);
            (void)m.get(slot, fn, static_cast<u8>(random() & 0xFC));
        } else {
            const u16 port = static_cast<u16>(kPorts[random() % 8] + random() % 64);
            m.io.write(port, size, random());
            (void)m.io.read(port, size);
        }
        if (i % 1000 == 0) m.clock.advance_to(m.clock.now_ticks() + random());
        if (i % 1000 == 0) m.clock.fire_due();
        if (i % 5000 == 0) m.bus.reset();
    }
    m.bus.reset();
    CHECK(m.get(0, 0, 0) == 0x12378086);
}
