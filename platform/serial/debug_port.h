// Ports for people and test suites, as QEMU offers them: the debug console (`isa-debugcon`, ports
// 402h and E9h) and the exit port (`isa-debug-exit`).
// Owns: their ports. Assumes: the exit callback only notes the code; the machine stops after the
// current instruction.
#pragma once
#include <functional>

#include "memory/bus/io_bus.h"
#include "platform/backends/char_backend.h"

namespace rm::platform {

// Every byte written goes to the backend; reads return E9h, by which firmware knows it is there.
class DebugConsole final : public memory::PortWindow {
public:
    DebugConsole(memory::IoBus& io, u16 port, CharBackend* backend,
                 std::function<void(u8)> on_output = {});
    ~DebugConsole() override;
    u32 port_read(u16, unsigned) override { return 0xE9; }
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    memory::IoBus& io_;
    u16 port_;
    CharBackend* backend_;
    std::function<void(u8)> on_output_;
};

// A write of v ends the run with exit code (v << 1) | 1. Reads return 0.
class DebugExit final : public memory::PortWindow {
public:
    static constexpr u16 kDefaultBase = 0x501;
    static constexpr u16 kDefaultSize = 2;
    // size: 1 to 4 ports.
    DebugExit(memory::IoBus& io, u16 base, u16 size, std::function<void(int code)> on_exit);
    ~DebugExit() override;
    u32 port_read(u16, unsigned) override { return 0; }
    void port_write(u16, unsigned, u32 value) override;

private:
    memory::IoBus& io_;
    u16 base_, size_;
    std::function<void(int)> on_exit_;
};

}  // namespace rm::platform
