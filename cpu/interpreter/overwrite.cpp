// What becomes of decoded blocks when their bytes are written, by this processor, another one or a
// device. A block is looked at only if one of its own bytes really changes. Is that an immediate of
// 32 or 64 bits (call sites, inline caches, trampolines, counters), the decoded instruction gets
// the new one and the block stays; everything else drops it.
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "cpu/interpreter/block_cache.h"

namespace rm::cpu {

namespace {

static_assert(BlockCache::kMaxInsns <= 8 * sizeof(Block::loose), "a bit for each instruction");

// A block reaches into so many lines behind that of its first byte.
constexpr unsigned kLinesBack = (BlockCache::kMaxInsns * 15 + 62) / 64;

// Last byte of a block in the frame it begins in.
PhysAddr end_of(const Block& b) {
    return std::min(b.machine + b.bytes - 1, b.machine | ~kPageMask);
}

}  // namespace

// Instruction n gets a new immediate; `field` are the instruction's bytes as they will be. False:
// what changes is not the immediate alone.
bool BlockCache::loosen(Block& b, unsigned n, std::span<const u8> bytes) {
    const auto field = decoder_.immediate_field(bytes, b.mode);
    const Insn& i = b.insns[n];
    if (!field.bytes || std::memcmp(bytes.data(), b.host + i.offset, i.length - field.bytes))
        return false;
    if (b.translation) cpu_.translator->dropped(b);  // it has the old one built in
    if (Frame& frame = *frame_of(b.machine >> 12); frame.watched)
        forget_watchers(frame, b.machine, end_of(b));
    b.loose |= 1u << n;
    if (field.bytes == 8) b.loose_wide |= 1u << n;
    if (field.is_signed) b.loose_signed |= 1u << n;
    ++loosened;
    return true;
}

BlockCache::Effect BlockCache::effect_on(Block& b, PhysAddr addr, std::span<const u8> bytes) {
    // The part that lies in the block and differs, as offsets in the block.
    PhysAddr first = std::max(addr, b.machine);
    PhysAddr last = std::min(addr + bytes.size() - 1, end_of(b));
    const auto same = [&](PhysAddr at) { return b.host[at - b.machine] == bytes[at - addr]; };
    while (first <= last && same(first)) ++first;
    if (first > last) return Effect::kNone;
    while (same(last)) --last;
    if (b.crosses) return Effect::kDrops;
    const u64 from = first - b.machine, to = last - b.machine;
    unsigned n = 0;
    while (n + 1 < b.count && b.insns[n + 1].offset <= from) ++n;
    Insn& i = b.insns[n];
    if (i.row == 0xFFFF || to >= u64{i.offset} + i.length) return Effect::kDrops;
    u8 now[15];
    std::memcpy(now, b.host + i.offset, i.length);
    std::memcpy(now + (from - i.offset), bytes.data() + (first - addr), to - from + 1);
    const u32 mask = 1u << n;
    if (!(b.loose & mask) && !loosen(b, n, {now, i.length})) return Effect::kDrops;
    const unsigned size = b.loose_wide & mask ? 8 : 4;
    if (from < i.offset + i.length - size) return Effect::kDrops;
    u64 value = 0;
    std::memcpy(&value, now + i.length - size, size);
    i.imm = b.loose_signed & mask && size == 4 ? sign_extend(value, 32) : value;
    return Effect::kLoose;
}

void BlockCache::watch(Block& from, const Block& to) {
    from.watch_first = std::min(from.watch_first, to.machine);
    from.watch_last = std::max(from.watch_last, to.machine + to.bytes - 1);
    from.watches = true;
    frame_of(from.machine >> 12)->watched = true;
}

// Translations that have looked at a block which is gone now. It was written to, so all of it that
// they may depend on is in the range they watch.
void BlockCache::forget_watchers(const Frame& frame, PhysAddr first, PhysAddr last) {
    for (Block* b : frame.blocks)
        for (; b; b = b->next_in_frame) {
            if (b->watch_first > last || b->watch_last < first) continue;
            if (!b->watches) continue;
            b->watches = false;
            b->watch_first = b->machine;
            b->watch_last = end_of(*b);
            if (b->translation) cpu_.translator->dropped(*b);
        }
}

bool BlockCache::holds(PhysAddr frame) const {
    const auto it = frames_.find(frame >> 12);
    return it != frames_.end() && it->second->count != 0;
}

// effect_on(block) for each block that owns a byte. True: some block is not as it was.
template <class EffectOn>
bool BlockCache::change(PhysAddr addr, u64 size, EffectOn&& effect_on) {
    Frame* const frame = frame_of(addr >> 12);
    if (!frame || !frame->count) return false;
    ++overwrites;
    const PhysAddr last = addr + size - 1;
    bool changed = false, dropped = false;
    const unsigned line = line_of(addr);
    for (unsigned l = line > kLinesBack ? line - kLinesBack : 0; l <= line_of(last); ++l)
        for (Block *b = frame->blocks[l], *next; b; b = next) {
            next = b->next_in_frame;
            if (b->machine > last || end_of(*b) < addr) continue;
            const Effect effect = effect_on(*b);
            changed |= effect != Effect::kNone;
            if (effect != Effect::kDrops) continue;
            if (b->translation && frame->churn < kMaxChurn) ++frame->churn;
            dropped = true;
            drop(b);
        }
    for (Block *b = frame->crossing, *next; b; b = next) {
        next = b->next_crossing;
        const PhysAddr end = b->machine2 + b->bytes - (kPageSize - (b->machine & ~kPageMask)) - 1;
        if (b->machine2 > last || end < addr) continue;
        drop(b);
        changed = true;
    }
    if (dropped && frame->watched) forget_watchers(*frame, addr, last);
    if (!frame->count) cpu_.memory.clear_code(addr & kPageMask);
    return changed;
}

// The block is about to be dropped; its bytes are still as they were decoded.
void BlockCache::remember(const Block& b) {
    if (cpu_.threads || b.crosses) return;  // other threads' stores come at any time
    frame_of(b.machine >> 12)->remembered = true;
    for (const Insn& i : std::span(b.insns, b.count)) {
        if (i.row == 0xFFFF) continue;  // depends on more bytes than its length says
        Remembered& r = remembered_[remembered_slot(b.rip + i.offset)];
        r.rip = b.rip + i.offset;
        r.mode = b.mode;
        r.insn = i;
        std::memcpy(r.bytes, b.host + i.offset, i.length);
    }
}

// The instruction as it was decoded before, if it was.
bool BlockCache::recall(std::span<const u8> bytes, u16 offset, Insn& out) const {
    const u64 rip = cpu_.rip + offset;
    const Remembered& r = remembered_[remembered_slot(rip)];
    if (!r.insn.fn || r.rip != rip || r.mode != cpu_.mode || r.insn.length > bytes.size() ||
        std::memcmp(r.bytes, bytes.data(), r.insn.length))
        return false;
    out = r.insn;
    out.offset = offset;
    return true;
}

bool BlockCache::overwrite(PhysAddr addr, std::span<const u8> bytes) {
    return change(addr, bytes.size(), [&](Block& b) {
        const Effect effect = effect_on(b, addr, bytes);
        if (effect == Effect::kDrops) remember(b);
        return effect;
    });
}

void BlockCache::invalidate(PhysAddr addr, unsigned size) {
    (void)change(addr, size, [](Block&) { return Effect::kDrops; });
}

}  // namespace rm::cpu
