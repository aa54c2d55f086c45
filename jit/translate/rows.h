// The builder form of every instruction row: the bodies of cpu/semantics instantiated over the
// builder engine, from the same row files (cpu/instructions/*.def) and in the order of
// cpu::instruction_rows().
#pragma once
#include <span>

#include "jit/ir/builder.h"

namespace rm::jit {

using BuildFn = cpu::Step (*)(ir::Builder&, const cpu::Insn&);

// By Insn::row; null: the row has no template body, the interpreter runs it.
std::span<const BuildFn> build_rows();

// The families with template bodies.
std::span<const BuildFn> arith_builders();
std::span<const BuildFn> logic_builders();
std::span<const BuildFn> move_builders();
std::span<const BuildFn> branch_builders();
std::span<const BuildFn> system_builders();
std::span<const BuildFn> vector_builders();   // as mmx_sse_rows()
std::span<const BuildFn> x87_builders();      // as x87_rows()
std::span<const BuildFn> fpstate_builders();  // as fpstate_rows()

// One body at the instruction's operand size.
template <class Body>
cpu::Step build_body(ir::Builder& e, const cpu::Insn& i) {
    switch (i.size_log2) {
        case 0: return Body::template run<u8>(e, i);
        case 1: return Body::template run<u16>(e, i);
        case 2: return Body::template run<u32>(e, i);
        default: return Body::template run<u64>(e, i);
    }
}

}  // namespace rm::jit

#define RM_ROW(mnemonic, variant, body, shape, feature, checks, intercept, ending) \
    &::rm::jit::build_body<body>,
