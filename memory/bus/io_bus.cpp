// The port space: one 16-bit index per port, so that a look-up is two loads. Slot 0 stands for
// undecoded ports. Slots are reused once none of their ports is left, so that a guest moving an I/O
// BAR for ever does not grow the table.
#include "memory/bus/io_bus.h"

#include <algorithm>

#include "base/assert.h"

namespace rm::memory {

IoBus::IoBus(MachineLock* lock) : lock_(lock) {
    slots_.push_back({nullptr, 0, 65536, 0});
    by_port_.fill(0);
}

void IoBus::assign(u16 base, u32 count, u16 index) {
    const u32 end = std::min<u64>(u64{base} + count, by_port_.size());
    for (u32 port = base; port < end; ++port) {
        --slots_[by_port_[port]].live;
        by_port_[port] = index;
        ++slots_[index].live;
    }
}

void IoBus::add(u16 base, u32 count, PortWindow* window, unsigned sizes) {
    if (!count) return;
    RM_ASSERT(window, "a port window needs a device");
    auto free = std::find_if(slots_.begin() + 1, slots_.end(), [](auto& s) { return !s.live; });
    if (free == slots_.end()) free = slots_.insert(slots_.end(), Slot{});
    *free = {window, base, 0, static_cast<u8>(sizes)};
    assign(base, count, static_cast<u16>(free - slots_.begin()));
}

void IoBus::remove(u16 base, u32 count) { assign(base, count, 0); }

// The slot that takes this access undivided, or null.
const IoBus::Slot* IoBus::whole(u32 port, unsigned size) const {
    if (port + size > by_port_.size()) return nullptr;
    const u16 index = by_port_[port];
    const Slot& slot = slots_[index];
    if (index && size > 1 && !(slot.sizes & size)) return nullptr;
    for (unsigned i = 1; i < size; ++i)
        if (by_port_[port + i] != index) return nullptr;
    return &slot;
}

u32 IoBus::read(u16 port, unsigned size) {
    const MachineLock::Hold hold(lock_);
    const u32 ones = size == 4 ? ~u32{0} : (u32{1} << (size * 8)) - 1;
    if (const Slot* slot = whole(port, size)) {
        if (!slot->window) return ones;
        return slot->window->port_read(static_cast<u16>(port - slot->base), size) & ones;
    }
    const unsigned half = size / 2;
    if (!half) return ones;
    const u32 low = read(port, half);
    const u32 next = u32{port} + half;
    const u32 high = next < by_port_.size() ? read(static_cast<u16>(next), half) : ones;
    return (low | high << (half * 8)) & ones;
}

void IoBus::write(u16 port, unsigned size, u32 value) {
    const MachineLock::Hold hold(lock_);
    if (size < 4) value &= (u32{1} << (size * 8)) - 1;
    if (const Slot* slot = whole(port, size)) {
        if (slot->window)
            slot->window->port_write(static_cast<u16>(port - slot->base), size, value);
        return;
    }
    const unsigned half = size / 2;
    if (!half) return;
    write(port, half, value);
    const u32 next = u32{port} + half;
    if (next < by_port_.size()) write(static_cast<u16>(next), half, value >> (half * 8));
}

}  // namespace rm::memory
