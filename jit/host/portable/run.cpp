#include "jit/host/portable/run.h"

#include <algorithm>

#include "cpu/interpreter/block_cache.h"
#include "jit/host/portable/evaluate.h"
#include "jit/translate/build_ir.h"

namespace rm::jit::portable {

namespace {

using cpu::Cpu;
using Stop = Processor::Stop;

// What the interpreter's run loop has to look at before the next instruction, or around it.
bool needs_interpreter(const Cpu& cpu) {
    return cpu.attention || cpu.activity != cpu::Activity::kActive || cpu.tick_base >= cpu.vt_due ||
           cpu.shadow || (cpu.flags_other & (cpu::kFlagTf | cpu::kFlagRf)) || (cpu.dr7 & 0xFF) ||
           cpu.insn_observer;
}

}  // namespace

Stop run(Cpu& cpu, u64 until, Totals& totals, const std::function<void(ir::Block&)>& pass) {
    while (cpu.ticks() < until) {
        if (const cpu::Block* b = needs_interpreter(cpu) ? nullptr : cpu.blocks->find()) {
            ir::Block block;
            const std::span<const cpu::Insn> insns(b->insns, b->count);
            build_ir(block, insns,
                     {.mode = b->mode,
                      .block_rip = b->rip,
                      .intel = cpu.model.vendor == cpu::Vendor::kIntel});
            if (pass) pass(block);
            const Outcome o =
                evaluate(cpu, block, insns, b->rip, std::min(until, cpu.vt_due) - cpu.tick_base);
            cpu.rip = o.rip;
            cpu.tick_base += o.retired;
            totals.evaluated += o.retired;
            if (o.what == Outcome::What::kLeft || cpu.ticks() == until) continue;
        }
        ++totals.interpreted;
        if (const Stop stop = cpu.run(cpu.ticks() + 1); stop != Stop::kDeadline) return stop;
    }
    return Stop::kDeadline;
}

}  // namespace rm::jit::portable
