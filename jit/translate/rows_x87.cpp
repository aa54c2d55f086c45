// Builder forms of cpu/instructions/x87.def and of the control instructions of fpstate.def. Their
// bodies are procedures, so there is nothing to instantiate: an x87 operation names the instruction
// and what it does besides computing, and the host's own instruction is the definition.
#include <string_view>

#include "jit/translate/rows.h"

namespace rm::jit {

namespace {

using cpu::Insn;
using cpu::OperandKind;
using cpu::Step;
using ir::Code;
using ir::X87Form;

template <X87Form Form, u8 Condition = 0>
Step build_x87(ir::Builder& e, const Insn& i) {
    const u64 index = e.block.ops.back().imm;  // of Code::insn
    constexpr bool kWrites = Form == X87Form::kStore || Form == X87Form::kStoreControl;
    ir::Value address = ir::kNoValue;
    if (i.kind(0) == OperandKind::kMem || i.kind(1) == OperandKind::kMem)
        address = kWrites ? e.written_address_of(i) : e.address_of(i);
    e.append({.code = Code::x87,
              .size = address == ir::kNoValue ? u8{3} : i.mem_size_log2,
              .n = Condition,
              .m = static_cast<u8>(Form),
              .writes = Form == X87Form::kCompareFlags ? cpu::kCcAll : cpu::Cc{0},
              .a = address,
              .imm = index});
    return Step::kNext;
}

// By mnemonic; null: not an instruction of today's processors, the interpreter runs it.
constexpr BuildFn x87_builder(std::string_view name) {
    if (name == "FSTPNCE" || name.ends_with("_NOP")) return nullptr;
    if (name == "FWAIT" || name == "FNOP") return &build_x87<X87Form::kWait>;
    if (name == "FCMOVB") return &build_x87<X87Form::kMove, 2>;
    if (name == "FCMOVE") return &build_x87<X87Form::kMove, 4>;
    if (name == "FCMOVBE") return &build_x87<X87Form::kMove, 6>;
    if (name == "FCMOVU") return &build_x87<X87Form::kMove, 10>;
    if (name == "FCMOVNB") return &build_x87<X87Form::kMove, 3>;
    if (name == "FCMOVNE") return &build_x87<X87Form::kMove, 5>;
    if (name == "FCMOVNBE") return &build_x87<X87Form::kMove, 7>;
    if (name == "FCMOVNU") return &build_x87<X87Form::kMove, 11>;
    if (name.starts_with("FCOMI") || name.starts_with("FUCOMI"))
        return &build_x87<X87Form::kCompareFlags>;
    if (name.starts_with("FST") || name.starts_with("FIST") || name == "FBSTP")
        return &build_x87<X87Form::kStore>;
    return &build_x87<X87Form::kCompute>;
}

constexpr BuildFn control_builder(std::string_view name) {
    if (name == "FNCLEX") return &build_x87<X87Form::kControl>;
    if (name == "FNSTCW" || name == "FNSTSW") return &build_x87<X87Form::kStoreControl>;
    if (name == "FLDCW") return &build_x87<X87Form::kLoadControl>;
    return nullptr;
}

}  // namespace

std::span<const BuildFn> x87_builders() {
    static constexpr BuildFn kRows[] = {
#define RM_XROW(mnemonic, variant, feature, checks, ...) x87_builder(#mnemonic),
#include "cpu/instructions/x87.def"
#undef RM_XROW
    };
    return kRows;
}

std::span<const BuildFn> fpstate_builders() {
    static constexpr BuildFn kRows[] = {
#undef RM_PROC
#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending) \
    control_builder(#mnemonic),
#include "cpu/instructions/fpstate.def"
    };
    return kRows;
}

}  // namespace rm::jit
