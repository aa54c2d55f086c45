// The x87 error logic of PIIX3: FERR# raises ISA IRQ 13, a write to port F0H takes IRQ 13 back and,
// while FERR# is asserted, asserts IGNNE# until FERR# goes away ("MS-DOS compatible" exceptions).
// Owns: the latch behind IRQ 13, IGNNE#. Assumes: one processor's FERR# is connected. As on QEMU's
// `pc` the logic is always on: XBCS bit 5, which enables it on PIIX3, is set by no firmware here.
// Source: SDM 1 8.7.2 and appendix D; 82371SB (PIIX3) datasheet 2.5.5.1 (port F0H), FERR#, IGNNE#.
#pragma once
#include <functional>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"

namespace rm::platform {

class CoprocessorError final : public memory::PortWindow {
public:
    static constexpr u16 kPort = 0xF0;  // 1 port
    static constexpr unsigned kIrq = 13;

    // `ignne` gets the level of IGNNE# when it changes.
    CoprocessorError(IrqLine& irq, std::function<void(bool)> ignne);
    void set_ferr(bool asserted);
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    void reset();  // machine reset: all lines inactive

private:
    void set_ignne(bool asserted);

    IrqLine& irq_;
    std::function<void(bool)> on_ignne_;
    bool ferr_ = false, ignne_ = false;
};

}  // namespace rm::platform
