// kvm-unit-tests' device. See pc_testdev.h.
#include "platform/serial/pc_testdev.h"

#include <cstring>

#include "base/bits.h"

namespace rm::platform {

PcTestdev::PcTestdev(memory::IoBus& io, memory::PhysicalMemory& memory,
                     const std::array<IrqLine*, kLines>& lines)
    : io_(io), memory_(memory) {
    lines_.lines = lines;
    io_.add(0xE0, 4, &latch_, memory::IoBus::kAny);
    io_.add(0xE4, 4, &flush_, memory::IoBus::kAny);
    io_.add(0xE8, 4, &latch_, memory::IoBus::kByte);
    io_.add(0x2000, kLines, &lines_, memory::IoBus::kAny);
    memory_.map_mmio(kMemoryBase, kMemorySize, this);
}

PcTestdev::~PcTestdev() {
    memory_.unmap(kMemoryBase, kMemorySize);
    io_.remove(0x2000, kLines);
    io_.remove(0xE0, 12);
}

u32 PcTestdev::Latch::port_read(u16 offset, unsigned size) {
    return static_cast<u32>(data >> (8 * (offset & 3)) & low_mask(8 * size));
}

void PcTestdev::Latch::port_write(u16 offset, unsigned size, u32 value) {
    const u32 mask = static_cast<u32>(low_mask(8 * size) << (8 * (offset & 3)));
    data = (data & ~mask) | (value << (8 * (offset & 3)) & mask);
}

void PcTestdev::Lines::port_write(u16 offset, unsigned, u32 value) {
    if (offset < kLines && lines[offset]) lines[offset]->set(value != 0);
}

u64 PcTestdev::mmio_read(u64 offset, unsigned size) {
    u64 value = 0;
    if (offset < kMemorySize && size <= kMemorySize - offset)
        std::memcpy(&value, bytes_.data() + offset, size);
    return value;
}

void PcTestdev::mmio_write(u64 offset, unsigned size, u64 value) {
    if (offset < kMemorySize && size <= kMemorySize - offset)
        std::memcpy(bytes_.data() + offset, &value, size);
}

}  // namespace rm::platform
