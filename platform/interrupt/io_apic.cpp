// Redirection and registers; see io_apic.h.
#include "platform/interrupt/io_apic.h"

#include "base/bits.h"
#include "base/log.h"

namespace rm::platform {

namespace {

// Redirection table entry (82093AA 3.2.4).
constexpr unsigned kLogicalBit = 11;
constexpr u64 kRemoteIrr = bit(14);
constexpr u64 kLevel = bit(15);
constexpr u64 kMasked = bit(16);
constexpr u64 kWritable = u64{0xFF} << 56 | 0x1AFFF;  // not delivery status (12), remote IRR (14)

constexpr u64 kSelectOffset = 0x00, kWindowOffset = 0x10, kEoiOffset = 0x40;
constexpr unsigned kRegId = 0, kRegVersion = 1, kRegArbitration = 2, kRegTable = 0x10;
constexpr u32 kIdMask = 0x0F000000;

}  // namespace

IoApic::IoApic(ApicBus& bus, u8 id) : bus_(bus), reset_id_(id) {
    for (Pin& pin : pins_) pin.owner = this;
    reset();
    bus.attach(*this);
}

void IoApic::reset() {
    id_ = static_cast<u32>(reset_id_) << 24 & kIdMask;
    select_ = 0;
    for (Pin& pin : pins_) pin.entry = kMasked;
}

bool IoApic::send(const Pin& pin) {
    return bus_.deliver({.destination = static_cast<u32>(bits(pin.entry, 63, 56)),
                         .logical = has_bit(pin.entry, kLogicalBit),
                         .mode = static_cast<DeliveryMode>(bits(pin.entry, 10, 8)),
                         .vector = static_cast<u8>(pin.entry),
                         .level = (pin.entry & kLevel) != 0});
}

// Sends a level-triggered request unless one is already on its way. Remote IRR is set only for the
// modes that end with an EOI.
void IoApic::serve_level(Pin& pin) {
    if (!pin.level || !(pin.entry & kLevel) || (pin.entry & (kMasked | kRemoteIrr))) return;
    const auto mode = static_cast<DeliveryMode>(bits(pin.entry, 10, 8));
    // Set before sending: an EOI may come back from inside the delivery.
    const bool has_eoi = mode == DeliveryMode::kFixed || mode == DeliveryMode::kLowestPriority;
    if (has_eoi) pin.entry |= kRemoteIrr;
    if (!send(pin)) pin.entry &= ~kRemoteIrr;
}

void IoApic::Pin::set(bool asserted) {
    const bool rising = asserted && !level;
    level = asserted;
    if (entry & kLevel) {
        if (rising) owner->serve_level(*this);
    } else if (rising && !(entry & kMasked)) {
        owner->send(*this);  // a masked edge is lost (82093AA 3.2.4, bit 16)
    }
}

void IoApic::end_of_interrupt(u8 vector) {
    for (Pin& pin : pins_) {
        if (static_cast<u8>(pin.entry) != vector || !(pin.entry & kRemoteIrr)) continue;
        pin.entry &= ~kRemoteIrr;
        serve_level(pin);
    }
}

void IoApic::write_entry(Pin& pin, u64 value) {
    pin.entry = (pin.entry & ~kWritable) | (value & kWritable);
    // Software without the EOI register clears a stuck remote IRR by switching to edge and back.
    if (!(pin.entry & kLevel)) pin.entry &= ~kRemoteIrr;
    serve_level(pin);
}

u32 IoApic::read_register() const {
    switch (select_) {
        case kRegId:
        case kRegArbitration: return id_;
        case kRegVersion: return (kPins - 1) << 16 | kVersion;
        default:
            if (select_ < kRegTable || select_ >= kRegTable + 2 * kPins) return 0;
            return static_cast<u32>(pins_[(select_ - kRegTable) / 2].entry >>
                                    (select_ & 1 ? 32 : 0));
    }
}

void IoApic::write_register(u32 value) {
    if (select_ == kRegId) {
        id_ = value & kIdMask;
    } else if (select_ >= kRegTable && select_ < kRegTable + 2 * kPins) {
        Pin& pin = pins_[(select_ - kRegTable) / 2];
        const u64 entry = select_ & 1 ? (pin.entry & 0xFFFFFFFF) | u64{value} << 32
                                      : (pin.entry & ~u64{0xFFFFFFFF}) | value;
        write_entry(pin, entry);
    } else {
        log::write(log::Item::kGuestErrors, "ioapic: write to register %02x ignored\n", select_);
    }
}

u64 IoApic::mmio_read(u64 offset, unsigned size) {
    const u64 value = (offset & ~u64{3}) == kSelectOffset   ? select_
                      : (offset & ~u64{3}) == kWindowOffset ? read_register()
                                                            : 0;
    return value >> (8 * (offset & 3)) & low_mask(8 * size);
}

void IoApic::mmio_write(u64 offset, unsigned size, u64 value) {
    if (offset == kSelectOffset) {
        select_ = static_cast<u8>(value);
    } else if (offset == kWindowOffset && size == 4) {
        write_register(static_cast<u32>(value));
    } else if (offset == kEoiOffset) {
        end_of_interrupt(static_cast<u8>(value));
    } else {
        log::write(log::Item::kGuestErrors, "ioapic: %u-byte write to offset %llx ignored\n", size,
                   static_cast<unsigned long long>(offset));
    }
}

}  // namespace rm::platform
