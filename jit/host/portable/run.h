// A processor that runs everything as IR: the loop of cpu/interpreter/run.cpp with the portable
// evaluator in the place of the handlers. For comparisons; nothing is kept, every block is built
// again each time.
#pragma once
#include <functional>

#include "cpu/cpu.h"
#include "jit/ir/ir.h"

namespace rm::jit::portable {

struct Totals {
    u64 evaluated = 0, interpreted = 0;  // guest instructions
};

// As Cpu::run(until): the same state, tick count and stop. `pass`, if there is one, changes each
// block before it is evaluated.
Processor::Stop run(cpu::Cpu& cpu, u64 until, Totals& totals,
                    const std::function<void(ir::Block&)>& pass = {});

}  // namespace rm::jit::portable
