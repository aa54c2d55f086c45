// Interruption information, the 32-bit form in which both vendors describe an event to a hypervisor
// and take one to inject: vector 7:0, type 10:8, error code valid 11, valid 31.
// Source: SDM 3C 24.8.3, 24.9.2; APM2 15.20 (EVENTINJ has the same layout in its low half).
#pragma once
#include "cpu/state/event.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::vt::common {

inline constexpr u32 kInfoErrorValid = 1u << 11, kInfoNmiUnblocking = 1u << 12,
                     kInfoValid = 1u << 31;

constexpr u32 interruption_info(const cpu::Event& e) {
    return e.vector | static_cast<u32>(e.type) << 8 | (e.has_error ? kInfoErrorValid : 0) |
           kInfoValid;
}

// The event that valid information describes. `length` counts for software events only.
constexpr cpu::Event event_of(u32 info, u32 error, u32 length) {
    cpu::Event e;
    e.vector = static_cast<u8>(info);
    e.type = static_cast<cpu::EventType>((info >> 8) & 7);
    e.has_error = info & kInfoErrorValid;
    e.error = e.has_error ? error : 0;
    const bool software = e.type == cpu::EventType::kSoftwareInterrupt ||
                          e.type == cpu::EventType::kPrivilegedSoftwareException ||
                          e.type == cpu::EventType::kSoftwareException;
    e.insn_length = software ? static_cast<u8>(length) : 0;
    return e;
}

// Vectors whose delivery pushes an error code (SDM 3A 6.13).
constexpr bool vector_has_error(unsigned vector) {
    return vector == cpu::kDf || (vector >= cpu::kTs && vector <= cpu::kPf) || vector == cpu::kAc;
}

// For records: the information, or an invalid one for null.
constexpr EventInfo event_info(const cpu::Event* e) {
    return e ? EventInfo{interruption_info(*e), e->has_error ? e->error : 0, e->insn_length}
             : EventInfo{};
}

}  // namespace rm::vt::common
