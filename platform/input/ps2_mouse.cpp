// See ps2_mouse.h.
#include "platform/input/ps2_mouse.h"

#include <algorithm>

namespace rm::platform {
namespace {

enum Command : u8 {
    kScale11 = 0xE6,
    kScale21 = 0xE7,
    kSetResolution = 0xE8,
    kStatus = 0xE9,
    kStream = 0xEA,
    kRead = 0xEB,
    kUnwrap = 0xEC,
    kWrap = 0xEE,
    kRemote = 0xF0,
    kIdentify = 0xF2,
    kSetRate = 0xF3,
    kEnable = 0xF4,
    kDisable = 0xF5,
    kDefaults = 0xF6,
    kResendLast = 0xFE,
    kReset = 0xFF,
};

constexpr u8 kWheelId = 3, kExplorerId = 4;
constexpr int kLimit = 1 << 16;  // of movement that waits to be reported

}  // namespace

void Ps2Mouse::set_defaults() {
    rate_ = 100;
    resolution_ = 2;
    scaling_ = remote_ = wrap_ = enabled_ = false;
    dx_ = dy_ = wheel_ = 0;
}

void Ps2Mouse::reset() {
    clear_output();
    set_defaults();
    id_ = pending_ = 0;
    rate_history_[0] = rate_history_[1] = 0;
    buttons_ = reported_buttons_ = 0;
}

void Ps2Mouse::set_rate(u8 rate) {
    if (rate_history_[0] == 200 && rate == 80) {
        if (rate_history_[1] == 100) id_ = kWheelId;
        if (rate_history_[1] == 200) id_ = kExplorerId;
    }
    rate_history_[0] = rate_history_[1];
    rate_history_[1] = rate;
    rate_ = rate;
}

void Ps2Mouse::write(u8 value) {
    if (wrap_ && value != kUnwrap && value != kReset) {
        send({value});
        return;
    }
    if (pending_ == kSetRate || pending_ == kSetResolution) {
        pending_ == kSetRate ? set_rate(value) : void(resolution_ = value & 3);
        pending_ = 0;
        send({kAck});
        return;
    }
    command(value);
}

void Ps2Mouse::command(u8 value) {
    switch (value) {
        case kScale11:
        case kScale21: scaling_ = value == kScale21; break;
        case kStream: remote_ = false; break;
        case kRemote: remote_ = true; break;
        case kWrap: wrap_ = true; break;
        case kUnwrap: wrap_ = false; break;
        case kSetResolution:
        case kSetRate: pending_ = value; break;
        case kEnable: enabled_ = true; break;
        case kDisable: enabled_ = false; break;
        case kDefaults: set_defaults(); break;
        case kStatus:
            send({kAck});
            send_status();
            return;
        case kRead:
            send({kAck});
            send_report();
            return;
        case kIdentify: send({kAck, id_}); return;
        case kReset:
            reset();
            send({kAck, kSelfTestPassed, 0x00});
            return;
        default: send({kResend}); return;
    }
    send({kAck});
}

void Ps2Mouse::send_status() {
    const u8 state = static_cast<u8>((remote_ ? 0x40 : 0) | (enabled_ ? 0x20 : 0) |
                                     (scaling_ ? 0x10 : 0) | (buttons_ & kLeft ? 4 : 0) |
                                     (buttons_ & kMiddle ? 2 : 0) | (buttons_ & kRight ? 1 : 0));
    send({state, resolution_, rate_});
}

void Ps2Mouse::send_report() {
    const int x = std::clamp(dx_, -255, 255), y = std::clamp(dy_, -255, 255);
    const int wheel = std::clamp(wheel_, -8, 7);
    dx_ -= x;
    dy_ -= y;
    wheel_ = id_ ? wheel_ - wheel : 0;
    reported_buttons_ = buttons_;
    const int up = -y;  // the mouse counts upwards
    u8 bytes[4] = {static_cast<u8>((buttons_ & 7) | 8 | (x < 0 ? 0x10 : 0) | (up < 0 ? 0x20 : 0)),
                   static_cast<u8>(x), static_cast<u8>(up), static_cast<u8>(wheel)};
    if (id_ == kExplorerId) bytes[3] = static_cast<u8>((wheel & 0xF) | (buttons_ & 0x18) << 1);
    send(bytes, id_ ? 4 : 3);
}

void Ps2Mouse::send_reports() {
    while ((moved() || buttons_ != reported_buttons_) && room_for_input(4)) send_report();
}

void Ps2Mouse::move(int dx, int dy, int wheel, u8 buttons) {
    const auto add = [](int& sum, int d) {
        sum = static_cast<int>(std::clamp<i64>(i64{sum} + d, -kLimit, kLimit));
    };
    add(dx_, dx);
    add(dy_, dy);
    if (id_) add(wheel_, wheel);
    buttons_ = buttons & 0x1F;
    if (enabled_ && !remote_ && !wrap_) send_reports();
}

}  // namespace rm::platform
