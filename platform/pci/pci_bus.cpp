// Configuration mechanism #1, BAR mapping and interrupt wiring of PCI bus 0.
// Overlaps: a BAR that goes away leaves a hole; other BARs it covered are mapped again.
#include "platform/pci/pci_bus.h"

#include "base/assert.h"

namespace rm::platform {
namespace {

constexpr u64 kMmioEnd = 0xFEC00000;  // IOAPIC, HPET, local APIC, flash
constexpr u64 kIoStart = 0xD00;       // ISA ports and the configuration ports are below
constexpr u32 kConfigEnable = 0x80000000;

u32 ones(unsigned size) { return size == 4 ? ~u32{0} : (u32{1} << (8 * size)) - 1; }

}  // namespace

PciBus::PciBus(memory::IoBus& io, memory::PhysicalMemory& memory, u64 mmio_start)
    : io_(io), memory_(memory), mmio_start_(mmio_start) {
    io_.add(0xCF8, 8, this, memory::IoBus::kAny);
}

PciBus::~PciBus() { io_.remove(0xCF8, 8); }

void PciBus::attach(PciDevice& device, unsigned slot, unsigned function) {
    RM_ASSERT(slot < 32 && function < 8, "PCI address");
    const u8 devfn = static_cast<u8>(slot << 3 | function);
    RM_ASSERT(!functions_[devfn], "two PCI functions at one address");
    functions_[devfn] = &device;
    device.devfn_ = devfn;
    device.bus_ = this;
}

PciDevice* PciBus::device_at(unsigned slot, unsigned function) const {
    return slot < 32 && function < 8 ? functions_[slot << 3 | function] : nullptr;
}

void PciBus::reset() {
    address_ = 0;
    for (PciDevice* device : functions_)
        if (device) device->reset();
}

PciDevice* PciBus::selected() const {
    if (!(address_ & kConfigEnable) || (address_ >> 16 & 0xFF)) return nullptr;
    return functions_[address_ >> 8 & 0xFF];
}

u32 PciBus::port_read(u16 offset, unsigned size) {
    if (offset < 4) {
        if (offset == 1 && size == 1 && reset_control_) return reset_control_->port_read(0, 1);
        return address_ >> (8 * offset);
    }
    PciDevice* device = selected();
    if (!device || offset + size > 8) return ones(size);
    return device->config_read(static_cast<u8>((address_ & 0xFC) | (offset & 3)), size);
}

void PciBus::port_write(u16 offset, unsigned size, u32 value) {
    if (offset < 4) {
        if (offset == 1 && size == 1 && reset_control_) reset_control_->port_write(0, 1, value);
        if (offset == 0 && size == 4) address_ = value;  // only a dword reaches CONFADD
        return;
    }
    PciDevice* device = selected();
    if (!device || offset + size > 8) return;
    device->config_write(static_cast<u8>((address_ & 0xFC) | (offset & 3)), size, value);
}

void PciBus::pin_changed(const PciDevice& device, bool level) {
    const unsigned pin = device.interrupt_pin();
    if (pin < 1 || pin > 4) return;
    const unsigned pirq = (device.slot() + pin - 2) & 3;
    unsigned& count = pirq_count_[pirq];
    const bool was = count != 0;
    count += level ? 1 : -1;
    if ((count != 0) != was && pirq_sink_) pirq_sink_(pirq, level);
}

bool PciBus::allowed(const PciDevice::Bar& bar, u64 address) const {
    if (bar.kind == PciDevice::BarKind::kIo)
        return address >= kIoStart && address + bar.size <= 0x10000;
    return address >= mmio_start_ && address + bar.size <= kMmioEnd;
}

void PciBus::map(PciDevice::Bar& bar, u64 address) {
    using Kind = PciDevice::BarKind;
    switch (bar.kind) {
        case Kind::kIo:
            io_.add(static_cast<u16>(address), static_cast<u32>(bar.size), bar.ports,
                    bar.port_sizes);
            break;
        case Kind::kMmio: memory_.map_mmio(address, bar.size, bar.mmio); break;
        case Kind::kRam: memory_.map_ram(address, bar.size, bar.host); break;
        case Kind::kRom: memory_.map_rom(address, bar.size, bar.host); break;
        case Kind::kNone: return;
    }
    bar.mapped = true;
    bar.mapped_at = address;
}

void PciBus::unmap(PciDevice::Bar& bar) {
    const bool io = bar.kind == PciDevice::BarKind::kIo;
    if (io)
        io_.remove(static_cast<u16>(bar.mapped_at), static_cast<u32>(bar.size));
    else
        memory_.unmap(bar.mapped_at, bar.size);
    bar.mapped = false;
    for (PciDevice* device : functions_) {
        if (!device) continue;
        for (PciDevice::Bar& other : device->bars_) {
            const bool same_space = (other.kind == PciDevice::BarKind::kIo) == io;
            if (other.mapped && same_space && other.mapped_at < bar.mapped_at + bar.size &&
                bar.mapped_at < other.mapped_at + other.size)
                map(other, other.mapped_at);
        }
    }
}

}  // namespace rm::platform
