#include "jit/ir/ir.h"

namespace rm::jit::ir {

using enum Kind;

const CodeInfo kCodeInfo[] = {
#define RM_IR(name, a, b, c, result, effect) {#name, {a, b, c}, result, Effect::effect},
#include "jit/ir/ops.def"
#undef RM_IR
};

namespace {

constexpr cpu::Cc kCfOf = cpu::kCcCf | cpu::kCcOf;

bool is_shift(Code c) { return c >= Code::shl && c <= Code::shrd; }

// The count of a shift, reduced; -1 if it is not known.
int known_count(const Block& block, const Op& op) {
    const Value v = op.code == Code::shld || op.code == Code::shrd ? op.c : op.b;
    const Op& count = block[v];
    if (count.code != Code::constant) return -1;
    return static_cast<int>(count.imm & (op.size == 3 ? 63 : 31));
}

}  // namespace

cpu::Cc condition_flags(unsigned cc) {
    using namespace cpu;
    constexpr Cc kFlags[8] = {kCcOf, kCcCf, kCcZf,         kCcCf | kCcZf,
                              kCcSf, kCcPf, kCcSf | kCcOf, kCcSf | kCcOf | kCcZf};
    return kFlags[(cc >> 1) & 7];
}

cpu::Cc natural_flags(Code code) {
    switch (code) {
        case Code::rol:
        case Code::ror:
        case Code::rcl:
        case Code::rcr: return kCfOf;
        default: return cpu::kCcAll;
    }
}

cpu::Cc flags_read(const Block& block, const Op& op) {
    switch (op.code) {
        case Code::adc:
        case Code::sbb:
        case Code::rcl:
        case Code::rcr: return cpu::kCcCf;
        case Code::condition: return condition_flags(op.n);
        case Code::flags_image: return cpu::kCcAll;
        case Code::x87:
            return op.m == static_cast<u8>(X87Form::kMove) ? condition_flags(op.n) : cpu::Cc{0};
        default: break;
    }
    return is_shift(op.code) && known_count(block, op) < 0 ? op.writes : cpu::Cc{0};
}

cpu::Cc flags_replaced(const Block& block, const Op& op) {
    return is_shift(op.code) && known_count(block, op) <= 0 ? cpu::Cc{0} : op.writes;
}

}  // namespace rm::jit::ir
