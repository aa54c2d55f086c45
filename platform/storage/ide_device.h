// What ATA disks and ATAPI CD-ROMs share: the task file, the status register's bits, the PIO data
// port and the hand-over to bus-master DMA.
// Owns: one device's registers and its 64 KiB transfer buffer.
// Assumes: IdeChannel forwards register accesses and keeps nIEN, SRST and the selection; the DMA
// engine calls dma_* only while dma_bytes() is not zero.
// Source: ATA/ATAPI-7 (T13 1532D) volume 1: 5 (registers), 9 of volume 2 (protocols).
#pragma once
#include <array>
#include <cstring>
#include <memory>
#include <span>

#include "base/types.h"

namespace rm::platform {

class IdeChannel;

namespace ata {
inline constexpr u8 kBusy = 0x80, kReady = 0x40, kSeekDone = 0x10, kDrq = 0x08, kError = 0x01;
inline constexpr u8 kIdle = kReady | kSeekDone;
inline constexpr u8 kAbort = 0x04, kIdNotFound = 0x10, kUncorrectable = 0x40;  // error register
inline constexpr u8 kDevLba = 0x40, kDevSelect = 0x10;                         // device register
inline constexpr u8 kDiagnosticPassed = 0x01;
}  // namespace ata

class IdeDevice {
public:
    virtual ~IdeDevice() = default;
    IdeDevice(const IdeDevice&) = delete;
    IdeDevice& operator=(const IdeDevice&) = delete;

    // --- from the channel ---
    void attach(IdeChannel* channel) { channel_ = channel; }
    // Registers 1 (feature/error) to 6 (device); every device on the channel sees each write.
    void write_register(unsigned reg, u8 value);
    u8 read_register(unsigned reg, bool high_order) const;
    u8 status() const { return status_; }
    bool intrq() const { return intrq_; }
    void clear_intrq() { intrq_ = false; }
    void write_command(u8 opcode);
    // Power-up and SRST. begin: SRST went up; end: it went down again (or the power came).
    void reset_begin();
    void reset_end();
    // EXECUTE DEVICE DIAGNOSTIC goes to both devices.
    void diagnose();
    // Data port, size 2 or 4 (1 takes single bytes). 0 while no transfer is due.
    u32 data_read(unsigned size) {
        if (direction_ != Direction::kIn || static_cast<size_t>(end_ - at_) < size) [[unlikely]]
            return data_read_tail();
        u32 value = 0;
        std::memcpy(&value, at_, size == 4 ? 4 : size == 2 ? 2 : 1);
        at_ += size;
        if (at_ == end_) [[unlikely]]
            finish_block();
        return value;
    }
    void data_write(unsigned size, u32 value);

    // --- from the DMA engine ---
    u64 dma_bytes() const { return dma_bytes_; }  // waiting to be transferred; 0: no DMA due
    bool dma_to_memory() const { return dma_to_memory_; }
    // Next bytes of the transfer; false: the medium failed, the device has ended the command.
    bool dma_fill(std::span<u8> out);
    bool dma_drain(std::span<const u8> in);
    void dma_finished();
    void dma_failed();  // the engine cannot go on (wrong direction)

    virtual bool is_packet_device() const = 0;

protected:
    IdeDevice() = default;
    static constexpr size_t kBufferSize = 64 << 10;

    virtual void execute(u8 opcode) = 0;
    virtual void set_signature() = 0;  // what reset and DEVICE RESET leave in the task file
    virtual void power_on() = 0;       // settings back to their defaults
    virtual void block_done() = 0;     // the PIO block was read or has been filled
    virtual bool dma_read_medium(std::span<u8> out) = 0;
    virtual bool dma_write_medium(std::span<const u8> in) = 0;
    virtual void dma_complete() = 0;
    virtual void dma_broken() { abort(); }

    void start_in(size_t bytes);   // the first `bytes` of buffer_ to the host, DRQ
    void start_out(size_t bytes);  // host fills buffer_, DRQ
    void start_dma(bool to_memory, u64 bytes);
    void stop_transfer();
    void set_status(u8 status) { status_ = status; }
    void raise_intrq();
    void complete();          // good end: status idle, interrupt
    void end_with(u8 error);  // ERR, interrupt
    void abort() { end_with(ata::kAbort); }

    struct Registers {
        u8 feature = 0, count = 0, low = 0, mid = 0, high = 0;
    };
    Registers now_, previous_;  // previous_: the high-order bytes of 48-bit commands
    u8 error_ = 0;
    u8 device_ = 0;
    std::array<u8, kBufferSize> buffer_{};

private:
    enum class Direction : u8 { kNone, kIn, kOut };
    u32 data_read_tail();
    void finish_block();

    IdeChannel* channel_ = nullptr;
    u8* at_ = nullptr;
    u8* end_ = nullptr;
    Direction direction_ = Direction::kNone;
    u8 status_ = 0;
    bool intrq_ = false;
    bool dma_to_memory_ = false;
    u64 dma_bytes_ = 0;
};

}  // namespace rm::platform
