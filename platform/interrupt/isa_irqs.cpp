// Wiring of the board's interrupt lines; see isa_irqs.h.
#include "platform/interrupt/isa_irqs.h"

namespace rm::platform {

namespace {
constexpr unsigned kTimerIrq = 0, kTimerPin = 2;
}

IsaIrqs::IsaIrqs(Pic8259Pair& pic, IoApic& io_apic) {
    for (unsigned pin = 0; pin < IoApic::kPins; ++pin)
        pins_[pin] = std::make_unique<IrqOr>(io_apic.pin(pin));
    for (unsigned n = 0; n < kIrqs; ++n) {
        fans_[n].pic = &pic.input(n);
        // IRQ 2 is the 8259s' cascade: no device drives it, so it may share input 2 with IRQ 0.
        fans_[n].io_apic = &pins_[n == kTimerIrq ? kTimerPin : n]->add();
        lines_[n] = std::make_unique<IrqOr>(fans_[n]);
        owners_[n] = &lines_[n]->add();
    }
}

}  // namespace rm::platform
