// Serial port: National 16550A with FIFOs, as on a PC (interrupt gated by OUT2).
// Owns: 8 ports, one interrupt line, a queue of input from the host.
// Assumes: the backend outlives it; its poll() runs between instructions.
// Transmission takes no virtual time: THR is always empty, its interrupt follows each write at
// once. Reception is paced by the programmed baud rate, so that guests are never overrun; what the
// FIFO cannot take waits in the queue.
// Source: National PC16550D datasheet 8.0-8.6.
#pragma once
#include <array>
#include <functional>
#include <vector>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"
#include "platform/backends/char_backend.h"
#include "platform/clock/event_queue.h"

namespace rm::platform {

class Uart16550 final : public memory::PortWindow {
public:
    struct Config {
        u16 base = 0x3F8;
        IrqLine* irq = nullptr;             // may be null: polled use only
        CharBackend* backend = nullptr;     // may be null: output is dropped
        std::function<void(u8)> on_output;  // sees every transmitted byte (run hash, trace)
    };
    // ISA resources of COM1-COM4.
    struct Resource {
        u16 base;
        u8 irq;
    };
    static constexpr std::array<Resource, 4> kCom = {
        {{0x3F8, 4}, {0x2F8, 3}, {0x3E8, 4}, {0x2E8, 3}}};

    Uart16550(memory::IoBus& io, EventQueue& clock, Config config);
    ~Uart16550() override;

    void reset();
    // Input from the line: one character, or a break condition.
    size_t room() const { return kQueue - queued_; }
    void receive(u8 byte);
    void receive_break();

    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    static constexpr size_t kQueue = 64 << 10, kFifo = 16;

    u8 read_data();
    void write_data(u8 value);
    u8 read_interrupt_id();
    void write_fifo_control(u8 value);
    void write_modem_control(u8 value);
    u8 interrupt_id() const;
    void update_irq();
    void clear_receiver();
    bool receiver_full() const { return count_ >= (fifo_on() ? kFifo : 1); }
    bool fifo_on() const { return fifo_control_ & 1; }
    void push(u8 byte);
    void next_from_line();
    void start_line();
    void start_timeout();
    void set_modem_inputs(u8 levels);
    u64 character_ns() const;

    memory::IoBus& io_;
    Config config_;
    Timer line_timer_, timeout_timer_;

    u8 interrupt_enable_ = 0, fifo_control_ = 0, line_control_ = 0, modem_control_ = 0;
    u8 line_status_ = 0, modem_status_ = 0, scratch_ = 0;
    u16 divisor_ = 0;
    bool transmit_pending_ = false, timeout_pending_ = false, irq_level_ = false;

    std::array<u8, kFifo> fifo_{};
    unsigned head_ = 0, count_ = 0;
    std::vector<u8> queue_ = std::vector<u8>(kQueue);
    size_t queue_head_ = 0, queued_ = 0;
};

}  // namespace rm::platform
