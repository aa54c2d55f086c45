// What is known of values by their arithmetic alone: that one is another one, or a register at the
// block's begin, plus a constant, or lies within a small range. So two addresses can be seen to be
// near each other, and one of a loop to move by a constant in each run.
#pragma once
#include <vector>

#include "cpu/state/cpu_state.h"
#include "jit/ir/ir.h"

namespace rm::jit::x64 {

// unknown + constant + one of 0..reach. The unknowns have numbers.
struct Sum {
    static constexpr u32 kNothing = 0;  // nothing is known
    static constexpr u32 kZero = 1;     // a constant, or one of a range
    // A register (by number from here on) as it was when the block began.
    static constexpr u32 kRegisters = 2;
    static constexpr unsigned kRegisterCount = 16;

    u32 unknown = kNothing;
    u32 reach = 0;
    i64 constant = 0;

    bool known() const { return unknown != kNothing; }
    // The register that it is `constant` away from, or -1.
    int register_at_begin() const {
        const u32 n = unknown - kRegisters;
        return !reach && unknown >= kRegisters && n < kRegisterCount ? static_cast<int>(n) : -1;
    }
};

// An address: base + (index << scale), of which `offset` is the constant part and 0..reach that of
// small operands.
struct AddressSum {
    Sum base, index;
    u8 scale = 0;  // 0 without an unknown index
    i64 offset = 0, reach = 0;
};

class RegisterSums {
public:
    void begin(const ir::Block& block);
    // The next operation, in their order. What it does to registers counts from the next one on.
    void step(ir::Value v);
    // Of a value that step() has seen.
    const Sum& of(ir::Value v) const { return sums_[v]; }
    // Of an address operation, of 64 bits and without a third operand.
    AddressSum of_address(const ir::Op& address) const;
    // Of a whole register, after the operations so far.
    const Sum& of_register(unsigned guest) const { return registers_[guest]; }
    // Has the stack pointer held the unknown?
    bool is_stack(u32 unknown) const {
        return unknown < stack_bases_.size() && stack_bases_[unknown];
    }
    // Whether the last operation was one behind which nothing is known of any register.
    bool all_forgotten() const { return all_forgotten_; }

private:
    static constexpr u32 kMostReach = 511;

    void forget_registers();
    Sum sum(ir::Value v) const;
    void put(unsigned guest, Sum s);

    const ir::Block* block_ = nullptr;
    std::vector<Sum> sums_;
    Sum registers_[Sum::kRegisterCount];
    std::vector<u8> stack_bases_;  // by number
    u32 unknowns_ = 0;
    bool all_forgotten_ = false;
};

}  // namespace rm::jit::x64
