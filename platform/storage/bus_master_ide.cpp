// The PRD walk and its registers. Sections as in bus_master_ide.h.
#include "platform/storage/bus_master_ide.h"

#include <algorithm>

#include "base/log.h"

namespace rm::platform {
namespace {

constexpr u8 kStart = 1, kToMemory = 8;                                         // command
constexpr u8 kActive = 1, kErrorBit = 2, kInterrupt = 4, kDriveCapable = 0x60;  // status
constexpr u32 kMaxRegion = 64 << 10;
constexpr u32 kTableSpan = 64 << 10;  // the table does not cross a 64 KiB boundary
constexpr u64 kSetupNs = 10'000;

}  // namespace

BusMasterIde::BusMasterIde(memory::PhysicalMemory& memory, EventQueue& clock, IdeChannel& channel,
                           std::function<bool()> enabled)
    : memory_(memory),
      channel_(channel),
      enabled_(std::move(enabled)),
      timer_(clock, [this] { run(); }),
      bounce_(kMaxRegion) {
    channel_.set_dma_engine(this);
}

void BusMasterIde::reset() {
    timer_.cancel();
    command_ = status_ = 0;
    table_ = 0;
}

u8 BusMasterIde::read(unsigned reg) const {
    switch (reg) {
        case 0: return command_;
        case 2: return status_;
        case 4:
        case 5:
        case 6:
        case 7: return static_cast<u8>(table_ >> (8 * (reg - 4)));
        default: return 0xFF;
    }
}

void BusMasterIde::write(unsigned reg, u8 value) {
    switch (reg) {
        case 0: {
            const bool was_started = command_ & kStart;
            command_ = value & (kStart | kToMemory);
            if (!(command_ & kStart)) {
                timer_.cancel();
                status_ &= static_cast<u8>(~kActive);
            } else if (!was_started) {
                status_ |= kActive;
                schedule();
            }
            break;
        }
        case 2:
            status_ = static_cast<u8>((value & kDriveCapable) | (status_ & kActive) |
                                      (status_ & ~value & (kErrorBit | kInterrupt)));
            break;
        case 4:
        case 5:
        case 6:
        case 7: {
            const unsigned shift = 8 * (reg - 4);
            table_ = ((table_ & ~(0xFFu << shift)) | u32{value} << shift) & ~3u;
            break;
        }
        default: break;
    }
}

void BusMasterIde::intrq_rose() { status_ |= kInterrupt; }

// Starts the clock once both sides are ready: the engine started, a device waiting.
void BusMasterIde::schedule() {
    const IdeDevice* device = channel_.selected();
    if (!(status_ & kActive) || timer_.armed() || !device || !device->dma_bytes()) return;
    if (!enabled_()) return;
    timer_.arm_in_ns(kSetupNs + device->dma_bytes());
}

void BusMasterIde::run() {
    IdeDevice* device = channel_.selected();
    if (!device || !device->dma_bytes() || !(status_ & kActive)) return;
    if (device->dma_to_memory() != static_cast<bool>(command_ & kToMemory)) {
        log::write(log::Item::kGuestErrors, "bmide: transfer direction differs from the command\n");
        status_ = static_cast<u8>((status_ & ~kActive) | kErrorBit);
        device->dma_failed();
        return;
    }
    bool table_used_up = false;
    const Walk walk = transfer(*device, table_used_up);
    // 3.1: Interrupt with Active set means the table had more room than the device had data;
    // neither means the table was too small, and the device still waits.
    if (walk != Walk::kDone || table_used_up) status_ &= static_cast<u8>(~kActive);
    if (walk == Walk::kDone) device->dma_finished();
}

BusMasterIde::Walk BusMasterIde::transfer(IdeDevice& device, bool& table_used_up) {
    u32 entry = table_;
    for (;;) {
        const u64 prd = memory_.load(entry, 8);
        const PhysAddr region = prd & 0xFFFFFFFE;
        u32 size = static_cast<u32>(prd >> 32) & 0xFFFE;
        if (!size) size = kMaxRegion;
        const bool last = prd >> 63;
        const size_t n = std::min<u64>(size, device.dma_bytes());
        const std::span<u8> part(bounce_.data(), n);
        if (device.dma_to_memory()) {
            if (!device.dma_fill(part)) return Walk::kDeviceFailed;
            memory_.write(region, part);
        } else {
            memory_.read(region, part);
            if (!device.dma_drain(part)) return Walk::kDeviceFailed;
        }
        table_used_up = last && n == size;
        if (!device.dma_bytes()) return Walk::kDone;
        if (last) return Walk::kTableEnded;
        entry = (entry & ~(kTableSpan - 1)) | ((entry + 8) & (kTableSpan - 1));
        if (entry == table_) return Walk::kTableEnded;  // went round without an end mark
    }
}

}  // namespace rm::platform
