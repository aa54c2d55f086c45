// Bus-master DMA engine of one IDE channel: command, status, PRD table pointer, table walk.
// Owns: 8 I/O registers, the timer that gives a transfer its duration.
// Assumes: the PCI function tells whether bus mastering is on. A transfer takes 10 us plus 1 ns a
// byte of virtual time, then happens as a whole.
// Source: Intel "Programming Interface for Bus Master IDE Controller" 1.0 (1.2, 2, 3.1).
#pragma once
#include <functional>
#include <vector>

#include "memory/physical/physical.h"
#include "platform/clock/event_queue.h"
#include "platform/storage/ide_channel.h"

namespace rm::platform {

class BusMasterIde final : public IdeDmaEngine {
public:
    BusMasterIde(memory::PhysicalMemory& memory, EventQueue& clock, IdeChannel& channel,
                 std::function<bool()> enabled);

    u8 read(unsigned reg) const;  // reg 0..7
    void write(unsigned reg, u8 value);
    void reset();

    void dma_ready() override { schedule(); }
    void dma_cancelled() override { timer_.cancel(); }
    void intrq_rose() override;

private:
    void schedule();
    void run();
    enum class Walk : u8 { kDone, kTableEnded, kDeviceFailed };
    Walk transfer(IdeDevice& device, bool& table_used_up);

    memory::PhysicalMemory& memory_;
    IdeChannel& channel_;
    std::function<bool()> enabled_;
    Timer timer_;
    std::vector<u8> bounce_;
    u8 command_ = 0, status_ = 0;
    u32 table_ = 0;
};

}  // namespace rm::platform
