// Exceptions and interrupts: priority, delivery through the IDT (or IVT), double and triple faults,
// task gates; the boundary work of the run loop. Source: SDM 3A chapter 6, APM2 chapter 8.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

// After a body returned kFault: cpu.raised is turned into a VM exit or delivered; `rip` is the
// faulting instruction's. Sets RF in the pushed flags as the manual demands (SDM 3A 6.8.3).
void handle_fault(Cpu& cpu);

// Delivers one event through the IDT now, with everything that can follow (nested faults, #DF,
// triple fault, task switch, VM exits). rip/flags pushed are the current ones; software events push
// rip + event.insn_length. `injected`: VM-entry injection (no intercept of this event itself; for
// nested faults it is the `during` event).
void deliver(Cpu& cpu, const Event& event, bool injected = false);

// At an instruction boundary with attention != 0, in the manual's priority order (SDM 3A table
// 6-2): RESET/INIT, SMI, trap #DB, NMI, interrupts, VT windows. Returns false if the processor is
// not executing (halted, shutdown, wait-for-SIPI).
bool service_attention(Cpu& cpu);

// True if an unmasked, unblocked maskable interrupt would be taken now.
bool interrupt_deliverable(const Cpu& cpu);

}  // namespace rm::cpu
