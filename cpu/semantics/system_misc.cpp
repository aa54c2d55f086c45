// I/O, time, identification, power states, RSM, UDn.
// Source: SDM 2 IN, OUT, HLT, MONITOR, MWAIT, RDTSC, RDTSCP, RDPMC, CPUID, RSM; SDM 1 19.5; SDM
// 3A 8.10.
#include "cpu/semantics/system_bodies.h"

namespace rm::cpu {

namespace {

constexpr u64 kMask32 = 0xFFFFFFFF;
constexpr u64 kLineSize = 64;

u16 port_operand(const Cpu& cpu, const Insn& i, unsigned n) {
    return i.kind(n) == OperandKind::kImm ? static_cast<u8>(i.imm)
                                          : static_cast<u16>(cpu.gpr[kRdx]);
}

void put_tsc(Cpu& cpu) {
    const u64 tsc = cpu.seen_tsc();
    cpu.gpr[kRax] = tsc & kMask32;
    cpu.gpr[kRdx] = tsc >> 32;
}

}  // namespace

Step in(Cpu& cpu, const Insn& i) {
    const u16 port = port_operand(cpu, i, 1);
    const unsigned size = i.size();
    RM_TRY(check_io(cpu, port, size));
    RM_ASK(cpu, i, kIO);
    io_breakpoints(cpu, port, size);
    cpu.before_device_access();
    set_gpr_at(cpu, 0, size, cpu.io.read(port, size));
    return Step::kEnd;
}

Step out(Cpu& cpu, const Insn& i) {
    const u16 port = port_operand(cpu, i, 0);
    const unsigned size = i.size();
    RM_TRY(check_io(cpu, port, size));
    RM_ASK(cpu, i, kIO);
    io_breakpoints(cpu, port, size);
    cpu.before_device_access();
    cpu.io.write(port, size, static_cast<u32>(gpr_at(cpu, 0, size)));
    return Step::kEnd;
}

Step hlt(Cpu& cpu, const Insn&) {
    cpu.activity = Activity::kHlt;
    cpu.recheck_events();
    return Step::kEnd;
}

Step monitor(Cpu& cpu, const Insn& i) {
    if (cpu.cpl != 0) return cpu.raise_ud();
    RM_ASK(cpu, i, kMONITOR);
    if (cpu.gpr[kRcx] & kMask32) return cpu.raise_gp(0);
    // DS:rAX under the address size; a byte load in all respects.
    Insn j = i;
    j.base = kRax;
    j.index = kZeroReg;
    j.disp = 0;
    PlainEngine e{cpu};
    RM_TRY(e.load<u8>(j).ok());
    LinearAddr va;
    RM_TRY((e.linear_of<1, memory::Access::kRead>(j, va)));
    const auto t = memory::walk(cpu.memory, cpu.mmu.context(), va, memory::Access::kRead,
                                cpu.mmu.data_class());
    cpu.monitor_armed = t && cpu.memory.page(t->machine).plain_ram();
    if (!cpu.monitor_armed) return Step::kNext;
    cpu.monitor_address = t->machine & ~(kLineSize - 1);
    for (unsigned n = 0; n < cpu.monitor_line.size(); ++n)
        cpu.monitor_line[n] = cpu.memory.load(cpu.monitor_address + n * 8, 8);
    return Step::kNext;
}

Step mwait(Cpu& cpu, const Insn& i) {
    if (cpu.cpl != 0) return cpu.raise_ud();
    RM_ASK(cpu, i, kMWAIT);
    constexpr u64 kBreakOnInterrupt = 1;
    const u64 extensions = cpu.gpr[kRcx] & kMask32;
    if (extensions & ~kBreakOnInterrupt) return cpu.raise_gp(0);
    // Without an armed monitor, or after a store to the line, MWAIT does nothing.
    if (!cpu.monitor_armed || cpu.monitor_hit()) {
        cpu.monitor_armed = false;
        return Step::kEnd;
    }
    cpu.monitor_armed = false;
    cpu.mwait_any_interrupt = extensions & kBreakOnInterrupt;
    cpu.activity = Activity::kMwait;
    cpu.recheck_events();
    return Step::kEnd;
}

Step rdtsc(Cpu& cpu, const Insn& i) {
    if (cpu.tsc_forbidden()) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kRDTSC);
    put_tsc(cpu);
    return Step::kNext;
}

Step rdtscp(Cpu& cpu, const Insn& i) {
    if (cpu.tsc_forbidden()) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kRDTSCP);
    put_tsc(cpu);
    cpu.gpr[kRcx] = cpu.msr.tsc_aux & kMask32;
    return Step::kNext;
}

Step rdpmc(Cpu& cpu, const Insn& i) {
    if (!(cpu.cr4 & kCr4Pce) && cpu.protected_mode() && cpu.cpl != 0) return cpu.raise_gp(0);
    RM_ASK(cpu, i, kRDPMC);
    // AMD has four counters by family; Intel's are announced in leaf 0AH, where there are none.
    const u64 n = cpu.gpr[kRcx] & kMask32;
    if (cpu.model.vendor != Vendor::kAmd || n > 3) return cpu.raise_gp(0);
    const u64 value = cpu.msr.perf_ctr[n] & low_mask(48);
    cpu.gpr[kRax] = value & kMask32;
    cpu.gpr[kRdx] = value >> 32;
    return Step::kNext;
}

Step cpuid(Cpu& cpu, const Insn&) {
    const CpuidResult r = cpu.model.cpuid(
        static_cast<u32>(cpu.gpr[kRax]), static_cast<u32>(cpu.gpr[kRcx]), cpu.config.index,
        cpu.config.processors, cpu.cr4 & kCr4Osxsave, cpu.lapic.apic_base() & bit(11), cpu.xcr0);
    cpu.gpr[kRax] = r.eax;
    cpu.gpr[kRbx] = r.ebx;
    cpu.gpr[kRcx] = r.ecx;
    cpu.gpr[kRdx] = r.edx;
    cpu.serialize();
    return Step::kNext;
}

Step rsm(Cpu& cpu, const Insn& i) { return leave_smm(cpu, i); }
Step nothing(Cpu&, const Insn&) { return Step::kNext; }
Step undefined(Cpu& cpu, const Insn&) { return cpu.raise_ud(); }

}  // namespace rm::cpu
