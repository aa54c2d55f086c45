#include "cpu/interpreter/block_cache.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/bits.h"

namespace rm::cpu {

BlockCache::BlockCache(Cpu& cpu)
    : cpu_(cpu),
      decoder_(cpu.model),
      hash_(1u << kHashBits, nullptr),
      remembered_(1u << kRememberedBits),
      arena_(std::make_unique_for_overwrite<u8[]>(kArenaBytes)) {}

BlockCache::~BlockCache() = default;

LinearAddr BlockCache::fetch_linear() const {
    if (cpu_.mode.code64()) return cpu_.rip;
    return (cpu_.seg[kCs].base + cpu_.rip) & 0xFFFFFFFF;
}

Block* BlockCache::find() {
    const bool code64 = cpu_.mode.code64();
    if (!code64 && cpu_.rip > cpu_.seg[kCs].limit) [[unlikely]] {
        (void)cpu_.raise_gp(0);
        return nullptr;
    }
    const LinearAddr linear = fetch_linear();
    const u8* host = cpu_.mmu.fetch_hit(linear);
    Block* b = host ? lookup(host) : nullptr;
    if (b && !b->crosses) [[likely]]
        return b;
    PhysAddr machine = 0;
    if (!b) {
        host = cpu_.mmu.fetch(linear, machine);
        if (!host) {
            (void)cpu_.access_failed(kCs);
            return nullptr;
        }
        b = lookup(host);
        if (!b) return build(linear, host, machine);
        if (!b->crosses) return b;
    }
    // Across the page border: is the second page still where its bytes were decoded?
    const LinearAddr mask = code64 ? ~u64{0} : 0xFFFFFFFF;
    const LinearAddr second = ((linear & kPageMask) + kPageSize) & mask;
    const u8* rest = cpu_.mmu.fetch_hit(second);
    if (!rest) rest = cpu_.mmu.fetch(second, machine);
    if (!rest) {
        (void)cpu_.access_failed(kCs);
        return nullptr;
    }
    if (rest == b->host2) return b;
    drop(b);
    host = cpu_.mmu.fetch(linear, machine);
    if (host) return build(linear, host, machine);
    (void)cpu_.access_failed(kCs);
    return nullptr;
}

// The block at cpu.rip whose first byte is at `host`.
Block* BlockCache::lookup(const u8* host) {
    for (Block* b = hash_[slot(cpu_.rip, cpu_.mode)]; b; b = b->next_hash)
        if (b->host == host && b->rip == cpu_.rip && b->mode == cpu_.mode) [[likely]] {
            if (cpu_.mode.code64() || cpu_.rip + b->bytes - 1 <= cpu_.seg[kCs].limit) [[likely]]
                return b;
            break;
        }
    return nullptr;
}

Block* BlockCache::allocate(unsigned insns) {
    const std::size_t bytes =
        std::max(sizeof(Block), offsetof(Block, insns) + insns * sizeof(Insn));
    // With what make_frame() takes for it afterwards.
    if (used_ + bytes + 2 * sizeof(Frame) + 4 * alignof(Block) > kArenaBytes) flush();
    const u64 end = reinterpret_cast<u64>(arena_.get() + used_);
    used_ += align_up(end, alignof(Block)) - end;
    Block* b = new (arena_.get() + used_) Block;
    used_ += align_up(bytes, 16);
    return b;
}

Block* BlockCache::build(LinearAddr linear, const u8* host, PhysAddr machine) {
    // RAM and ROM code has an exec tag after the fetch; code from a device does not and is not
    // kept.
    const bool cacheable = cpu_.mmu.fetch_hit(linear) == host;
    const unsigned on_page = static_cast<unsigned>(kPageSize - (linear & (kPageSize - 1)));
    const u64 limit = cpu_.mode.code64() ? ~u64{0} : cpu_.seg[kCs].limit - cpu_.rip + 1;
    // Filled by decode(); not initialised before, it is large.
    alignas(Insn) u8 storage[kMaxInsns * sizeof(Insn)];
    Insn* const insns = reinterpret_cast<Insn*>(storage);
    unsigned count = 0, bytes = 0, covered = 0;
    // Another processor may write the bytes meanwhile: what is decoded is a copy, compared below.
    u8 copy[kMaxInsns * 15];
    const u8* from = host;
    if (cpu_.threads) {
        std::memcpy(copy, host, std::min<std::size_t>(sizeof copy, on_page));
        from = copy;
    }
    const Frame* const frame = frame_of(machine >> 12);
    const bool again = frame && frame->remembered;
    while (count < kMaxInsns && bytes < on_page) {
        Insn& i = insns[count];
        const unsigned left = on_page - bytes;
        const std::span<const u8> rest{from + bytes, left};
        const u16 offset = static_cast<u16>(bytes);
        if (!(again && recall(rest, offset, i)) &&
            decode(rest, offset, i) == Decoder::Status::kNeedMore) {
            if (count == 0) return build_crossing(linear, host, machine, left);
            break;
        }
        if (bytes + i.length > limit) {  // beyond CS.limit: the rest runs when it is reached
            if (count != 0) break;
            (void)cpu_.raise_gp(0);
            return nullptr;
        }
        // What does not decode depends on more bytes than its length says.
        covered = bytes + (i.row == 0xFFFF ? std::min(left, 15u) : i.length);
        bytes += i.length;
        ++count;
        const Ending ending = ending_of(i);
        if (!cacheable || (ending != Ending::kNext && ending != Ending::kConditional)) break;
    }
    ++decoded_blocks;
    Block* b = cacheable ? allocate(count) : new (single_) Block;
    b->rip = cpu_.rip;
    b->mode = cpu_.mode;
    b->bytes = static_cast<u16>(covered);
    b->machine = machine;
    b->count = static_cast<u16>(count);
    std::memcpy(static_cast<void*>(b->insns), insns, count * sizeof(Insn));
    if (!cacheable) return b;
    register_block(b, host, machine, covered);
    // Marked now: later writes are told. Earlier ones show.
    if (cpu_.threads && std::memcmp(copy, host, covered)) {
        invalidate(machine, covered);
        return build(linear, host, machine);
    }
    return b;
}

void BlockCache::register_block(Block* b, const u8* host, PhysAddr machine, unsigned covered) {
    b->host = host;
    b->watch_first = machine;
    b->watch_last = machine + covered - 1;
    Block*& head = hash_[slot(b->rip, b->mode)];
    b->next_hash = head;
    head = b;
    Frame& frame = make_frame(machine >> 12);
    Block*& first = frame.blocks[line_of(machine)];
    b->next_in_frame = first;
    first = b;
    ++frame.count;
    b->churn = frame.churn;
    cpu_.memory.mark_code(machine, covered);
}

BlockCache::Frame* BlockCache::frame_of(u64 number) {
    Frame*& recent = recent_frames_[number % recent_frames_.size()];
    if (recent && recent->number == number) [[likely]]
        return recent;
    const auto it = frames_.find(number);
    if (it == frames_.end()) return nullptr;
    return recent = it->second;
}

// allocate() has left room for it.
BlockCache::Frame& BlockCache::make_frame(u64 number) {
    if (Frame* f = frame_of(number)) return *f;
    Frame* f = new (arena_.get() + used_) Frame;
    used_ += (sizeof(Frame) + 15) & ~std::size_t{15};
    f->number = number;
    frames_.emplace(number, f);
    return *f;
}

// The instruction at linear reaches into the next page: gather its bytes from both.
Block* BlockCache::build_crossing(LinearAddr linear, const u8* host, PhysAddr machine,
                                  unsigned on_first) {
    u8 bytes[15];
    std::memcpy(bytes, host, on_first);
    const LinearAddr second =
        cpu_.mode.code64() ? linear + on_first : (linear + on_first) & 0xFFFFFFFF;
    PhysAddr machine2;
    const u8* rest = cpu_.mmu.fetch(second, machine2);
    if (!rest) {
        (void)cpu_.access_failed(kCs);
        return nullptr;
    }
    std::memcpy(bytes + on_first, rest, sizeof bytes - on_first);
    Insn insn;
    (void)decode({bytes, sizeof bytes}, 0, insn);
    if (!cpu_.mode.code64() && cpu_.rip + insn.length - 1 > cpu_.seg[kCs].limit) {
        (void)cpu_.raise_gp(0);
        return nullptr;
    }
    // Kept if both pages are plain memory and the bytes that matter are known.
    const bool keep = cpu_.mmu.fetch_hit(linear) == host && cpu_.mmu.fetch_hit(second) == rest &&
                      insn.row != 0xFFFF && insn.length > on_first;
    Block* b = keep ? allocate(1) : new (single_) Block;
    b->rip = cpu_.rip;
    b->mode = cpu_.mode;
    b->bytes = insn.length;
    b->machine = machine;
    b->count = 1;
    *new (b->insns) Insn = insn;
    if (!keep) return b;
    register_block(b, host, machine, on_first);
    b->host2 = rest;
    b->crosses = true;
    b->machine2 = machine2;
    Frame& frame = make_frame(machine2 >> 12);
    b->next_crossing = frame.crossing;
    frame.crossing = b;
    ++frame.count;
    cpu_.memory.mark_code(machine2, insn.length - on_first);
    if (cpu_.threads && (std::memcmp(bytes, host, on_first) ||
                         std::memcmp(bytes + on_first, rest, insn.length - on_first))) {
        invalidate(machine, on_first);
        return build_crossing(linear, host, machine, on_first);
    }
    return b;
}

Block* BlockCache::known(u64 rip) {
    const bool code64 = cpu_.mode.code64();
    const u8* host = cpu_.mmu.fetch_hit(code64 ? rip : (cpu_.seg[kCs].base + rip) & 0xFFFFFFFF);
    if (!host) return nullptr;
    for (Block* b = hash_[slot(rip, cpu_.mode)]; b; b = b->next_hash)
        if (b->host == host && b->rip == rip && b->mode == cpu_.mode)
            return code64 || rip + b->bytes - 1 <= cpu_.seg[kCs].limit ? b : nullptr;
    return nullptr;
}

Block* BlockCache::known(const Block& block, u64 rip) {
    if (!block.host || ((rip ^ block.rip) & kPageMask)) return nullptr;
    const u8* host = block.host + static_cast<i64>(rip - block.rip);
    for (Block* b = hash_[slot(rip, block.mode)]; b; b = b->next_hash)
        if (b->host == host && !b->crosses && b->rip == rip && b->mode == block.mode) return b;
    return nullptr;
}

void BlockCache::drop(Block* block) {
    const auto unlink = [block](Block** at, Block* Block::*next) {
        while (*at != block) at = &((*at)->*next);
        *at = block->*next;
    };
    unlink(&hash_[slot(block->rip, block->mode)], &Block::next_hash);
    Frame& frame = *frame_of(block->machine >> 12);
    unlink(&frame.blocks[line_of(block->machine)], &Block::next_in_frame);
    --frame.count;
    if (block->crosses) {
        Frame& second = *frame_of(block->machine2 >> 12);
        unlink(&second.crossing, &Block::next_crossing);
        --second.count;
    }
    block->host = nullptr;
    ++dropped_blocks;
    if (block->translation) cpu_.translator->dropped(*block);
}

void BlockCache::flush() {
    std::fill(hash_.begin(), hash_.end(), nullptr);
    const auto frames = std::exchange(frames_, {});
    for (const auto& [number, frame] : frames) cpu_.memory.clear_code(number << 12);
    recent_frames_.fill(nullptr);
    used_ = 0;
    ++flushes_;
    if (cpu_.translator) cpu_.translator->flushed();
}

}  // namespace rm::cpu
