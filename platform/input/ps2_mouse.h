// PS/2 mouse with the IntelliMouse (wheel) and IntelliMouse Explorer (five buttons) extensions.
// Owns: settings, accumulated movement, output queue.
// Source: IBM PS/2 Hardware Interface TR, auxiliary device (commands, data report); Microsoft
// IntelliMouse: sample rates 200, 100, 80 select id 3, 200, 200, 80 select id 4.
#pragma once
#include "platform/input/ps2_device.h"

namespace rm::platform {

class Ps2Mouse final : public Ps2Device {
public:
    static constexpr u8 kLeft = 1, kRight = 2, kMiddle = 4, kFourth = 8, kFifth = 16;
    // Movement since the last call (x right, y down, wheel towards the user positive) and the
    // buttons held now.
    void move(int dx, int dy, int wheel, u8 buttons);

    void write(u8 value) override;
    void reset() override;

private:
    void command(u8 value);
    void set_defaults();
    void set_rate(u8 rate);
    void send_status();
    void send_reports();  // stream mode: all that has gathered
    void send_report();
    bool moved() const { return dx_ || dy_ || wheel_; }

    u8 id_ = 0;
    u8 pending_ = 0;
    u8 rate_ = 100, resolution_ = 2;
    u8 rate_history_[2] = {};
    bool scaling_ = false, remote_ = false, wrap_ = false, enabled_ = false;
    int dx_ = 0, dy_ = 0, wheel_ = 0;
    u8 buttons_ = 0, reported_buttons_ = 0;
};

}  // namespace rm::platform
