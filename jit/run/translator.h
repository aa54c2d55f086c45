// The translator at run time: one per processor. Decides which blocks are translated, enters
// translated code, links its exits, and takes over where it cannot go on (faults, devices, events).
// Blocks and their invalidation are BlockCache's; a translation hangs on its block and goes with
// it.
#pragma once
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/interpreter/block_cache.h"
#include "jit/cache/code_memory.h"
#include "jit/host/x64/emitter.h"
#include "jit/host/x64/thunks.h"
#include "jit/ir/builder.h"
#include "jit/run/flag_recipe.h"
#include "jit/run/points.h"
#include "jit/run/statistics.h"

namespace rm::jit {

struct Options {
    std::size_t code_bytes = std::size_t{64} << 20;
    unsigned hot = 16;  // interpreted runs before a block is translated; 1: at once, always
    // Events that interrupt a block before it is translated with sites, 0: at once; and runs of
    // their trial.
    unsigned samples = 16;
    unsigned trial = 1024;
    std::FILE* perf_map = nullptr;  // gets a line per piece of code: /tmp/perf-PID.map
    bool times = false;             // Statistics::seconds is wanted
};

class Translator final : public cpu::Translator {
public:
    static Result<std::unique_ptr<Translator>> create(cpu::Cpu& cpu, const Options& options);

    bool run(cpu::Cpu& cpu, cpu::Block& block) override { return run_until(cpu, block, ~u64{0}); }
    // As run(), leaving also at the first block's end at or after `tick`.
    bool run_until(cpu::Cpu& cpu, cpu::Block& block, u64 tick);
    // IR and host code of a block as text, for people.
    std::string explain(cpu::Block& block);
    void dropped(cpu::Block& block) override;
    void flushed() override;

    Statistics statistics();

private:
    struct Translation {
        cpu::Block* block;
        const u8* code;  // executable view
        u32 bytes;
        u32 first_point, points;  // its own
        // Points linked to it: a list by Point::Exit::next_incoming.
        u32 incoming = Point::kNone;
        u8* guard = nullptr;  // how jumps from other pages enter it, made for the first of them
        u64 crossed_at = 0;   // tick of the last group check that failed by a page border ...
        u8 crossings = 0;     // ... and how many have in quick succession
        u64 told_at = 0;      // since this tick so many times has ...
        u32 tellings = 0;     // ... a site missed for another PageSite::kTold times
    };

    // What lies in an arena of the code memory. Arenas are filled in turn; when all are full, the
    // oldest one's translations go.
    struct Arena {
        std::deque<Translation> translations;
        std::vector<u32> resolvers;  // recipes whose code is here
    };

    Translator(cpu::Cpu& cpu, const Options& options, std::unique_ptr<CodeMemory> code);
    Translation* translate(cpu::Block& block);
    void name_for_perf(const void* code, std::size_t bytes, const char* name);
    void dump(const cpu::Block& block, const Translation& t);
    bool emit(cpu::Block& block, std::size_t& bytes);
    void build_trace(cpu::Block& head);
    bool way_on(const cpu::Block& block, unsigned part, x64::Part& out);
    Translation* owner(u32 point);
    void renew_traces(const Translation& t);
    void find_likely(cpu::Block& block, const Translation& t);
    x64::FlagUse flag_use_at(cpu::Block& from, u64 rip);
    x64::FlagUse flag_use(cpu::Block& block);
    void empty();
    void make_room();
    void evict(unsigned arena);
    void unlink_incoming(Translation& t);
    void unlink_exits(unsigned arena);
    u64 sites_filled(unsigned arena);
    void unlink(u32 point);
    void link(u32 point, Translation& to);
    u8* guard_of(Translation& to);
    void update_salt();
    u64 salt_of(u64 key);
    void forget_targets();
    cpu::TranslatorState::Target no_target() const {
        return {0, static_cast<const u8*>(thunks_.no_target) + code_->executable_delta()};
    }
    void remember_target(const cpu::Block& block);
    void update_stop();
    // Interpreted runs before a block is translated: more where stores drop blocks again and again.
    u32 threshold(const cpu::Block& b) const {
        return options_.hot > 1 ? options_.hot << b.churn : options_.hot;
    }
    u64 until_ = ~u64{0};
    u32 enter(const u8* code);
    const void* interpret(u32 point);
    const void* next_code();
    const void* touch(u32 point);
    void sample(cpu::Block& block);
    const void* judge(u32 point);
    bool site_missed(const Point& p, Translation& t);
    void check_more_simply(const Point& p, Translation& t, LinearAddr va);
    const void* enter_page(u32 point);
    u32 find_target(u64 rip, u32 point);
    bool touch_code(u64 rip);
    bool store_beside_code(u64 va, const Point& p, const cpu::Block& running);
    ir::BuildContext context_of(const cpu::Block& block) const;
    void resolve_at(const Point& p);
    void resolve(u32 recipe);
    static void detach(cpu::Block& b) {
        b.translation = nullptr;
        b.code = nullptr;
    }
    static Translation* of(const cpu::Block& b) { return static_cast<Translation*>(b.translation); }

    cpu::Cpu& cpu_;
    const Options options_;
    std::unique_ptr<CodeMemory> code_;
    x64::Thunks thunks_;
    u32 (*enter_)(cpu::Cpu*, const void*) = nullptr;
    FlagRecipes recipes_;
    static constexpr std::size_t kMaxRecipes = 1 << 16;
    static constexpr std::size_t kMaxBlockBytes = 32 << 10;
    static constexpr u32 kMaxBlockPoints = 4096;
    static constexpr u8 kMostTrials = 6;
    // Translated code is left at least so often, for samples.
    static constexpr u64 kSamplingTicks = 125'000;
    // What translated code may run without a look at the ticks.
    static constexpr u64 kMostTicks = 128;
    std::unique_ptr<const void*[]> resolvers_;  // Thunks::resolvers
    const void* generic_resolver_ = nullptr;
    Points points_;
    x64::Emitter emitter_;
    // Of the blocks being translated, and their instructions that are the interpreter's.
    std::vector<x64::Part> parts_;
    bool interpret_[x64::kMostParts][cpu::BlockCache::kMaxInsns] = {};
    ir::Block looked_at_;  // by flag_use()
    Arena arenas_[CodeMemory::kArenas];
    u64 generation_ = 0;  // of everything above; changes when it, or an arena, is emptied
    u64 salt_epoch_ = ~u64{0};
    u32 salt_mode_ = 0;
    std::unordered_map<u64, u64> salts_;
    // The latest of them: a system call changes the mode twice.
    struct Salt {
        u64 key, salt;
    } recent_salts_[16] = {};
    Statistics statistics_;
    PartClock clock_;
};

}  // namespace rm::jit
