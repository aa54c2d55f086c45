#include "jit/host/portable/run.h"

#include <algorithm>

#include "cpu/events/events.h"
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

void run_block(Cpu& cpu, const cpu::Block& b, u64 limit, Totals& totals,
               const std::function<void(ir::Block&)>& pass) {
    ir::Block block;
    const std::span<const cpu::Insn> insns(b.insns, b.count);
    build_ir(
        block, insns,
        {.mode = b.mode, .block_rip = b.rip, .loose = b.loose, .vt = cpu.vt, .counted_time = true});
    if (pass) pass(block);
    const Outcome o = evaluate(cpu, block, insns, b.rip, limit);
    totals.evaluated += o.retired;
    if (o.what == Outcome::What::kLeft || o.retired == limit) {
        cpu.rip = o.rip;
        cpu.tick_base += o.retired;
        return;
    }
    ++totals.interpreted;
    const unsigned at = static_cast<unsigned>(o.retired);
    (void)cpu.run_block(b, at, at + 1);
}

}  // namespace

Stop run(Cpu& cpu, u64 until, Totals& totals, const std::function<void(ir::Block&)>& pass) {
    while (cpu.ticks() < until) {
        if (needs_interpreter(cpu)) {
            ++totals.interpreted;
            if (const Stop stop = cpu.run(cpu.ticks() + 1); stop != Stop::kDeadline) return stop;
            continue;
        }
        const cpu::Block* b = cpu.blocks->find();
        if (!b) {
            ++cpu.tick_base;
            cpu.faulting_length = 0;
            cpu::handle_fault(cpu);
            continue;
        }
        cpu.stop_tick = until;
        run_block(cpu, *b, std::min(until, cpu.vt_due) - cpu.tick_base, totals, pass);
    }
    return cpu.run(until);  // looks at what is pending now
}

}  // namespace rm::jit::portable
