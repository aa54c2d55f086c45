// See ps2_keyboard.h.
#include "platform/input/ps2_keyboard.h"

#include "platform/input/scan_codes.h"

namespace rm::platform {
namespace {

enum Command : u8 {
    kSetLeds = 0xED,
    kEcho = 0xEE,
    kScanSet = 0xF0,
    kIdentify = 0xF2,
    kTypematic = 0xF3,
    kEnable = 0xF4,
    kDefaultDisable = 0xF5,
    kDefault = 0xF6,
    kSet3First = 0xF7,  // F7-FA: all keys; FB-FD: one key (set 3 attributes)
    kSet3AllLast = 0xFA,
    kSet3KeyLast = 0xFD,
    kResendLast = 0xFE,
    kReset = 0xFF,
};

}  // namespace

void Ps2Keyboard::reset() {
    clear_output();
    scan_set_ = 2;
    leds_ = pending_ = 0;
    scanning_ = true;
}

void Ps2Keyboard::write(u8 value) {
    // A command byte in place of an argument starts the new command.
    if (pending_ && value < kSetLeds)
        argument(value);
    else
        command(value);
}

void Ps2Keyboard::argument(u8 value) {
    const u8 command = pending_;
    pending_ = 0;
    switch (command) {
        case kSetLeds:
            leds_ = value & 7;
            send({kAck});
            break;
        case kScanSet:
            if (value == 0) {
                send({kAck, scan_set_});
            } else if (value <= 3) {
                scan_set_ = value;
                send({kAck});
            } else {
                send({kResend});
            }
            break;
        default: send({kAck}); break;  // typematic rate, set 3 key attributes: accepted
    }
}

void Ps2Keyboard::command(u8 value) {
    pending_ = 0;
    switch (value) {
        case kEcho: send({kEcho}); return;
        case kIdentify: send({kAck, 0xAB, 0x83}); return;  // MF2 keyboard
        case kEnable:
            scanning_ = true;
            send({kAck});
            return;
        case kDefaultDisable:
        case kDefault:
            scanning_ = value == kDefault;
            scan_set_ = 2;
            send({kAck});
            return;
        case kResendLast: send({last_sent_}); return;
        case kReset:
            reset();
            send({kAck, kSelfTestPassed});
            return;
        case kSetLeds:
        case kScanSet:
        case kTypematic:
            pending_ = value;
            send({kAck});
            return;
        default: break;
    }
    if (value >= kSet3First && value <= kSet3KeyLast) {
        if (value > kSet3AllLast) pending_ = value;
        send({kAck});
    } else {
        send({kResend});
    }
}

void Ps2Keyboard::send_set1(u8 code, u8 prefix, bool pressed) {
    const u8 bytes[] = {prefix, static_cast<u8>(pressed ? code : code | 0x80)};
    prefix ? send(bytes, 2) : send(bytes + 1, 1);
}

void Ps2Keyboard::send_set2(u8 code, u8 prefix, bool pressed) {
    u8 bytes[3];
    size_t n = 0;
    if (prefix) bytes[n++] = prefix;
    if (!pressed) bytes[n++] = 0xF0;
    bytes[n++] = code;
    send(bytes, n);
}

// Keys whose sequence is not "prefix, code".
void Ps2Keyboard::send_special(u16 code, bool pressed) {
    if (code == kPause) {  // make only
        if (!pressed) return;
        if (scan_set_ == 1)
            send({0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5});
        else
            send({0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77});
    } else if (scan_set_ == 1) {
        pressed ? send({0xE0, 0x2A, 0xE0, 0x37}) : send({0xE0, 0xB7, 0xE0, 0xAA});
    } else {
        pressed ? send({0xE0, 0x12, 0xE0, 0x7C}) : send({0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12});
    }
}

void Ps2Keyboard::key(u16 code, bool pressed) {
    if (!scanning_ || !room_for_input(8)) return;
    const u8 prefix = static_cast<u8>(code >> 8), set1 = static_cast<u8>(code & 0x7F);
    if (prefix && prefix != 0xE0 && code != kPause) return;
    if (scan_set_ == 3) {
        const u8 set3 = code == kPause ? 0x62 : key_to_set3(set1, prefix == 0xE0);
        if (set3) send_set2(set3, 0, pressed);
        last_sent_ = set3;
        return;
    }
    if (code == kPause || code == kPrintScreen) return send_special(code, pressed);
    const u8 set2 = set1_to_set2(set1);
    if (!set2) return;
    last_sent_ = scan_set_ == 1 ? set1 : set2;
    if (scan_set_ == 1)
        send_set1(set1, prefix, pressed);
    else
        send_set2(set2, prefix, pressed);
}

}  // namespace rm::platform
