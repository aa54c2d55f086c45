// Register decoding, selection, reset and interrupt of an IDE channel. See ide_channel.h.
#include "platform/storage/ide_channel.h"

#include "base/assert.h"

namespace rm::platform {
namespace {

constexpr u8 kNoInterrupt = 1 << 1, kSoftReset = 1 << 2, kHighOrder = 1 << 7;  // device control
constexpr unsigned kData = 0, kDevice = 6, kStatusCommand = 7;
constexpr u8 kDiagnostic = 0x90;

}  // namespace

IdeChannel::IdeChannel(memory::IoBus& io, u16 base, u16 control, IrqLine* irq)
    : io_(io), base_(base), control_base_(control), irq_(irq) {
    io_.add(base_, 8, this, memory::IoBus::kAny);
    io_.add(control_base_, 1, &control_port_);
}

IdeChannel::~IdeChannel() {
    io_.remove(base_, 8);
    io_.remove(control_base_, 1);
}

void IdeChannel::attach(unsigned unit, std::unique_ptr<IdeDevice> device) {
    RM_ASSERT(unit < 2 && !devices_[unit], "IDE unit taken");
    device->attach(this);
    device->reset_end();
    devices_[unit] = std::move(device);
}

void IdeChannel::reset() {
    control_ = 0;
    selected_ = 0;
    for (auto& device : devices_) {
        if (!device) continue;
        device->reset_begin();
        device->reset_end();
        device->write_register(kDevice, 0);
    }
    update_irq();
}

void IdeChannel::update_irq() {
    const IdeDevice* device = selected();
    const bool level = device && device->intrq() && !(control_ & kNoInterrupt);
    if (level == irq_level_) return;
    irq_level_ = level;
    if (level && engine_) engine_->intrq_rose();
    if (irq_) irq_->set(level);
}

u8 IdeChannel::status() const {
    const IdeDevice* device = selected();
    return device ? device->status() : 0;
}

u8 IdeChannel::read_byte(unsigned reg) {
    IdeDevice* device = selected();
    if (!device) return 0;
    if (reg != kStatusCommand) return device->read_register(reg, control_ & kHighOrder);
    const u8 value = device->status();
    if (device->intrq()) {
        device->clear_intrq();
        update_irq();
    }
    return value;
}

void IdeChannel::write_byte(unsigned reg, u8 value) {
    control_ &= static_cast<u8>(~kHighOrder);
    if (reg == kStatusCommand) {
        if (value == kDiagnostic) {
            for (auto& device : devices_)
                if (device) device->diagnose();
            selected_ = 0;
        } else if (IdeDevice* device = selected()) {
            device->write_command(value);
        }
        update_irq();
        return;
    }
    for (auto& device : devices_)
        if (device) device->write_register(reg, value);
    if (reg == kDevice) {
        selected_ = value & ata::kDevSelect ? 1 : 0;
        update_irq();
    }
}

void IdeChannel::write_control(u8 value) {
    const u8 changed = control_ ^ value;
    control_ = value;
    if (changed & kSoftReset) {
        for (auto& device : devices_) {
            if (!device) continue;
            if (value & kSoftReset)
                device->reset_begin();
            else
                device->reset_end();
        }
        if (!(value & kSoftReset)) {
            selected_ = 0;
            for (auto& device : devices_)
                if (device) device->write_register(kDevice, 0);
        }
    }
    update_irq();
}

u32 IdeChannel::port_read(u16 offset, unsigned size) {
    if (offset == kData) [[likely]] {
        IdeDevice* device = selected();
        return device ? device->data_read(size) : 0;
    }
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < 8; ++i)
        value |= u32{read_byte(offset + i)} << (8 * i);
    return value;
}

void IdeChannel::port_write(u16 offset, unsigned size, u32 value) {
    if (offset == kData) {
        if (IdeDevice* device = selected()) device->data_write(size, value);
        return;
    }
    for (unsigned i = 0; i < size && offset + i < 8; ++i)
        write_byte(offset + i, static_cast<u8>(value >> (8 * i)));
}

}  // namespace rm::platform
