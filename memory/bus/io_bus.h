// The 64 KiB port space. A device declares the ports it decodes and the access sizes it takes;
// the bus splits wider accesses into halves, down to bytes (little-endian, ascending ports), where
// a window does not take the size or does not own all the ports. Bytes are always delivered.
// Undecoded ports, and the ones past FFFFH, read as ones; writes to them are dropped.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "base/machine_lock.h"
#include "base/types.h"

namespace rm::memory {

class PortWindow {
public:
    virtual ~PortWindow() = default;
    // offset = port - the window's base; size 1, 2 or 4.
    virtual u32 port_read(u16 offset, unsigned size) = 0;
    virtual void port_write(u16 offset, unsigned size, u32 value) = 0;
};

class IoBus {
public:
    // Bits for `sizes`: accesses the window takes undivided.
    static constexpr unsigned kByte = 1, kWord = 2, kDword = 4, kAny = 7;

    // lock: held during each access, if there is one (thread=multi).
    explicit IoBus(MachineLock* lock = nullptr);
    // Ports past FFFFH are ignored. A later window wins where two overlap.
    void add(u16 base, u32 count, PortWindow* window, unsigned sizes = kByte);
    void remove(u16 base, u32 count);
    // size 1, 2 or 4.
    u32 read(u16 port, unsigned size);
    void write(u16 port, unsigned size, u32 value);

private:
    struct Slot {
        PortWindow* window;
        u16 base;
        u32 live;  // ports that still lead here; 0 = the slot is free
        u8 sizes;
    };
    MachineLock* const lock_;
    const Slot* whole(u32 port, unsigned size) const;
    void assign(u16 base, u32 count, u16 index);
    std::vector<Slot> slots_;
    std::array<u16, 65536> by_port_;  // index into slots_, 0 = none
};

}  // namespace rm::memory
