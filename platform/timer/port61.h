// System control port B (61H): counter 2's gate and OUT, the speaker enable, the refresh toggle.
// Owns: the latched control bits. Assumes: no parity or channel-check source exists (bits 6, 7 read
// 0). Source: 82371SB (PIIX3) datasheet 2.5.7 (NMISC).
#pragma once
#include "platform/timer/pit8254.h"

namespace rm::platform {

class Port61 final : public memory::PortWindow {
public:
    static constexpr u16 kPort = 0x61;  // 1 port

    explicit Port61(Pit8254& pit);
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    void reset();

private:
    Pit8254& pit_;
    u8 control_ = 0;  // bits 3:1
};

}  // namespace rm::platform
