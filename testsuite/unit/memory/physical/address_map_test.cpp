// The address map against a page-by-page model: whatever sequence of calls, page() must answer as
// if every page had its own row.
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "memory/physical/physical.h"

using namespace rm;
using namespace rm::memory;

namespace {

struct NoDevice : MmioWindow {
    u64 mmio_read(u64, unsigned) override { return 0; }
    void mmio_write(u64, unsigned, u64) override {}
};

struct ModelPage {
    PageView memory, window;
    const PageView& seen() const { return window.window ? window : memory; }
};

bool same(const PageView& a, const PageView& b) {
    return a.read_host == b.read_host && a.write_host == b.write_host && a.window == b.window &&
           a.window_offset == b.window_offset && a.window_size == b.window_size;
}

struct CountChanges : PhysicalListener {
    unsigned changes = 0;
    void map_changed() override { ++changes; }
    void code_written(PhysAddr, std::span<const u8>) override {}
    void code_marked(PhysAddr) override {}
};

}  // namespace

TEST_CASE("any order of overlapping maps and unmaps: page() as in a page-by-page model") {
    constexpr u64 kPages = 2048;              // 8 MiB: below and above the per-page index
    static u8 host[kPages * kPageSize + 64];  // only addresses are compared
    NoDevice devices[3];
    std::mt19937 random(20240607);
    for (unsigned round = 0; round < 30; ++round) {
        PhysicalMemory memory;
        CountChanges listener;
        memory.add_listener(&listener);
        std::vector<ModelPage> model(kPages);
        for (unsigned step = 0; step < 60; ++step) {
            const u64 first = random() % kPages;
            const u64 count = 1 + random() % (round % 2 ? 12 : kPages - first);
            const u64 last = std::min(first + count, kPages);
            const u64 start = first * kPageSize, size = (last - first) * kPageSize;
            const unsigned kind = random() % 5;
            u8* read = host + random() % 8;
            u8* write = kind == 0 ? read : kind == 1 ? nullptr : host + random() % 8;
            MmioWindow* window = &devices[random() % 3];
            const std::vector<ModelPage> before = model;
            const unsigned changes = listener.changes;

            if (kind == 0) memory.map_ram(start, size, read);
            if (kind == 1) memory.map_rom(start, size, read);
            if (kind == 2) memory.map_split(start, size, read, write);
            if (kind == 3) memory.map_mmio(start, size, window);
            if (kind == 4) memory.unmap(start, size);

            bool had_window = false;
            for (u64 p = first; p < last; ++p) had_window |= model[p].window.window != nullptr;
            for (u64 p = first; p < last; ++p) {
                const u64 offset = (p - first) * kPageSize;
                if (kind <= 2) {
                    model[p] = {};
                    model[p].memory.read_host = read + offset;
                    if (write) model[p].memory.write_host = write + offset;
                } else if (kind == 3) {
                    model[p].window = {nullptr, nullptr, window, offset, size};
                } else if (had_window) {
                    model[p].window = {};
                } else {
                    model[p].memory = {};
                }
            }
            bool changed = false;
            for (u64 p = 0; p < kPages; ++p) {
                if (!same(memory.page(p * kPageSize + p % 4096), model[p].seen()))
                    FAIL("round " << round << " step " << step << " page " << p);
                changed |= !same(before[p].seen(), model[p].seen());
            }
            CHECK((listener.changes != changes) == changed);
        }
    }
}

TEST_CASE("ranges above the index and at the end of the address space") {
    PhysicalMemory memory(52);
    NoDevice device;
    static u8 host[0x2000];
    memory.map_ram(u64{1} << 41, 0x2000, host);
    CHECK(memory.page((u64{1} << 41) + 0x1000).read_host == host + 0x1000);
    CHECK(memory.page((u64{1} << 41) + 0x2000).read_host == nullptr);
    CHECK(memory.page((u64{1} << 41) - 1).read_host == nullptr);

    struct Row {
        PhysAddr start;
        u64 size;
    };
    // BAR values a guest can write: all are survivable.
    for (const Row& row : {Row{~u64{0}, 1}, Row{~u64{0} - 0xFFF, 0x1000}, Row{0, ~u64{0}},
                           Row{u64{1} << 52, 0x1000}, Row{(u64{1} << 52) - 0x1000, 0x10000},
                           Row{0x1000, 0}, Row{(u64{1} << 40) - 0x1000, 0x2000}}) {
        memory.map_mmio(row.start, row.size, &device);
        memory.page(row.start);
        memory.load(row.start, 8);
        memory.store(row.start, 8, 0);
        memory.unmap(row.start, row.size);
    }
    CHECK(memory.page(u64{1} << 41).read_host == host);
}
