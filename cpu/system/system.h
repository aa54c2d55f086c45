// System-level operations that instructions, event delivery and VT emulation share. Functions that
// return Step follow the body rules (kFault: cpu.raised set, nothing changed). Functions named
// set_* store without checks and bring the derived state up to date; VM entry and exit use those.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

// --- control registers (SDM 3A 2.5; checks as MOV CRn performs them). Value in, side effects done:
// paging context, TLB flushes, mode word, PDPTE loads, LMA. Not asked here: intercepts.
Step write_cr0(Cpu& cpu, u64 value);
Step write_cr3(Cpu& cpu, u64 value);
Step write_cr4(Cpu& cpu, u64 value);
Step write_cr8(Cpu& cpu, u64 value);
bool write_efer(Cpu& cpu, u64 value);  // false: #GP
Step write_xcr0(Cpu& cpu, u32 index, u64 value);
// Bits of CR4 / EFER the model implements.
u64 cr4_allowed(const Model& model);
u64 efer_allowed(const Model& model);
// Loads PDPTE registers from CR3 (PAE paging). False: cpu.raised is #GP(0) or a memory fault.
[[nodiscard]] bool load_pdptes(Cpu& cpu, u64 cr3);

// --- MSRs: rows in cpu/system/msr.def. False: #GP(0). ask vt first.
bool read_msr(Cpu& cpu, u32 msr, u64& value);
bool write_msr(Cpu& cpu, u32 msr, u64 value);

// --- segments ---
// Raw descriptor (8 bytes) to segment cache: base, limit with granularity, attributes.
Segment segment_from_descriptor(u16 selector, u64 descriptor);
// Real-mode / virtual-8086 load: base = selector << 4 (limit and attributes kept / set as manual).
void set_real_segment(Cpu& cpu, SegReg s, u16 selector);
// MOV/POP/LxS to ES, CS(not), SS, DS, FS, GS in any mode, all checks.
Step load_segment(Cpu& cpu, SegReg s, u16 selector);
// Reads the 8-byte descriptor of a selector from GDT/LDT; false: cpu.raised (#GP(sel) or `vector`).
[[nodiscard]] bool read_descriptor(Cpu& cpu, u16 selector, u64& descriptor, LinearAddr& at,
                                   u8 vector = kGp);
void set_cpl(Cpu& cpu, u8 cpl);  // and what depends on it

// --- far transfers, used by instructions and by event delivery ---
Step far_jump(Cpu& cpu, const Insn& insn, u16 selector, u64 offset);
Step far_call(Cpu& cpu, const Insn& insn, u16 selector, u64 offset);
Step far_return(Cpu& cpu, const Insn& insn, u16 release_bytes);
Step interrupt_return(Cpu& cpu, const Insn& insn);
Step task_switch(Cpu& cpu, u16 tss_selector, TaskSwitchSource source, u64 return_rip,
                 bool has_error = false, u32 error = 0);

// --- flags: POPF/IRET semantics live with their instructions; this one stores and updates modes.
void set_flags_register(Cpu& cpu, u64 rflags);

// --- I/O permission (CPL, IOPL, TSS bitmap; SDM 1 19.5). False: cpu.raised.
[[nodiscard]] bool check_io(Cpu& cpu, u16 port, unsigned size);
// I/O breakpoints (CR4.DE) for an access that is about to be made; hits go to pending_db.
void io_breakpoints(Cpu& cpu, u16 port, unsigned size);

// --- TLB maintenance as instructions demand it ---
void invalidate_page(Cpu& cpu, LinearAddr va);

// --- debug (SDM 3B 17.2): DR6 bits of instruction breakpoints that match; 0 if none or RF is set.
u64 instruction_breakpoints(Cpu& cpu, LinearAddr va);

// --- SMM (SDM 3C chapter 34) ---
void enter_smm(Cpu& cpu);
Step leave_smm(Cpu& cpu, const Insn& insn);

}  // namespace rm::cpu
