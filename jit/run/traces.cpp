// Tier 3: which blocks run often, the trial of their sites, and the traces that blocks form where
// their trials have shown one way on (docs/architecture.md, section 4).
#include "jit/run/translator.h"
#include "jit/translate/build_ir.h"

namespace rm::jit {

using cpu::Block;

// Tier 3: events come at no particular code, so what they interrupt again and again runs often.
void Translator::sample(Block& block) {
    if (block.sites != Block::Sites::kNo || !block.translation ||
        ++block.samples < options_.samples)
        return;
    block.sites = Block::Sites::kTried;
    ++statistics_.optimised;
    dropped(block);
}

// An access by a site has missed. True: one of its block's does too often; it goes on trial again.
bool Translator::site_missed(const Point& p, Translation& t) {
    constexpr u64 kQuick = 65536 * memory::PageSite::kTold;  // ticks; a miss costs some hundred
    if (cpu_.mmu.sites().count == memory::SiteLog::kMost) cpu_.mmu.forget_sites();
    if (p.site->changes % memory::PageSite::kTold || !p.site->changes) return false;
    if (cpu_.tick_base - t.told_at >= kQuick >> p.block->trials) {
        t.told_at = cpu_.tick_base;
        t.tellings = 0;
    }
    // More than there are sites: one has told twice.
    u32 sites = 0;
    for (u32 n = t.first_point; n < t.first_point + t.points; ++n)
        sites += points_[n].kind == Point::kAccess && points_[n].site;
    if (++t.tellings <= sites || p.block->sites != Block::Sites::kYes) return false;
    p.block->sites = Block::Sites::kTried;
    if (p.block->translation && p.block != t.block) dropped(*p.block);
    dropped(*t.block);
    return true;
}

// Where at least three of four runs of the trial went.
void Translator::find_likely(Block& block, const Translation& t) {
    block.likely = 0;
    for (u32 n = t.first_point; n < t.first_point + t.points; ++n) {
        const Point& p = points_[n];
        if (p.kind != Point::kExit || !p.site || p.site->changes * 4 < options_.trial * 3) continue;
        block.likely = p.exit.target;
        block.likely_insn = p.insn;
        block.likely_mostly = p.site->changes * 16 >= options_.trial * 15;
    }
}

// Traces that end with the block can be longer now.
void Translator::renew_traces(const Translation& t) {
    std::vector<Block*> shorter;
    for (u32 p = t.incoming; p != Point::kNone; p = points_[p].exit.next_incoming)
        if (const Translation* from = owner(p); from &&
                                                points_[p].block->sites == Block::Sites::kYes &&
                                                points_[p].block->likely == t.block->rip)
            shorter.push_back(from->block);
    for (Block* b : shorter)
        if (b->translation && b != t.block) dropped(*b);
}

// The running translation is dropped, and goes on to its end.
const void* Translator::judge(u32 number) {
    const PartClock::In part(clock_, Part::kTranslating);
    const void* const on = points_[number].access.retry;
    Block& block = *points_[number].block;
    const Translation* t = of(block);
    if (block.sites != Block::Sites::kTried || !t) return on;
    for (u32 n = t->first_point; n < t->first_point + t->points; ++n) {
        const Point& p = points_[n];
        if (p.kind != Point::kAccess || !p.site || p.site->changes * 40 <= options_.trial) continue;
        block.roams |= u32{1} << p.insn;
        ++statistics_.roaming;
    }
    find_likely(block, *t);
    renew_traces(*t);
    block.sites = Block::Sites::kYes;
    if (block.trials < kMostTrials) ++block.trials;
    dropped(block);
    return on;
}

// Appends the IR of the block up to the jump that most of its runs leave by. False: that jump is of
// a form that no trace goes on behind.
bool Translator::way_on(const Block& block, unsigned part, x64::Part& out) {
    ir::Block& code = emitter_.code();
    const unsigned count = block.likely_insn + 1u;
    build_ir(code, {block.insns, count}, context_of(block), {interpret_[part], count});
    std::vector<ir::Op>& ops = code.ops;
    const std::size_t last = ops.size() - 1;
    if (ops[last].code != ir::Code::jump_to) return false;
    if (ops[last].imm == block.likely) {
        out.on = static_cast<ir::Value>(last);
    } else if (last > 0 && ops[last - 1].code == ir::Code::jump_if &&
               ops[last - 1].imm == block.likely &&
               ops[ops[last - 1].a].code == ir::Code::condition) {
        ops[last].code = ir::Code::constant;
        out.on = static_cast<ir::Value>(last - 1);
    } else {
        return false;
    }
    out.end = ops.size();
    return true;
}

// The IR of the block, and of those that mostly follow it: on its page, found by trials like it.
void Translator::build_trace(Block& head) {
    parts_.clear();
    emitter_.code().ops.clear();
    unsigned insns = 0;
    for (Block* block = &head;;) {
        const unsigned part = static_cast<unsigned>(parts_.size());
        const std::size_t begin = emitter_.code().ops.size();
        parts_.push_back({block, 0});
        Block* next = nullptr;
        if (head.sites == Block::Sites::kYes && block->likely && block->likely != head.rip &&
            part + 1 < x64::kMostParts && !cpu_.threads && !head.host2)
            next = cpu_.blocks->known(head, block->likely);
        for (const x64::Part& p : parts_)
            if (next == p.block) next = nullptr;
        if (next && insns + block->likely_insn + 1u + next->count <= kMostTicks &&
            way_on(*block, part, parts_.back())) {
            insns += block->likely_insn + 1u;
            block = next;
            cpu_.blocks->watch(head, *block);
            continue;
        }
        emitter_.code().ops.resize(begin);
        build_ir(emitter_.code(), {block->insns, block->count}, context_of(*block),
                 {interpret_[part], block->count});
        parts_.back().end = emitter_.code().ops.size();
        return;
    }
}

}  // namespace rm::jit
