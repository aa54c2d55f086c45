// Bodies of the system rows (cpu/instructions/system.def), and the operand helpers they share.
#pragma once
#include "cpu/interpreter/value_engine.h"
#include "cpu/system/system.h"

namespace rm::cpu {

// Guest mode, for checks that come before the VM exit: does the profile intercept this here?
// kNext: no, go on. Otherwise return the Step.
inline Step ask_intercept(Cpu& cpu, const Insn& i, Intercept id) {
    if (!cpu.in_guest() || cpu.vt->answer(cpu.vt_profile, id) == InterceptAnswer::kNever)
        return Step::kNext;
    return cpu.vt->intercept(cpu, i, id);
}
#define RM_ASK(cpu, insn, id)                                                           \
    do {                                                                                \
        if (::rm::cpu::Step asked = ask_intercept(cpu, insn, ::rm::cpu::Intercept::id); \
            asked != ::rm::cpu::Step::kNext)                                            \
            return asked;                                                               \
    } while (0)

using PlainEngine = ValueEngine<OperandKind::kNone, OperandKind::kNone>;

// Register operand: `offset` as in Insn::reg.
inline u64 gpr_at(const Cpu& cpu, u8 offset, unsigned size) {
    u64 v = 0;
    __builtin_memcpy(&v, reinterpret_cast<const u8*>(cpu.gpr) + offset, size);
    return v;
}
// 32-bit results zero-extend (SDM 1 3.4.1.1).
inline void set_gpr_at(Cpu& cpu, u8 offset, unsigned size, u64 v) {
    __builtin_memcpy(reinterpret_cast<u8*>(cpu.gpr) + offset, &v, size);
    if (size == 4) __builtin_memset(reinterpret_cast<u8*>(cpu.gpr) + offset + 4, 0, 4);
}
// Operand n as a 16-bit register or memory source.
inline Maybe<u16> operand16(Cpu& cpu, const Insn& i, unsigned n) {
    if (i.kind(n) == OperandKind::kReg) return {static_cast<u16>(gpr_at(cpu, i.reg[n], 2)), true};
    return PlainEngine{cpu}.load<u16>(i);
}
// Memory operand moved by `extra` bytes.
inline Insn shifted(const Insn& i, unsigned extra) {
    Insn j = i;
    j.disp += extra;
    return j;
}
// Bytes of the offset in a far pointer in memory: AMD has no m16:64, REX.W changes nothing there
// (APM3 CALL, JMP, LFS; SDM 2 of each).
inline unsigned far_offset_size(const Cpu& cpu, const Insn& i) {
    return i.size() == 8 && cpu.model.vendor == Vendor::kAmd ? 4 : i.size();
}
Maybe<u64> load_sized(Cpu& cpu, const Insn& i, unsigned size);  // size 2, 4, 8
// Operand 0 of SLDT, STR, SMSW: a register of the operand size, or 16 bits of memory.
Step store_word(Cpu& cpu, const Insn& i, u64 value);

// system_far.cpp
Step jmp_far(Cpu&, const Insn&);
Step call_far(Cpu&, const Insn&);
Step ret_far(Cpu&, const Insn&);
Step iret(Cpu&, const Insn&);
Step int_n(Cpu&, const Insn&);
Step int3(Cpu&, const Insn&);
Step int1(Cpu&, const Insn&);
Step into(Cpu&, const Insn&);
Step bound(Cpu&, const Insn&);
Step syscall_(Cpu&, const Insn&);
Step sysret(Cpu&, const Insn&);
Step sysenter(Cpu&, const Insn&);
Step sysexit(Cpu&, const Insn&);

// system_segment.cpp
Step mov_sreg(Cpu&, const Insn&);
Step push_sreg(Cpu&, const Insn&);
Step pop_sreg(Cpu&, const Insn&);
Step load_far_pointer(Cpu&, const Insn&, SegReg s);
template <SegReg S>
Step load_far(Cpu& cpu, const Insn& i) {
    return load_far_pointer(cpu, i, S);
}
Step lar(Cpu&, const Insn&);
Step lsl(Cpu&, const Insn&);
Step verr(Cpu&, const Insn&);
Step verw(Cpu&, const Insn&);
Step arpl(Cpu&, const Insn&);
Step read_base_of(Cpu&, const Insn&, SegReg s);
Step write_base_of(Cpu&, const Insn&, SegReg s);
template <SegReg S>
Step read_base(Cpu& cpu, const Insn& i) {
    return read_base_of(cpu, i, S);
}
template <SegReg S>
Step write_base(Cpu& cpu, const Insn& i) {
    return write_base_of(cpu, i, S);
}

// system_tables.cpp
Step sldt(Cpu&, const Insn&);
Step str(Cpu&, const Insn&);
Step lldt(Cpu&, const Insn&);
Step ltr(Cpu&, const Insn&);
Step sgdt(Cpu&, const Insn&);
Step sidt(Cpu&, const Insn&);
Step lgdt(Cpu&, const Insn&);
Step lidt(Cpu&, const Insn&);

// system_control.cpp
Step mov_cr(Cpu&, const Insn&);
Step mov_dr(Cpu&, const Insn&);
Step clts(Cpu&, const Insn&);
Step lmsw(Cpu&, const Insn&);
Step smsw(Cpu&, const Insn&);
Step xgetbv(Cpu&, const Insn&);
Step xsetbv(Cpu&, const Insn&);
Step invlpg(Cpu&, const Insn&);
Step invpcid(Cpu&, const Insn&);
Step rdmsr(Cpu&, const Insn&);
Step wrmsr(Cpu&, const Insn&);

// system_flags.cpp. Those of CLI, STI and PUSHF are for what system_simple.h leaves to them.
Step cli(Cpu&, const Insn&);
Step sti(Cpu&, const Insn&);
template <class T>
Step pushf(Cpu&, const Insn&);
template <class T>
Step popf(Cpu&, const Insn&);
template <bool On>
Step set_ac(Cpu&, const Insn&);

// system_misc.cpp
Step in(Cpu&, const Insn&);
Step out(Cpu&, const Insn&);
Step hlt(Cpu&, const Insn&);
Step monitor(Cpu&, const Insn&);
Step mwait(Cpu&, const Insn&);
Step rdtsc(Cpu&, const Insn&);
Step rdtscp(Cpu&, const Insn&);
Step rdpmc(Cpu&, const Insn&);
Step cpuid(Cpu&, const Insn&);
Step rsm(Cpu&, const Insn&);
Step nothing(Cpu&, const Insn&);
Step undefined(Cpu&, const Insn&);

}  // namespace rm::cpu
