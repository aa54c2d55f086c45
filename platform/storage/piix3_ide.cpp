// PIIX3 IDE function. See piix3_ide.h.
#include "platform/storage/piix3_ide.h"

#include "base/assert.h"

namespace rm::platform {

Piix3Ide::Piix3Ide(const Config& config)
    : PciDevice({.vendor = 0x8086,
                 .device = 0x7010,
                 .revision = 0,
                 .class_code = 0x010180,
                 .status = 0x0280}) {
    RM_ASSERT(config.io && config.memory && config.clock, "IDE needs ports, memory and a clock");
    const std::array<IrqLine*, 2> irqs = {config.primary, config.secondary};
    for (unsigned i = 0; i < 2; ++i) {
        const IdeChannel::Resource& r = IdeChannel::kLegacy[i];
        channels_[i] = std::make_unique<IdeChannel>(*config.io, r.base, r.control, irqs[i]);
        masters_[i] = std::make_unique<BusMasterIde>(*config.memory, *config.clock, *channels_[i],
                                                     [this] { return bus_master(); });
    }
    add_io_bar(4, 16, this, memory::IoBus::kAny);
}

void Piix3Ide::attach(unsigned bus, unsigned unit, std::unique_ptr<IdeDevice> device) {
    RM_ASSERT(bus < 2, "two IDE channels");
    channels_[bus]->attach(unit, std::move(device));
}

void Piix3Ide::reset() {
    PciDevice::reset();
    for (unsigned i = 0; i < 2; ++i) {
        masters_[i]->reset();
        channels_[i]->reset();
    }
}

u32 Piix3Ide::port_read(u16 offset, unsigned size) {
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < 16; ++i) {
        const unsigned reg = offset + i;
        value |= u32{masters_[reg >> 3]->read(reg & 7)} << (8 * i);
    }
    return value;
}

void Piix3Ide::port_write(u16 offset, unsigned size, u32 value) {
    for (unsigned i = 0; i < size && offset + i < 16; ++i) {
        const unsigned reg = offset + i;
        masters_[reg >> 3]->write(reg & 7, static_cast<u8>(value >> (8 * i)));
    }
}

}  // namespace rm::platform
