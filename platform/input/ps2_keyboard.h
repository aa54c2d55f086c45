// PS/2 keyboard, 102/105 keys: scan code sets 1 to 3, typematic settings, LEDs.
// Owns: its settings and output queue. Assumes: the controller translates set 2 to set 1.
// Auto-repeat is the host's: the frontend injects repeated presses.
// Source: IBM PS/2 Hardware Interface TR, keyboard (commands, scan code sets).
#pragma once
#include "platform/input/ps2_device.h"

namespace rm::platform {

class Ps2Keyboard final : public Ps2Device {
public:
    // A key by its set 1 make code, 0xE0xx for extended keys: 0x1E A, 0x39 space, 0x1C Enter,
    // 0xE01C keypad Enter, 0xE048 cursor up. 0xE037 is Print Screen, 0xE11D Pause.
    static constexpr u16 kPrintScreen = 0xE037, kPause = 0xE11D;
    void key(u16 code, bool pressed);

    void write(u8 value) override;
    void reset() override;

    u8 leds() const { return leds_; }  // bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock

private:
    void command(u8 value);
    void argument(u8 value);
    void send_set1(u8 code, u8 prefix, bool pressed);
    void send_set2(u8 code, u8 prefix, bool pressed);
    void send_special(u16 code, bool pressed);

    u8 scan_set_ = 2;
    u8 leds_ = 0;
    u8 pending_ = 0;  // command that waits for its argument
    u8 last_sent_ = 0;
    bool scanning_ = true;
};

}  // namespace rm::platform
