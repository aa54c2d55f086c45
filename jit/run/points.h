// The places where translated code can leave or call into C++, and what the C++ side must know
// about each. Code names a point by its number (in r12d).
#pragma once
#include <vector>

#include "base/types.h"
#include "jit/cache/code_memory.h"
#include "memory/tlb/access_sites.h"

namespace rm::cpu {
struct Block;
}

namespace rm::jit {

// The flags' recipe at a point is what memory says (TranslatorState::flag_recipe).
inline constexpr u32 kRecipeInMemory = ~u32{0};

// One cache line: where code leaves by a point for the first time, the host misses its caches.
struct alignas(64) Point {
    enum Kind : u8 {
        kAccess,       // TLB miss: refill and try again, else interpret from `insn` on
        kInstruction,  // interpret from `insn` on
        kCall,         // interpret `insn` and come back
        kExit,         // to the block at `target`, by a jump that can be patched
        kAgain,        // before the block: look it up again
        kTrial,        // a block's trial is over: asks, and goes on at access.retry
        kIndirect,     // after an indirect branch, for an event: rip is in r11, ticks in `insn`
    };
    static constexpr u8 kNoRegister = 0xFF;
    static constexpr u32 kNone = ~u32{0};

    // kAccess: its address, from guest registers as they are at a miss, and, for a store that the
    // runtime may make (beside code), its value.
    struct Access {
        enum Value : u8 { kNotStored, kConstant, kRegister, kSpilled };
        u64 displacement;
        u64 constant;     // kConstant
        const u8* retry;  // executable view
        u8 base, index, scale, segment;
        bool narrow;    // a 32-bit address
        bool computed;  // it is in TranslatorState::spill[3]
        Value value;
        u8 number;  // kRegister: byte offset into CpuState::gpr; kSpilled: in
                    // TranslatorState::spill
    };
    // kExit. Addresses are in the writable view.
    struct Exit {
        u64 target;  // rip
        u8* jump;    // the jump to patch; null: the guard of a block (Translation::guard)
        cpu::Block* linked;
        u32 unlinked;       // where the jump leads then, in bytes behind it
        u32 next_incoming;  // the next point that is linked to the same block, kNone at the end
    };

    Kind kind = kExit;
    bool write : 1 = false;
    bool stack : 1 = false;       // kAccess: the check is against the stack page
    bool aligned : 1 = false;     // kAccess: ... and for an aligned access only
    bool must_align : 1 = false;  // kAccess: else it faults
    bool ahead : 1 = false;       // kAccess: the first of them is a read, others write
    bool group : 1 = false;       // kAccess: the check is for others too (jit/host/x64/page_uses.h)
    bool table : 1 = false;       // kAccess: ... to a table (page_uses.h)
    bool cross_page : 1 = false;  // kExit: the target is on another page
    bool certain : 1 = false;  // kInstruction, an indirect branch: nothing of it can fault any more
    u8 insn = 0;
    u16 size = 0;  // kAccess: bytes, of all accesses that its check is for
    u16 done = 0;  // kAccess, a store: bytes from `retry` to behind it
    // kAccess: the site (jit/host/x64/sites.h) that the check is by, a memory::PageSite or another.
    // kExit of a block on trial: its `changes` count how often code left here.
    const memory::PageSite* site = nullptr;
    u32 recipe = 0;
    // The translation that it belongs to, by number in its arena. `block` may be another one's, of
    // a trace.
    u32 owner = kNone;
    cpu::Block* block = nullptr;
    union {
        Exit exit;
        Access access;
    };
    Point() : exit{0, nullptr, nullptr, 0, kNone} {}
};
static_assert(sizeof(Point) == 64);

// All points in use, by number. Each arena of the code memory has numbers of its own, which begin
// anew when it does.
class Points {
public:
    static constexpr u32 kPerArena = 1u << 19;

    Points() { use(0); }
    // References end with the next call.
    u32 add(const Point& p) {
        current().push_back(p);
        return end() - 1;
    }
    Point& operator[](u32 number) { return arenas_[number / kPerArena][number % kPerArena]; }
    // The number of the next one.
    u32 end() const { return arena_ * kPerArena + static_cast<u32>(arenas_[arena_].size()); }
    u32 left() const { return kPerArena - static_cast<u32>(arenas_[arena_].size()); }
    // Forgets those from number `end` on, which are the latest.
    void cut(u32 end) { current().resize(end % kPerArena); }
    std::vector<Point>& of(unsigned arena) { return arenas_[arena]; }
    static unsigned arena_of(u32 number) { return number / kPerArena; }
    // Makes the arena current, and empty.
    void use(unsigned arena) {
        arena_ = arena;
        current().clear();
    }

private:
    std::vector<Point>& current() { return arenas_[arena_]; }
    std::vector<Point> arenas_[CodeMemory::kArenas];
    unsigned arena_ = 0;
};

}  // namespace rm::jit
