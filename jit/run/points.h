// The places where translated code can leave or call into C++, and what the C++ side must know
// about each. Code names a point by its number (in r12d).
#pragma once
#include <vector>

#include "base/types.h"

namespace rm::cpu {
struct Block;
}

namespace rm::jit {

// The flags' recipe at a point is what memory says (TranslatorState::flag_recipe).
inline constexpr u32 kRecipeInMemory = ~u32{0};

struct Point {
    enum Kind : u8 {
        kAccess,       // TLB miss: refill and try again, else interpret from `insn` on
        kInstruction,  // interpret from `insn` on
        kCall,         // interpret `insn` and come back
        kExit,         // to the block at `target`, by a jump that can be patched
        kAgain,        // before the block: look it up again
        kIndirect,     // after an indirect branch, for an event: rip is in r11, ticks in `insn`
    } kind = kExit;
    u8 size = 0;  // kAccess: bytes
    bool write = false;
    bool has_value = false;   // kAccess: a store, its value in TranslatorState::stored
    bool cross_page = false;  // kExit: the target is on another page
    u16 insn = 0;
    u32 recipe = 0;
    cpu::Block* block = nullptr;
    u64 target = 0;  // kExit: rip
    // kExit, addresses in the writable view: the jump to patch, and what it leads to unlinked. For
    // cross_page the linked jump leads to `guard`, whose constants are patched too.
    u8* jump = nullptr;
    u8* stub = nullptr;
    u8 *guard = nullptr, *guard_page = nullptr, *guard_addend = nullptr, *guard_jump = nullptr;
    cpu::Block* linked = nullptr;
};

}  // namespace rm::jit
