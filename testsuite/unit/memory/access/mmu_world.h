// A processor's Mmu over 4-level tables, with an owner that records what it is told.
#pragma once
#include <functional>

#include "../world.h"
#include "memory/access/mmu.h"

namespace rm::memory::test {

struct RecordingOwner : Mmu::Owner {
    struct SpecialCall {
        PhysAddr machine;
        LinearAddr va;
        Access access;
        unsigned size;
        u64 value;
        bool operator==(const SpecialCall&) const = default;
    };
    unsigned device_accesses = 0;
    std::vector<std::pair<PhysAddr, unsigned>> invalidated;
    std::vector<SpecialCall> special;
    std::function<Special(const SpecialCall&, u64&)> answer;

    void before_device_access() override { ++device_accesses; }
    void code_invalidated(PhysAddr addr, std::span<const u8> bytes) override {
        invalidated.emplace_back(addr, static_cast<unsigned>(bytes.size()));
    }
    Special special_page(PhysAddr machine, LinearAddr va, Access access, unsigned size,
                         u64& value) override {
        special.push_back({machine, va, access, size, access == Access::kWrite ? value : 0});
        return answer ? answer(special.back(), value) : Special::kNotMine;
    }
};

struct MmuWorld : World {
    static constexpr LinearAddr kVa = 0x0000'7F00'1234'5000;
    Tree tree{*this, 4, kPwu};
    RecordingOwner owner;
    Mmu mmu{memory, owner};
    PagingContext context = long_context(tree.root());

    MmuWorld() {
        mmu.set_context(context, {});
        mmu.set_data_class(PrivClass::kUser);
        mmu.set_code_class(PrivClass::kUser);
        tree.map(kVa, 0x300000, kPwu);
        tree.map(kVa + 0x1000, 0x500000, kPwu);  // neighbours in va, not in memory
    }
    // Would this access hit without a walk?
    bool cached(LinearAddr va, Access access) {
        u8 byte = 0;
        u8* host = nullptr;
        if (access == Access::kRead) return mmu.load_hit(va, byte);
        if (access == Access::kExecute) return mmu.fetch_hit(va) != nullptr;
        return mmu.rmw_hit(va, host, byte);
    }
};

struct LogDevice : MmioWindow {
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
        return 0x8877665544332211;
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

}  // namespace rm::memory::test
