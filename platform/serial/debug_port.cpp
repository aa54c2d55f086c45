// Debug console and exit port. See debug_port.h.
#include "platform/serial/debug_port.h"

namespace rm::platform {

DebugConsole::DebugConsole(memory::IoBus& io, u16 port, CharBackend* backend,
                           std::function<void(u8)> on_output)
    : io_(io), port_(port), backend_(backend), on_output_(std::move(on_output)) {
    io_.add(port_, 1, this);
}

DebugConsole::~DebugConsole() { io_.remove(port_, 1); }

void DebugConsole::port_write(u16, unsigned, u32 value) {
    const u8 byte = static_cast<u8>(value);
    if (on_output_) on_output_(byte);
    if (backend_) backend_->write(byte);
}

DebugExit::DebugExit(memory::IoBus& io, u16 base, u16 size, std::function<void(int)> on_exit)
    : io_(io), base_(base), size_(size), on_exit_(std::move(on_exit)) {
    io_.add(base_, size_, this, memory::IoBus::kAny);
}

DebugExit::~DebugExit() { io_.remove(base_, size_); }

void DebugExit::port_write(u16, unsigned, u32 value) {
    // Process exit codes have eight bits; the shell sees the low byte.
    if (on_exit_) on_exit_(static_cast<int>((value << 1 | 1) & 0x7FFFFFFF));
}

}  // namespace rm::platform
