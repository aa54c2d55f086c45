// VMX and SVM instructions: handed to the processor's VT emulation, #UD where there is none.
// In guest mode the intercept has been asked before the body runs.
#include "cpu/semantics/expand.h"

namespace rm::cpu {

namespace {

template <Intercept Id>
Step vt_instruction(Cpu& cpu, const Insn& insn) {
    return cpu.vt ? cpu.vt->execute(cpu, insn, Id) : cpu.raise_ud();
}

constexpr Row kRows[] = {
#include "cpu/instructions/vt.def"
};

}  // namespace

std::span<const Row> vt_rows() { return kRows; }

}  // namespace rm::cpu
