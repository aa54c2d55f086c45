// The messages between local APICs, I/O APIC and MSI-capable devices, and who receives them.
// Owns: destination matching order and lowest-priority arbitration. Assumes: the attached parts
// outlive it; processors are attached in APIC-id order (ties go to the first).
// Source: SDM 3A 11.6.2 (destinations), 11.6.2.4 (lowest priority), 11.11 (MSI).
#pragma once
#include <functional>
#include <vector>

#include "base/interfaces.h"
#include "memory/physical/physical.h"

namespace rm::platform {

class LocalApic;
class IoApic;

enum class DeliveryMode : u8 {
    kFixed = 0,
    kLowestPriority = 1,
    kSmi = 2,
    kReserved = 3,
    kNmi = 4,
    kInit = 5,
    kStartup = 6,
    kExtInt = 7,
};

struct ApicMessage {
    u32 destination = 0;
    bool logical = false;
    bool wide = false;  // 32-bit destination (x2APIC ICR); otherwise 8 bits, FFH = all
    DeliveryMode mode = DeliveryMode::kFixed;
    u8 vector = 0;
    bool level = false;
};

// Also the MMIO window for stores of processors to FEE00000H-FEEFFFFFH that no local APIC claims
// (its own APIC is disabled or moved): they are messages like a device's.
class ApicBus final : public memory::MmioWindow {
public:
    static constexpr PhysAddr kMsiBase = 0xFEE00000;
    static constexpr u64 kMsiSize = 0x100000;

    ApicBus();
    ApicBus(const ApicBus&) = delete;
    ApicBus& operator=(const ApicBus&) = delete;

    void attach(LocalApic& apic) { locals_.push_back(&apic); }
    void attach(IoApic& apic) { io_apics_.push_back(&apic); }
    // What an ExtINT acknowledge asks (the 8259 pair).
    void set_pic_acknowledge(std::function<u8()> acknowledge) { pic_ = std::move(acknowledge); }

    // True if some local APIC took the message.
    bool deliver(const ApicMessage& message);
    // To every local APIC but `except` (may be null), as the ICR's shorthands do.
    void deliver_all(const ApicMessage& message, const LocalApic* except);
    // A device's memory write to the interrupt window (SDM 3A 11.11.1, 11.11.2).
    void deliver_msi(u64 address, u32 data);
    // EOI of a level-triggered vector, for the I/O APICs.
    void end_of_interrupt(u8 vector);

    IrqLine& lint0() { return lint_[0]; }  // the 8259's INTR, wired to LINT0 of all processors
    IrqLine& lint1() { return lint_[1]; }  // the chipset's NMI, LINT1 of all processors
    u8 acknowledge_pic();

    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

private:
    class Lint final : public IrqLine {
    public:
        Lint(ApicBus& bus, unsigned n) : bus_(bus), n_(n) {}
        void set(bool level) override;

    private:
        ApicBus& bus_;
        unsigned n_;
    };

    std::vector<LocalApic*> locals_;
    std::vector<IoApic*> io_apics_;
    std::function<u8()> pic_;
    Lint lint_[2];
};

}  // namespace rm::platform
