// Task file, PIO data port, DMA hand-over. Sections as in ide_device.h.
#include "platform/storage/ide_device.h"

#include "base/assert.h"
#include "platform/storage/ide_channel.h"

namespace rm::platform {

void IdeDevice::write_register(unsigned reg, u8 value) {
    if (status_ & ata::kBusy) return;  // 5.2: registers are not written while BSY is set
    const auto latch = [value](u8& now, u8& previous) {
        previous = now;
        now = value;
    };
    switch (reg) {
        case 1: latch(now_.feature, previous_.feature); break;
        case 2: latch(now_.count, previous_.count); break;
        case 3: latch(now_.low, previous_.low); break;
        case 4: latch(now_.mid, previous_.mid); break;
        case 5: latch(now_.high, previous_.high); break;
        case 6: device_ = value; break;
        default: break;
    }
}

u8 IdeDevice::read_register(unsigned reg, bool high_order) const {
    const Registers& from = high_order ? previous_ : now_;
    switch (reg) {
        case 1: return error_;
        case 2: return from.count;
        case 3: return from.low;
        case 4: return from.mid;
        case 5: return from.high;
        case 6: return device_ | 0xA0;  // the obsolete bits read as ones
        default: return 0;
    }
}

void IdeDevice::write_command(u8 opcode) {
    constexpr u8 kDeviceReset = 0x08;
    if ((status_ & ata::kBusy) && opcode != kDeviceReset) return;
    intrq_ = false;
    if (channel_) channel_->update_irq();  // falls before the command may raise it again
    stop_transfer();
    error_ = 0;
    execute(opcode);
}

void IdeDevice::reset_begin() {
    stop_transfer();
    intrq_ = false;
    status_ = ata::kBusy;
}

void IdeDevice::reset_end() {
    stop_transfer();
    intrq_ = false;
    now_ = previous_ = {};
    power_on();
    set_signature();
    error_ = ata::kDiagnosticPassed;
    status_ = is_packet_device() ? 0 : ata::kIdle;
}

void IdeDevice::diagnose() {
    stop_transfer();
    set_signature();
    error_ = ata::kDiagnosticPassed;
    status_ = is_packet_device() ? 0 : ata::kIdle;
    raise_intrq();
}

void IdeDevice::raise_intrq() {
    intrq_ = true;
    if (channel_) channel_->update_irq();
}

void IdeDevice::complete() {
    stop_transfer();
    status_ = ata::kIdle;
    raise_intrq();
}

void IdeDevice::end_with(u8 error) {
    stop_transfer();
    error_ = error;
    status_ = ata::kIdle | ata::kError;
    raise_intrq();
}

// --- PIO
// ------------------------------------------------------------------------------------------

void IdeDevice::start_in(size_t bytes) {
    RM_ASSERT(bytes && bytes <= buffer_.size(), "PIO block");
    direction_ = Direction::kIn;
    at_ = buffer_.data();
    end_ = at_ + bytes;
    status_ = ata::kIdle | ata::kDrq;
}

void IdeDevice::start_out(size_t bytes) {
    start_in(bytes);
    direction_ = Direction::kOut;
}

void IdeDevice::stop_transfer() {
    direction_ = Direction::kNone;
    at_ = end_ = buffer_.data();
    if (!dma_bytes_) return;
    dma_bytes_ = 0;
    if (channel_) channel_->dma_cancelled();
}

void IdeDevice::finish_block() {
    direction_ = Direction::kNone;
    block_done();
}

// Fewer bytes left than asked for: the rest of the word reads as zeros.
u32 IdeDevice::data_read_tail() {
    if (direction_ != Direction::kIn) return 0;
    u32 value = 0;
    std::memcpy(&value, at_, static_cast<size_t>(end_ - at_));
    at_ = end_;
    finish_block();
    return value;
}

void IdeDevice::data_write(unsigned size, u32 value) {
    if (direction_ != Direction::kOut) return;
    const size_t left = static_cast<size_t>(end_ - at_);
    const size_t n = size < left ? size : left;
    std::memcpy(at_, &value, n);
    at_ += n;
    if (at_ == end_) finish_block();
}

// --- DMA
// ------------------------------------------------------------------------------------------

void IdeDevice::start_dma(bool to_memory, u64 bytes) {
    dma_to_memory_ = to_memory;
    dma_bytes_ = bytes;
    status_ = ata::kIdle | ata::kDrq;
    if (channel_) channel_->dma_ready();
}

bool IdeDevice::dma_fill(std::span<u8> out) {
    RM_ASSERT(out.size() <= dma_bytes_, "DMA beyond the device's transfer");
    if (!dma_read_medium(out)) return false;
    dma_bytes_ -= out.size();
    return true;
}

bool IdeDevice::dma_drain(std::span<const u8> in) {
    RM_ASSERT(in.size() <= dma_bytes_, "DMA beyond the device's transfer");
    if (!dma_write_medium(in)) return false;
    dma_bytes_ -= in.size();
    return true;
}

void IdeDevice::dma_finished() { dma_complete(); }

void IdeDevice::dma_failed() { dma_broken(); }

}  // namespace rm::platform
