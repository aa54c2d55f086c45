// The pins and clocks between processors and the platform, as interfaces, so that `platform`
// knows no CPU and `cpu` knows no device (docs/architecture.md, "Who may include whom").
//
// Time: one tick = one retired instruction of one processor, or one skipped idle tick. All
// processors count on the same scale. ns = ticks << shift, TSC = ns * 2 (2 GHz), see VirtualClock.
#pragma once
#include <functional>
#include <optional>

#include "base/types.h"

namespace rm {

// Inputs of one processor, driven by its local APIC or the chipset (SDM 3A 6.3, 6.7, 8.4).
class CpuPins {
public:
    virtual ~CpuPins() = default;
    virtual void set_intr(bool asserted) = 0;  // level: a maskable interrupt is deliverable
    virtual void pulse_nmi() = 0;
    virtual void pulse_smi() = 0;
    virtual void pulse_init() = 0;
    virtual void startup_ipi(u8 vector) = 0;  // SIPI; ignored unless waiting for it
};

// The local APIC as its processor sees it. Implemented in platform/interrupt/local_apic.
class LocalApicPort {
public:
    virtual ~LocalApicPort() = default;
    // Interrupt acknowledge: moves the highest deliverable request to in-service and returns its
    // vector; falls back to the 8259 (ExtINT); spurious vector if nothing is pending any more.
    virtual u8 acknowledge() = 0;
    virtual u8 tpr() const = 0;  // full 8 bits of the TPR (CR8 = tpr >> 4)
    virtual void set_tpr(u8 value) = 0;
    // IA32_APIC_BASE (SDM 3A 11.4.4, 11.12). set returns false where the write must raise #GP.
    virtual u64 apic_base() const = 0;
    virtual bool set_apic_base(u64 value) = 0;
    // x2APIC MSRs 800H-8FFH, and IA32_TSC_DEADLINE (6E0H). False: #GP.
    virtual bool msr_read(u32 msr, u64& value) = 0;
    virtual bool msr_write(u32 msr, u64 value) = 0;
    // The xAPIC page (SDM 3A 11.4.1): byte offset in the page, size 1, 2, 4 or 8.
    virtual u64 mmio_read(u64 offset, unsigned size) = 0;
    virtual void mmio_write(u64 offset, unsigned size, u64 value) = 0;
    // Reset by INIT (keeps APIC_BASE, id) or by power-up.
    virtual void reset(bool init) = 0;
    // IA32_TSC of this processor = VirtualClock::tsc() + offset. Called when WRMSR(IA32_TSC or
    // IA32_TSC_ADJUST) changes the offset: the TSC-deadline timer compares with IA32_TSC.
    virtual void tsc_offset_changed(u64 offset) { (void)offset; }
};

// Virtual time. Implemented by platform/clock; nothing guest-visible reads any other clock.
class VirtualClock {
public:
    virtual ~VirtualClock() = default;
    virtual u64 now_ticks() const = 0;  // exact, also in the middle of an instruction
    virtual u64 now_ns() const = 0;
    // Where time is nothing but the ticks of the processor that runs: ns = ticks << this.
    virtual std::optional<unsigned> tick_shift() const { return std::nullopt; }
    // TSC of a processor whose IA32_TSC offset is zero.
    u64 tsc() const { return now_ns() * 2; }
    static constexpr u64 kTscHz = 2'000'000'000;
};

// One processor as the machine's scheduler drives it. Implemented by cpu/.
class Processor {
public:
    enum class Stop : u8 {
        kDeadline,  // reached run()'s limit
        kHalted,    // HLT, MWAIT, wait-for-SIPI or shutdown: nothing to execute until a pin moves
        kTripleFault,
        kDebug,  // a breakpoint or single-step asked for by a debugger
    };
    virtual ~Processor() = default;
    virtual CpuPins& pins() = 0;
    // Executes from its own tick count up to (never beyond) `until` ticks.
    virtual Stop run(u64 until) = 0;
    // This processor's tick count, exact even when asked from inside one of its instructions.
    virtual u64 ticks() const = 0;
    // Sets the tick count forward without executing: idle time, or another processor's turn. Called
    // between runs only, halted or not.
    virtual void skip_to(u64 ticks) = 0;
    // While halted: the tick at which this processor goes on by itself although no pin moved (VMX
    // preemption timer in the HLT activity state, SDM 3C 25.5.1). ~0: never.
    virtual u64 wake_at() const { return ~u64{0}; }
    // Makes a running run() return at `ticks` (or at the next instruction if that is past).
    virtual void stop_at(u64 ticks) = 0;
    // thread=multi, from another thread that holds the machine's lock: makes a running run(), or
    // the next one, return soon. The calls that set pins may come from other threads then, too.
    virtual void kick() {}
    virtual bool halted() const = 0;
    // While halted: a change of memory that no pin tells of makes it go on (MWAIT).
    virtual bool watches_memory() const { return false; }
    virtual void reset() = 0;  // power-up / RESET# state
    // A20M#: when false, physical address bit 20 is forced to 0.
    virtual void set_a20(bool enabled) = 0;
    // IGNNE#: x87 instructions run in spite of a pending exception, if CR0.NE = 0 (SDM 1 8.7.2).
    virtual void set_ignne(bool asserted) { (void)asserted; }
};

// One interrupt line into a controller; level semantics, edge inputs look at 0 -> 1.
class IrqLine {
public:
    virtual ~IrqLine() = default;
    virtual void set(bool level) = 0;
    void pulse() {
        set(true);
        set(false);
    }
};

}  // namespace rm
