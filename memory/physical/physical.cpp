// Accesses by physical address, and the marks of frames that hold decoded code.
// Code marks live in a table of 2 MiB chunks that grows to the highest marked frame; an address
// beyond it, or in a chunk without marks, costs one or two loads to dismiss.
#include "memory/physical/physical.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/bits.h"
#include "base/guest_memory.h"
#include "base/relaxed.h"
#include "memory/physical/address_map.h"

namespace rm::memory {

namespace {

constexpr u64 kAddressEnd = u64{1} << 52;  // no x86 has more physical address bits
constexpr unsigned kLineBits = 6;
constexpr u64 kChunkFrames = 512;

// The largest power of two not above min(8, n).
unsigned piece_size(u64 n) { return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1; }

// One bit per 64-byte line of the page that [addr, addr+size) touches. Does not leave the page.
u64 line_mask(PhysAddr addr, unsigned size) {
    const unsigned offset = addr & (kPageSize - 1);
    const unsigned first = offset >> kLineBits;
    const unsigned last = std::min<unsigned>(offset + size - 1, kPageSize - 1) >> kLineBits;
    return (~u64{0} << first) & low_mask(last + 1);
}

// Bytes of a device page: [offset, offset + n) with offset relative to the page.
void window_read(MachineLock* lock, const PageView& view, u64 in_page, u8* out, u64 n) {
    const MachineLock::Hold hold(lock);
    while (n) {
        const u64 offset = view.window_offset + in_page;
        if (offset >= view.window_size) {
            *out++ = 0xFF;
            ++in_page, --n;
            continue;
        }
        const unsigned size = piece_size(std::min(n, view.window_size - offset));
        const u64 value = view.window->mmio_read(offset, size);
        std::memcpy(out, &value, size);
        out += size, in_page += size, n -= size;
    }
}

void window_write(MachineLock* lock, const PageView& view, u64 in_page, const u8* in, u64 n) {
    const MachineLock::Hold hold(lock);
    while (n) {
        const u64 offset = view.window_offset + in_page;
        if (offset >= view.window_size) {
            ++in, ++in_page, --n;
            continue;
        }
        const unsigned size = piece_size(std::min(n, view.window_size - offset));
        u64 value = 0;
        std::memcpy(&value, in, size);
        view.window->mmio_write(offset, size, value);
        in += size, in_page += size, n -= size;
    }
}

}  // namespace

struct PhysicalMemory::State {
    AddressMap map;
    std::vector<PhysicalListener*> listeners;
    std::vector<std::unique_ptr<Relaxed<u64>[]>> code;  // per 2 MiB: line maps of its frames

    Relaxed<u64>* lines(PhysAddr addr) {
        const u64 frame = addr / kPageSize;
        const u64 chunk = frame / kChunkFrames;
        if (chunk >= code.size() || !code[chunk]) return nullptr;
        return &code[chunk][frame % kChunkFrames];
    }
    // Before a write within one page.
    void note_write(PhysAddr addr, std::span<const u8> bytes) {
        const Relaxed<u64>* map_of_lines = lines(addr);
        const unsigned size = static_cast<unsigned>(bytes.size());
        if (!map_of_lines || !(*map_of_lines & line_mask(addr, size))) [[likely]]
            return;
        for (PhysicalListener* l : listeners) l->code_written(addr, bytes);
    }
    void changed(bool really) {
        if (!really) return;
        for (PhysicalListener* l : listeners) l->map_changed();
    }
    // What a write to the frame has to hold: the lock if it has marks, so that they and the write
    // come one after the other.
    MachineLock* write_lock(PhysAddr addr, MachineLock* lock) {
        if (!lock) [[likely]]
            return nullptr;
        const Relaxed<u64>* map_of_lines = lines(addr);
        return map_of_lines && *map_of_lines ? lock : nullptr;
    }
    PageView page(PhysAddr addr) const {
        const Region* r = map.find(addr);
        return r ? r->page(addr) : PageView{};
    }
};

PhysicalMemory::PhysicalMemory(unsigned address_bits, MachineLock* lock)
    : address_bits_(address_bits), lock_(lock), state_(std::make_unique<State>()) {}
PhysicalMemory::~PhysicalMemory() = default;

void PhysicalMemory::map_split(PhysAddr start, u64 size, u8* read_host, u8* write_host) {
    if (!size) return;
    RM_ASSERT(!((start | size) & ~kPageMask) && start < kAddressEnd && size <= kAddressEnd - start,
              "RAM and ROM ranges are page-aligned and inside the address space");
    const MachineLock::Alone alone(lock_);
    Region r;
    r.start = start;
    r.end = start + size;
    r.read_host = read_host;
    r.write_host = write_host;
    state_->changed(state_->map.map_memory(r));
}

void PhysicalMemory::map_ram(PhysAddr start, u64 size, u8* host) {
    map_split(start, size, host, host);
}

void PhysicalMemory::map_rom(PhysAddr start, u64 size, u8* host) {
    map_split(start, size, host, nullptr);
}

void PhysicalMemory::map_mmio(PhysAddr start, u64 size, MmioWindow* window) {
    RM_ASSERT(window, "an MMIO window needs a device");
    if (!size || start >= kAddressEnd) return;
    const MachineLock::Alone alone(lock_);
    Region r;
    r.start = align_down(start, kPageSize);
    r.end = align_up(start + std::min(size, kAddressEnd - start), kPageSize);
    r.window = window;
    r.window_start = start;
    r.window_size = size;
    state_->changed(state_->map.map_window(r));
}

void PhysicalMemory::unmap(PhysAddr start, u64 size) {
    if (!size || start >= kAddressEnd) return;
    const MachineLock::Alone alone(lock_);
    state_->changed(
        state_->map.unmap(align_down(start, kPageSize),
                          align_up(start + std::min(size, kAddressEnd - start), kPageSize)));
}

PageView PhysicalMemory::page(PhysAddr addr) const { return state_->page(addr); }

u64 PhysicalMemory::load(PhysAddr addr, unsigned size) {
    const unsigned in_page = addr & (kPageSize - 1);
    if (in_page + size <= kPageSize) [[likely]] {
        const Region* r = state_->map.find(addr);
        if (r && r->read_host) [[likely]] {
            const u8* p = r->read_host + (addr - r->start);
            u64 value = 0;
            switch (size) {
                case 8: std::memcpy(&value, p, 8); break;
                case 4: std::memcpy(&value, p, 4); break;
                case 2: std::memcpy(&value, p, 2); break;
                default: value = *p; break;
            }
            return value;
        }
    }
    u64 value = 0;
    read(addr, {reinterpret_cast<u8*>(&value), size});
    return value;
}

void PhysicalMemory::store(PhysAddr addr, unsigned size, u64 value) {
    write(addr, {reinterpret_cast<const u8*>(&value), size});
}

bool PhysicalMemory::set_entry_flags(PhysAddr addr, unsigned size, u64 old, u64 flags) {
    if (lock_) {
        const MachineLock::Hold hold(state_->write_lock(addr, lock_));
        const PageView view = state_->page(addr);
        if (view.plain_ram()) {
            const u64 value = old | flags;
            state_->note_write(addr, {reinterpret_cast<const u8*>(&value), size});
            u8* const at = view.write_host + (addr & (kPageSize - 1));
            return size == 8
                       ? compare_exchange(at, old, old | flags)
                       : compare_exchange(at, static_cast<u32>(old), static_cast<u32>(old | flags));
        }
    }
    store(addr, size, old | flags);
    return true;
}

void PhysicalMemory::read(PhysAddr addr, std::span<u8> out) {
    while (!out.empty()) {
        const u64 in_page = addr & (kPageSize - 1);
        const u64 n = std::min<u64>(out.size(), kPageSize - in_page);
        const PageView view = state_->page(addr);
        if (view.read_host)
            copy_access(out.data(), view.read_host + in_page, n);
        else if (view.window)
            window_read(lock_, view, in_page, out.data(), n);
        else
            std::memset(out.data(), 0xFF, n);
        out = out.subspan(n);
        addr += n;
    }
}

void PhysicalMemory::write(PhysAddr addr, std::span<const u8> in) {
    while (!in.empty()) {
        const u64 in_page = addr & (kPageSize - 1);
        const u64 n = std::min<u64>(in.size(), kPageSize - in_page);
        const MachineLock::Hold hold(state_->write_lock(addr, lock_));
        const PageView view = state_->page(addr);
        if (view.write_host) {
            if (view.plain_ram()) state_->note_write(addr, in.first(n));
            copy_access(view.write_host + in_page, in.data(), n);
        } else if (view.window) {
            window_write(lock_, view, in_page, in.data(), n);
        }
        in = in.subspan(n);
        addr += n;
    }
}

void PhysicalMemory::load_image(PhysAddr addr, std::span<const u8> in) {
    while (!in.empty()) {
        const u64 in_page = addr & (kPageSize - 1);
        const u64 n = std::min<u64>(in.size(), kPageSize - in_page);
        const MachineLock::Hold hold(state_->write_lock(addr, lock_));
        const PageView view = state_->page(addr);
        if (view.read_host) {
            state_->note_write(addr, in.first(n));
            std::memcpy(view.read_host + in_page, in.data(), n);
        }
        in = in.subspan(n);
        addr += n;
    }
}

void PhysicalMemory::mark_code(PhysAddr addr, unsigned size) {
    if (!size || !state_->page(addr).plain_ram()) return;
    const MachineLock::Hold hold(lock_);
    // A frame's first mark takes write tags away from everybody.
    if (lock_ && !has_code(addr)) lock_->stop_others();
    const u64 frame = addr / kPageSize;
    const u64 chunk = frame / kChunkFrames;
    auto& code = state_->code;
    if (chunk >= code.size()) code.resize(chunk + 1);
    if (!code[chunk]) code[chunk] = std::make_unique<Relaxed<u64>[]>(kChunkFrames);
    Relaxed<u64>& lines = code[chunk][frame % kChunkFrames];
    const bool first = lines == 0;
    lines = lines | line_mask(addr, size);
    if (!first) return;
    for (PhysicalListener* l : state_->listeners) l->code_marked(addr & kPageMask);
}

bool PhysicalMemory::has_code(PhysAddr frame) const {
    const Relaxed<u64>* lines = state_->lines(frame);
    return lines && *lines;
}

void PhysicalMemory::clear_code(PhysAddr frame) {
    if (lock_) return;  // whoever holds code runs at this moment, and may be about to mark more
    Relaxed<u64>* lines = state_->lines(frame);
    if (!lines || !*lines) return;
    for (const PhysicalListener* l : state_->listeners)
        if (l->holds_code(frame)) return;
    *lines = 0;
}

bool PhysicalMemory::line_has_code(PhysAddr addr, unsigned size) const {
    const Relaxed<u64>* lines = state_->lines(addr);
    return lines && size && (*lines & line_mask(addr, size));
}

void PhysicalMemory::add_listener(PhysicalListener* listener) {
    state_->listeners.push_back(listener);
}

void PhysicalMemory::remove_listener(PhysicalListener* listener) {
    std::erase(state_->listeners, listener);
}

}  // namespace rm::memory
