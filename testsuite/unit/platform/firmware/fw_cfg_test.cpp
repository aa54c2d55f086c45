// The fw_cfg device through its ports and its DMA interface, as a guest sees it.
#include "platform/firmware/fw_cfg.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

using namespace rm;
using namespace rm::platform;

namespace {

struct Machine {
    std::unique_ptr<memory::Ram> ram = std::move(*memory::Ram::create(1 << 20));
    memory::PhysicalMemory memory;
    memory::IoBus io;
    FwCfg fw{memory};
    Machine() {
        memory.map_ram(0, ram->size(), ram->host());
        fw.attach(io);
    }
    void select(u16 key) { io.write(0x510, 2, key); }
    u32 le(unsigned bytes) {
        u32 v = 0;
        for (unsigned i = 0; i < bytes; ++i) v |= io.read(0x511, 1) << (8 * i);
        return v;
    }
    u32 be32() {
        u32 v = 0;
        for (unsigned i = 0; i < 4; ++i) v = v << 8 | io.read(0x511, 1);
        return v;
    }
    // Returns the control word afterwards.
    u32 dma(u32 control, u32 length, u64 address, u64 descriptor = 0x1000) {
        const u32 words[4] = {__builtin_bswap32(control), __builtin_bswap32(length),
                              __builtin_bswap32(static_cast<u32>(address >> 32)),
                              __builtin_bswap32(static_cast<u32>(address))};
        memory.write(descriptor, {reinterpret_cast<const u8*>(words), sizeof words});
        io.write(0x514, 4, __builtin_bswap32(static_cast<u32>(descriptor >> 32)));
        io.write(0x518, 4, __builtin_bswap32(static_cast<u32>(descriptor)));
        return __builtin_bswap32(static_cast<u32>(memory.load(descriptor, 4)));
    }
};

}  // namespace

TEST_CASE("signature, id and integers by port") {
    Machine m;
    m.fw.add_u16(FwCfg::kNbCpus, 4);
    m.select(FwCfg::kSignature);
    CHECK(m.le(4) == 0x554D4551);  // "QEMU"
    CHECK(m.le(1) == 0);           // past the end
    m.select(FwCfg::kId);
    CHECK(m.le(4) == 3);
    m.select(FwCfg::kNbCpus);
    CHECK(m.le(2) == 4);
    m.select(0x7777);
    CHECK(m.le(4) == 0);
}

TEST_CASE("the data port may be written without effect") {
    Machine m;
    m.select(FwCfg::kSignature);
    m.io.write(0x511, 1, 0x55);
    CHECK(m.le(4) == 0x554D4551);
}

TEST_CASE("file directory is sorted, big-endian, selectors from 0x20") {
    Machine m;
    m.fw.add_file("etc/zebra", {1, 2, 3});
    m.fw.add_file("bootorder", {9});
    m.fw.add_file("etc/apple", {7, 8});
    m.select(FwCfg::kFileDir);
    REQUIRE(m.be32() == 3);
    const char* const names[] = {"bootorder", "etc/apple", "etc/zebra"};
    const u32 sizes[] = {1, 2, 3};
    for (unsigned i = 0; i < 3; ++i) {
        CHECK(m.be32() == sizes[i]);
        CHECK(m.be32() == (0x20 + i) << 16);
        std::string name;
        for (unsigned k = 0; k < 56; ++k)
            if (const u32 c = m.le(1)) name += static_cast<char>(c);
        CHECK(name == names[i]);
    }
    m.select(0x22);
    CHECK(m.le(3) == 0x030201);
    m.fw.add_file("etc/zebra", {5});
    m.select(0x22);
    CHECK(m.le(2) == 5);
}

TEST_CASE("DMA: signature, select + read, skip, zeros past the end, no writes") {
    Machine m;
    m.fw.add_file("f", {1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(m.io.read(0x514, 4) == 0x554D4551);
    CHECK(m.io.read(0x518, 4) == 0x47464320);
    m.memory.store(0x2000, 8, ~u64{0});
    CHECK(m.dma(0x20u << 16 | 8 | 2, 3, 0x2000) == 0);
    CHECK(m.memory.load(0x2000, 4) == 0xFF030201);
    CHECK(m.dma(4, 2, 0) == 0);  // skip 4 and 5
    m.memory.store(0x2000, 8, ~u64{0});
    CHECK(m.dma(2, 6, 0x2000) == 0);
    CHECK(m.memory.load(0x2000, 8) == 0xFFFF000000080706);
    CHECK(m.dma(16, 4, 0x2000) == 1);  // write: error bit
    CHECK(m.memory.load(0x2000, 4) == 0x00080706);
    // A selector that does not exist gives zeros.
    CHECK(m.dma(0x7777u << 16 | 8 | 2, 4, 0x2000) == 0);
    CHECK(m.memory.load(0x2000, 4) == 0);
}

TEST_CASE("DMA to and from nowhere is harmless") {
    Machine m;
    m.fw.add_file("f", std::vector<u8>(5000, 0xAA));
    m.dma(0x20u << 16 | 8 | 2, 5000, 0xFFFFFFFFFFFFF000);
    m.dma(0x20u << 16 | 8 | 2, 10000, (1 << 20) - 100);
    CHECK(m.memory.load((1 << 20) - 4, 4) == 0xAAAAAAAA);
    m.io.write(0x514, 4, 0xFFFFFFFF);
    m.io.write(0x518, 4, 0xFFFFFFFF);
    m.io.write(0x518, 1, 0xFF);
    m.io.write(0x51A, 2, 0xFFFF);
}

TEST_CASE("port selection and DMA share one offset") {
    Machine m;
    m.fw.add_file("f", {1, 2, 3, 4});
    m.select(0x20);
    CHECK(m.le(1) == 1);
    CHECK(m.dma(2, 1, 0x2000) == 0);
    CHECK(m.memory.load(0x2000, 1) == 2);
    CHECK(m.le(1) == 3);
}
