// PIIX3 IDE function 00:01.1 (8086:7010): two legacy channels and their bus masters behind BAR4.
// Owns: both channels with their drives.
// Assumes: the legacy ports are always decoded, whatever IDETIM says (as QEMU's `pc`).
// Source: 82371SB datasheet 2.3 (configuration), 2.6 (bus master registers).
#pragma once
#include <memory>

#include "platform/pci/pci_device.h"
#include "platform/storage/bus_master_ide.h"
#include "platform/storage/ide_channel.h"

namespace rm::platform {

class Piix3Ide final : public PciDevice, private memory::PortWindow {
public:
    struct Config {
        memory::IoBus* io = nullptr;
        memory::PhysicalMemory* memory = nullptr;
        EventQueue* clock = nullptr;
        IrqLine* primary = nullptr;    // ISA IRQ14
        IrqLine* secondary = nullptr;  // ISA IRQ15
    };
    explicit Piix3Ide(const Config& config);

    // bus 0 or 1, unit 0 (master) or 1 (slave); QEMU's index = bus * 2 + unit.
    void attach(unsigned bus, unsigned unit, std::unique_ptr<IdeDevice> device);
    IdeDevice* device(unsigned bus, unsigned unit) const {
        return channels_[bus & 1]->device(unit);
    }

    void reset() override;

private:
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

    std::array<std::unique_ptr<IdeChannel>, 2> channels_;
    std::array<std::unique_ptr<BusMasterIde>, 2> masters_;
};

}  // namespace rm::platform
