// See i8042.h.
#include "platform/input/i8042.h"

#include "base/assert.h"
#include "base/log.h"
#include "platform/input/scan_codes.h"

namespace rm::platform {
namespace {

// Status register.
constexpr u8 kOutputFull = 0x01, kSystem = 0x04, kCommandData = 0x08, kUnlocked = 0x10,
             kMouseData = 0x20;
// Controller command byte.
constexpr u8 kKeyboardIrq = 0x01, kMouseIrq = 0x02, kSystemFlag = 0x04, kKeyboardOff = 0x10,
             kMouseOff = 0x20, kTranslate = 0x40;
// Output port.
constexpr u8 kNotReset = 0x01, kA20 = 0x02, kMouseFull = 0x20, kKeyboardFull = 0x10;

enum Command : u8 {
    kReadRam = 0x20,  // 20-3F; 20 is the command byte
    kWriteRam = 0x60,
    kMouseDisable = 0xA7,
    kMouseEnable = 0xA8,
    kMouseTest = 0xA9,
    kSelfTest = 0xAA,
    kKeyboardTest = 0xAB,
    kKeyboardDisable = 0xAD,
    kKeyboardEnable = 0xAE,
    kReadInputPort = 0xC0,
    kReadOutputPort = 0xD0,
    kWriteOutputPort = 0xD1,
    kWriteKeyboardBuffer = 0xD2,
    kWriteMouseBuffer = 0xD3,
    kWriteMouse = 0xD4,
    kA20Off = 0xDD,
    kA20On = 0xDF,
    kReadTestInputs = 0xE0,
    kPulse = 0xF0,  // F0-FF: low bits name the outputs to pulse low
};

constexpr u8 kInputPort = 0x80;  // keyboard not locked

}  // namespace

I8042::I8042(Config config) : config_(std::move(config)) {
    RM_ASSERT(config_.io, "the keyboard controller needs ports");
    config_.io->add(0x60, 1, this);
    config_.io->add(0x64, 1, &command_port_);
    keyboard_.set_on_output([this] { refill(); });
    mouse_.set_on_output([this] { refill(); });
    reset_state();  // no callbacks yet: the machine is still being built
}

I8042::~I8042() {
    config_.io->remove(0x60, 1);
    config_.io->remove(0x64, 1);
}

void I8042::reset() {
    reset_state();
    if (config_.set_a20) config_.set_a20(a20_);
}

void I8042::reset_state() {
    keyboard_.reset();
    mouse_.reset();
    source_ = Source::kNone;
    data_ = pending_ = 0;
    reply_waits_ = break_prefix_ = false;
    last_was_command_ = a20_ = true;
    for (u8& byte : ram_) byte = 0;
    command_byte_ = kKeyboardIrq | kMouseIrq;
    update_irqs();
}

u32 I8042::port_read(u16, unsigned) { return read_data(); }
void I8042::port_write(u16, unsigned, u32 value) { write_data(static_cast<u8>(value)); }

u8 I8042::status() const {
    return static_cast<u8>(kUnlocked | (command_byte_ & kSystemFlag ? kSystem : 0) |
                           (last_was_command_ ? kCommandData : 0) |
                           (source_ != Source::kNone ? kOutputFull : 0) |
                           (source_ == Source::kMouse ? kMouseData : 0));
}

// --- output buffer
// --------------------------------------------------------------------------------

void I8042::put(Source source, u8 value) {
    // A reply waits for the host to take what is there; a newer reply replaces one that waits.
    if (source_ != Source::kNone) {
        waiting_reply_ = value;
        reply_waits_ = true;
        reply_is_mouse_ = source == Source::kMouse;
        return;
    }
    source_ = source;
    data_ = value;
    update_irqs();
}

// Moves the next byte into the empty output buffer: replies, then keyboard, then mouse.
void I8042::refill() {
    if (source_ != Source::kNone) return;
    if (reply_waits_) {
        reply_waits_ = false;
        return put(reply_is_mouse_ ? Source::kMouse : Source::kController, waiting_reply_);
    }
    while (keyboard_.has_output() && !(command_byte_ & kKeyboardOff)) {
        const u8 byte = translate(keyboard_.take_output());
        if (break_prefix_) continue;  // F0 was swallowed; the key follows
        return put(Source::kKeyboard, byte);
    }
    if (mouse_.has_output() && !(command_byte_ & kMouseOff))
        put(Source::kMouse, mouse_.take_output());
}

// Set 2 to set 1: F0 disappears and marks the next byte as a release (bit 7).
u8 I8042::translate(u8 byte) {
    if (!(command_byte_ & kTranslate)) {
        break_prefix_ = false;
        return byte;
    }
    if (byte == 0xF0) {
        break_prefix_ = true;
        return 0;
    }
    const u8 code = kSet2ToSet1[byte];
    const u8 result = static_cast<u8>(break_prefix_ ? code | 0x80 : code);
    break_prefix_ = false;
    return result;
}

u8 I8042::read_data() {
    if (source_ == Source::kNone) return data_;
    source_ = Source::kNone;
    update_irqs();  // the lines fall before they may rise for the next byte
    const u8 value = data_;
    refill();
    return value;
}

void I8042::update_irqs() {
    const bool keyboard = (source_ == Source::kKeyboard || source_ == Source::kController) &&
                          (command_byte_ & kKeyboardIrq);
    const bool mouse = source_ == Source::kMouse && (command_byte_ & kMouseIrq);
    if (keyboard != irq1_) {
        irq1_ = keyboard;
        if (config_.keyboard_irq) config_.keyboard_irq->set(keyboard);
    }
    if (mouse != irq12_) {
        irq12_ = mouse;
        if (config_.mouse_irq) config_.mouse_irq->set(mouse);
    }
}

// --- output port
// ----------------------------------------------------------------------------------

u8 I8042::output_port() const {
    return static_cast<u8>(
        0xC0 | kNotReset | (a20_ ? kA20 : 0) | (source_ == Source::kMouse ? kMouseFull : 0) |
        (source_ != Source::kNone && source_ != Source::kMouse ? kKeyboardFull : 0));
}

void I8042::write_output_port(u8 value) {
    a20_ = value & kA20;
    if (config_.set_a20) config_.set_a20(a20_);
    if (!(value & kNotReset) && config_.on_reset) config_.on_reset();
}

// --- commands
// -------------------------------------------------------------------------------------

void I8042::command(u8 value) {
    last_was_command_ = true;
    pending_ = 0;
    if (value >= kReadRam && value < kReadRam + 32)
        return reply(value == kReadRam ? command_byte_ : ram_[value & 31]);
    if (value >= kPulse) {
        if (!(value & kNotReset) && config_.on_reset) config_.on_reset();
        return;
    }
    switch (value) {
        case kMouseDisable: command_byte_ |= kMouseOff; break;
        case kMouseEnable: command_byte_ &= static_cast<u8>(~kMouseOff); break;
        case kKeyboardDisable: command_byte_ |= kKeyboardOff; break;
        case kKeyboardEnable: command_byte_ &= static_cast<u8>(~kKeyboardOff); break;
        case kMouseTest:
        case kKeyboardTest: reply(0x00); break;  // no error
        case kSelfTest:
            command_byte_ |= kSystemFlag;
            reply(0x55);
            break;
        case kReadInputPort: reply(kInputPort); break;
        case kReadOutputPort: reply(output_port()); break;
        case kReadTestInputs: reply(0x00); break;
        case kA20Off:
        case kA20On: write_output_port(value == kA20On ? 0xFF : static_cast<u8>(~kA20)); break;
        case kWriteOutputPort:
        case kWriteKeyboardBuffer:
        case kWriteMouseBuffer:
        case kWriteMouse: pending_ = value; break;
        default:
            if (value >= kWriteRam && value < kWriteRam + 32)
                pending_ = value;
            else
                log::write(log::Item::kGuestErrors, "i8042: command %02xh\n", value);
            break;
    }
    refill();
}

void I8042::write_data(u8 value) {
    last_was_command_ = false;
    const u8 command = pending_;
    pending_ = 0;
    switch (command) {
        case 0:
            command_byte_ &= static_cast<u8>(~kKeyboardOff);  // sending to it enables the keyboard
            keyboard_.write(value);
            break;
        case kWriteRam:
            command_byte_ = value;
            update_irqs();
            refill();
            break;
        case kWriteOutputPort: write_output_port(value); break;
        case kWriteKeyboardBuffer: put(Source::kKeyboard, value); break;
        case kWriteMouseBuffer: put(Source::kMouse, value); break;
        case kWriteMouse: mouse_.write(value); break;
        default: ram_[command & 31] = value; break;
    }
    refill();
}

}  // namespace rm::platform
