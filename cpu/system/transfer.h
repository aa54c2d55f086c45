// Pieces that far transfers, IRET, event delivery and task switches share.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

// #GP(EXT) unless `offset` may be executed in `cs`: limit, or canonical in 64-bit code.
[[nodiscard]] bool check_entry_point(Cpu& cpu, const Segment& cs, u64 offset);
// `offset` as the target code takes it: Intel's processors ignore bits 63:32 on the way from 64-bit
// code into compatibility mode, AMD's let them fail the check of the limit. Measured
// (testsuite/native on family 6 model 207): the SDM does not say.
u64 entry_offset(const Cpu& cpu, const Segment& cs, u64 offset);
// Loads CS with RPL = `level`, makes that the CPL, sets rip.
void enter_code(Cpu& cpu, Segment cs, unsigned level, u64 rip);
// Code segment named by a gate: #GP unless code with DPL <= CPL, #NP; in long mode L must be set.
// cs.dpl() (non-conforming) is the level to enter; marks the descriptor accessed.
[[nodiscard]] bool gate_code_segment(Cpu& cpu, u16 selector, Segment& cs);
// The level that code entered through a gate runs at.
unsigned gate_level(const Cpu& cpu, const Segment& cs);

// SSn:ESPn of the current 16- or 32-bit TSS; #TS(TR) if the TSS is too short.
[[nodiscard]] bool tss_stack(Cpu& cpu, unsigned level, u16& ss, u64& sp);
// 8-byte stack pointer at `offset` of the 64-bit TSS; #TS(TR), #SS if not canonical.
[[nodiscard]] bool tss_rsp(Cpu& cpu, unsigned offset, u64& rsp);
inline constexpr unsigned tss_rsp_offset(unsigned level) { return 4 + 8 * level; }
inline constexpr unsigned tss_ist_offset(unsigned ist) { return 0x24 + 8 * (ist - 1); }

// A TSS or task-gate selector has been reached by JMP or CALL: DPL checks, then the task switch.
Step transfer_to_task(Cpu& cpu, const Insn& insn, u16 selector, u64 descriptor,
                      TaskSwitchSource source);
// TSS selector out of a task gate: must be a present TSS of the GDT.
[[nodiscard]] bool check_task_gate_target(Cpu& cpu, u16 tss_selector);

}  // namespace rm::cpu
