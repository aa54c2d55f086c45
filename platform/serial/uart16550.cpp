// PC16550D registers, FIFO and interrupts. Sections as in uart16550.h.
#include "platform/serial/uart16550.h"

#include <algorithm>

namespace rm::platform {
namespace {

enum Register : u16 { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr };

constexpr u8 kIerReceive = 1, kIerTransmit = 2, kIerLine = 4, kIerModem = 8;
constexpr u8 kNoInterrupt = 1, kIdModem = 0, kIdTransmit = 2, kIdReceive = 4, kIdLine = 6,
             kIdTimeout = 0x0C, kIdFifos = 0xC0;
constexpr u8 kFcrEnable = 1, kFcrClearReceiver = 2;
constexpr u8 kLcrDlab = 0x80, kLcrParity = 8, kLcrStop2 = 4;
constexpr u8 kMcrDtr = 1, kMcrRts = 2, kMcrOut1 = 4, kMcrOut2 = 8, kMcrLoop = 0x10;
constexpr u8 kLsrReady = 1, kLsrOverrun = 2, kLsrBreak = 0x10, kLsrTransmitter = 0x60;
constexpr u8 kLsrErrors = 0x1E;
constexpr u8 kMsrCts = 0x10, kMsrDsr = 0x20, kMsrRing = 0x40, kMsrDcd = 0x80;
constexpr u8 kPeerPresent = kMsrCts | kMsrDsr | kMsrDcd;  // the host is always ready
constexpr std::array<u8, 4> kTrigger = {1, 4, 8, 14};     // FCR bits 7:6
constexpr u16 kResetDivisor = 12;                         // 9600 baud
constexpr u64 kClockHz = 1'843'200 / 16;                  // baud rate of divisor 1

}  // namespace

Uart16550::Uart16550(memory::IoBus& io, EventQueue& clock, Config config)
    : io_(io),
      config_(std::move(config)),
      line_timer_(clock, [this] { next_from_line(); }),
      timeout_timer_(clock, [this] {
          timeout_pending_ = count_ != 0;
          update_irq();
      }) {
    io_.add(config_.base, 8, this);
    if (config_.backend)
        config_.backend->set_receiver(
            {.room = [this] { return room(); }, .take = [this](u8 byte) { receive(byte); }});
    reset();
}

Uart16550::~Uart16550() {
    io_.remove(config_.base, 8);
    if (config_.backend) config_.backend->set_receiver({});
}

void Uart16550::reset() {
    interrupt_enable_ = fifo_control_ = line_control_ = modem_control_ = scratch_ = 0;
    line_status_ = kLsrTransmitter;
    modem_status_ = kPeerPresent;
    divisor_ = kResetDivisor;
    transmit_pending_ = false;
    clear_receiver();
    update_irq();
}

// --- ports
// ----------------------------------------------------------------------------------------

u32 Uart16550::port_read(u16 offset, unsigned) {
    switch (offset) {
        case kLsr: {
            const u8 value = line_status_;
            if (value & kLsrErrors) {
                line_status_ &= static_cast<u8>(~kLsrErrors);
                update_irq();
            }
            return value;
        }
        case kData: return line_control_ & kLcrDlab ? divisor_ & 0xFF : read_data();
        case kIer: return line_control_ & kLcrDlab ? divisor_ >> 8 : interrupt_enable_;
        case kIirFcr: return read_interrupt_id();
        case kLcr: return line_control_;
        case kMcr: return modem_control_;
        case kMsr: {
            const u8 value = modem_status_;
            modem_status_ &= 0xF0;
            if (value & 0x0F) update_irq();
            return value;
        }
        default: return scratch_;
    }
}

void Uart16550::port_write(u16 offset, unsigned, u32 wide) {
    const u8 value = static_cast<u8>(wide);
    switch (offset) {
        case kData:
            if (line_control_ & kLcrDlab)
                divisor_ = static_cast<u16>((divisor_ & 0xFF00) | value);
            else
                write_data(value);
            break;
        case kIer:
            if (line_control_ & kLcrDlab) {
                divisor_ = static_cast<u16>((divisor_ & 0x00FF) | value << 8);
                break;
            }
            // Enabling the transmitter's interrupt while THR is empty raises it (8.5).
            if (~interrupt_enable_ & value & kIerTransmit) transmit_pending_ = true;
            interrupt_enable_ = value & 0x0F;
            update_irq();
            break;
        case kIirFcr: write_fifo_control(value); break;
        case kLcr: line_control_ = value; break;
        case kMcr: write_modem_control(value); break;
        case kScr: scratch_ = value; break;
        default: break;  // LSR and MSR are read-only here (8.4: writes are for factory test)
    }
}

u8 Uart16550::read_data() {
    if (!count_) return 0;
    const u8 byte = fifo_[head_];
    head_ = (head_ + 1) % kFifo;
    if (!--count_) line_status_ &= static_cast<u8>(~kLsrReady);
    timeout_pending_ = false;
    start_timeout();
    start_line();
    update_irq();
    return byte;
}

void Uart16550::write_data(u8 value) {
    if (modem_control_ & kMcrLoop) {
        push(value);
    } else {
        if (config_.on_output) config_.on_output(value);
        if (config_.backend) config_.backend->write(value);
    }
    // The line drops and rises again: an edge-triggered controller must see the new request.
    transmit_pending_ = false;
    update_irq();
    transmit_pending_ = true;
    update_irq();
}

u8 Uart16550::read_interrupt_id() {
    const u8 id = interrupt_id();
    if (id == kIdTransmit) {
        transmit_pending_ = false;
        update_irq();
    }
    return static_cast<u8>(id | (fifo_on() ? kIdFifos : 0));
}

void Uart16550::write_fifo_control(u8 value) {
    const bool toggled = (fifo_control_ ^ value) & kFcrEnable;
    if (toggled || ((value & kFcrEnable) && (value & kFcrClearReceiver))) clear_receiver();
    fifo_control_ = value & kFcrEnable ? value & 0xC9 : 0;
    start_line();
    update_irq();
}

void Uart16550::write_modem_control(u8 value) {
    modem_control_ = value & 0x1F;
    u8 inputs = kPeerPresent;
    if (value & kMcrLoop) {
        inputs =
            static_cast<u8>((value & kMcrRts ? kMsrCts : 0) | (value & kMcrDtr ? kMsrDsr : 0) |
                            (value & kMcrOut1 ? kMsrRing : 0) | (value & kMcrOut2 ? kMsrDcd : 0));
    }
    set_modem_inputs(inputs);
    start_line();
    update_irq();
}

void Uart16550::set_modem_inputs(u8 levels) {
    const u8 before = modem_status_ & 0xF0;
    u8 delta = static_cast<u8>((before ^ levels) >> 4 & 0x0B);    // DCTS, DDSR, DDCD
    if ((before & kMsrRing) && !(levels & kMsrRing)) delta |= 4;  // TERI: trailing edge only
    modem_status_ = static_cast<u8>((modem_status_ & 0x0F) | levels | delta);
}

// --- interrupts (8.5, table IV: in order of priority)
// ---------------------------------------------

u8 Uart16550::interrupt_id() const {
    if ((interrupt_enable_ & kIerLine) && (line_status_ & kLsrErrors)) return kIdLine;
    if (interrupt_enable_ & kIerReceive) {
        const unsigned trigger = fifo_on() ? kTrigger[fifo_control_ >> 6] : 1;
        if (count_ >= trigger) return kIdReceive;
        if (timeout_pending_) return kIdTimeout;
    }
    if ((interrupt_enable_ & kIerTransmit) && transmit_pending_) return kIdTransmit;
    if ((interrupt_enable_ & kIerModem) && (modem_status_ & 0x0F)) return kIdModem;
    return kNoInterrupt;
}

void Uart16550::update_irq() {
    const bool level = interrupt_id() != kNoInterrupt && (modem_control_ & kMcrOut2);
    if (level == irq_level_) return;
    irq_level_ = level;
    if (config_.irq) config_.irq->set(level);
}

// --- receiver
// -------------------------------------------------------------------------------------

void Uart16550::clear_receiver() {
    head_ = count_ = 0;
    line_status_ &= static_cast<u8>(~kLsrReady);
    timeout_pending_ = false;
    timeout_timer_.cancel();
}

void Uart16550::push(u8 byte) {
    if (receiver_full()) {
        line_status_ |= kLsrOverrun;
        if (!fifo_on()) fifo_[head_] = byte;  // the holding register is overwritten (8.4)
    } else {
        fifo_[(head_ + count_++) % kFifo] = byte;
    }
    line_status_ |= kLsrReady;
    start_timeout();
    update_irq();
}

// The FIFO's time-out: four characters' time without traffic while data waits (8.6).
void Uart16550::start_timeout() {
    if (fifo_on() && count_)
        timeout_timer_.arm_in_ns(4 * character_ns());
    else
        timeout_timer_.cancel();
}

u64 Uart16550::character_ns() const {
    // Start, 5-8 data, parity and stop bits.
    const u64 bits = 1 + 5 + (line_control_ & 3) + (line_control_ & kLcrParity ? 1 : 0) +
                     (line_control_ & kLcrStop2 ? 2 : 1);
    return bits * std::max<u64>(divisor_, 1) * 1'000'000'000 / kClockHz;
}

void Uart16550::start_line() {
    if (queued_ && !line_timer_.armed() && !receiver_full() && !(modem_control_ & kMcrLoop))
        line_timer_.arm_in_ns(character_ns());
}

void Uart16550::next_from_line() {
    if (!queued_ || receiver_full() || (modem_control_ & kMcrLoop)) return;
    const u8 byte = queue_[queue_head_];
    queue_head_ = (queue_head_ + 1) % kQueue;
    --queued_;
    push(byte);
    start_line();
}

void Uart16550::receive(u8 byte) {
    if (queued_ == kQueue) return;
    queue_[(queue_head_ + queued_++) % kQueue] = byte;
    start_line();
}

void Uart16550::receive_break() {
    push(0);
    line_status_ |= kLsrBreak;
    update_irq();
}

}  // namespace rm::platform
