// The fixed pieces of generated code: entry, exit, and the ways from translated code into C++ and
// back. Conventions of each are with its member; register use: emitter.h. Addresses are in the
// writable view; executable(p) gives where to jump.
#pragma once
#include <cstddef>
#include <vector>

#include "base/types.h"
#include "cpu/cpu.h"
#include "jit/host/x64/repeat.h"
#include "jit/host/x64/sites.h"

namespace rm::jit::x64 {

// The C++ side, called with the point's number.
struct Callbacks {
    // An access that missed the TLB; the state is in CpuState. Where to go on: at the access, the
    // TLB has it now; or behind it, it was a store that has been made. Null: it is the
    // interpreter's, nothing has changed.
    const void* (*touch)(cpu::Cpu*, u32 point);
    // Indirect branch to `rip`: 1 = the table of targets has it now; 0: the branch is the
    // interpreter's, nothing has changed.
    u32 (*find)(cpu::Cpu*, u64 rip, u32 point);
    // A jump from another page to a block (a point of kind kExit) whose page the exec TLB does not
    // hold as it was; the state is in CpuState. Where to go on; null: nowhere, leave.
    const void* (*enter_page)(cpu::Cpu*, u32 point);
    // The trial of a block (a point of kind kTrial) is over. Where to go on.
    const void* (*judge)(cpu::Cpu*, u32 point);
    // Interprets one instruction; state is in CpuState. Where to go on: kBehindCall or in another
    // block; null: leave, all done.
    const void* (*interpret)(cpu::Cpu*, u32 point);
    // Makes CpuState::cc right: recipe number, or kRecipeInMemory.
    void (*resolve)(cpu::Cpu*, u32 recipe);
};

struct Thunks {
    const void* enter = nullptr;  // u32 enter(Cpu*, const void* code): the point it left by
    const void* leave = nullptr;  // jmp, r12d = point
    const void* touch = nullptr;  // jmp, r12d = point; goes on where the callback says, or leaves
    const void* enter_page = nullptr;  // jmp, r12d = point; as touch
    const void* judge = nullptr;       // jmp, r12d = point; as touch
    const void* find = nullptr;  // call, r11 = rip, r12d = point; does not come back if refused
    const void* no_target = nullptr;  // jmp, r11 = key: what unused entries of the table lead to
    const void* interpret = nullptr;  // call, r12d = point
    const void* resolve = nullptr;    // call, r12d = recipe
    // By recipe: call, r12d = recipe; `resolve` until the recipe has code of its own.
    const void* const* resolvers = nullptr;
    // call, r11, r12 = first and last byte, point pushed: the stack page from the TLB, and back;
    // else to touch
    const void* stack = nullptr;
    // By form and write: call, r11 = the address as the form has it (emit_cold_site()), r12 = the
    // site, point pushed: fills the site from the TLB, and back; else to touch
    const void* sites[Site::kForms][2] = {};
    const void* load_vectors = nullptr;  // call: XMM registers and MXCSR from CpuState;
                                         // r12d != 0: an exception is unmasked, nothing was loaded
    const void* load_x87 = nullptr;      // call: the x87 unit from CpuState; r12d as load_vectors
    const void* retire_x87 = nullptr;    // call: and back, if it is live; changes flags only
    const void* repeats[Repeat::kKinds] = {};  // call: write_repeat(), by number()
    std::size_t bytes = 0;
    std::ptrdiff_t executable = 0;  // executable view - writable view
    // For perf: what begins where, in order.
    struct Name {
        const char* name;
        const void* begin;
    };
    std::vector<Name> names;
};

// Translated code finds a member of its processor at r13 + this. r13 points at what it uses most,
// so that one byte of displacement is enough for that.
inline int from_r13(const cpu::Cpu& cpu, const void* member) {
    return static_cast<int>(static_cast<const u8*>(member) -
                            reinterpret_cast<const u8*>(&cpu.translated));
}

// What translated code has on the host's stack, from rsp on. What it stores and soon loads again is
// here: Zen renames memory that is addressed by rsp, so that such a load, by a plain MOV, takes no
// time, while one by another register waits eight cycles or more for the store. While C++ runs,
// CpuState and TranslatorState have what the frame has.
struct Frame {
    static constexpr int kHomes = 0;  // guest registers without a host register (Emitter::home_of)
    static constexpr unsigned kHomeCount = 4;
    // Ticks until somebody must look: TranslatorState::stop_at - the tick count at the block's
    // first instruction.
    static constexpr int kTicksLeft = kHomes + 8 * kHomeCount;
    // Host - linear address of pages that the running block has checked (page_uses.h), or the
    // host's address of the access that was.
    static constexpr int kPageAddends = kTicksLeft + 8;
    static constexpr unsigned kPageAddendCount = 4;
    // Of the loop that runs unchecked (emit_loop.cpp): runs, its counter's value behind the last,
    // what the host's addresses of each group have in common.
    static constexpr int kLoopRuns = kPageAddends + 8 * kPageAddendCount;
    static constexpr int kLoopEnd = kLoopRuns + 8;
    static constexpr int kLoopPlaces = kLoopEnd + 8;
    static constexpr unsigned kLoopPlaceCount = 6;
    static constexpr int kBytes = kLoopPlaces + 8 * kLoopPlaceCount;
};

// Behind the instruction that the interpreter was called for.
inline const void* const kBehindCall = reinterpret_cast<const void*>(1);

// What enter() returns when the state is complete already.
inline constexpr u32 kLeftDone = ~u32{0};
// What it returns when an indirect target has been dropped between its check and the jump, by the
// instruction's own store: as from a point of kind kIndirect.
inline constexpr u32 kLeftNoTarget = ~u32{0} - 1;

// Writes the thunks at `memory`.
Thunks make_thunks(const cpu::Cpu& cpu, const Callbacks& callbacks, u8* memory, std::size_t bytes,
                   std::ptrdiff_t executable);

}  // namespace rm::jit::x64
