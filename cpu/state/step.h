// What an instruction body tells the engine that ran it. Guest faults are values: a body that
// returns kFault has left the reason in Cpu::raised and has changed nothing else of the guest's
// state (docs/architecture.md, decision 6).
#pragma once
#include "base/types.h"

namespace rm::cpu {

enum class [[nodiscard]] Step : u8{
    kNext = 0,  // retired; go on with the next instruction of the block
    kJump,      // retired; Cpu::rip holds the new instruction pointer
    kEnd,       // retired; rip = next instruction, but the block must be left (mode or map changed)
    kRepeated,  // as kEnd, because a REP instruction has used up ticks: its iterations
    kAgain,     // one bounded piece of a REP instruction done: same instruction again, after events
    kFault,     // not retired; an exception is in Cpu::raised, rip still at this instruction
    kVmExit,  // not retired; a VM exit (or entry, or world change) has set the whole state and rip
};

// Value or "an exception is pending". The builder engine's counterpart is always ok().
template <class T>
struct Maybe {
    T value;
    bool good;
    constexpr bool ok() const { return good; }
};

}  // namespace rm::cpu

// RM_LET(name, expr): name = value of the Maybe, or return Step::kFault from the body.
#define RM_LET(name, ...)                \
    auto name##_maybe = (__VA_ARGS__);   \
    if (!name##_maybe.ok()) [[unlikely]] \
        return ::rm::cpu::Step::kFault;  \
    auto name = name##_maybe.value
// RM_TRY(expr): for operations that return bool or Maybe without a wanted value.
#define RM_TRY(...)                         \
    do {                                    \
        if (!(__VA_ARGS__)) [[unlikely]]    \
            return ::rm::cpu::Step::kFault; \
    } while (0)
