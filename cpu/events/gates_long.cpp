// Delivery through the 64-bit IDT: 16-byte gates, interrupt stack table, aligned 64-bit stack.
// Source: SDM 3A 6.14; APM2 8.9.
#include "cpu/events/gates.h"
#include "cpu/system/segments.h"
#include "cpu/system/stack.h"
#include "cpu/system/system.h"
#include "cpu/system/transfer.h"

namespace rm::cpu {

namespace {

struct Gate64 {
    u16 selector = 0;
    u64 offset = 0;
    unsigned ist = 0;
    bool interrupt = false;
};

bool read_gate(Cpu& cpu, const Event& event, Gate64& gate) {
    const u32 error = idt_error(cpu, event.vector);
    if (event.vector * 16u + 15 > cpu.idtr.limit) return cpu.fail(kGp, error);
    const LinearAddr at = cpu.idtr.base + event.vector * 16u;
    u64 low, high;
    if (!cpu.read_system(at, low) || !cpu.read_system(at + 8, high)) return false;
    const unsigned type = (low >> 40) & 0x1F;
    if (type != 0xE && type != 0xF) return cpu.fail(kGp, error);
    if (checks_gate_dpl(event.type) && ((low >> 45) & 3) < cpu.cpl) return cpu.fail(kGp, error);
    if (!((low >> 47) & 1)) return cpu.fail(kNp, error);
    gate.selector = static_cast<u16>(low >> 16);
    gate.offset = (low & 0xFFFF) | (low >> 32 & 0xFFFF0000) | high << 32;
    gate.ist = (low >> 32) & 7;
    gate.interrupt = type == 0xE;
    return true;
}

}  // namespace

Step deliver_long(Cpu& cpu, const Event& event, u64 return_rip) {
    Gate64 gate;
    Segment cs;
    RM_TRY(read_gate(cpu, event, gate));
    RM_TRY(gate_code_segment(cpu, gate.selector, cs));
    const unsigned level = gate_level(cpu, cs);
    const bool inner = level != cpu.cpl;
    u64 rsp = cpu.gpr[kRsp];
    if (gate.ist)
        RM_TRY(tss_rsp(cpu, tss_ist_offset(gate.ist), rsp));
    else if (inner)
        RM_TRY(tss_rsp(cpu, tss_rsp_offset(level), rsp));
    RM_TRY(check_entry_point(cpu, cs, gate.offset));
    Stack stack = Stack::flat64(cpu, rsp & ~u64{15}, level);
    RM_TRY(stack.push(cpu.seg[kSs].selector, 8));
    RM_TRY(stack.push(cpu.gpr[kRsp], 8));
    RM_TRY(stack.push(cpu.rflags(), 8));
    RM_TRY(stack.push(cpu.seg[kCs].selector, 8));
    RM_TRY(stack.push(return_rip, 8));
    if (event.has_error) RM_TRY(stack.push(event.error, 8));

    if (inner) {
        Segment ss = null_segment(static_cast<u16>(level));
        ss.attr |= level << 5;
        set_segment(cpu, kSs, ss);
    }
    cpu.gpr[kRsp] = stack.sp;
    u64 flags = cpu.rflags() & ~(kFlagTf | kFlagNt | kFlagRf | kFlagVm);
    if (gate.interrupt) flags &= ~kFlagIf;
    set_flags_register(cpu, flags);
    enter_code(cpu, cs, level, gate.offset);
    return Step::kNext;
}

}  // namespace rm::cpu
