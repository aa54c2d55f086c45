#include "cpu/interpreter/block_cache.h"

#include <algorithm>
#include <cstring>
#include <new>

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
    if (host) [[likely]] {
        for (Block* b = hash_[slot(cpu_.rip, cpu_.mode)]; b; b = b->next_hash)
            if (b->host == host && b->rip == cpu_.rip && b->mode == cpu_.mode) [[likely]] {
                if (code64 || cpu_.rip + b->bytes - 1 <= cpu_.seg[kCs].limit) [[likely]]
                    return b;
                break;
            }
    }
    PhysAddr machine = 0;
    host = cpu_.mmu.fetch(linear, machine);
    if (!host) {
        (void)cpu_.access_failed(kCs);
        return nullptr;
    }
    for (Block* b = hash_[slot(cpu_.rip, cpu_.mode)]; b; b = b->next_hash)
        if (b->host == host && b->rip == cpu_.rip && b->mode == cpu_.mode &&
            (code64 || cpu_.rip + b->bytes - 1 <= cpu_.seg[kCs].limit))
            return b;
    return build(linear, host, machine);
}

Block* BlockCache::allocate(unsigned insns) {
    const std::size_t bytes = sizeof(Block) + insns * sizeof(Insn);
    if (used_ + bytes > kArenaBytes) flush();
    Block* b = new (arena_.get() + used_) Block;
    used_ += (bytes + 15) & ~std::size_t{15};
    return b;
}

Decoder::Status BlockCache::decode(std::span<const u8> bytes, u16 offset, Insn& out) {
    const u64 rip = cpu_.rip + offset;
    Remembered& r = remembered_[(rip ^ (rip >> kRememberedBits)) & (remembered_.size() - 1)];
    if (r.insn.fn && r.rip == rip && r.mode == cpu_.mode && r.insn.length <= bytes.size() &&
        !std::memcmp(r.bytes, bytes.data(), r.insn.length)) {
        out = r.insn;
        out.offset = offset;
        return Decoder::Status::kOk;
    }
    const auto status = decoder_.decode(bytes, cpu_.mode, cpu_.rip, offset, cpu_.vt, out);
    // What does not decode depends on more bytes than its length says.
    if (status == Decoder::Status::kOk && out.row != 0xFFFF) {
        r.rip = rip;
        r.mode = cpu_.mode;
        r.insn = out;
        std::memcpy(r.bytes, bytes.data(), out.length);
    }
    return status;
}

Block* BlockCache::build(LinearAddr linear, const u8* host, PhysAddr machine) {
    // RAM and ROM code has an exec tag after the fetch; code from a device does not and is not
    // kept.
    const bool cacheable = cpu_.mmu.fetch_hit(linear) == host;
    const unsigned on_page = static_cast<unsigned>(kPageSize - (linear & (kPageSize - 1)));
    const u64 limit = cpu_.mode.code64() ? ~u64{0} : cpu_.seg[kCs].limit - cpu_.rip + 1;
    Insn insns[kMaxInsns];
    unsigned count = 0, bytes = 0, covered = 0;
    while (count < kMaxInsns && bytes < on_page) {
        Insn& i = insns[count];
        const unsigned left = on_page - bytes;
        if (decode({host + bytes, left}, static_cast<u16>(bytes), i) ==
            Decoder::Status::kNeedMore) {
            if (count == 0) return build_crossing(linear, host, left);
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
    b->bytes = covered;
    b->machine = machine;
    b->count = count;
    std::memcpy(static_cast<void*>(b->insns), insns, count * sizeof(Insn));
    if (!cacheable) return b;
    b->host = host;
    b->watch_first = machine;
    b->watch_last = machine + covered - 1;
    Block*& head = hash_[slot(b->rip, b->mode)];
    b->next_hash = head;
    head = b;
    Block*& frame = frames_[machine >> 12];
    b->next_in_frame = frame;
    frame = b;
    cpu_.memory.mark_code(machine, covered);
    return b;
}

// The instruction at linear reaches into the next page: gather its bytes from both.
Block* BlockCache::build_crossing(LinearAddr linear, const u8* host, unsigned on_first) {
    u8 bytes[15];
    std::memcpy(bytes, host, on_first);
    const LinearAddr second =
        cpu_.mode.code64() ? linear + on_first : (linear + on_first) & 0xFFFFFFFF;
    PhysAddr machine;
    const u8* rest = cpu_.mmu.fetch(second, machine);
    if (!rest) {
        (void)cpu_.access_failed(kCs);
        return nullptr;
    }
    std::memcpy(bytes + on_first, rest, sizeof bytes - on_first);
    Block* b = new (single_) Block;
    b->rip = cpu_.rip;
    b->mode = cpu_.mode;
    b->count = 1;
    Insn& i = *new (b->insns) Insn;
    (void)decoder_.decode({bytes, sizeof bytes}, cpu_.mode, cpu_.rip, 0, cpu_.vt, i);
    b->bytes = i.length;
    if (!cpu_.mode.code64() && cpu_.rip + i.length - 1 > cpu_.seg[kCs].limit) {
        (void)cpu_.raise_gp(0);
        return nullptr;
    }
    return b;
}

Block* BlockCache::known(const Block& block, u64 rip) {
    if (!block.host || ((rip ^ block.rip) & kPageMask)) return nullptr;
    const u8* host = block.host + static_cast<i64>(rip - block.rip);
    for (Block* b = hash_[slot(rip, block.mode)]; b; b = b->next_hash)
        if (b->host == host && b->rip == rip && b->mode == block.mode) return b;
    return nullptr;
}

void BlockCache::drop(Block* block) {
    for (Block** at = &hash_[slot(block->rip, block->mode)]; *at; at = &(*at)->next_hash)
        if (*at == block) {
            *at = block->next_hash;
            break;
        }
    block->host = nullptr;
    if (block->translation) cpu_.translator->dropped(*block);
}

void BlockCache::invalidate(PhysAddr addr, unsigned size) {
    const auto frame = frames_.find(addr >> 12);
    if (frame == frames_.end()) return;
    ++invalidations;
    const PhysAddr first = addr & ~PhysAddr{63}, last = (addr + size - 1) | 63;
    for (Block** at = &frame->second; *at;) {
        Block* b = *at;
        if (b->watch_first > last || b->watch_last < first) {
            at = &b->next_in_frame;
            continue;
        }
        *at = b->next_in_frame;
        drop(b);
    }
    if (frame->second) return;
    frames_.erase(frame);
    // With one processor nobody else has blocks in the frame.
    if (cpu_.config.processors == 1) cpu_.memory.clear_code(addr & kPageMask);
}

void BlockCache::flush() {
    std::fill(hash_.begin(), hash_.end(), nullptr);
    if (cpu_.config.processors == 1)
        for (const auto& [frame, head] : frames_) cpu_.memory.clear_code(frame << 12);
    frames_.clear();
    used_ = 0;
    ++flushes_;
    if (cpu_.translator) cpu_.translator->flushed();
}

}  // namespace rm::cpu
