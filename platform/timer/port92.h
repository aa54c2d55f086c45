// System control port A (92H): fast A20 gate and fast processor reset.
// Owns: the two bits. Assumes: the machine ORs the A20 bit with the keyboard controller's (PIIX3
// 2.5.8), and takes the reset request after the current instruction.
#pragma once
#include <functional>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"

namespace rm::platform {

class Port92 final : public memory::PortWindow {
public:
    static constexpr u16 kPort = 0x92;  // 1 port

    // `a20`: true = address bit 20 passes. `reset`: called when bit 0 goes from 0 to 1.
    Port92(IrqLine& a20, std::function<void()> reset);
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    void reset();  // machine reset: both bits 0

private:
    IrqLine& a20_;
    std::function<void()> fast_reset_;
    u8 value_ = 0;
};

}  // namespace rm::platform
