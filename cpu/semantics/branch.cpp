// Rows of cpu/instructions/branch.def with the bodies of branch.h.
#include "cpu/semantics/branch.h"

#include "cpu/semantics/expand.h"

namespace rm::cpu {

using namespace semantics;

namespace {

using Target = Shape<kSizesWdq, Form<kI, kN>>;
using Transfer = Shape<kSizesWdq, Form<kI, kN>, Form<kR, kN>, Form<kM, kN>>;
using Return = Shape<kSizesWdq, Form<kN, kN>, Form<kI, kN>>;

// LAHF and SAHF exist in 64-bit mode only with CPUID 8000_0001 ECX.LAHF-SAHF.
Step lahf_checked(Cpu& cpu, const Insn& i) {
    if (cpu.mode.code64() && !cpu.model.features.has(Feature::k_lahf_lm)) return cpu.raise_ud();
    return value_handler<Lahf, u8, kN, kN>(cpu, i);
}
Step sahf_checked(Cpu& cpu, const Insn& i) {
    if (cpu.mode.code64() && !cpu.model.features.has(Feature::k_lahf_lm)) return cpu.raise_ud();
    return value_handler<Sahf, u8, kN, kN>(cpu, i);
}

}  // namespace

std::span<const Row> branch_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/branch.def"
    };
    return kRows;
}

}  // namespace rm::cpu
