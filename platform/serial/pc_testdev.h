// The test device of kvm-unit-tests (`-device pc-testdev`): a port latch, interrupt lines by hand
// and a page of plain memory behind MMIO.
// Owns: ports E0-E3 and E8-EB (latch), E4-E7 (flush, no effect: no stale mapping exists here),
// 2000-2017 (one interrupt line each), memory FF000000-FF00FFFF.
// Source: the test suite's lib/x86 and x86/ioapic.c, x86/emulator.c use of these addresses.
#pragma once
#include <array>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"
#include "memory/physical/physical.h"

namespace rm::platform {

class PcTestdev final : private memory::MmioWindow {
public:
    static constexpr unsigned kLines = 24;
    static constexpr u64 kMemoryBase = 0xFF000000;
    static constexpr u64 kMemorySize = 0x10000;

    // lines[n] drives global interrupt n; null: not connected.
    PcTestdev(memory::IoBus& io, memory::PhysicalMemory& memory,
              const std::array<IrqLine*, kLines>& lines);
    ~PcTestdev() override;

private:
    struct Latch final : memory::PortWindow {
        u32 port_read(u16 offset, unsigned size) override;
        void port_write(u16 offset, unsigned size, u32 value) override;
        u32 data = 0;
    };
    struct Flush final : memory::PortWindow {
        u32 port_read(u16, unsigned) override { return 0; }
        void port_write(u16, unsigned, u32) override {}
    };
    struct Lines final : memory::PortWindow {
        u32 port_read(u16, unsigned) override { return 0; }
        void port_write(u16 offset, unsigned size, u32 value) override;
        std::array<IrqLine*, kLines> lines;
    };
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    memory::IoBus& io_;
    memory::PhysicalMemory& memory_;
    Latch latch_;
    Flush flush_;
    Lines lines_;
    std::array<u8, kMemorySize> bytes_{};
};

}  // namespace rm::platform
