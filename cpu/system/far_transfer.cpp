// Far JMP and CALL: real mode, direct, through call gates (with stack switch), to tasks.
// Source: SDM 2 JMP, CALL; SDM 3A 5.8; APM2 4.11.2 for call gates in long mode.
#include "cpu/system/segments.h"
#include "cpu/system/stack.h"
#include "cpu/system/system.h"
#include "cpu/system/transfer.h"

namespace rm::cpu {

namespace {

struct CallGate {
    u16 selector = 0;
    u64 offset = 0;
    unsigned parameters = 0;
    unsigned size = 4;  // bytes of what is pushed
};

unsigned required_level(const Cpu& cpu, u16 selector) {
    const unsigned rpl = selector & 3;
    return rpl > cpu.cpl ? rpl : cpu.cpl;
}

bool is_code(u64 d) { return (d >> 43 & 3) == 3; }  // S and type bit 3
bool is_system(u64 d) { return !(d >> 44 & 1); }

// Direct transfer to a code segment (SDM 3A 5.8.1).
bool direct_code_segment(Cpu& cpu, u16 selector, u64 d, LinearAddr at, Segment& cs) {
    cs = segment_from_descriptor(selector, d);
    const bool conforming = cs.type() & 4;
    const bool allowed =
        conforming ? cs.dpl() <= cpu.cpl : (selector & 3u) <= cpu.cpl && cs.dpl() == cpu.cpl;
    if (!allowed || (cpu.long_mode() && cs.l() && cs.db()))
        return cpu.fail(kGp, selector_error(cpu, selector));
    if (!cs.present()) return cpu.fail(kNp, selector_error(cpu, selector));
    return mark_accessed(cpu, at, cs);
}

// A call gate and its checks (SDM 3A 5.8.3-5.8.4).
bool read_call_gate(Cpu& cpu, u16 selector, u64 d, CallGate& gate) {
    const unsigned type = (d >> 40) & 0x1F;
    const bool lma = cpu.long_mode();
    if (((d >> 45) & 3) < required_level(cpu, selector))
        return cpu.fail(kGp, selector_error(cpu, selector));
    gate.selector = static_cast<u16>(d >> 16);
    gate.offset = (d & 0xFFFF) | (d >> 32 & 0xFFFF0000);
    gate.parameters = (d >> 32) & 0x1F;
    gate.size = lma ? 8 : type == 0xC ? 4 : 2;
    if (gate.size == 2) gate.offset &= 0xFFFF;
    if (lma) {
        u64 high;
        LinearAddr at;
        if (!descriptor_address(cpu, selector, 16, at))
            return cpu.fail(kGp, selector_error(cpu, selector));
        if (!cpu.read_system(at + 8, high)) return false;
        if ((high >> 40) & 0x1F) return cpu.fail(kGp, selector_error(cpu, selector));
        gate.offset |= high << 32;
        gate.parameters = 0;
    }
    if (!((d >> 47) & 1)) return cpu.fail(kNp, selector_error(cpu, selector));
    return true;
}

bool call_gate_type(const Cpu& cpu, u64 d) {
    const unsigned type = (d >> 40) & 0x1F;
    return type == 0xC || (type == 4 && !cpu.long_mode());
}

Step jump_through_gate(Cpu& cpu, u16 selector, u64 d) {
    CallGate gate;
    Segment cs;
    RM_TRY(read_call_gate(cpu, selector, d, gate));
    RM_TRY(gate_code_segment(cpu, gate.selector, cs));
    const bool conforming = cs.type() & 4;
    if (!conforming && cs.dpl() != cpu.cpl) return cpu.raise_gp(selector_error(cpu, gate.selector));
    RM_TRY(check_entry_point(cpu, cs, gate.offset));
    enter_code(cpu, cs, cpu.cpl, gate.offset);
    return Step::kJump;
}

Step real_far_jump(Cpu& cpu, u16 selector, u64 offset) {
    if (offset > cpu.seg[kCs].limit) return cpu.raise_gp(0);
    set_real_segment(cpu, kCs, selector);
    cpu.rip = offset;
    cpu.update_mode();
    return Step::kJump;
}

// Same level, or conforming: return address on the current stack.
Step call_same_level(Cpu& cpu, const Insn& insn, const Segment& cs, u64 offset, unsigned size,
                     bool long_gate) {
    Stack stack = long_gate ? Stack::flat64(cpu, cpu.gpr[kRsp], cpu.cpl) : Stack::current(cpu);
    if (long_gate) stack.priv = cpu.mmu.data_class();
    RM_TRY(check_entry_point(cpu, cs, offset));
    RM_TRY(stack.push(cpu.seg[kCs].selector, size));
    RM_TRY(stack.push(cpu.next_rip(insn), size));
    stack.commit();
    enter_code(cpu, cs, cpu.cpl, offset);
    return Step::kJump;
}

Step call_inner_legacy(Cpu& cpu, const Insn& insn, const Segment& cs, const CallGate& gate) {
    const unsigned level = cs.dpl();
    u16 ss_selector;
    u64 sp;
    Segment ss;
    RM_TRY(tss_stack(cpu, level, ss_selector, sp));
    if (!(ss_selector & ~3u)) return cpu.raise_error(kTs, selector_error(cpu, ss_selector));
    RM_TRY(check_stack_segment(cpu, ss_selector, level, kTs, ss));
    u64 parameters[32];
    Stack old = Stack::current(cpu);
    const u64 old_sp = cpu.gpr[kRsp];
    for (unsigned n = 0; n < gate.parameters; ++n) RM_TRY(old.pop(parameters[n], gate.size));
    RM_TRY(check_entry_point(cpu, cs, gate.offset));
    Stack stack = Stack::legacy(cpu, ss, sp, level, selector_error(cpu, ss_selector));
    RM_TRY(stack.push(cpu.seg[kSs].selector, gate.size));
    RM_TRY(stack.push(old_sp, gate.size));
    for (unsigned n = gate.parameters; n-- > 0;) RM_TRY(stack.push(parameters[n], gate.size));
    RM_TRY(stack.push(cpu.seg[kCs].selector, gate.size));
    RM_TRY(stack.push(cpu.next_rip(insn), gate.size));
    set_segment(cpu, kSs, ss);
    cpu.gpr[kRsp] = stack.mask == 0xFFFF ? (old_sp & ~u64{0xFFFF}) | stack.sp : stack.sp;
    enter_code(cpu, cs, level, gate.offset);
    return Step::kJump;
}

Step call_inner_long(Cpu& cpu, const Insn& insn, const Segment& cs, const CallGate& gate) {
    const unsigned level = cs.dpl();
    u64 rsp;
    RM_TRY(tss_rsp(cpu, tss_rsp_offset(level), rsp));
    RM_TRY(check_entry_point(cpu, cs, gate.offset));
    Stack stack = Stack::flat64(cpu, rsp, level);
    RM_TRY(stack.push(cpu.seg[kSs].selector, 8));
    RM_TRY(stack.push(cpu.gpr[kRsp], 8));
    RM_TRY(stack.push(cpu.seg[kCs].selector, 8));
    RM_TRY(stack.push(cpu.next_rip(insn), 8));
    Segment ss = null_segment(static_cast<u16>(level));
    ss.attr |= level << 5;
    set_segment(cpu, kSs, ss);
    cpu.gpr[kRsp] = stack.sp;
    enter_code(cpu, cs, level, gate.offset);
    return Step::kJump;
}

Step call_through_gate(Cpu& cpu, const Insn& insn, u16 selector, u64 d) {
    CallGate gate;
    Segment cs;
    RM_TRY(read_call_gate(cpu, selector, d, gate));
    RM_TRY(gate_code_segment(cpu, gate.selector, cs));
    if (gate_level(cpu, cs) == cpu.cpl)
        return call_same_level(cpu, insn, cs, gate.offset, gate.size, cpu.long_mode());
    return cpu.long_mode() ? call_inner_long(cpu, insn, cs, gate)
                           : call_inner_legacy(cpu, insn, cs, gate);
}

}  // namespace

bool check_entry_point(Cpu& cpu, const Segment& cs, u64 offset) {
    const bool ok =
        cpu.long_mode() && cs.l() ? sign_extend(offset, 48) == offset : offset <= cs.limit;
    return ok || cpu.fail(kGp, cpu.ext);
}

u64 entry_offset(const Cpu& cpu, const Segment& cs, u64 offset) {
    const bool wide = (cpu.long_mode() && cs.l()) || cpu.model.vendor != Vendor::kIntel;
    return wide ? offset : offset & 0xFFFFFFFF;
}

void enter_code(Cpu& cpu, Segment cs, unsigned level, u64 rip) {
    cs.selector = static_cast<u16>((cs.selector & ~3u) | level);
    set_segment(cpu, kCs, cs);
    cpu.rip = rip;
    set_cpl(cpu, static_cast<u8>(level));
}

bool gate_code_segment(Cpu& cpu, u16 selector, Segment& cs) {
    if (!(selector & ~3u)) return cpu.fail(kGp, cpu.ext);
    u64 d;
    LinearAddr at;
    if (!read_descriptor(cpu, selector, d, at)) return false;
    cs = segment_from_descriptor(selector, d);
    if (!is_code(d) || cs.dpl() > cpu.cpl || (cpu.long_mode() && (!cs.l() || cs.db())))
        return cpu.fail(kGp, selector_error(cpu, selector));
    if (!cs.present()) return cpu.fail(kNp, selector_error(cpu, selector));
    return mark_accessed(cpu, at, cs);
}

unsigned gate_level(const Cpu& cpu, const Segment& cs) {
    return (cs.type() & 4) ? cpu.cpl : cs.dpl();
}

bool tss_stack(Cpu& cpu, unsigned level, u16& ss, u64& sp) {
    const bool wide = cpu.tr.type() & 8;  // 32-bit TSS
    const unsigned offset = wide ? 4 + 8 * level : 2 + 4 * level;
    if (offset + (wide ? 5u : 3u) > cpu.tr.limit)
        return cpu.fail(kTs, selector_error(cpu, cpu.tr.selector));
    const LinearAddr at = cpu.tr.base + offset;
    u32 sp32 = 0;
    u16 sp16 = 0;
    const bool ok = wide ? cpu.read_system(at, sp32) && cpu.read_system(at + 4, ss)
                         : cpu.read_system(at, sp16) && cpu.read_system(at + 2, ss);
    sp = wide ? sp32 : sp16;
    return ok;
}

bool tss_rsp(Cpu& cpu, unsigned offset, u64& rsp) {
    if (offset + 7 > cpu.tr.limit) return cpu.fail(kTs, selector_error(cpu, cpu.tr.selector));
    if (!cpu.read_system(cpu.tr.base + offset, rsp)) return false;
    return sign_extend(rsp, 48) == rsp || cpu.fail(kSs12, cpu.ext);
}

bool check_task_gate_target(Cpu& cpu, u16 tss_selector) {
    u64 d;
    LinearAddr at;
    if ((tss_selector & 4) || !(tss_selector & ~3u))
        return cpu.fail(kGp, selector_error(cpu, tss_selector));
    if (!read_descriptor(cpu, tss_selector, d, at)) return false;
    const unsigned type = (d >> 40) & 0x1F;
    if (type != 1 && type != 9) return cpu.fail(kGp, selector_error(cpu, tss_selector));
    return ((d >> 47) & 1) || cpu.fail(kNp, selector_error(cpu, tss_selector));
}

Step transfer_to_task(Cpu& cpu, const Insn& insn, u16 selector, u64 d, TaskSwitchSource source) {
    const unsigned type = (d >> 40) & 0x1F;
    if (cpu.long_mode() || (type != 1 && type != 9 && type != 5) ||
        ((d >> 45) & 3) < required_level(cpu, selector))
        return cpu.raise_gp(selector_error(cpu, selector));
    if (!((d >> 47) & 1)) return cpu.raise_error(kNp, selector_error(cpu, selector));
    u16 tss = selector;
    if (type == 5) {
        tss = static_cast<u16>(d >> 16);
        RM_TRY(check_task_gate_target(cpu, tss));
    } else if (selector & 4) {
        return cpu.raise_gp(selector_error(cpu, selector));
    }
    return task_switch(cpu, tss, source, cpu.next_rip(insn));
}

Step far_jump(Cpu& cpu, const Insn& insn, u16 selector, u64 offset) {
    if (cpu.real_or_v86()) return real_far_jump(cpu, selector, offset);
    if (!(selector & ~3u)) return cpu.raise_gp(0);
    u64 d;
    LinearAddr at;
    RM_TRY(read_descriptor(cpu, selector, d, at));
    if (is_system(d)) {
        if (call_gate_type(cpu, d)) return jump_through_gate(cpu, selector, d);
        return transfer_to_task(cpu, insn, selector, d, TaskSwitchSource::kJmp);
    }
    if (!is_code(d)) return cpu.raise_gp(selector_error(cpu, selector));
    Segment cs;
    RM_TRY(direct_code_segment(cpu, selector, d, at, cs));
    offset = entry_offset(cpu, cs, offset);
    RM_TRY(check_entry_point(cpu, cs, offset));
    enter_code(cpu, cs, cpu.cpl, offset);
    return Step::kJump;
}

Step far_call(Cpu& cpu, const Insn& insn, u16 selector, u64 offset) {
    const unsigned size = insn.size();
    if (cpu.real_or_v86()) {
        if (offset > cpu.seg[kCs].limit) return cpu.raise_gp(0);
        Stack stack = Stack::current(cpu);
        RM_TRY(stack.push(cpu.seg[kCs].selector, size));
        RM_TRY(stack.push(cpu.next_rip(insn), size));
        stack.commit();
        return real_far_jump(cpu, selector, offset);
    }
    if (!(selector & ~3u)) return cpu.raise_gp(0);
    u64 d;
    LinearAddr at;
    RM_TRY(read_descriptor(cpu, selector, d, at));
    if (is_system(d)) {
        if (call_gate_type(cpu, d)) return call_through_gate(cpu, insn, selector, d);
        return transfer_to_task(cpu, insn, selector, d, TaskSwitchSource::kCall);
    }
    if (!is_code(d)) return cpu.raise_gp(selector_error(cpu, selector));
    Segment cs;
    RM_TRY(direct_code_segment(cpu, selector, d, at, cs));
    return call_same_level(cpu, insn, cs, entry_offset(cpu, cs, offset), size, false);
}

}  // namespace rm::cpu
