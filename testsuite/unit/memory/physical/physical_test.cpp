// RAM, ROM, shadow RAM, holes, MMIO splitting, and the code marks.
#include "memory/physical/physical.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace rm;
using namespace rm::memory;

namespace {

struct Device : MmioWindow {
    struct Access {
        bool write;
        u64 offset;
        unsigned size;
        u64 value;
        bool operator==(const Access&) const = default;
    };
    std::vector<Access> log;
    u64 mmio_read(u64 offset, unsigned size) override {
        log.push_back({false, offset, size, 0});
        u64 value = 0;  // each byte reads as its own offset
        for (unsigned i = 0; i < size; ++i) value |= ((offset + i) & 0xFF) << (8 * i);
        return value;
    }
    void mmio_write(u64 offset, unsigned size, u64 value) override {
        log.push_back({true, offset, size, value});
    }
    bool saw(std::vector<Access> want) {
        const bool equal = log == want;
        log.clear();
        return equal;
    }
};

struct Listener : PhysicalListener {
    PhysicalMemory* memory = nullptr;
    unsigned changes = 0;
    std::vector<std::pair<PhysAddr, unsigned>> written;
    std::vector<u64> content_at_notice;
    std::vector<PhysAddr> marked;
    void map_changed() override { ++changes; }
    void code_written(PhysAddr addr, std::span<const u8> bytes) override {
        written.emplace_back(addr, static_cast<unsigned>(bytes.size()));
        content_at_notice.push_back(memory->load(addr, 1));
    }
    void code_marked(PhysAddr frame) override { marked.push_back(frame); }
    bool holds = false;
    bool holds_code(PhysAddr) const override { return holds; }
};

struct Fixture {
    std::unique_ptr<Ram> ram = std::move(*Ram::create(1 << 20));
    std::unique_ptr<Ram> rom = std::move(*Ram::create(1 << 16));
    PhysicalMemory memory;
    Device device;
    Listener listener;
    Fixture() {
        listener.memory = &memory;
        memory.map_ram(0, 1 << 20, ram->host());
        memory.add_listener(&listener);
    }
};

}  // namespace

TEST_CASE("RAM sizes are checked, fresh RAM is zero") {
    CHECK_FALSE(Ram::create(0).has_value());
    CHECK_FALSE(Ram::create(4097).has_value());
    CHECK_FALSE(Ram::create(u64{1} << 60).has_value());  // more than can be mapped
    CHECK_FALSE(Ram::create(~u64{0} << 12).has_value());
    auto ram = Ram::create(8192);
    REQUIRE(ram.has_value());
    CHECK((*ram)->size() == 8192);
    CHECK((*ram)->host()[8191] == 0);
}

TEST_CASE_FIXTURE(Fixture, "loads and stores of all sizes, across pages and into holes") {
    for (unsigned size : {1u, 2u, 4u, 8u}) {
        memory.store(0x2FFD, size, 0x8877665544332211);
        const u64 mask = size == 8 ? ~u64{0} : (u64{1} << (8 * size)) - 1;
        CHECK(memory.load(0x2FFD, size) == (0x8877665544332211 & mask));
    }
    CHECK(memory.load(0x500000, 4) == 0xFFFFFFFF);
    memory.store(0x500000, 4, 0);
    CHECK(memory.load(0x500000, 8) == ~u64{0});
    memory.store((1 << 20) - 4, 8, 0x1122334455667788);
    CHECK(memory.load((1 << 20) - 4, 8) == 0xFFFFFFFF55667788);
    u8 bytes[16] = {};
    memory.read((1 << 20) - 1, bytes);
    CHECK(bytes[0] == 0x55);
    CHECK(bytes[15] == 0xFF);
}

TEST_CASE_FIXTURE(Fixture, "PAM: reads and writes go separate ways (82441FX PAM registers)") {
    u8* ram_at = ram->host() + 0xF0000;
    u8* rom_at = rom->host();
    struct Row {
        u8 *read, *write;
        u8 seen_before, seen_after, ram_after;
    };
    const Row rows[] = {
        {rom_at, nullptr, 0xAA, 0xAA, 0x55},  // RE=0 WE=0
        {rom_at, ram_at, 0xAA, 0xAA, 0x77},   // RE=0 WE=1: copy to the shadow
        {ram_at, nullptr, 0x55, 0x55, 0x55},  // RE=1 WE=0: write-protected shadow
        {ram_at, ram_at, 0x55, 0x77, 0x77},   // RE=1 WE=1
        {nullptr, ram_at, 0xFF, 0xFF, 0x77},
    };
    for (const Row& row : rows) {
        memory.map_split(0xF0000, 0x10000, row.read, row.write);
        rom_at[0x123] = 0xAA;
        ram_at[0x123] = 0x55;
        CHECK(memory.load(0xF0123, 1) == row.seen_before);
        memory.store(0xF0123, 1, 0x77);
        CHECK(memory.load(0xF0123, 1) == row.seen_after);
        CHECK(ram_at[0x123] == row.ram_after);
        CHECK(rom_at[0x123] == 0xAA);
    }
    listener.changes = 0;
    memory.map_split(0xF0000, 0x10000, nullptr, ram_at);
    memory.map_split(0xF4000, 0x4000, nullptr, ram_at + 0x4000);
    CHECK(listener.changes == 0);
}

TEST_CASE_FIXTURE(Fixture, "ROM drops guest writes and takes loaders' images") {
    memory.map_rom(0xE0000, 0x10000, rom->host());
    memory.store(0xE0010, 4, 0x12345678);
    CHECK(memory.load(0xE0010, 4) == 0);
    const u8 image[] = {1, 2, 3, 4};
    memory.load_image(0xE0010, image);
    CHECK(memory.load(0xE0010, 4) == 0x04030201);
}

TEST_CASE_FIXTURE(Fixture, "MMIO accesses come in pieces of at most 8 bytes") {
    memory.map_mmio(0x40000, 0x2000, &device);
    CHECK(memory.load(0x40010, 4) == 0x13121110);
    CHECK(device.saw({{false, 0x10, 4, 0}}));
    memory.store(0x40003, 8, 0x1122334455667788);
    CHECK(device.saw({{true, 3, 8, 0x1122334455667788}}));
    u8 wide[16];
    memory.read(0x40020, wide);
    CHECK(device.saw({{false, 0x20, 8, 0}, {false, 0x28, 8, 0}}));
    CHECK(wide[15] == 0x2F);
    const u8 ten[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    memory.write(0x40000, ten);
    CHECK(device.saw({{true, 0, 8, 0x0807060504030201}, {true, 8, 2, 0x0A09}}));
    memory.load(0x40FFE, 4);  // across a page of one window
    CHECK(device.saw({{false, 0xFFE, 2, 0}, {false, 0x1000, 2, 0}}));
}

TEST_CASE_FIXTURE(Fixture, "a window smaller than a page owns it: the rest reads as ones") {
    memory.map_mmio(0x40010, 6, &device);
    CHECK(memory.load(0x40000, 8) == ~u64{0});
    CHECK(device.saw({}));
    CHECK(memory.load(0x4000E, 4) == 0x0100FFFF);
    CHECK(device.saw({{false, 0, 2, 0}}));
    CHECK(memory.load(0x40012, 8) == 0xFFFFFFFF05040302);
    CHECK(device.saw({{false, 2, 4, 0}}));
    memory.store(0x40014, 4, 0x44332211);
    CHECK(device.saw({{true, 4, 2, 0x2211}}));
}

TEST_CASE_FIXTURE(Fixture, "a window hides RAM; taking it away bares the RAM again") {
    memory.store(0x40000, 8, 0x1234);
    memory.map_mmio(0x40000, 0x1000, &device);
    memory.store(0x40000, 8, 0x9999);
    memory.unmap(0x40000, 0x1000);
    CHECK(memory.load(0x40000, 8) == 0x1234);
    memory.map_mmio(0x40000, 0x1000, &device);
    memory.map_ram(0x40000, 0x1000, ram->host() + 0x40000);  // later wins for good
    CHECK(memory.load(0x40000, 8) == 0x1234);
    memory.unmap(0x40000, 0x1000);
    CHECK(memory.load(0x40000, 8) == ~u64{0});
}

TEST_CASE_FIXTURE(Fixture, "code marks: 64-byte lines, listeners hear before the write") {
    memory.mark_code(0x5010, 4);
    CHECK(listener.marked == std::vector<PhysAddr>{0x5000});
    memory.mark_code(0x5FF0, 16);
    memory.mark_code(0x507E, 4);  // two lines
    CHECK(listener.marked.size() == 1);
    CHECK(memory.has_code(0x5000));
    CHECK_FALSE(memory.has_code(0x6000));
    struct Row {
        PhysAddr addr;
        unsigned size;
        bool hit;
    };
    for (const Row& row :
         {Row{0x5000, 1, true}, Row{0x503F, 1, true}, Row{0x5040, 8, true}, Row{0x5080, 8, true},
          Row{0x50C0, 64, false}, Row{0x50BF, 1, true}, Row{0x5FBF, 1, false}, Row{0x5FBF, 2, true},
          Row{0x5FFF, 1, true}, Row{0x4FFF, 1, false}, Row{0x6000, 8, false}}) {
        CHECK_MESSAGE(memory.line_has_code(row.addr, row.size) == row.hit, row.addr);
        listener.written.clear();
        memory.store(row.addr, 1, 0);
        const bool first_byte = memory.line_has_code(row.addr, 1);
        CHECK(listener.written.size() == (first_byte ? 1u : 0u));
    }
    listener.written.clear();
    listener.content_at_notice.clear();
    memory.store(0x5010, 1, 0x90);
    CHECK(listener.content_at_notice == std::vector<u64>{0});
    CHECK(memory.load(0x5010, 1) == 0x90);

    // DMA over three pages: one notice, for the piece in the marked page.
    listener.written.clear();
    std::vector<u8> dma(0x3000, 0xCC);
    memory.write(0x4800, dma);
    CHECK(listener.written == std::vector<std::pair<PhysAddr, unsigned>>{{0x5000, 0x1000}});

    listener.holds = true;
    memory.clear_code(0x5000);
    CHECK(memory.has_code(0x5000));
    listener.holds = false;
    memory.clear_code(0x5000);
    CHECK_FALSE(memory.has_code(0x5000));
    listener.written.clear();
    memory.store(0x5010, 4, 0);
    CHECK(listener.written.empty());
    memory.mark_code(0x5010, 4);
    CHECK(listener.marked.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "code marks stick to plain RAM only") {
    memory.map_rom(0xE0000, 0x1000, rom->host());
    memory.map_split(0xE1000, 0x1000, rom->host(), ram->host());
    memory.map_mmio(0xE2000, 0x1000, &device);
    for (PhysAddr frame : {0xE0000, 0xE1000, 0xE2000, 0x7000000}) {
        memory.mark_code(frame, 4);
        CHECK_FALSE(memory.has_code(frame));
    }
    CHECK_FALSE(memory.has_code(u64{1} << 51));
    CHECK(listener.marked.empty());
}

TEST_CASE_FIXTURE(Fixture, "a removed listener hears nothing") {
    memory.mark_code(0x1000, 1);
    memory.remove_listener(&listener);
    memory.store(0x1000, 1, 1);
    memory.unmap(0, 0x1000);
    CHECK(listener.written.empty());
    CHECK(listener.changes == 0);
}
