#include "jit/host/portable/vector.h"

#include "cpu/interpreter/value_engine_vector.h"
#include "cpu/semantics/vec_ops.h"

namespace rm::jit::portable {

namespace {

namespace vec = cpu::vec;
using cpu::Cc;
using cpu::Cpu;
using cpu::VecOp;

using Engine = cpu::VectorEngine<cpu::OperandKind::kReg, cpu::OperandKind::kReg>;
constexpr unsigned kCount = static_cast<unsigned>(VecOp::kCount);

using Operation = V128 (*)(V128, V128, unsigned);
using FpOperation = V128 (*)(Cpu&, V128, V128, unsigned);

struct Tables {
    Operation integer[kCount] = {};
    FpOperation fp[kCount] = {};

    template <class Op>
    constexpr void put_integer() {
        integer[static_cast<unsigned>(Op::kId)] = &Op::run;
    }
    template <class Op>
    constexpr void put_fp() {
        fp[static_cast<unsigned>(Op::kId)] = [](Cpu& cpu, V128 a, V128 b, unsigned imm) {
            return Engine{{cpu}}.template fp<Op>(a, b, imm).value;
        };
    }
    constexpr Tables() {
#define RM_VEC(name, ...) put_integer<vec::name>();
#define RM_VEC_FP(name, tiny) put_fp<vec::name>();
#define RM_VEC_FP_IMM(name, last, tiny) put_fp<vec::name>();
#define RM_VEC_FP_UNARY(name, tiny) put_fp<vec::name>();
#define RM_VEC_OTHER(name)
#include "cpu/instructions/vec_fp.def"
#include "cpu/instructions/vec_int.def"
#undef RM_VEC
#undef RM_VEC_FP
#undef RM_VEC_FP_IMM
#undef RM_VEC_FP_UNARY
#undef RM_VEC_OTHER
        put_fp<vec::dpps>();
        put_fp<vec::dppd>();
    }
};
constexpr Tables kTables;

template <class T>
T to_int(Cpu& cpu, VecOp op, V128 a) {
    Engine e{{cpu}};
    switch (op) {
        case VecOp::cvtss2si: return e.template fp_to<T, vec::cvtss2si>(a, a).value;
        case VecOp::cvttss2si: return e.template fp_to<T, vec::cvttss2si>(a, a).value;
        case VecOp::cvtsd2si: return e.template fp_to<T, vec::cvtsd2si>(a, a).value;
        default: return e.template fp_to<T, vec::cvttsd2si>(a, a).value;
    }
}
template <class T>
V128 from_int(Cpu& cpu, VecOp op, V128 a, T v) {
    Engine e{{cpu}};
    return op == VecOp::cvtsi2ss ? e.template fp_from<T, vec::cvtsi2ss>(a, v).value
                                 : e.template fp_from<T, vec::cvtsi2sd>(a, v).value;
}

}  // namespace

V128 vector_operation(unsigned op, V128 a, V128 b, unsigned imm) {
    return kTables.integer[op](a, b, imm);
}

V128 vector_blend(unsigned lane_log2, V128 a, V128 b, V128 mask) {
    switch (lane_log2) {
        case 0: return vec::blend_by_sign<u8>(a, b, mask);
        case 2: return vec::blend_by_sign<u32>(a, b, mask);
        default: return vec::blend_by_sign<u64>(a, b, mask);
    }
}

bool all_masked(const Cpu& cpu) { return (cpu.fpu.mxcsr & cpu::kMxcsrMasks) == cpu::kMxcsrMasks; }
V128 vector_fp(Cpu& cpu, unsigned op, V128 a, V128 b, unsigned imm) {
    return kTables.fp[op](cpu, a, b, imm);
}
u64 fp_to_int(Cpu& cpu, unsigned op, u8 size_log2, V128 a) {
    const auto o = static_cast<VecOp>(op);
    return size_log2 == 3 ? to_int<u64>(cpu, o, a) : to_int<u32>(cpu, o, a);
}
V128 int_to_fp(Cpu& cpu, unsigned op, u8 size_log2, V128 a, u64 value) {
    const auto o = static_cast<VecOp>(op);
    return size_log2 == 3 ? from_int<u64>(cpu, o, a, value)
                          : from_int<u32>(cpu, o, a, static_cast<u32>(value));
}
Cc fp_compare(Cpu& cpu, unsigned op, V128 a, V128 b) {
    Engine e{{cpu}};
    switch (static_cast<VecOp>(op)) {
        case VecOp::comiss: return e.template fp_to<Cc, vec::comiss>(a, b).value;
        case VecOp::comisd: return e.template fp_to<Cc, vec::comisd>(a, b).value;
        case VecOp::ucomiss: return e.template fp_to<Cc, vec::ucomiss>(a, b).value;
        default: return e.template fp_to<Cc, vec::ucomisd>(a, b).value;
    }
}
Cc vector_test(Cpu& cpu, V128 a, V128 b) { return Engine{{cpu}}.test_vec(a, b); }

StringResult string_compare(const Cpu& cpu, V128 a, V128 b, u8 n, unsigned imm) {
    namespace ss = cpu::sse_string;
    auto length = [&](V128 v, unsigned reg) {
        const u64 r = cpu.gpr[reg];
        if (n == 0) return ss::implicit_length(v, imm);
        return ss::explicit_length(n == 3 ? static_cast<i64>(r) : static_cast<i32>(r), imm);
    };
    const ss::Result r = ss::compare(a, length(a, cpu::kRax), b, length(b, cpu::kRdx), imm);
    return {ss::index_of(r, imm), ss::mask_of(r, imm), r.flags};
}

bool misaligned_allowed(const Cpu& cpu) { return cpu.fpu.mxcsr & cpu::kMxcsrMm; }

u32 crc32(u8 size_log2, u32 crc, u64 value) {
    switch (size_log2) {
        case 0: return cpu::crc32c<u8>(crc, static_cast<u8>(value));
        case 1: return cpu::crc32c<u16>(crc, static_cast<u16>(value));
        case 2: return cpu::crc32c<u32>(crc, static_cast<u32>(value));
        default: return cpu::crc32c<u64>(crc, value);
    }
}

}  // namespace rm::jit::portable
