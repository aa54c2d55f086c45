// The memory accesses of a loop that move by a constant in each run, or not at all: groups that
// are near one another, and how far each moves. What is on its page now and will be for the next n
// runs needs no check in these (emit_loop.cpp).
#pragma once
#include <vector>

#include "jit/host/x64/register_sums.h"
#include "jit/host/x64/thunks.h"
#include "jit/ir/ir.h"

namespace rm::jit::x64 {

class LoopGroups {
public:
    static constexpr unsigned kMost = Frame::kLoopPlaceCount;
    static constexpr i64 kMostSpan = 2560;   // bytes of a group in one run
    static constexpr i64 kMostStride = 512;  // bytes that it moves by

    struct Group {
        i8 base, index;  // guest registers, -1: none
        u8 scale;
        bool write;
        i64 first, end;  // bytes, relative to base + (index << scale) when a run begins
        i64 stride;
        u32 alignment;  // what `aligned` must be a multiple of, less one
        i64 aligned;    // as `first`
    };
    // How an access finds its bytes: the group's place holds what host addresses have in common, in
    // all runs.
    struct Use {
        i8 group = -1;
        bool base = false, index = false;  // the operand is to be added
        i64 behind = 0;                    // so is this
    };

    // The loop is the operations up to `back`, which lead to the first again. False: something in
    // it has no place that moves by a constant, or nothing does.
    bool find(const ir::Block& block, ir::Value back);
    std::span<const Group> groups() const { return groups_; }
    // Of the access at the address operation.
    const Use& use(ir::Value address) const { return uses_[address]; }
    // Does the register change from run to run?
    bool moved(int guest) const {
        i64 by = 0;
        return !moves(guest, by) || by != 0;
    }
    // A register that tells the runs apart: what it changes by in each ...
    unsigned counter() const { return counter_; }
    i64 step() const { return step_; }
    // ... and has already at operation v, one that may leave.
    i64 counted(ir::Value v) const { return counted_[v]; }

private:
    struct Access {
        ir::Value address;
        u32 bytes, alignment;
        bool write;
        AddressSum sum;
    };
    bool place(const ir::Block& block, const Access& access);
    bool find_counter(const ir::Block& block);
    // By how much it moves in a run; false: not by a constant.
    bool moves(int guest, i64& by) const;

    RegisterSums sums_;
    std::vector<Access> accesses_;
    std::vector<Group> groups_;
    std::vector<Use> uses_;
    struct Leave {
        ir::Value at;
        Sum registers[Sum::kRegisterCount];
    };
    std::vector<Leave> leaves_;
    std::vector<i64> counted_;
    unsigned counter_ = 0;
    i64 step_ = 0;
};

}  // namespace rm::jit::x64
