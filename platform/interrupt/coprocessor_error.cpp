// See coprocessor_error.h.
#include "platform/interrupt/coprocessor_error.h"

#include <utility>

namespace rm::platform {

CoprocessorError::CoprocessorError(IrqLine& irq, std::function<void(bool)> ignne)
    : irq_(irq), on_ignne_(std::move(ignne)) {}

// The rising edge sets the latch; only port F0H clears it.
void CoprocessorError::set_ferr(bool asserted) {
    if (asserted == ferr_) return;
    ferr_ = asserted;
    if (ferr_)
        irq_.set(true);
    else
        set_ignne(false);
}

u32 CoprocessorError::port_read(u16, unsigned) { return 0xFF; }

void CoprocessorError::port_write(u16, unsigned, u32) {
    irq_.set(false);
    if (ferr_) set_ignne(true);
}

void CoprocessorError::reset() {
    ferr_ = false;
    irq_.set(false);
    set_ignne(false);
}

void CoprocessorError::set_ignne(bool asserted) {
    if (asserted == ignne_) return;
    ignne_ = asserted;
    on_ignne_(asserted);
}

}  // namespace rm::platform
