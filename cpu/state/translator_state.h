// What translated code keeps beside the architectural state, at fixed distances from it. Plain
// data: the translator (jit) writes and reads it, the interpreter never looks at it.
#pragma once
#include "base/types.h"

namespace rm::cpu {

struct TranslatorState {
    u64 stop_at = 0;      // translated code leaves when the tick count has reached this
    u32 flag_recipe = 0;  // 0: CpuState::cc is right; else how to make it (jit/run/flag_recipe.h)
    u32 vector_live = 0;  // 1: XMM0-15 and MXCSR are in the host's registers
    u32 x87_live = 0;     // 1: the x87 registers, FCW, FSW and FTW are in the host's
    u64 flag_slots[4] = {};  // operands of the recipe
    u64 spill[4] = {};       // values of the running instruction
    u64 salt = 0;            // of the address space and mode: part of every key below
    u64 host_mxcsr = 0;
    void* engine = nullptr;  // the object behind the code, for calls out of it
    u8 x87_image[112] = {};  // as FNSAVE and FRSTOR have it, on the way to the host and back
    // While x87_live, once an instruction has set what follows from them: FOP | kX87Noted (and FCS:
    // today's CS), and 1 + the number of FDS's segment register.
    u32 x87_opcode = 0, x87_segment = 0;
    static constexpr u32 kX87Noted = 1 << 16;
    // Indirect branch targets: key = rip ^ salt, whose lower bits name the slot. The salt's are of
    // the mode, so that a hypervisor and its guest with the same kernel do not meet. Key 0, of an
    // entry that is not used, belongs to no canonical rip.
    struct Target {
        u64 key;
        const void* code;
    };
    static constexpr unsigned kTargets = 65536;
    static constexpr u64 target_key(u64 rip, u32 mode, u64 number) {
        constexpr u32 kSpread = 0x9E3779B1;  // odd: every bit of the mode counts
        return rip ^ number << 48 ^ (mode * kSpread) >> 16;
    }
    static constexpr unsigned target_slot(u64 key) {
        return static_cast<unsigned>(key) & (kTargets - 1);
    }
    alignas(64) Target targets[kTargets] = {};
};

}  // namespace rm::cpu
