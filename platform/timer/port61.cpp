// See port61.h.
#include "platform/timer/port61.h"

namespace rm::platform {

namespace {
constexpr u8 kGate2 = 0x01, kWritable = 0x0F, kRefresh = 0x10, kOut2 = 0x20;
// The refresh toggle changes with each DRAM refresh request of counter 1, every 15.085 us.
constexpr u64 kRefreshCycles = 18;
}  // namespace

Port61::Port61(Pit8254& pit) : pit_(pit) { reset(); }

void Port61::reset() {
    control_ = 0;
    pit_.set_gate2(false);
}

u32 Port61::port_read(u16, unsigned) {
    u8 value = control_;
    if (pit_.gate2()) value |= kGate2;
    if (pit_.now() / kRefreshCycles & 1) value |= kRefresh;
    if (pit_.out2()) value |= kOut2;
    return value;
}

void Port61::port_write(u16, unsigned, u32 value) {
    control_ = value & kWritable & ~kGate2;
    pit_.set_gate2(value & kGate2);
}

}  // namespace rm::platform
