// The I/O APIC of a PC: 24 inputs, one redirection entry each, at FEC00000H.
// Owns: redirection table, remote IRR, latched edges. Assumes: lines are logical (true = asserted),
// so the polarity bit is only stored. Version 20H as QEMU's `pc` shows it: that version has the EOI
// register at 40H, which Linux and Xen use when they see it.
// Source: Intel 82093AA datasheet (290566) 3.x; ICH2 datasheet 8.5.4 for the EOI register.
#pragma once
#include <array>

#include "base/interfaces.h"
#include "memory/physical/physical.h"
#include "platform/interrupt/apic_bus.h"

namespace rm::platform {

class IoApic final : public memory::MmioWindow {
public:
    static constexpr PhysAddr kBase = 0xFEC00000;
    static constexpr u64 kSize = 0x1000;
    static constexpr unsigned kPins = 24;
    static constexpr u8 kVersion = 0x20;

    // Attaches itself to the bus. `id`: its APIC id at reset.
    explicit IoApic(ApicBus& bus, u8 id = 0);
    IoApic(const IoApic&) = delete;
    IoApic& operator=(const IoApic&) = delete;

    IrqLine& pin(unsigned n) { return pins_.at(n); }  // 0..23
    void end_of_interrupt(u8 vector);
    void reset();
    u64 redirection(unsigned n) const { return pins_.at(n).entry; }

    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

private:
    struct Pin final : public IrqLine {
        void set(bool asserted) override;
        IoApic* owner = nullptr;
        u64 entry = 0;
        bool level = false;
    };

    u32 read_register() const;
    void write_register(u32 value);
    void write_entry(Pin& pin, u64 value);
    void serve_level(Pin& pin);
    bool send(const Pin& pin);

    ApicBus& bus_;
    u8 reset_id_;
    u32 id_ = 0;  // register 0: id in bits 27:24
    u8 select_ = 0;
    std::array<Pin, kPins> pins_;
};

}  // namespace rm::platform
