// PCI bus 0 behind configuration mechanism #1, and the wiring of its interrupt pins.
// Owns: ports CF8-CFF, the table of functions, the four PIRQ wires, which BARs are mapped.
// Assumes: every device outlives the bus's last access; one bus (bridges are not modelled).
// Source: PCI Local Bus 2.2 (3.2.2.3.2 configuration mechanism, 2.2.6 interrupt pins); i440FX
// datasheet 3.1. Slot/pin to PIRQ wiring as QEMU's `pc`: PIRQ = (slot + pin - 2) mod 4 with pin
// 1-4.
#pragma once
#include <array>
#include <functional>

#include "base/types.h"
#include "memory/bus/io_bus.h"
#include "memory/physical/physical.h"
#include "platform/pci/pci_device.h"

namespace rm::platform {

class PciBus final : public memory::PortWindow {
public:
    // Memory BARs are decoded only inside [mmio_start, 0xFEC00000): below is RAM, above are the
    // interrupt controllers and the firmware. I/O BARs are decoded from port 0xD00 up.
    PciBus(memory::IoBus& io, memory::PhysicalMemory& memory, u64 mmio_start);
    ~PciBus() override;

    // slot 0..31, function 0..7. The device stays the caller's.
    void attach(PciDevice& device, unsigned slot, unsigned function);
    PciDevice* device_at(unsigned slot, unsigned function) const;

    // RST# to every function (CF9, keyboard controller, triple fault).
    void reset();

    // PIRQ 0..3 (A..D) changed level: the south bridge.
    void set_pirq_sink(std::function<void(unsigned pirq, bool level)> sink) {
        pirq_sink_ = std::move(sink);
    }
    bool pirq_level(unsigned pirq) const { return pirq_count_[pirq] != 0; }
    // MSI writes (address, data): the interrupt message router.
    void set_msi_sink(std::function<void(u64 address, u32 data)> sink) {
        msi_sink_ = std::move(sink);
    }
    // Byte accesses to port CF9 belong to the south bridge's reset control.
    void set_reset_control(memory::PortWindow* window) { reset_control_ = window; }

    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

    memory::PhysicalMemory& memory() { return memory_; }

private:
    friend class PciDevice;
    PciDevice* selected() const;
    void pin_changed(const PciDevice& device, bool level);
    bool allowed(const PciDevice::Bar& bar, u64 address) const;
    void map(PciDevice::Bar& bar, u64 address);
    void unmap(PciDevice::Bar& bar);

    memory::IoBus& io_;
    memory::PhysicalMemory& memory_;
    u64 mmio_start_;
    u32 address_ = 0;
    std::array<PciDevice*, 256> functions_{};
    std::array<unsigned, 4> pirq_count_{};
    std::function<void(unsigned, bool)> pirq_sink_;
    std::function<void(u64, u32)> msi_sink_;
    memory::PortWindow* reset_control_ = nullptr;
};

}  // namespace rm::platform
