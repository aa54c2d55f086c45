// Delivery through the real-mode interrupt table, VME redirection, and the protected-mode IDT with
// interrupt, trap and task gates of 16 and 32 bits.
// Source: SDM 3A 6.11-6.13, 20.1.4, 20.3; SDM 2 INT n (operation).
#include "cpu/events/gates.h"
#include "cpu/system/segments.h"
#include "cpu/system/stack.h"
#include "cpu/system/system.h"
#include "cpu/system/transfer.h"

namespace rm::cpu {

namespace {

struct Gate {
    unsigned type = 0;
    u16 selector = 0;
    u64 offset = 0;
    unsigned size = 4;
    bool interrupt = false;  // clears IF
};

bool read_gate(Cpu& cpu, const Event& event, Gate& gate) {
    const u32 error = idt_error(cpu, event.vector);
    if (event.vector * 8u + 7 > cpu.idtr.limit) return cpu.fail(kGp, error);
    u64 d;
    if (!cpu.read_system((cpu.idtr.base + event.vector * 8u) & 0xFFFFFFFF, d)) return false;
    gate.type = (d >> 40) & 0x1F;
    const bool known =
        gate.type == 5 || gate.type == 6 || gate.type == 7 || gate.type == 0xE || gate.type == 0xF;
    if (!known) return cpu.fail(kGp, error);
    if (checks_gate_dpl(event.type) && ((d >> 45) & 3) < cpu.cpl) return cpu.fail(kGp, error);
    if (!((d >> 47) & 1)) return cpu.fail(kNp, error);
    gate.selector = static_cast<u16>(d >> 16);
    gate.size = gate.type & 8 ? 4 : 2;
    gate.offset = d & 0xFFFF;
    if (gate.size == 4) gate.offset |= d >> 32 & 0xFFFF0000;
    gate.interrupt = !(gate.type & 1);
    return true;
}

void enter_handler(Cpu& cpu, const Segment& cs, unsigned level, const Gate& gate) {
    u64 flags = cpu.rflags() & ~(kFlagTf | kFlagNt | kFlagRf | kFlagVm);
    if (gate.interrupt) flags &= ~kFlagIf;
    set_flags_register(cpu, flags);
    enter_code(cpu, cs, level, gate.offset);
}

bool push_return(Cpu& cpu, Stack& stack, const Event& event, u64 return_rip, unsigned size) {
    return stack.push(cpu.rflags(), size) && stack.push(cpu.seg[kCs].selector, size) &&
           stack.push(return_rip, size) && (!event.has_error || stack.push(event.error, size));
}

Step same_level(Cpu& cpu, const Event& event, u64 return_rip, const Gate& gate, const Segment& cs) {
    Stack stack = Stack::current(cpu);
    RM_TRY(push_return(cpu, stack, event, return_rip, gate.size));
    RM_TRY(check_entry_point(cpu, cs, gate.offset));
    stack.commit();
    enter_handler(cpu, cs, cpu.cpl, gate);
    return Step::kNext;
}

Step inner_level(Cpu& cpu, const Event& event, u64 return_rip, const Gate& gate,
                 const Segment& cs) {
    const unsigned level = cs.dpl();
    const bool v86 = cpu.v86();
    u16 ss_selector;
    u64 sp;
    Segment ss;
    RM_TRY(tss_stack(cpu, level, ss_selector, sp));
    if (!(ss_selector & ~3u)) return cpu.raise_error(kTs, cpu.ext);
    RM_TRY(check_stack_segment(cpu, ss_selector, level, kTs, ss));
    Stack stack = Stack::legacy(cpu, ss, sp, level, selector_error(cpu, ss_selector));
    if (v86)
        for (SegReg s : {kGs, kFs, kDs, kEs}) RM_TRY(stack.push(cpu.seg[s].selector, gate.size));
    RM_TRY(stack.push(cpu.seg[kSs].selector, gate.size));
    RM_TRY(stack.push(cpu.gpr[kRsp], gate.size));
    RM_TRY(push_return(cpu, stack, event, return_rip, gate.size));
    RM_TRY(check_entry_point(cpu, cs, gate.offset));
    enter_handler(cpu, cs, level, gate);
    set_segment(cpu, kSs, ss);
    cpu.update_mode();
    stack.commit();
    if (v86)
        for (SegReg s : {kGs, kFs, kDs, kEs}) set_segment(cpu, s, null_segment(0));
    return Step::kNext;
}

// The error code goes on the new task's stack, in the width of its TSS.
Step through_task_gate(Cpu& cpu, const Event& event, u64 return_rip, const Gate& gate) {
    RM_TRY(check_task_gate_target(cpu, gate.selector));
    const Step step = task_switch(cpu, gate.selector, TaskSwitchSource::kGate, return_rip,
                                  event.has_error, event.error);
    if (step != Step::kJump) return step;
    if (event.has_error) {
        Stack stack = Stack::current(cpu);
        RM_TRY(stack.push(event.error, cpu.tr.type() & 8 ? 4 : 2));
        stack.commit();
    }
    return Step::kNext;
}

}  // namespace

Step deliver_real(Cpu& cpu, const Event& event, u64 return_rip) {
    const u32 at = event.vector * 4u;
    if (at + 3 > cpu.idtr.limit) return cpu.raise_gp(idt_error(cpu, event.vector));
    u32 entry;
    RM_TRY(cpu.read_system((cpu.idtr.base + at) & 0xFFFFFFFF, entry));
    Stack stack = Stack::current(cpu);
    RM_TRY(stack.push(cpu.rflags(), 2));
    RM_TRY(stack.push(cpu.seg[kCs].selector, 2));
    RM_TRY(stack.push(return_rip, 2));
    stack.commit();
    set_real_segment(cpu, kCs, static_cast<u16>(entry >> 16));
    cpu.rip = entry & 0xFFFF;
    set_flags_register(cpu, cpu.rflags() & ~(kFlagIf | kFlagTf | kFlagAc | kFlagRf));
    cpu.update_mode();
    return Step::kNext;
}

bool vme_redirection(Cpu& cpu, u8 vector, bool& redirected) {
    constexpr unsigned kIoBase = 0x66, kMapBytes = 32;
    u16 base;
    u8 map;
    redirected = false;
    if (!(cpu.cr4 & kCr4Vme) || !(cpu.tr.type() & 8) || cpu.tr.limit < kIoBase + 1) return true;
    if (!cpu.read_system(cpu.tr.base + kIoBase, base)) return false;
    const u32 at = base - kMapBytes + vector / 8u;
    if (base < kMapBytes || at > cpu.tr.limit) return true;
    if (!cpu.read_system(cpu.tr.base + at, map)) return false;
    redirected = !((map >> (vector & 7)) & 1);
    return true;
}

Step deliver_vme(Cpu& cpu, const Event& event, u64 return_rip) {
    const bool own_if = cpu.iopl() == 3;
    u64 image = cpu.rflags();
    if (!own_if) image = (image & ~kFlagIf) | kFlagIopl | (cpu.flag(kFlagVif) ? kFlagIf : 0);
    u32 entry;
    RM_TRY(cpu.mmu.load_as(cpu.mmu.data_class(), event.vector * 4u, entry) ||
           cpu.access_failed(kDs));
    Stack stack = Stack::current(cpu);
    RM_TRY(stack.push(image, 2));
    RM_TRY(stack.push(cpu.seg[kCs].selector, 2));
    RM_TRY(stack.push(return_rip, 2));
    stack.commit();
    set_real_segment(cpu, kCs, static_cast<u16>(entry >> 16));
    cpu.rip = entry & 0xFFFF;
    const u64 cleared = kFlagTf | kFlagNt | kFlagRf | (own_if ? kFlagIf : kFlagVif);
    set_flags_register(cpu, cpu.rflags() & ~cleared);
    cpu.update_mode();
    return Step::kNext;
}

Step deliver_protected(Cpu& cpu, const Event& event, u64 return_rip) {
    Gate gate;
    RM_TRY(read_gate(cpu, event, gate));
    if (gate.type == 5) return through_task_gate(cpu, event, return_rip, gate);
    Segment cs;
    RM_TRY(gate_code_segment(cpu, gate.selector, cs));
    const bool conforming = cs.type() & 4;
    // Out of virtual-8086 mode only to a non-conforming segment of level 0.
    if (cpu.v86() && (conforming || cs.dpl() != 0))
        return cpu.raise_gp(selector_error(cpu, gate.selector));
    if (gate_level(cpu, cs) != cpu.cpl) return inner_level(cpu, event, return_rip, gate, cs);
    return same_level(cpu, event, return_rip, gate, cs);
}

}  // namespace rm::cpu
