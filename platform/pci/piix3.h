// South bridge 00:01.0, Intel 82371SB PIIX3 (8086:7000 rev 0): PIRQ routing and reset control.
// Owns: the level of each ISA interrupt that PCI interrupts are routed to, port CF9.
// Assumes: the interrupt controllers (platform/interrupt) own ELCR 4D0/4D1; firmware sets the
// routed IRQs level-triggered there, as on hardware.
// Source: 82371SB datasheet 2.2.9 (PIRQRC), 2.2.6 (XBCS), 2.5.5.2 (RC); defaults as QEMU's `pc`.
#pragma once
#include <array>
#include <functional>

#include "base/interfaces.h"
#include "platform/pci/pci_bus.h"

namespace rm::platform {

class Piix3 final : public PciDevice, private memory::PortWindow {
public:
    // isa_irqs[n]: input for PCI interrupts of ISA IRQ n; null where none may be routed. An IRQ
    // with other sources needs a wired-OR in front (IrqOr). on_reset: CF9 asked for a hard reset.
    Piix3(PciBus& bus, const std::array<IrqLine*, 16>& isa_irqs, std::function<void()> on_reset);

    void config_write(u8 offset, unsigned size, u32 value) override;
    void reset() override;

    // What the machine calls for an ACPI table or a monitor: IRQ of a PIRQ, or -1 if disabled.
    int route(unsigned pirq) const;

private:
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    void update_lines();

    PciBus& pci_;
    std::array<IrqLine*, 16> isa_irqs_;
    std::array<bool, 16> level_{};
    std::function<void()> on_reset_;
    u8 reset_control_ = 0;
};

}  // namespace rm::platform
