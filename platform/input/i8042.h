// Keyboard controller with auxiliary port (8042 as on the PS/2), ports 60h and 64h.
// Owns: keyboard and mouse, the output buffer, IRQ1 and IRQ12, the output port's A20 and reset
// bits. Assumes: callbacks only note a reset and act after the current instruction. The next byte
// enters the output buffer as soon as the last was read. Source: IBM PS/2 Hardware Interface TR,
// keyboard/auxiliary device controller (commands 20h-FFh, status register, controller command byte,
// output port).
#pragma once
#include <functional>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"
#include "platform/input/ps2_keyboard.h"
#include "platform/input/ps2_mouse.h"

namespace rm::platform {

class I8042 final : public memory::PortWindow {
public:
    struct Config {
        memory::IoBus* io = nullptr;
        IrqLine* keyboard_irq = nullptr;    // ISA IRQ1
        IrqLine* mouse_irq = nullptr;       // ISA IRQ12
        std::function<void(bool)> set_a20;  // this gate's level; the machine ORs it with port 92
        std::function<void()> on_reset;     // processor reset by pulse of bit 0
    };
    explicit I8042(Config config);
    ~I8042() override;

    void reset();  // calls set_a20(true)
    Ps2Keyboard& keyboard() { return keyboard_; }
    Ps2Mouse& mouse() { return mouse_; }

    // Port 60h is offset 0 of its own window, port 64h of another; both come here as 0 and 4.
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    struct CommandPort final : memory::PortWindow {
        explicit CommandPort(I8042& owner) : owner(owner) {}
        u32 port_read(u16, unsigned) override { return owner.status(); }
        void port_write(u16, unsigned, u32 value) override {
            owner.command(static_cast<u8>(value));
        }
        I8042& owner;
    };
    void reset_state();
    enum class Source : u8 { kNone, kController, kKeyboard, kMouse };
    u8 status() const;
    u8 read_data();
    void write_data(u8 value);
    void command(u8 value);
    void reply(u8 value) { put(Source::kController, value); }
    void put(Source source, u8 value);
    void refill();
    void update_irqs();
    void write_output_port(u8 value);
    u8 output_port() const;
    u8 translate(u8 byte);

    Config config_;
    CommandPort command_port_{*this};
    Ps2Keyboard keyboard_;
    Ps2Mouse mouse_;

    Source source_ = Source::kNone;  // of what is in the output buffer
    u8 data_ = 0;
    u8 waiting_reply_ = 0;  // a controller's reply that waits for the buffer
    bool reply_waits_ = false;
    bool reply_is_mouse_ = false;
    u8 command_byte_ = 0;
    u8 pending_ = 0;  // controller command that waits for its byte at port 60
    u8 ram_[32] = {};
    bool last_was_command_ = false;
    bool a20_ = true;
    bool break_prefix_ = false;  // translation has seen F0
    bool irq1_ = false, irq12_ = false;
};

}  // namespace rm::platform
