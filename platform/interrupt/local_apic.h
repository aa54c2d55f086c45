// The local APIC of one processor: xAPIC page, x2APIC MSRs, local vector table, interrupt commands.
// Owns: request/in-service state, the timer, IA32_APIC_BASE. Assumes: the processor routes accesses
// to its APIC page here only while mmio_enabled(), and calls reset(true) when it takes an INIT.
// Six LVT entries, version 14H (QEMU's `pc`): no CMCI, no EOI-broadcast suppression. LINT0 carries
// the 8259's INTR, LINT1 the chipset's NMI. After power-up the bootstrap processor's LINT0 is open
// as ExtINT (virtual wire, MP specification 3.6.2.1), so the 8259 works before firmware sets it up.
// Source: SDM 3A chapter 11 (register map: table 11-1, MSRs: table 11-6).
#pragma once
#include <array>

#include "base/interfaces.h"
#include "platform/interrupt/apic_bus.h"
#include "platform/interrupt/apic_timer.h"

namespace rm::platform {

class LocalApic final : public LocalApicPort {
public:
    // What the CPU model advertises; the rest raises #GP.
    struct Features {
        bool x2apic = true;
        bool tsc_deadline = true;
        unsigned physical_bits = 40;  // IA32_APIC_BASE bits above are reserved
    };
    static constexpr PhysAddr kDefaultBase = 0xFEE00000;
    static constexpr u32 kVersion = 0x00050014;  // six LVT entries
    static constexpr u8 kSpuriousReset = 0xFF;

    // Attaches itself to the bus. Signals go nowhere until connect().
    LocalApic(u32 id, bool bootstrap, EventQueue& queue, ApicBus& bus, Features features);
    // The processor's pins: given later, because the processor is built on this APIC.
    void connect(CpuPins& pins);
    LocalApic(const LocalApic&) = delete;
    LocalApic& operator=(const LocalApic&) = delete;

    // --- the processor's side (LocalApicPort) ---
    u8 acknowledge() override;
    u8 tpr() const override { return tpr_; }
    void set_tpr(u8 value) override;
    u64 apic_base() const override { return base_; }
    bool set_apic_base(u64 value) override;
    bool msr_read(u32 msr, u64& value) override;
    bool msr_write(u32 msr, u64 value) override;
    void reset(bool init) override;
    void tsc_offset_changed(u64 offset) override { timer_.set_tsc_offset(offset); }

    // --- the xAPIC page; offset 0..FFFH. Only 32-bit writes at multiples of 16 have an effect
    // (SDM 3A 11.4.1).
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    // --- the bus's side ---
    bool matches(const ApicMessage& message) const;
    // True if taken (also when it then proves to carry an illegal vector).
    bool accept(const ApicMessage& message);
    bool accepts_fixed() const { return enabled() && software_enabled(); }
    u8 arbitration_priority() const;
    void set_lint(unsigned n, bool level);

    // --- state, for VT emulation and for people ---
    bool enabled() const { return base_ & kEnable; }
    bool x2apic_mode() const { return (base_ & (kEnable | kExtended)) == (kEnable | kExtended); }
    bool mmio_enabled() const { return enabled() && !x2apic_mode(); }
    PhysAddr mmio_base() const { return base_ & ~u64{0xFFF}; }
    bool software_enabled() const { return svr_ & 0x100; }
    u32 id() const { return id_; }  // xAPIC: as last written to the ID register
    u8 ppr() const;
    int highest_request() const { return highest(irr_); }     // -1: none; PPR not looked at
    int highest_in_service() const { return highest(isr_); }  // -1: none
    int highest_pending() const;  // request above PPR of an enabled APIC, or -1
    bool ext_int_pending() const;
    bool intr() const { return intr_; }  // the pin: something to acknowledge

private:
    static constexpr u64 kBsp = 1 << 8, kExtended = 1 << 10, kEnable = 1 << 11;
    enum Lvt : unsigned { kTimer, kThermal, kPerformance, kLint0, kLint1, kError, kLvts };
    using VectorSet = std::array<u32, 8>;

    static int highest(const VectorSet& set);
    u32 logical_id() const;
    void reset_registers();
    void raise(u8 vector, bool level);
    void deliver_local(Lvt entry);
    void deliver(DeliveryMode mode, u8 vector, bool level);
    void evaluate_lint(unsigned n, bool rising);
    void report_error(u8 bits);
    void update_pin();
    void end_of_interrupt();
    void send(u32 command, u32 destination);

    // Registers by number (xAPIC offset / 16 = x2APIC MSR - 800H).
    u32 read_register(unsigned number) const;
    void write_register(unsigned number, u32 value);
    void write_lvt(Lvt entry, u32 value);

    const u32 initial_id_;
    const bool bootstrap_;
    const Features features_;
    ApicBus& bus_;
    CpuPins* pins_;
    ApicTimer timer_;

    u64 base_;
    u32 id_;
    u8 tpr_ = 0;
    u32 ldr_ = 0, dfr_ = ~u32{0}, svr_ = kSpuriousReset;
    u32 icr_low_ = 0, icr_high_ = 0;
    u8 esr_ = 0, errors_ = 0;  // readable; collected since the last write
    std::array<u32, kLvts> lvt_{};
    VectorSet irr_{}, isr_{}, tmr_{};
    bool lint_[2] = {};             // levels of the pins
    bool ext_int_message_ = false;  // ExtINT that came as a message
    bool intr_ = false;
};

}  // namespace rm::platform
