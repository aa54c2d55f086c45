#include "jit/translate/build_ir.h"

#include "cpu/decode/decoder.h"
#include "jit/translate/rows.h"

namespace rm::jit {

namespace {

using ir::Code;

// The builder form of an instruction, null if the interpreter must run it.
BuildFn builder_of(const cpu::Insn& insn) {
    if (insn.row == 0xFFFF) return nullptr;
    const BuildFn build = build_rows()[insn.row];
    if (!build || insn.fn != cpu::instruction_rows()[insn.row].select(insn)) return nullptr;
    return build;
}

// False: nothing has been appended.
bool build_natively(ir::Block& out, const cpu::Insn& insn, unsigned index,
                    const ir::BuildContext& context) {
    const BuildFn build = builder_of(insn);
    if (!build) return false;
    const std::size_t before = out.ops.size();
    ir::Builder builder{out, context, index};
    (void)build(builder, insn);
    if (builder.unsupported) out.ops.resize(before);
    return !builder.unsupported;
}

bool leaves(const ir::Block& block, const cpu::Insn& last) {
    const Code code = block.ops.back().code;
    if (code != Code::interp) return code == Code::jump || code == Code::jump_to;
    const cpu::Ending ending = cpu::ending_of(last);
    return ending == cpu::Ending::kBranch || ending == cpu::Ending::kStop;
}

}  // namespace

void build_ir(ir::Block& out, std::span<const cpu::Insn> insns, const ir::BuildContext& context,
              std::span<const bool> interpret_these) {
    for (std::size_t k = 0; k < insns.size(); ++k) {
        out.ops.push_back({.code = Code::insn, .imm = k});
        const bool interpret = k < interpret_these.size() && interpret_these[k];
        if (interpret || !build_natively(out, insns[k], static_cast<unsigned>(k), context))
            out.ops.push_back({.code = Code::interp, .imm = k});
    }
    if (insns.empty() || leaves(out, insns.back())) return;
    ir::Builder builder{out, context};
    (void)builder.jump(ir::Val<u64>(builder.next_rip(insns.back())));
}

}  // namespace rm::jit
