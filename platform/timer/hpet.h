// The high-precision event timer block at FED00000H: one 64-bit counter at 100 MHz, three
// comparators. Owns: counter, comparators, legacy replacement (comparators 0 and 1 take over IRQ 0
// and IRQ 8 from the 8254 and the clock, whose outputs therefore pass through here). Assumes: as in
// QEMU's `pc`, the only I/O APIC input a comparator can be routed to is 2; no FSB (MSI) delivery,
// and not advertised. Source: IA-PC HPET specification 1.0a, 2.3.
#pragma once
#include <array>
#include <memory>

#include "base/interfaces.h"
#include "memory/physical/physical.h"
#include "platform/clock/event_queue.h"
#include "platform/interrupt/irq_or.h"

namespace rm::platform {

class Hpet final : public memory::MmioWindow {
public:
    static constexpr PhysAddr kBase = 0xFED00000;
    static constexpr u64 kSize = 0x400;
    static constexpr u64 kNsPerCount = 10;
    static constexpr unsigned kTimers = 3;
    static constexpr u32 kRouteCapability = 1 << 2;

    // irq0, irq8: the ISA lines; pin2: a source on I/O APIC input 2.
    Hpet(EventQueue& queue, IrqLine& irq0, IrqLine& irq8, IrqLine& pin2);
    Hpet(const Hpet&) = delete;
    Hpet& operator=(const Hpet&) = delete;

    IrqLine& pit_input() { return pit_; }  // wire the 8254's counter 0 here
    IrqLine& rtc_input() { return rtc_; }  // and the MC146818's IRQ
    u64 counter() const;
    void reset();

    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

private:
    class LegacyInput final : public IrqLine {
    public:
        explicit LegacyInput(Hpet& owner) : owner_(owner) {}
        void set(bool l) override {
            level = l;
            owner_.update_lines();
        }
        bool level = false;

    private:
        Hpet& owner_;
    };
    struct Comparator {
        Comparator(EventQueue& queue, Hpet& owner, unsigned n)
            : event(queue, [&owner, n] { owner.fire(n); }) {}
        u64 config = 0;
        u64 match = 0;  // the comparator register: next match
        u64 period = 0;
        IrqLine* pin2 = nullptr;
        Timer event;
    };

    bool running() const { return config_ & 1; }
    bool legacy() const { return (config_ & 3) == 3; }
    static u64 width_mask(const Comparator& c);
    u64 read_register(u64 offset) const;
    void write_register(u64 offset, u64 value, u64 mask);
    void write_config(u64 value);
    void write_comparator_config(Comparator& c, u64 value);
    void write_match(Comparator& c, u64 value, u64 mask);
    // Next match; `now_counts`: a match with the present count is not over yet.
    void arm(Comparator& c, bool now_counts);
    void arm_all();
    void fire(unsigned n);
    bool level_active(unsigned n) const;
    void update_lines();
    IrqLine* line(unsigned n);

    EventQueue& queue_;
    IrqLine& irq0_;
    IrqLine& irq8_;
    IrqOr pin2_;
    LegacyInput pit_{*this}, rtc_{*this};
    std::array<std::unique_ptr<Comparator>, kTimers> comparators_;
    u64 config_ = 0;
    u64 status_ = 0;
    u64 count_ = 0;       // the counter when it was halted or started
    u64 started_ns_ = 0;  // while running: when it was count_
};

}  // namespace rm::platform
