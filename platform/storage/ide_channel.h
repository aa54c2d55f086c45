// One IDE channel: command and control block ports, selection of device 0 or 1, nIEN, SRST, INTRQ.
// Owns: the two devices, ports base..base+7 and control, the level of the interrupt line.
// Assumes: an optional DMA engine is told of pending DMA and of INTRQ (PIIX bus master).
// Source: ATA/ATAPI-7 volume 1 chapter 5 (registers), volume 2 9.1-9.4 (reset, selection), 9.16.1
// (no device 1: device 0 answers for it). An empty channel reads as zeros, as QEMU's.
#pragma once
#include <array>
#include <memory>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"
#include "platform/storage/ide_device.h"

namespace rm::platform {

// What a channel tells its bus-master engine.
class IdeDmaEngine {
public:
    virtual ~IdeDmaEngine() = default;
    virtual void dma_ready() = 0;      // the selected device has a DMA transfer waiting
    virtual void dma_cancelled() = 0;  // reset or a new command withdrew it
    virtual void intrq_rose() = 0;
};

class IdeChannel final : public memory::PortWindow {
public:
    struct Resource {
        u16 base, control;
        u8 irq;
    };
    static constexpr std::array<Resource, 2> kLegacy = {{{0x1F0, 0x3F6, 14}, {0x170, 0x376, 15}}};

    IdeChannel(memory::IoBus& io, u16 base, u16 control, IrqLine* irq);
    ~IdeChannel() override;

    void attach(unsigned unit, std::unique_ptr<IdeDevice> device);
    void set_dma_engine(IdeDmaEngine* engine) { engine_ = engine; }
    IdeDevice* device(unsigned unit) const { return devices_[unit & 1].get(); }
    IdeDevice* selected() const { return devices_[selected_].get(); }
    void reset();  // power-up and RESET#

    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    friend class IdeDevice;
    struct Control final : memory::PortWindow {
        explicit Control(IdeChannel& channel) : channel(channel) {}
        u32 port_read(u16, unsigned) override { return channel.status(); }
        void port_write(u16, unsigned, u32 value) override {
            channel.write_control(static_cast<u8>(value));
        }
        IdeChannel& channel;
    };
    u8 status() const;
    u8 read_byte(unsigned reg);
    void write_byte(unsigned reg, u8 value);
    void write_control(u8 value);
    void update_irq();
    void dma_ready() {
        if (engine_) engine_->dma_ready();
    }
    void dma_cancelled() {
        if (engine_) engine_->dma_cancelled();
    }

    memory::IoBus& io_;
    u16 base_, control_base_;
    IrqLine* irq_;
    Control control_port_{*this};
    std::array<std::unique_ptr<IdeDevice>, 2> devices_;
    IdeDmaEngine* engine_ = nullptr;
    u8 selected_ = 0;
    u8 control_ = 0;
    bool irq_level_ = false;
};

}  // namespace rm::platform
