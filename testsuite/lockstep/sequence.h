// One test: a random sequence of instructions with everything that is there when it starts.
#pragma once
#include <vector>

#include "cpu/models/model.h"
#include "cpu/state/cpu_state.h"
#include "lockstep/layout.h"

namespace rm::lockstep {

struct Sequence {
    u64 seed = 0, index = 0;
    Kind kind = Kind::k64;
    cpu::Vendor vendor = cpu::Vendor::kIntel;
    u8 cpl = 3;
    struct Place {
        u16 offset;  // from kCode
        u8 length;
    };
    std::vector<Place> insns;
    u64 gpr[16] = {};
    u64 rip = kCode, rflags = 2, fs_base = 0, gs_base = 0;
    u64 dr0 = 0, dr7 = 0x400;
    cpu::FpuState fpu;
    // Ticks at which run() returns; after each but the last an external interrupt arrives.
    std::vector<u64> stops;
    // Bytes that a device writes then, one for each stop but the last; none if empty.
    struct Poke {
        u64 at;
        u8 size;
        u64 value;
    };
    std::vector<Poke> pokes;
    std::vector<u8> memory;  // all RAM
};

}  // namespace rm::lockstep
