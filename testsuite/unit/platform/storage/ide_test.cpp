// ATA disk through the ports of the PIIX3 IDE function: identification, PIO, DMA, errors.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "platform/pci/pci_bus.h"
#include "platform/storage/ata_disk.h"
#include "platform/storage/atapi_cdrom.h"
#include "platform/storage/piix3_ide.h"

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

constexpr u64 kDiskBytes = 4 << 20, kCdBytes = 100 * 2048 + 512;

std::unique_ptr<BlockDevice> patterned(u64 size, u64 unit) {
    auto disk = make_memory_disk(size);
    std::vector<u8> block(unit);
    for (u64 n = 0; n * unit < size; ++n) {
        for (u64 i = 0; i < unit; ++i) block[i] = static_cast<u8>(n * 7 + i);
        (void)disk->write(n * unit, std::span(block).first(std::min(unit, size - n * unit)));
    }
    return disk;
}

struct Machine {
    memory::IoBus io;
    memory::PhysicalMemory memory;
    EventQueue clock;
    std::vector<u8> ram = std::vector<u8>(1 << 20);
    FakeLine irq14, irq15;
    PciBus bus{io, memory, 0xE0000000};
    Piix3Ide ide{
        {.io = &io, .memory = &memory, .clock = &clock, .primary = &irq14, .secondary = &irq15}};
    AtaDisk* disk = nullptr;
    AtapiCdrom* cd = nullptr;

    Machine() {
        memory.map_ram(0, ram.size(), ram.data());
        bus.attach(ide, 1, 1);
        auto d = std::make_unique<AtaDisk>(patterned(kDiskBytes, 512), "RM00001");
        auto c = std::make_unique<AtapiCdrom>(patterned(kCdBytes, 2048), "RM00003");
        disk = d.get();
        cd = c.get();
        ide.attach(0, 0, std::move(d));
        ide.attach(1, 0, std::move(c));
        config(0x20, 0xC000);
        config(0x04, 5);
    }
    void config(u8 reg, u32 value) {
        io.write(0xCF8, 4, 0x80000000 | 1 << 11 | 1 << 8 | reg);
        io.write(0xCFC, 4, value);
    }
    void out(u16 port, u8 v) { io.write(port, 1, v); }
    u8 in(u16 port) { return static_cast<u8>(io.read(port, 1)); }
    // Task file of the primary channel, 28 bits.
    void command(u8 opcode, u32 lba, u8 count, u8 drive = 0xE0) {
        out(0x1F6, static_cast<u8>(drive | (lba >> 24 & 0xF)));
        out(0x1F2, count);
        out(0x1F3, static_cast<u8>(lba));
        out(0x1F4, static_cast<u8>(lba >> 8));
        out(0x1F5, static_cast<u8>(lba >> 16));
        out(0x1F7, opcode);
    }
    void command48(u8 opcode, u64 lba, u16 count) {
        out(0x1F6, 0xE0);
        for (int shift : {1, 0}) {
            out(0x1F2, static_cast<u8>(count >> (8 * shift)));
            out(0x1F3, static_cast<u8>(lba >> (24 * shift)));
            out(0x1F4, static_cast<u8>(lba >> (24 * shift + 8)));
            out(0x1F5, static_cast<u8>(lba >> (24 * shift + 16)));
        }
        out(0x1F7, opcode);
    }
    std::vector<u8> data(u16 port, size_t bytes, unsigned width = 4) {
        std::vector<u8> out;
        while (out.size() < bytes) {
            const u32 v = io.read(port, width);
            for (unsigned i = 0; i < width; ++i) out.push_back(static_cast<u8>(v >> (8 * i)));
        }
        return out;
    }
    void idle() {
        while (clock.next_deadline_ticks() != ~u64{0}) {
            clock.advance_to(clock.next_deadline_ticks());
            clock.fire_due();
        }
    }
    // A one-entry or split PRD table at 0x1000 for a buffer at `where`.
    void prd(u32 where, std::vector<u32> sizes) {
        u32 at = 0x1000;
        for (size_t i = 0; i < sizes.size(); ++i) {
            memory.store(at, 4, where);
            memory.store(at + 4, 4, (sizes[i] & 0xFFFF) | (i + 1 == sizes.size() ? 1u << 31 : 0));
            where += sizes[i];
            at += 8;
        }
        io.write(0xC004, 4, 0x1000);
    }
    // CD: sends a packet, PIO with the given byte count limit.
    void packet(std::vector<u8> bytes, u16 limit = 0xFFFE, bool dma = false) {
        bytes.resize(12);
        out(0x176, 0xA0);
        out(0x171, dma);
        out(0x174, static_cast<u8>(limit));
        out(0x175, static_cast<u8>(limit >> 8));
        out(0x177, 0xA0);
        REQUIRE((in(0x377) | in(0x376)) != 0);
        REQUIRE((in(0x376) & 0x88) == 0x08);
        REQUIRE(in(0x172) == 1);
        for (unsigned i = 0; i < 12; i += 2) io.write(0x170, 2, bytes[i] | bytes[i + 1] << 8);
    }
    // Reads what the CD offers, block after block.
    std::vector<u8> drain() {
        std::vector<u8> all;
        while (in(0x376) & 8) {
            REQUIRE(in(0x172) == 2);
            const size_t n = in(0x174) | in(0x175) << 8;
            const auto part = data(0x170, n, 2);
            all.insert(all.end(), part.begin(), part.begin() + static_cast<long>(n));
        }
        return all;
    }
    u8 sense_key() {
        packet({0x03, 0, 0, 0, 18});
        auto s = drain();
        REQUIRE(s.size() == 18);
        sense = s;
        return s[2];
    }
    std::vector<u8> sense;
};

u16 word(const std::vector<u8>& v, unsigned n) {
    return static_cast<u16>(v[2 * n] | v[2 * n + 1] << 8);
}

}  // namespace

TEST_CASE("probing: present master, absent slave, signature after reset") {
    Machine m;
    m.out(0x1F6, 0xA0);
    m.out(0x1F2, 0x55);
    m.out(0x1F3, 0xAA);
    CHECK(m.in(0x1F2) == 0x55);
    CHECK(m.in(0x1F3) == 0xAA);
    CHECK(m.in(0x1F7) == 0x50);
    m.out(0x1F6, 0xB0);
    m.out(0x1F2, 0x55);
    CHECK(m.in(0x1F2) == 0);
    CHECK(m.in(0x1F7) == 0);
    CHECK(m.in(0x3F6) == 0);
    m.out(0x1F7, 0xEC);
    CHECK(m.in(0x1F7) == 0);
    m.out(0x3F6, 4);
    m.out(0x1F6, 0xA0);
    CHECK(m.in(0x3F6) == 0x80);
    m.out(0x3F6, 0);
    CHECK(m.in(0x1F7) == 0x50);
    CHECK(m.in(0x1F1) == 1);
    CHECK(m.in(0x1F2) == 1);
    CHECK(m.in(0x1F4) == 0);
    m.out(0x376, 4);
    m.out(0x376, 0);
    CHECK(m.in(0x177) == 0);
    CHECK(m.in(0x174) == 0x14);
    CHECK(m.in(0x175) == 0xEB);
    CHECK(!m.irq14.level);
}

TEST_CASE("IDENTIFY DEVICE") {
    Machine m;
    m.command(0xEC, 0, 0);
    CHECK(m.irq14.level);
    CHECK(m.in(0x3F6) == 0x58);
    CHECK(m.irq14.level);
    CHECK(m.in(0x1F7) == 0x58);
    CHECK(!m.irq14.level);
    auto id = m.data(0x1F0, 512, 2);
    CHECK(m.in(0x1F7) == 0x50);
    CHECK(word(id, 0) == 0x40);
    CHECK((word(id, 60) | word(id, 61) << 16) == kDiskBytes / 512);
    CHECK(word(id, 100) == kDiskBytes / 512);
    CHECK(word(id, 27) == ('R' << 8 | 'I'));
    CHECK((word(id, 83) & 0xC000) == 0x4000);
    CHECK((word(id, 49) & 0x300) == 0x300);
    m.out(0x176, 0xA0);
    m.out(0x177, 0xEC);
    CHECK(m.in(0x177) == 0x51);
    CHECK(m.in(0x171) == 4);
    CHECK(m.in(0x175) == 0xEB);
    m.out(0x177, 0xA1);
    id = m.data(0x170, 512, 4);
    CHECK(word(id, 0) == 0x85C0);
}

TEST_CASE("PIO: 28 bit, CHS, 48 bit, multiple, reads and writes") {
    Machine m;
    m.command(0x20, 5, 3);
    for (int n = 5; n < 8; ++n) {
        CHECK(m.irq14.level);
        CHECK(m.in(0x1F7) == 0x58);
        auto d = m.data(0x1F0, 512);
        CHECK(d[0] == static_cast<u8>(n * 7));
        CHECK(d[511] == static_cast<u8>(n * 7 + 511));
    }
    CHECK(m.in(0x1F7) == 0x50);
    CHECK(!m.irq14.level);
    CHECK(m.in(0x1F2) == 0);
    CHECK(m.in(0x1F3) == 8);
    m.command(0x20, 2 << 8 | 3, 1, 0xA1);  // cylinder 2, head 1, sector 3: CHS form
    const u32 lba = (2 * 16 + 1) * 63 + 2;
    CHECK(m.data(0x1F0, 512)[0] == static_cast<u8>(lba * 7));
    m.command48(0x24, 300, 1);
    CHECK(m.data(0x1F0, 512)[0] == static_cast<u8>(300 * 7));
    m.command(0xC6, 0, 4);  // SET MULTIPLE
    CHECK(m.in(0x1F7) == 0x50);
    const int edges = m.irq14.edges;
    m.command(0xC4, 10, 6);
    CHECK(m.in(0x1F7) == 0x58);
    auto d = m.data(0x1F0, 4 * 512);
    CHECK(m.in(0x1F7) == 0x58);
    auto e = m.data(0x1F0, 2 * 512);
    CHECK(m.irq14.edges == edges + 2);
    CHECK(e[512] == static_cast<u8>(15 * 7));
    CHECK(m.in(0x1F7) == 0x50);

    m.command(0x30, 20, 2);
    CHECK(!m.irq14.level);  // the first block is asked for without an interrupt
    for (int i = 0; i < 256; ++i) {
        CHECK((m.in(0x3F6) & 8));
        m.io.write(0x1F0, 4, 0x01010101u * static_cast<u32>(i & 0xFF));
        if (i == 127) {
            CHECK(m.irq14.level);
            (void)m.in(0x1F7);
        }
    }
    CHECK(m.in(0x1F7) == 0x50);
    m.command(0x20, 21, 1);
    CHECK(m.data(0x1F0, 512)[4] == 129);
    m.command(0xE7, 0, 0);
    CHECK(m.in(0x1F7) == 0x50);
    m.command(0xF8, 0, 0);
    CHECK((m.in(0x1F3) | m.in(0x1F4) << 8) == kDiskBytes / 512 - 1);
}

TEST_CASE("errors: range, unknown commands, nIEN") {
    Machine m;
    m.command(0x20, kDiskBytes / 512, 1);
    CHECK(m.in(0x1F7) == 0x51);
    CHECK(m.in(0x1F1) == 0x10);
    m.command(0x20, kDiskBytes / 512 - 1, 2);
    CHECK(m.in(0x1F1) == 0x10);
    m.command48(0x25, u64{1} << 47, 0);
    CHECK(m.in(0x1F1) == 0x10);
    m.command(0x20, 0, 1, 0xA0);  // CHS sector 0
    CHECK(m.in(0x1F1) == 0x10);
    for (u8 bad : {0x00, 0xB0, 0x37, 0xFF, 0x08}) {
        m.command(bad, 0, 0);
        CHECK(m.in(0x1F7) == 0x51);
        CHECK(m.in(0x1F1) == 4);
    }
    m.command(0x91, 0, 0);
    CHECK(m.in(0x1F7) == 0x51);
    m.out(0x3F6, 2);
    m.command(0xE5, 0, 0);
    CHECK(!m.irq14.level);
    CHECK(m.in(0x1F2) == 0xFF);
    m.out(0x3F6, 0);
    m.command(0x10, 0, 0);
    CHECK(m.irq14.level);
    m.command(0x90, 0, 0);
    CHECK(m.in(0x1F1) == 1);
}

TEST_CASE("bus-master DMA") {
    Machine m;
    m.prd(0x8000, {1024, 512, 512});
    m.out(0xC002, 6);
    m.out(0xC000, 8);
    m.command(0xC8, 40, 4);
    CHECK(!m.irq14.level);
    m.out(0xC000, 9);
    CHECK((m.in(0xC002) & 5) == 1);
    CHECK(m.clock.next_deadline_ticks() != ~u64{0});
    m.idle();
    CHECK(m.irq14.level);
    CHECK((m.in(0xC002) & 7) == 4);
    CHECK(m.in(0x1F7) == 0x50);
    for (u32 n = 0; n < 4; ++n) CHECK(m.ram[0x8000 + n * 512] == static_cast<u8>((40 + n) * 7));
    m.out(0xC000, 0);
    m.out(0xC002, 4);
    CHECK(m.in(0xC002) == 0);

    for (u32 i = 0; i < 1024; ++i) m.ram[0x9000 + i] = static_cast<u8>(i ^ 0x33);
    m.prd(0x9000, {0});  // 64 KiB entry: larger than the transfer
    m.out(0xC000, 1);    // started before the command
    m.command48(0x35, 50, 2);
    m.idle();
    CHECK((m.in(0xC002) & 5) == 5);
    CHECK(m.in(0x1F7) == 0x50);
    m.out(0xC000, 0);
    m.command(0x20, 51, 1);
    CHECK(m.data(0x1F0, 512)[1] == static_cast<u8>(0x201 ^ 0x33));

    m.out(0xC002, 4);
    m.prd(0x8000, {512});  // too small
    m.command(0xC8, 0, 2);
    m.out(0xC000, 9);
    const int edges = m.irq14.edges;
    m.idle();
    CHECK((m.in(0xC002) & 5) == 0);
    CHECK(m.irq14.edges == edges);
    m.out(0x3F6, 4);  // the driver's way out
    m.out(0x3F6, 0);
    m.out(0xC000, 0);
    CHECK(m.in(0x1F7) == 0x50);
    m.prd(0x8000, {512});
    m.command(0xC8, 0, 1);
    m.out(0xC000, 1);  // wrong direction
    m.idle();
    CHECK((m.in(0xC002) & 3) == 2);
    CHECK(m.in(0x1F7) == 0x51);
}

TEST_CASE("ATAPI: identification and data by PIO") {
    Machine m;
    m.packet({0x00});
    CHECK(m.in(0x177) == 0x50);
    CHECK(m.in(0x172) == 3);
    m.packet({0x12, 0, 0, 0, 36});
    CHECK(m.irq15.level);
    auto d = m.drain();
    CHECK(d.size() == 36);
    CHECK(d[0] == 5);
    m.packet({0x25});
    d = m.drain();
    CHECK(d == std::vector<u8>{0, 0, 0, 100, 0, 0, 8, 0});
    m.packet({0x28, 0, 0, 0, 0, 3, 0, 0, 2}, 0x7FE);
    CHECK((m.in(0x174) | m.in(0x175) << 8) == 0x7FE);
    d = m.drain();
    REQUIRE(d.size() == 4096);
    CHECK(d[0] == 21);
    CHECK(d[2048] == 28);
    CHECK(d[4095] == static_cast<u8>(28 + 2047));
    CHECK(m.in(0x177) == 0x50);
    m.packet({0xA8, 0, 0, 0, 0, 100, 0, 0, 0, 1});  // the completed last block
    d = m.drain();
    CHECK(d[511] == static_cast<u8>(700 + 511));
    CHECK(d[512] == 0);
    m.packet({0xBE, 0, 0, 0, 0, 1, 0, 0, 1, 0x10});
    CHECK(m.drain().size() == 2048);
    m.packet({0x43, 0, 0, 0, 0, 0, 0, 3, 0x24});
    d = m.drain();
    CHECK(d.size() == 20);
    CHECK(d[14] == 0xAA);
    CHECK(d[19] == 101);
    m.packet({0x43, 2, 1, 0, 0, 0, 0, 0, 12});
    CHECK(m.drain()[10] == 2);
    m.packet({0x43, 0, 2, 0, 0, 0, 0, 1, 0});
    CHECK(m.drain().size() == 48);
    m.packet({0x46, 0, 0, 0, 0, 0, 0, 0, 0xFF});
    d = m.drain();
    CHECK((d[6] << 8 | d[7]) == 8);
    CHECK(d[3] + 4u == d.size());
    m.packet({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8});
    d = m.drain();
    CHECK(d.size() == 8);
    CHECK(d[5] == 2);
    m.packet({0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 128});
    d = m.drain();
    CHECK(d.size() == 30);
    CHECK(d[8] == 0x2A);
    m.packet({0x51, 0, 0, 0, 0, 0, 0, 0, 34});
    CHECK(m.drain().size() == 34);
    m.packet({0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8});
    CHECK(m.drain().size() == 8);
}

TEST_CASE("ATAPI: errors, medium changes, DMA") {
    Machine m;
    m.packet({0x28, 0, 0, 0, 0, 101, 0, 0, 1});
    CHECK(m.in(0x177) == 0x51);
    CHECK(m.in(0x171) == 0x54);
    CHECK(m.sense_key() == 5);
    CHECK(m.sense[12] == 0x21);
    CHECK(m.sense_key() == 0);
    m.packet({0xA8, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF});
    CHECK(m.sense_key() == 5);
    m.packet({0xC7});
    CHECK(m.sense_key() == 5);
    CHECK(m.sense[12] == 0x20);
    m.packet({0xAD, 0, 0, 0, 0, 0, 0, 0, 8, 4});
    CHECK(m.sense_key() == 5);
    m.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 0);  // no byte count limit
    CHECK(m.in(0x177) == 0x51);
    m.packet({0x1E, 0, 0, 0, 1});
    m.packet({0x1B, 0, 0, 0, 2});
    CHECK(m.sense_key() == 5);
    m.packet({0x1E, 0, 0, 0, 0});
    m.packet({0x1B, 0, 0, 0, 2});
    m.packet({0x00});
    CHECK(m.sense_key() == 2);
    m.cd->set_medium(patterned(2048 * 10, 2048));
    m.packet({0x00});
    CHECK(m.sense_key() == 6);
    CHECK(m.sense[12] == 0x28);
    m.packet({0x00});
    CHECK(m.in(0x177) == 0x50);
    m.cd->set_medium(nullptr);
    m.packet({0x25});
    CHECK(m.sense_key() == 2);
    m.cd->set_medium(patterned(2048 * 10, 2048));
    m.packet({0x00});

    m.prd(0x8000, {4096});
    m.io.write(0xC00C, 4, 0x1000);
    m.packet({0x28, 0, 0, 0, 0, 2, 0, 0, 2}, 0, true);
    m.out(0xC008, 9);
    m.idle();
    CHECK(m.irq15.level);
    CHECK((m.in(0xC00A) & 5) == 4);
    CHECK(m.in(0x177) == 0x50);
    CHECK(m.in(0x172) == 3);
    CHECK(m.ram[0x8000] == 14);
    CHECK(m.ram[0x8800] == 21);
    m.out(0x177, 0x08);  // DEVICE RESET
    CHECK(m.in(0x177) == 0);
    CHECK(m.in(0x174) == 0x14);
}

TEST_CASE("random register traffic") {
    Machine m;
    std::mt19937 random(4);
    constexpr u16 kBases[] = {0x1F0, 0x170, 0x3F6, 0x376, 0xC000, 0xC008};
    for (int i = 0; i < 400'000; ++i) {
        const u16 base = kBases[random() % 6];
        const u16 port =
            static_cast<u16>(base + (base < 0x200 || base >= 0xC000 ? random() % 8 : 0));
        const unsigned size = 1u << random() % 3;
        u32 value = random();
        // Make interesting commands likely: PACKET, READ DMA, the start bit.
        if ((port & 0xF) == 7 && random() % 2) {
            constexpr u8 kLikely[] = {0xA0, 0xC8, 0xCA, 0x25, 0x20, 0x30, 0xC4, 0xC5, 0xEF};
            value = kLikely[random() % 9];
        }
        if (random() % 3)
            m.io.write(port, size, value);
        else
            (void)m.io.read(port, size);
        if (i % 50 == 0) m.idle();
        if (i % 997 == 0) m.out(0x3F6, 4), m.out(0x3F6, 0);
    }
    for (int i = 0; i < 20'000; ++i) {  // random packets to a freshly reset drive
        m.out(0x376, 4);
        m.out(0x376, 0);
        m.out(0x176, 0xA0);
        m.out(0x171, random() & 1);
        m.out(0x174, static_cast<u8>(random()));
        m.out(0x175, static_cast<u8>(random()));
        m.out(0x177, 0xA0);
        for (int w = 0; w < 6; ++w) {
            constexpr u8 kOps[] = {0x43, 0x46, 0x4A, 0x5A, 0x28, 0xA8, 0xAD, 0xBD,
                                   0xBE, 0x12, 0x03, 0x51, 0x1B, 0x1E, 0x25, 0x2B};
            const u32 v = w == 0 ? kOps[random() % 16] | (random() & 0xFF00) : random();
            m.io.write(0x170, 2, v & (random() & 1 ? 0xFFFF : 0x0FFF));
        }
        for (int n = 0; n < 64; ++n) (void)m.io.read(0x170, 4);
        m.out(0xC008, random() & 9);
        m.idle();
    }
    m.ide.reset();
    CHECK(m.in(0x1F7) == 0x50);
}
