// Message routing; see apic_bus.h.
#include "platform/interrupt/apic_bus.h"

#include "base/bits.h"
#include "platform/interrupt/io_apic.h"
#include "platform/interrupt/local_apic.h"

namespace rm::platform {

namespace {
constexpr u8 kPicSpurious = 0xFF;  // an empty data bus, when no 8259 is wired
}

ApicBus::ApicBus() : lint_{{*this, 0}, {*this, 1}} {}

bool ApicBus::deliver(const ApicMessage& message) {
    if (message.mode == DeliveryMode::kLowestPriority) {
        LocalApic* best = nullptr;
        for (LocalApic* apic : locals_) {
            if (!apic->matches(message) || !apic->accepts_fixed()) continue;
            if (!best || apic->arbitration_priority() < best->arbitration_priority()) best = apic;
        }
        return best && best->accept(message);
    }
    bool accepted = false;
    for (LocalApic* apic : locals_)
        if (apic->matches(message)) accepted |= apic->accept(message);
    return accepted;
}

void ApicBus::deliver_all(const ApicMessage& message, const LocalApic* except) {
    if (message.mode == DeliveryMode::kLowestPriority) {
        LocalApic* best = nullptr;
        for (LocalApic* apic : locals_) {
            if (apic == except || !apic->accepts_fixed()) continue;
            if (!best || apic->arbitration_priority() < best->arbitration_priority()) best = apic;
        }
        if (best) best->accept(message);
        return;
    }
    for (LocalApic* apic : locals_)
        if (apic != except) apic->accept(message);
}

void ApicBus::deliver_msi(u64 address, u32 data) {
    const bool level = has_bit(data, 15);
    if (level && !has_bit(data, 14)) return;  // de-assert message
    deliver({.destination = static_cast<u32>(bits(address, 19, 12)),
             .logical = has_bit(address, 2),
             .mode = static_cast<DeliveryMode>(bits(data, 10, 8)),
             .vector = static_cast<u8>(data),
             .level = level});
}

void ApicBus::end_of_interrupt(u8 vector) {
    for (IoApic* apic : io_apics_) apic->end_of_interrupt(vector);
}

u8 ApicBus::acknowledge_pic() { return pic_ ? pic_() : kPicSpurious; }

void ApicBus::Lint::set(bool level) {
    for (LocalApic* apic : bus_.locals_) apic->set_lint(n_, level);
}

u64 ApicBus::mmio_read(u64, unsigned) { return ~u64{0}; }

void ApicBus::mmio_write(u64 offset, unsigned size, u64 value) {
    if (size == 4) deliver_msi(kMsiBase + offset, static_cast<u32>(value));
}

}  // namespace rm::platform
