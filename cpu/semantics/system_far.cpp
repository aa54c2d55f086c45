// Far JMP, CALL, RET, IRET; software interrupts; fast system calls.
// Source: SDM 2 of each; SDM 3A 5.8.7-5.8.8; APM2 6.1 and APM3 SYSCALL, SYSENTER for AMD's rules.
#include "cpu/events/gates.h"
#include "cpu/semantics/system_bodies.h"
#include "cpu/state/segments.h"
#include "cpu/system/segments.h"

namespace rm::cpu {

namespace {

constexpr u64 kMask32 = 0xFFFFFFFF;
bool is_canonical(u64 v) { return sign_extend(v, 48) == v; }
bool amd(const Cpu& cpu) { return cpu.model.vendor == Vendor::kAmd; }

// ptr16:16/32, or m16:16/32/64.
bool far_target(Cpu& cpu, const Insn& i, u16& selector, u64& offset) {
    if (i.kind(0) == OperandKind::kImm) {
        selector = i.far_selector();
        offset = i.imm & low_mask(i.size() * 8);
        return true;
    }
    const unsigned size = far_offset_size(cpu, i);
    const auto o = load_sized(cpu, i, size);
    if (!o.ok()) return false;
    const auto s = PlainEngine{cpu}.load<u16>(shifted(i, size));
    if (!s.ok()) return false;
    offset = o.value;
    selector = s.value;
    return true;
}

// Flat CS and SS as the fast system calls load them.
void enter_flat(Cpu& cpu, u16 cs, u32 cs_attr, u16 ss, unsigned level, u64 rip) {
    set_segment(cpu, kCs, flat_segment(cs, cs_attr, level));
    set_segment(cpu, kSs, flat_segment(ss, kFlatData, level));
    cpu.rip = rip;
    set_cpl(cpu, static_cast<u8>(level));
}

}  // namespace

Step jmp_far(Cpu& cpu, const Insn& i) {
    u16 selector;
    u64 offset;
    RM_TRY(far_target(cpu, i, selector, offset));
    return far_jump(cpu, i, selector, offset);
}

Step call_far(Cpu& cpu, const Insn& i) {
    u16 selector;
    u64 offset;
    RM_TRY(far_target(cpu, i, selector, offset));
    return far_call(cpu, i, selector, offset);
}

Step ret_far(Cpu& cpu, const Insn& i) {
    return far_return(cpu, i, i.kind(0) == OperandKind::kImm ? static_cast<u16>(i.imm) : 0);
}

Step iret(Cpu& cpu, const Insn& i) { return interrupt_return(cpu, i); }

Step int_n(Cpu& cpu, const Insn& i) {
    const u8 vector = static_cast<u8>(i.imm);
    if (cpu.v86() && cpu.iopl() < 3) {
        bool redirected;
        RM_TRY(vme_redirection(cpu, vector, redirected));
        if (!redirected) return cpu.raise_gp(0);
    }
    return cpu.raise_event(
        {.vector = vector, .type = EventType::kSoftwareInterrupt, .insn_length = i.length});
}

Step int3(Cpu& cpu, const Insn& i) {
    return cpu.raise_event(
        {.vector = kBp, .type = EventType::kSoftwareException, .insn_length = i.length});
}

Step int1(Cpu& cpu, const Insn& i) {
    return cpu.raise_event(
        {.vector = kDb, .type = EventType::kPrivilegedSoftwareException, .insn_length = i.length});
}

Step into(Cpu& cpu, const Insn& i) {
    if (!(cpu.cc & kCcOf)) return Step::kNext;
    return cpu.raise_event(
        {.vector = kOf, .type = EventType::kSoftwareException, .insn_length = i.length});
}

Step bound(Cpu& cpu, const Insn& i) {
    const unsigned size = i.size();
    RM_LET(lower, load_sized(cpu, i, size));
    RM_LET(upper, load_sized(cpu, shifted(i, size), size));
    auto number = [size](u64 v) { return static_cast<i64>(sign_extend(v, size * 8)); };
    const i64 index = number(gpr_at(cpu, i.reg[0], size));
    if (index < number(lower) || index > number(upper)) return cpu.raise(kBr);
    return Step::kNext;
}

Step syscall_(Cpu& cpu, const Insn& i) {
    const bool long_form = cpu.long_mode();
    if (!(cpu.efer & kEferSce) || (!amd(cpu) && !cpu.code64())) return cpu.raise_ud();
    const u16 cs = static_cast<u16>(cpu.msr.star >> 32) & 0xFFFC;
    const u64 next = cpu.next_rip(i);
    if (!long_form) {
        cpu.gpr[kRcx] = next;
        set_flags_register(cpu, cpu.rflags() & ~(kFlagVm | kFlagIf | kFlagRf));
        enter_flat(cpu, cs, kFlatCode32, cs + 8, 0, cpu.msr.star & kMask32);
        return Step::kJump;
    }
    const u64 target = cpu.code64() ? cpu.msr.lstar : cpu.msr.cstar;
    cpu.gpr[kRcx] = next;
    cpu.gpr[kR11] = cpu.rflags() & ~kFlagRf;
    set_flags_register(cpu, (cpu.rflags() & ~(cpu.msr.sfmask | kFlagRf)) | 2);
    enter_flat(cpu, cs, kFlatCode64, cs + 8, 0, target);
    return Step::kJump;
}

Step sysret(Cpu& cpu, const Insn& i) {
    if (!(cpu.efer & kEferSce) || (!amd(cpu) && !cpu.code64())) return cpu.raise_ud();
    if (!cpu.protected_mode() || cpu.cpl != 0) return cpu.raise_gp(0);
    const u16 base = static_cast<u16>(cpu.msr.star >> 48);
    const bool to64 = i.size_log2 == 3;
    const u64 target = to64 ? cpu.gpr[kRcx] : cpu.gpr[kRcx] & kMask32;
    if (!amd(cpu) && !is_canonical(target)) return cpu.raise_gp(0);
    constexpr u64 kLoadable = 0x3C7FD7;  // all but RF, VM and reserved bits
    const u64 flags = cpu.long_mode() ? (cpu.gpr[kR11] & kLoadable) | 2 : cpu.rflags() | kFlagIf;
    const u16 cs = static_cast<u16>((base + (to64 ? 16 : 0)) | 3);
    enter_flat(cpu, cs, to64 ? kFlatCode64 : kFlatCode32, static_cast<u16>((base + 8) | 3), 3,
               target);
    set_flags_register(cpu, flags);
    return Step::kJump;
}

Step sysenter(Cpu& cpu, const Insn&) {
    const bool lma = cpu.long_mode();
    if (amd(cpu) && lma) return cpu.raise_ud();
    const u16 cs = static_cast<u16>(cpu.msr.sysenter_cs) & 0xFFFC;
    if (!cpu.protected_mode() || !cs) return cpu.raise_gp(0);
    const u64 mask = lma ? ~u64{0} : kMask32;
    set_flags_register(cpu, cpu.rflags() & ~(kFlagVm | kFlagIf | kFlagRf));
    cpu.gpr[kRsp] = cpu.msr.sysenter_esp & mask;
    enter_flat(cpu, cs, lma ? kFlatCode64 : kFlatCode32, cs + 8, 0, cpu.msr.sysenter_eip & mask);
    return Step::kJump;
}

Step sysexit(Cpu& cpu, const Insn& i) {
    if (!cpu.protected_mode() || cpu.cpl != 0) return cpu.raise_gp(0);
    if (amd(cpu) && cpu.long_mode()) return cpu.raise_ud();
    const u16 base = static_cast<u16>(cpu.msr.sysenter_cs) & 0xFFFC;
    if (!base) return cpu.raise_gp(0);
    const bool to64 = i.size_log2 == 3;
    const u64 mask = to64 ? ~u64{0} : kMask32;
    const u64 rip = cpu.gpr[kRdx] & mask, rsp = cpu.gpr[kRcx] & mask;
    if (!is_canonical(rip) || !is_canonical(rsp)) return cpu.raise_gp(0);
    const u16 cs = static_cast<u16>((base + (to64 ? 32 : 16)) | 3);
    cpu.gpr[kRsp] = rsp;
    enter_flat(cpu, cs, to64 ? kFlatCode64 : kFlatCode32, static_cast<u16>(cs + 8), 3, rip);
    return Step::kJump;
}

}  // namespace rm::cpu
