// Decoded blocks: straight runs of Insns ending at a branch, a mode-changing instruction, the
// page's end or kMaxInsns. Keyed by (host pointer of the first byte = physical location, rip, mode
// word). An instruction that crosses a page border gets a block of its own. What becomes of them
// when somebody writes to their bytes: overwrite.cpp.
#pragma once
#include <array>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/decode/decoder.h"

namespace rm::cpu {

// What finding, entering and following a block look at is in its first cache line: code that runs
// once misses the host's caches there.
struct alignas(64) Block {
    const u8* host = nullptr;  // null: dropped, must not be found again
    u64 rip = 0;
    Block* next_hash = nullptr;
    // The translator's, with `runs` counting the interpreted ones; where its code begins, null if
    // there is none, and how many instructions that has to its last exit.
    void* translation = nullptr;
    const u8* code = nullptr;
    Mode mode;
    u32 runs = 0;
    u16 longest = 0;
    u16 count = 0;
    u16 bytes = 0;
    bool crosses = false;  // the page's border: host2 is not null
    // How often stores have dropped translated blocks of its frame, up to a bound: translated later
    // then.
    u8 churn = 0;
    // Translator: how memory accesses are checked: together and by the stack page; those to tables
    // one by one; all one by one; or without the stack page, too.
    enum class Checks : u8 { kTables, kFields, kSingle, kPlain } checks = Checks::kTables;
    // Translator: how often events have interrupted it, until it is translated with sites for its
    // accesses (jit/host/x64/sites.h): first for a trial.
    u8 samples = 0, trials = 0;
    enum class Sites : u8 { kNo, kTried, kYes } sites = Sites::kNo;
    // The block that ran after this one last time, [1] when its last instruction jumped: see
    // follow().
    Block* followers[2] = {};
    PhysAddr machine = 0;
    Block* next_in_frame = nullptr;  // that begins in the same 64-byte line
    // Machine bytes that the block, or its translation, depends on: itself, and what a translation
    // has looked at of the blocks it leads to (same page). watches: it has looked at some, which
    // may lie in its own bytes.
    PhysAddr watch_first = 0, watch_last = 0;
    bool watches = false;
    // An instruction that crosses a page border is a block of its own: where its bytes on the
    // second page are. Whoever runs the block makes sure that the page is still mapped there.
    const u8* host2 = nullptr;
    PhysAddr machine2 = 0;
    Block* next_crossing = nullptr;
    // Bit n: a store has changed nothing but the immediate of instruction n. Further ones change
    // its Insn::imm and nothing else, so a translation has to look there whenever it runs. wide:
    // the field has 8 bytes, else 4; is_signed: these are sign-extended.
    u32 loose = 0, loose_wide = 0, loose_signed = 0;
    // Translator: where most runs of a trial went on, and the instruction that went there. 0: to
    // different places.
    u64 likely = 0;
    u8 likely_insn = 0;
    bool likely_mostly = false;  // 15 of 16 did
    // Translator: looked for; all flags are replaced before anything can see them; these registers
    // are overwritten before, if flags are replaced and nothing but a fault can see them before.
    bool flags_looked_at = false, flags_dead = false;
    u16 flags_overwritten = 0xFFFF;
    // Translator, by bit n: instruction n accesses memory at odd addresses; on ever other pages.
    u32 misaligned = 0, roams = 0;
    Insn insns[];  // count of them
};

static_assert(offsetof(Block, followers) == 64);

class BlockCache {
public:
    static constexpr unsigned kMaxInsns = 32;

    explicit BlockCache(Cpu& cpu);
    ~BlockCache();
    // The block at cpu.rip, decoded if need be. Null: cpu.raised holds a fetch fault.
    Block* find();
    // As find(), trying first what followed `last` before. A follower is right if rip and mode
    // agree and the exec TLB still maps rip to its bytes.
    [[gnu::always_inline]] Block* follow(Block* last, bool jumped) {
        if (!last) return find();
        Block*& follower = last->followers[jumped];
        if (Block* b = follower; b && b->rip == cpu_.rip && b->mode == cpu_.mode && b->host &&
                                 !b->crosses && cpu_.mode.code64() &&
                                 cpu_.mmu.fetch_hit(cpu_.rip) == b->host) [[likely]]
            return b;
        const u64 flushes = flushes_;
        Block* b = find();
        // Decoding may have emptied the arena, `last` with it; uncached blocks are never followers.
        if (b && b->host && flushes == flushes_) follower = b;
        return b;
    }
    // `bytes` are about to be written at addr, within one page. False: no block notices.
    bool overwrite(PhysAddr addr, std::span<const u8> bytes);
    // Bytes have been written, from what to what nobody knows: all blocks that own one are dropped.
    void invalidate(PhysAddr addr, unsigned size);
    // Is anything of the frame decoded?
    bool holds(PhysAddr frame) const;
    // The translation of `from` depends on the bytes of `to`, on the same page.
    void watch(Block& from, const Block& to);
    // Drops everything (map changed: host pointers are stale).
    void flush();
    // The decoded block at `rip` in today's mode, if there is one and the exec TLB holds its page;
    // never decodes.
    Block* known(u64 rip);
    // The decoded block at `rip` on the page of `block`, if there is one; never decodes.
    Block* known(const Block& block, u64 rip);
    Decoder& decoder() { return decoder_; }
    u64 decoded_blocks = 0, overwrites = 0, dropped_blocks = 0, loosened = 0;

private:
    static constexpr unsigned kHashBits = 18;
    static constexpr u8 kMaxChurn = 6;
    static constexpr std::size_t kArenaBytes = std::size_t{64} << 20;

    unsigned slot(u64 rip, Mode mode) const {
        return static_cast<unsigned>((rip ^ (rip >> 15) ^ (u64{mode.word} * 0x9E3779B1u >> 13)) &
                                     ((1u << kHashBits) - 1));
    }
    // Instructions of blocks that stores have dropped: mostly they are decoded again unchanged. An
    // entry is right if mode, rip and all bytes of the instruction agree.
    struct Remembered {
        u64 rip = 0;
        Mode mode;
        u8 bytes[15] = {};
        Insn insn;
    };
    static constexpr unsigned kRememberedBits = 12;
    void remember(const Block& b);
    bool recall(std::span<const u8> bytes, u16 offset, Insn& out) const;
    unsigned remembered_slot(u64 rip) const {
        return static_cast<unsigned>((rip ^ (rip >> kRememberedBits)) & (remembered_.size() - 1));
    }
    Decoder::Status decode(std::span<const u8> bytes, u16 offset, Insn& out) {
        return decoder_.decode(bytes, cpu_.mode, cpu_.rip, offset, cpu_.vt, out);
    }
    // What is decoded of a frame. Lives in the arena, until that is emptied.
    struct Frame {
        u64 number = 0;
        Block* blocks[kPageSize / 64] = {};  // by the line of their first byte
        Block* crossing = nullptr;           // the instructions that end here
        u32 count = 0;                       // of both
        u8 churn = 0;                        // Block::churn
        bool watched = false;                // watch() has been called
        bool remembered = false;             // remember() has been called
    };
    Frame* frame_of(u64 number);
    Frame& make_frame(u64 number);
    static unsigned line_of(PhysAddr addr) { return (addr & ~kPageMask) / 64; }
    enum class Effect : u8 { kNone, kLoose, kDrops };
    Effect effect_on(Block& b, PhysAddr addr, std::span<const u8> bytes);
    template <class EffectOn>
    bool change(PhysAddr addr, u64 size, EffectOn&& effect_on);
    bool loosen(Block& b, unsigned n, std::span<const u8> field);
    void forget_watchers(const Frame& frame, PhysAddr first, PhysAddr last);
    LinearAddr fetch_linear() const;
    Block* lookup(const u8* host);
    void register_block(Block* b, const u8* host, PhysAddr machine, unsigned covered);
    Block* build(LinearAddr linear, const u8* host, PhysAddr machine);
    Block* build_crossing(LinearAddr linear, const u8* host, PhysAddr machine, unsigned on_first);
    Block* allocate(unsigned insns);
    void drop(Block* block);

    Cpu& cpu_;
    Decoder decoder_;
    std::vector<Block*> hash_;
    std::unordered_map<u64, Frame*> frames_;    // by frame number
    std::array<Frame*, 1024> recent_frames_{};  // the same, by its low bits
    std::vector<Remembered> remembered_;
    std::unique_ptr<u8[]> arena_;
    std::size_t used_ = 0;
    u64 flushes_ = 0;
    alignas(Block) u8 single_[sizeof(Block) + sizeof(Insn)];  // page-crossing and MMIO code
};

}  // namespace rm::cpu
