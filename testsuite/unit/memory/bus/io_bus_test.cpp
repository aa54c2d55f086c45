// The port space: splitting, window borders, overlaps, undecoded ports.
#include "memory/bus/io_bus.h"

#include <doctest/doctest.h>

using namespace rm;
using namespace rm::memory;

namespace {

struct Device : PortWindow {
    struct Access {
        bool write;
        u16 offset;
        unsigned size;
        u32 value;
        bool operator==(const Access&) const = default;
    };
    std::vector<Access> log;
    u32 port_read(u16 offset, unsigned size) override {
        log.push_back({false, offset, size, 0});
        return 0x03020100 + offset * 0x01010101u;  // each byte reads as its own offset
    }
    void port_write(u16 offset, unsigned size, u32 value) override {
        log.push_back({true, offset, size, value});
    }
    bool saw(std::vector<Access> want) {
        const bool equal = log == want;
        log.clear();
        return equal;
    }
};

}  // namespace

TEST_CASE("undecoded ports read as ones, also past the end of the port space") {
    IoBus bus;
    CHECK(bus.read(0x80, 1) == 0xFF);
    CHECK(bus.read(0x80, 2) == 0xFFFF);
    CHECK(bus.read(0xFFFF, 4) == 0xFFFFFFFF);
    bus.write(0xFFFE, 4, 0x12345678);
    Device d;
    bus.add(0xFFFE, 100, &d, IoBus::kAny);
    CHECK(bus.read(0xFFFE, 4) == 0xFFFF0100);
    CHECK(d.saw({{false, 0, 2, 0}}));
}

TEST_CASE("accesses are split as far as the window demands") {
    struct Row {
        unsigned sizes, size;
        std::vector<Device::Access> want;
    };
    const Row rows[] = {
        {IoBus::kByte, 1, {{false, 2, 1, 0}}},
        {IoBus::kByte, 2, {{false, 2, 1, 0}, {false, 3, 1, 0}}},
        {IoBus::kByte, 4, {{false, 2, 1, 0}, {false, 3, 1, 0}, {false, 4, 1, 0}, {false, 5, 1, 0}}},
        {IoBus::kByte | IoBus::kWord, 4, {{false, 2, 2, 0}, {false, 4, 2, 0}}},
        {IoBus::kAny, 4, {{false, 2, 4, 0}}},
        {IoBus::kDword, 2, {{false, 2, 1, 0}, {false, 3, 1, 0}}},
        {IoBus::kDword, 1, {{false, 2, 1, 0}}},
    };
    for (const Row& row : rows) {
        IoBus bus;
        Device d;
        bus.add(0x100, 8, &d, row.sizes);
        const u32 mask = row.size == 4 ? ~u32{0} : (u32{1} << (8 * row.size)) - 1;
        CHECK(bus.read(0x102, row.size) == (0x05040302 & mask));
        CHECK(d.saw(row.want));
        bus.write(0x102, row.size, 0xD4C3B2A1);
        auto writes = row.want;
        for (auto& w : writes) {
            w.write = true;
            const u32 part = w.size == 4 ? ~u32{0} : (u32{1} << (8 * w.size)) - 1;
            w.value = (0xD4C3B2A1 & mask) >> (8 * (w.offset - 2)) & part;
        }
        CHECK(d.saw(writes));
    }
}

TEST_CASE("an access over the border of two windows reaches both") {
    IoBus bus;
    Device a, b;
    bus.add(0x3F0, 6, &a, IoBus::kAny);
    bus.add(0x3F6, 1, &b, IoBus::kAny);
    CHECK(bus.read(0x3F5, 2) == 0x0005);
    CHECK(a.saw({{false, 5, 1, 0}}));
    CHECK(b.saw({{false, 0, 1, 0}}));
    CHECK(bus.read(0x3F4, 4) == 0xFF000504);
    CHECK(a.saw({{false, 4, 2, 0}}));
    CHECK(b.saw({{false, 0, 1, 0}}));
}

TEST_CASE("a later window wins; removing frees the ports; slots are reused") {
    IoBus bus;
    Device a, b;
    bus.add(0xCF8, 8, &a, IoBus::kAny);
    bus.add(0xCF9, 1, &b);
    bus.read(0xCF9, 1);
    CHECK(b.saw({{false, 0, 1, 0}}));
    bus.read(0xCF8, 4);  // not whole any more
    CHECK(a.saw({{false, 0, 1, 0}, {false, 2, 2, 0}}));
    CHECK(b.saw({{false, 0, 1, 0}}));
    bus.remove(0xCF8, 8);
    CHECK(bus.read(0xCF8, 4) == 0xFFFFFFFF);
    CHECK(a.log.empty());
    for (unsigned i = 0; i < 200'000; ++i) {  // a guest moving its BAR for ever
        const u16 base = static_cast<u16>(0xC000 + (i % 16) * 32);
        bus.add(base, 32, &a, IoBus::kAny);
        bus.remove(base, 32);
    }
    bus.add(0xFFFF, 0, &a);
    CHECK(bus.read(0xC000, 1) == 0xFF);
}
