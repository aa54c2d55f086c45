// The interrupt lines of the board: ISA IRQ n reaches input n of the 8259 pair and input n of the
// I/O APIC, IRQ 0 the I/O APIC's input 2 (as the ACPI MADT's override says).
// Owns: the wired OR of all sources per line. Assumes: both controllers outlive it.
#pragma once
#include <array>
#include <memory>

#include "platform/interrupt/io_apic.h"
#include "platform/interrupt/irq_or.h"
#include "platform/interrupt/pic8259.h"

namespace rm::platform {

class IsaIrqs {
public:
    static constexpr unsigned kIrqs = 16;

    IsaIrqs(Pic8259Pair& pic, IoApic& io_apic);
    IsaIrqs(const IsaIrqs&) = delete;
    IsaIrqs& operator=(const IsaIrqs&) = delete;

    // The line of the one ISA device that owns IRQ n (0..15).
    IrqLine& irq(unsigned n) { return *owners_.at(n); }
    // Another source on IRQ n, ORed with the rest: PCI INTx routed by PIIX3, shared ISA lines.
    // Each call makes a new one.
    IrqLine& add_source(unsigned n) { return lines_.at(n)->add(); }
    // A source on an I/O APIC input (0..23) that the 8259s do not see.
    IrqLine& add_io_apic_source(unsigned pin) { return pins_.at(pin)->add(); }

private:
    class Fan final : public IrqLine {
    public:
        void set(bool level) override {
            pic->set(level);
            io_apic->set(level);
        }
        IrqLine* pic = nullptr;
        IrqLine* io_apic = nullptr;
    };

    std::array<std::unique_ptr<IrqOr>, IoApic::kPins> pins_;
    std::array<Fan, kIrqs> fans_;
    std::array<std::unique_ptr<IrqOr>, kIrqs> lines_;
    std::array<IrqLine*, kIrqs> owners_;
};

}  // namespace rm::platform
