// What -accel jit,stats prints about one processor's translator. The rows, with their meaning:
// docs/performance.md; scripts may rely on their names and order.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "base/types.h"
#include "jit/run/part_clock.h"

namespace rm::jit {

struct Statistics {
    // Guest instructions: all, those that translated code ran itself, and those that it gave to the
    // interpreter (a REP instruction's iterations count one by one).
    u64 retired = 0, in_translated_code = 0, called = 0;
    u64 blocks = 0, instructions = 0, interpreted_instructions = 0, code_bytes = 0;
    u64 retries = 0, untranslatable = 0, flushes = 0, dropped = 0, evictions = 0, evicted = 0;
    u64 overwrites = 0, overwritten_blocks = 0, loosened = 0;  // of the block cache
    u64 stores_beside_code = 0;
    u64 entries = 0, links = 0, target_misses = 0, targets_found = 0, pages_entered = 0;
    u64 touches = 0, code_touches = 0;
    u64 sites_filled = 0, sites_forgotten = 0, roaming = 0, optimised = 0, traces = 0, copies = 0;
    u64 access_exits = 0, instruction_exits = 0, event_exits = 0;
    u64 calls = 0, call_leaves = 0, flags_resolved = 0;
    std::array<double, kParts> seconds = {};
    std::vector<u64> calls_by_row;  // interpreter calls, by Insn::row

    std::string text(unsigned processor) const;
};

}  // namespace rm::jit
