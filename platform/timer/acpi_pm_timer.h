// The ACPI power-management timer: 24 bits at 3.579545 MHz. The PIIX4 PM device holds one and maps
// it at PMBASE + 8. Owns: the counter's value. Source: ACPI 6.5, 4.8.2.1 and 4.8.3.3.
#pragma once
#include "base/interfaces.h"
#include "platform/clock/rates.h"

namespace rm::platform {

class AcpiPmTimer {
public:
    static constexpr unsigned kBits = 24;

    explicit AcpiPmTimer(const VirtualClock& clock) : clock_(clock) {}
    u32 read() const { return static_cast<u32>(cycles() & ((u64{1} << kBits) - 1)); }
    // TMR_STS is set whenever bit 23 changes: how often that has happened, and when it will next.
    u64 toggles() const { return cycles() >> (kBits - 1); }
    u64 next_toggle_ns() const { return ns_of_cycle((toggles() + 1) << (kBits - 1), kPmTimerHz); }

private:
    u64 cycles() const { return cycles_at_ns(clock_.now_ns(), kPmTimerHz); }
    const VirtualClock& clock_;
};

}  // namespace rm::platform
