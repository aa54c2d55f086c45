// See port92.h.
#include "platform/timer/port92.h"

#include <utility>

namespace rm::platform {

namespace {
constexpr u8 kReset = 0x01, kA20 = 0x02;
}

Port92::Port92(IrqLine& a20, std::function<void()> reset)
    : a20_(a20), fast_reset_(std::move(reset)) {}

u32 Port92::port_read(u16, unsigned) { return value_; }

void Port92::port_write(u16, unsigned, u32 value) {
    const bool pulse = (value & kReset) && !(value_ & kReset);
    value_ = static_cast<u8>(value);
    a20_.set(value & kA20);
    if (pulse && fast_reset_) fast_reset_();
}

void Port92::reset() {
    value_ = 0;
    a20_.set(false);
}

}  // namespace rm::platform
