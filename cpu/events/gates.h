// One attempt to deliver one event, by mode. Step::kNext: delivered, state changed. kFault:
// cpu.raised is the nested fault and nothing of the guest's registers has changed (unless a task
// switch had passed its commit point). kVmExit: a task switch became a VM exit.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

inline bool is_software(EventType t) {
    return t == EventType::kSoftwareInterrupt || t == EventType::kSoftwareException ||
           t == EventType::kPrivilegedSoftwareException;
}
// INT n, INT3 and INTO look at the gate's DPL and have EXT = 0; INT1 does neither.
inline bool checks_gate_dpl(EventType t) {
    return t == EventType::kSoftwareInterrupt || t == EventType::kSoftwareException;
}

// Error code naming an IDT entry.
inline u32 idt_error(const Cpu& cpu, u8 vector) { return vector * 8u + 2 + cpu.ext; }

Step deliver_real(Cpu& cpu, const Event& event, u64 return_rip);
Step deliver_protected(Cpu& cpu, const Event& event, u64 return_rip);
Step deliver_long(Cpu& cpu, const Event& event, u64 return_rip);
// CR4.VME: does INT n of a virtual-8086 task go through the task's own interrupt table? False:
// fault.
[[nodiscard]] bool vme_redirection(Cpu& cpu, u8 vector, bool& redirected);
Step deliver_vme(Cpu& cpu, const Event& event, u64 return_rip);

}  // namespace rm::cpu
