// MMIO, ROM, holes and the owner's special pages.
#include <doctest/doctest.h>

#include <array>

#include "mmu_world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

namespace {

constexpr PhysAddr kDevicePage = 0xFEB00000;
using Special = Mmu::Owner::Special;

struct DeviceWorld : MmuWorld {
    LogDevice device;
    static constexpr LinearAddr kIo = kVa + 0x10000;
    DeviceWorld() {
        memory.map_mmio(kDevicePage, 0x1000, &device);
        tree.map(kIo, kDevicePage, kPwu);
        tree.map(kIo + 0x1000, 0x700000, kPwu);
    }
};

}  // namespace

TEST_CASE_FIXTURE(DeviceWorld, "MMIO never hits, is announced, comes in pieces") {
    u32 d = 0;
    REQUIRE(mmu.load(kIo + 4, d));
    CHECK(d == 0x44332211);
    CHECK(device.saw({{false, 4, 4, 0}}));
    CHECK(owner.device_accesses == 1);
    CHECK_FALSE(cached(kIo, Access::kRead));
    REQUIRE(mmu.store(kIo + 8, u16{0xABCD}));
    CHECK(device.saw({{true, 8, 2, 0xABCD}}));
    std::array<u64, 2> x{1, 2};
    REQUIRE(mmu.store(kIo, x));
    CHECK(device.saw({{true, 0, 8, 1}, {true, 8, 8, 2}}));
    REQUIRE(mmu.load(kIo, x));
    CHECK(device.saw({{false, 0, 8, 0}, {false, 8, 8, 0}}));
    RmwPlace place;
    REQUIRE(mmu.rmw_begin(kIo, place, d));
    CHECK(device.saw({{false, 0, 4, 0}}));
    mmu.rmw_end(place, d | 1);
    CHECK(device.saw({{true, 0, 4, 0x44332211}}));
    CHECK(owner.device_accesses == 6);
    u64 n = 8;
    CHECK(mmu.span(kIo, Access::kRead, &n) == nullptr);
}

TEST_CASE_FIXTURE(DeviceWorld, "a crossing access that faults does not touch the device") {
    u64 q = 0;
    REQUIRE(mmu.load(kIo + 0xFFC, q));
    CHECK(device.saw({{false, 0xFFC, 4, 0}}));
    CHECK(q == 0x44332211);
    tree.map(kIo + 0x1000, 0, 0);
    mmu.flush_all();
    CHECK_FALSE(mmu.load(kIo + 0xFFC, q));
    CHECK_FALSE(mmu.store(kIo + 0xFFC, q));
    CHECK(device.saw({}));
}

TEST_CASE_FIXTURE(DeviceWorld, "ROM: read and execute tags, writes dropped") {
    auto rom = std::move(*Ram::create(0x1000));
    rom->host()[0] = 0x5A;
    memory.map_rom(0xFFFF0000, 0x1000, rom->host());
    tree.map(kIo, 0xFFFF0000, kPwu | kD);
    u8 b = 0;
    REQUIRE(mmu.load(kIo, b));
    CHECK(b == 0x5A);
    CHECK(cached(kIo, Access::kRead));
    CHECK_FALSE(cached(kIo, Access::kWrite));
    REQUIRE(mmu.store(kIo, u8{1}));
    RmwPlace place;
    REQUIRE(mmu.rmw_begin(kIo, place, b));
    CHECK(b == 0x5A);
    mmu.rmw_end(place, u8{2});
    CHECK(rom->host()[0] == 0x5A);
    PhysAddr machine;
    CHECK(mmu.fetch(kIo, machine) == rom->host());
}

TEST_CASE_FIXTURE(DeviceWorld, "code is fetched from devices and holes through a buffer") {
    PhysAddr machine = 0;
    const u8* p = mmu.fetch(kIo + 0xFF0, machine);
    REQUIRE(p);
    CHECK(machine == kDevicePage + 0xFF0);
    CHECK(device.saw({{false, 0xFF0, 8, 0}, {false, 0xFF8, 8, 0}}));
    CHECK(p[0] == 0x11);
    CHECK(p[15] == 0x88);
    CHECK(mmu.fetch_hit(kIo + 0xFF0) == nullptr);
    tree.map(kIo, u64{1} << 33, kPwu);
    p = mmu.fetch(kIo + 0xFFF, machine);
    REQUIRE(p);
    CHECK(*p == 0xFF);
}

TEST_CASE_FIXTURE(DeviceWorld, "a change of the map drops every host pointer") {
    u8 b;
    REQUIRE(mmu.load(kVa, b));
    memory.map_mmio(0x300000, 0x1000, &device);
    REQUIRE(mmu.load(kVa, b));
    CHECK(device.saw({{false, 0, 1, 0}}));
}

TEST_CASE_FIXTURE(MmuWorld, "special page: the owner answers, declines or faults") {
    u32 d = 0;
    REQUIRE(mmu.store(kVa + 0x20, u32{77}));  // tags exist before the page becomes special
    mmu.set_special_page(0, 0x300000);
    owner.answer = [](const RecordingOwner::SpecialCall&, u64& value) {
        value = 0x1234;
        return Special::kDone;
    };
    REQUIRE(mmu.load(kVa + 0x20, d));
    CHECK(d == 0x1234);
    REQUIRE(mmu.store(kVa + 0x30, u32{5}));
    CHECK(owner.special ==
          std::vector<RecordingOwner::SpecialCall>{{0x300020, kVa + 0x20, Access::kRead, 4, 0},
                                                   {0x300030, kVa + 0x30, Access::kWrite, 4, 5}});
    CHECK(owner.device_accesses == 2);
    CHECK(get(0x300030, 4) == 0);  // nothing went to memory

    owner.answer = nullptr;  // kNotMine
    REQUIRE(mmu.load(kVa + 0x20, d));
    CHECK(d == 77);
    REQUIRE(mmu.store(kVa + 0x20, u32{78}));
    CHECK(get(0x300020, 4) == 78);

    owner.answer = [this](const RecordingOwner::SpecialCall& call, u64&) {
        mmu.set_fault({.kind = WalkFault::Kind::kEptMisconfig, .linear = call.va});
        return Special::kFault;
    };
    CHECK_FALSE(mmu.load(kVa + 0x20, d));
    CHECK(mmu.fault().kind == WalkFault::Kind::kEptMisconfig);
    CHECK_FALSE(mmu.store(kVa + 0x20, d));
    RmwPlace place;
    CHECK_FALSE(mmu.rmw_begin(kVa + 0x20, place, d));
    PhysAddr machine;
    CHECK(mmu.fetch(kVa, machine) == nullptr);
    // A crossing store: the special half refuses, so the ordinary half is not written either.
    tree.map(kVa - 0x1000, 0x600000, kPwu);
    CHECK_FALSE(mmu.store(kVa - 2, u32{0xFFFFFFFF}));
    CHECK(get(0x600FFE, 2) == 0);

    mmu.set_special_page(0, ~u64{0});
    owner.special.clear();
    REQUIRE(mmu.load(kVa + 0x20, d));
    CHECK(owner.special.empty());
    CHECK(cached(kVa, Access::kRead));
}

TEST_CASE_FIXTURE(MmuWorld,
                  "special page: wide accesses in pieces, read-modify-write as two calls") {
    mmu.set_special_page(1, 0x300000);
    owner.answer = [](const RecordingOwner::SpecialCall& call, u64& value) {
        if (call.access == Access::kRead) value = 10;
        return Special::kDone;
    };
    std::array<u64, 2> x{1, 2};
    REQUIRE(mmu.store(kVa, x));
    RmwPlace place;
    u32 d = 0;
    REQUIRE(mmu.rmw_begin(kVa + 0x80, place, d));
    mmu.rmw_end(place, d + 1);
    CHECK(owner.special ==
          std::vector<RecordingOwner::SpecialCall>{{0x300000, kVa, Access::kWrite, 8, 1},
                                                   {0x300008, kVa + 8, Access::kWrite, 8, 2},
                                                   {0x300080, kVa + 0x80, Access::kRead, 4, 0},
                                                   {0x300080, kVa + 0x80, Access::kWrite, 4, 11}});
    PhysAddr machine;
    const u8* p = mmu.fetch(kVa + 0xFFF, machine);
    REQUIRE(p);
    CHECK(*p == 0xFF);
}

TEST_CASE_FIXTURE(MmuWorld, "a special page that comes and goes with VM entries") {
    u8 b;
    owner.answer = [](const RecordingOwner::SpecialCall&, u64&) { return Special::kDone; };
    for (unsigned round = 0; round < 3; ++round) {
        mmu.set_special_page(1, 0x300000);
        mmu.set_context(context, {1, 0, 0});
        owner.special.clear();
        REQUIRE(mmu.load(kVa, b));
        CHECK(owner.special.size() == 1);
        REQUIRE(mmu.load(kVa + 0x1000, b));
        CHECK(cached(kVa + 0x1000, Access::kRead));
        mmu.set_special_page(1, ~u64{0});
        mmu.set_context(context, {});
        REQUIRE(mmu.load(kVa + 0x1000, b));
        if (round == 1) {  // the hypervisor, and by mistake the guest's tag, touch it in between
            REQUIRE(mmu.load(kVa, b));
            CHECK(cached(kVa, Access::kRead));
            mmu.set_context(context, {1, 0, 0});
            REQUIRE(mmu.load(kVa, b));
        }
    }
}
