// How guest flags that nobody has needed yet are made: which operation set them, and where its
// operands can still be found. Translated code keeps the operands alive as long as the flags can be
// seen (by a fault, an event or another block); only then are they computed, by the interpreter's
// own definitions (cpu/interpreter/alu.h), so that both engines agree also on flags the manuals
// leave undefined.
#pragma once
#include <algorithm>
#include <vector>

#include "cpu/cpu.h"
#include "jit/ir/ir.h"

namespace rm::jit {

// Where an operand is.
struct Source {
    enum Kind : u8 { kNone, kRegister, kConstant, kSlot } kind = kNone;
    u8 number = 0;  // byte offset into CpuState::gpr, or a slot
    u64 value = 0;  // of a constant; kSlot: 1 = the operand is the slot's second byte (AH)
    bool operator==(const Source&) const = default;
};

struct FlagRecipe {
    ir::Code code = ir::Code::add;
    u8 size = 0;         // log2 of bytes
    cpu::Cc writes = 0;  // the flags it gives; the others are those of `before`
    u32 before = 0;      // another recipe, 0 = CpuState::cc; `keeps` says whether it is needed
    bool keeps = false;
    Source a, b, c, result;  // c: the third operand of SHLD, SHRD
    bool operator==(const FlagRecipe&) const = default;
};

// All recipes in use; number 0 means that CpuState::cc is right.
class FlagRecipes {
public:
    FlagRecipes() : all_(1), index_(kFirstSlots) {}
    u32 number_of(const FlagRecipe& recipe);
    // The flags, given registers and slots as they are in `cpu`.
    cpu::Cc flags(const cpu::Cpu& cpu, u32 number) const;
    // Brings cpu.cc up to date with recipe `number`.
    void resolve(cpu::Cpu& cpu, u32 number) const {
        if (number) cpu.cc = flags(cpu, number);
        cpu.translated.flag_recipe = 0;
    }
    const FlagRecipe& operator[](u32 number) const { return all_[number]; }
    std::size_t size() const { return all_.size(); }
    void clear() {
        all_.resize(1);
        std::fill(index_.begin(), index_.end(), 0);
    }

private:
    std::vector<FlagRecipe> all_;
    static constexpr std::size_t kFirstSlots = 4096;
    void grow();
    std::vector<u32> index_;  // open addressing by hash, a power of two; 0: free
};

}  // namespace rm::jit
