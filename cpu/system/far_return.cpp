// Far RET and IRET: real mode, virtual-8086 (with VME), same level, outer level, to virtual-8086,
// nested tasks, 64-bit. The stack is read with the current privilege.
// Source: SDM 2 RET, IRET; SDM 3A 5.8.6, 6.12.1, 20.2; APM2 8.2.
#include "cpu/system/segments.h"
#include "cpu/system/stack.h"
#include "cpu/system/system.h"
#include "cpu/system/transfer.h"

namespace rm::cpu {

namespace {

// Where a return goes, all checks done.
struct Return {
    Segment cs, ss;
    u64 rip = 0, rsp = 0;
    bool with_stack = false;  // SS:RSP come from the stack
    unsigned level = 0;
};

bool return_code_segment(Cpu& cpu, u16 selector, Return& to) {
    if (!(selector & ~3u)) return cpu.fail(kGp, 0);
    u64 d;
    LinearAddr at;
    if (!read_descriptor(cpu, selector, d, at)) return false;
    to.cs = segment_from_descriptor(selector, d);
    to.level = selector & 3;
    const bool code = to.cs.s() && (to.cs.type() & 8), conforming = to.cs.type() & 4;
    const bool dpl_ok = conforming ? to.cs.dpl() <= to.level : to.cs.dpl() == to.level;
    if (!code || to.level < cpu.cpl || !dpl_ok || (cpu.long_mode() && to.cs.l() && to.cs.db()))
        return cpu.fail(kGp, selector_error(cpu, selector));
    if (!to.cs.present()) return cpu.fail(kNp, selector_error(cpu, selector));
    return mark_accessed(cpu, at, to.cs);
}

bool return_stack_segment(Cpu& cpu, u16 selector, Return& to) {
    if (selector & ~3u) return check_stack_segment(cpu, selector, to.level, kGp, to.ss);
    // Null is fine for 64-bit code below CPL 3.
    const bool to64 = cpu.long_mode() && to.cs.l();
    if (!to64 || to.level == 3 || (selector & 3u) != to.level) return cpu.fail(kGp, 0);
    to.ss = null_segment(selector);
    to.ss.attr |= to.level << 5;
    return true;
}

void complete_return(Cpu& cpu, const Return& to, u64 release) {
    const bool outer = to.level != cpu.cpl;
    if (to.with_stack) {
        set_segment(cpu, kSs, to.ss);
        const bool to64 = cpu.long_mode() && to.cs.l();
        const u64 mask = to64 ? ~u64{0} : to.ss.db() ? 0xFFFFFFFF : 0xFFFF;
        const u64 sp = (to.rsp + release) & mask;
        cpu.gpr[kRsp] = mask == 0xFFFF ? (cpu.gpr[kRsp] & 0xFFFF0000) | sp : sp;
    }
    enter_code(cpu, to.cs, to.level, to.rip);
    if (outer) drop_inaccessible_segments(cpu);
}

Step real_far_return(Cpu& cpu, const Insn& insn, u16 release) {
    Stack stack = Stack::current(cpu);
    u64 ip, cs;
    RM_TRY(stack.pop(ip, insn.size()));
    RM_TRY(stack.pop(cs, insn.size()));
    if (ip > cpu.seg[kCs].limit) return cpu.raise_gp(0);
    stack.skip(release);
    stack.commit();
    set_real_segment(cpu, kCs, static_cast<u16>(cs));
    cpu.rip = ip;
    cpu.update_mode();
    return Step::kJump;
}

// Flags that IRET takes from its image at the current CPL (SDM 2 IRET).
u64 iret_flags_mask(const Cpu& cpu, unsigned size) {
    u64 mask = kFlagsArith | kFlagTf | kFlagDf | kFlagNt;
    if (size > 2) mask |= kFlagRf | kFlagAc | kFlagId;
    if (cpu.cpl <= cpu.iopl()) mask |= kFlagIf;
    if (cpu.cpl == 0) mask |= kFlagIopl | (size > 2 ? kFlagVif | kFlagVip : 0);
    return mask;
}

void unblock_nmi(Cpu& cpu) {
    if (cpu.nmi_blocked) {
        cpu.nmi_blocked = false;
        cpu.recheck_events();
    }
    if (cpu.vt) cpu.vt->iret_done(cpu);
}

void load_flags(Cpu& cpu, u64 image, u64 mask) {
    set_flags_register(cpu, (cpu.rflags() & ~mask) | (image & mask));
}

// Virtual-8086 IRET with IOPL < 3 and CR4.VME: IF of the image goes to VIF (SDM 3A 20.3.3).
Step iret_vme(Cpu& cpu, Stack& stack, u64 ip, u64 cs, u64 image) {
    if ((image & kFlagTf) || ((image & kFlagIf) && cpu.flag(kFlagVip))) return cpu.raise_gp(0);
    stack.commit();
    set_real_segment(cpu, kCs, static_cast<u16>(cs));
    cpu.rip = ip;
    const u64 vif = image & kFlagIf ? kFlagVif : 0;
    const u64 mask = kFlagsArith | kFlagTf | kFlagDf | kFlagNt;
    load_flags(cpu, (image & mask) | vif, mask | kFlagVif);
    cpu.update_mode();
    unblock_nmi(cpu);
    return Step::kJump;
}

Step iret_real_or_v86(Cpu& cpu, unsigned size) {
    const bool v86 = cpu.v86();
    const bool vme = v86 && cpu.iopl() < 3 && (cpu.cr4 & kCr4Vme) && size == 2;
    if (v86 && cpu.iopl() < 3 && !vme) return cpu.raise_gp(0);
    Stack stack = Stack::current(cpu);
    u64 ip, cs, image;
    RM_TRY(stack.pop(ip, size));
    RM_TRY(stack.pop(cs, size));
    RM_TRY(stack.pop(image, size));
    if (ip > cpu.seg[kCs].limit) return cpu.raise_gp(0);
    if (vme) return iret_vme(cpu, stack, ip, cs, image);
    stack.commit();
    set_real_segment(cpu, kCs, static_cast<u16>(cs));
    cpu.rip = ip;
    u64 mask = kFlagsArith | kFlagTf | kFlagIf | kFlagDf | kFlagNt;
    if (!v86) mask |= kFlagIopl;
    if (size > 2) mask |= kFlagRf | kFlagAc | kFlagId;
    load_flags(cpu, image, mask);
    cpu.update_mode();
    unblock_nmi(cpu);
    return Step::kJump;
}

// CPL 0, VM set in the 32-bit image.
Step iret_to_v86(Cpu& cpu, Stack& stack, u64 ip, u64 cs, u64 image) {
    u64 esp, selectors[kSegRegs];
    RM_TRY(stack.pop(esp, 4));
    for (SegReg s : {kSs, kEs, kDs, kFs, kGs}) RM_TRY(stack.pop(selectors[s], 4));
    if (ip > 0xFFFF) return cpu.raise_gp(0);
    selectors[kCs] = cs;
    constexpr u64 kMask = kFlagsArith | kFlagTf | kFlagIf | kFlagDf | kFlagIopl | kFlagNt |
                          kFlagRf | kFlagVm | kFlagAc | kFlagVif | kFlagVip | kFlagId;
    cpu.cpl = 3;
    load_flags(cpu, image, kMask);
    for (u8 s = 0; s < kSegRegs; ++s)
        set_real_segment(cpu, static_cast<SegReg>(s), static_cast<u16>(selectors[s]));
    cpu.gpr[kRsp] = esp;
    cpu.rip = ip;
    cpu.update_mode();
    unblock_nmi(cpu);
    return Step::kJump;
}

// NT set: back to the task in the current TSS's link field.
Step iret_task(Cpu& cpu, const Insn& insn) {
    if (cpu.long_mode()) return cpu.raise_gp(0);
    u16 link;
    RM_TRY(cpu.read_system(cpu.tr.base, link));
    const Step step = task_switch(cpu, link, TaskSwitchSource::kIret, cpu.next_rip(insn));
    if (step == Step::kJump) unblock_nmi(cpu);
    return step;
}

Step iret_protected(Cpu& cpu, const Insn& insn) {
    const unsigned size = insn.size();
    Stack stack = Stack::current(cpu);
    u64 cs, image, rsp = 0, ss = 0;
    Return to;
    RM_TRY(stack.pop(to.rip, size));
    RM_TRY(stack.pop(cs, size));
    RM_TRY(stack.pop(image, size));
    if (size == 4 && (image & kFlagVm) && cpu.cpl == 0 && !cpu.long_mode())
        return iret_to_v86(cpu, stack, to.rip, cs, image);
    RM_TRY(return_code_segment(cpu, static_cast<u16>(cs), to));
    to.with_stack = cpu.code64() || to.level != cpu.cpl;
    if (to.with_stack) {
        RM_TRY(stack.pop(rsp, size));
        RM_TRY(stack.pop(ss, size));
        to.rsp = rsp;
        RM_TRY(return_stack_segment(cpu, static_cast<u16>(ss), to));
    }
    to.rip = entry_offset(cpu, to.cs, to.rip);
    RM_TRY(check_entry_point(cpu, to.cs, to.rip));
    const u64 mask = iret_flags_mask(cpu, size);
    if (!to.with_stack) stack.commit();
    complete_return(cpu, to, 0);
    load_flags(cpu, image, mask);
    unblock_nmi(cpu);
    return Step::kJump;
}

}  // namespace

Step far_return(Cpu& cpu, const Insn& insn, u16 release) {
    if (cpu.real_or_v86()) return real_far_return(cpu, insn, release);
    const unsigned size = insn.size();
    Stack stack = Stack::current(cpu);
    u64 cs, ss;
    Return to;
    RM_TRY(stack.pop(to.rip, size));
    RM_TRY(stack.pop(cs, size));
    RM_TRY(return_code_segment(cpu, static_cast<u16>(cs), to));
    stack.skip(release);
    to.with_stack = to.level != cpu.cpl;
    if (to.with_stack) {
        RM_TRY(stack.pop(to.rsp, size));
        RM_TRY(stack.pop(ss, size));
        RM_TRY(return_stack_segment(cpu, static_cast<u16>(ss), to));
    }
    to.rip = entry_offset(cpu, to.cs, to.rip);
    RM_TRY(check_entry_point(cpu, to.cs, to.rip));
    if (!to.with_stack) stack.commit();
    complete_return(cpu, to, release);
    return Step::kJump;
}

Step interrupt_return(Cpu& cpu, const Insn& insn) {
    // IRET unblocks NMIs even if it faults (SDM 3A 6.7.1). In a guest the VM exit that may come of
    // the fault has to report the blocking, so there it ends only with success.
    if (!cpu.in_guest() && cpu.nmi_blocked) {
        cpu.nmi_blocked = false;
        cpu.recheck_events();
    }
    if (cpu.real_or_v86()) return iret_real_or_v86(cpu, insn.size());
    if (cpu.flag(kFlagNt)) return iret_task(cpu, insn);
    return iret_protected(cpu, insn);
}

}  // namespace rm::cpu
