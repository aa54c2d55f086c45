// Builder forms of the vector row files. The operations are only named: rm::jit::vec has a type for
// each that carries its number, where the interpreter's rm::cpu::vec has one that computes.
#include <vector>

#include "cpu/instructions/row.h"
#include "cpu/semantics/mask_move.h"
#include "cpu/semantics/sse.h"
#include "jit/ir/builder_vector.h"
#include "jit/translate/rows.h"

namespace rm::jit {

namespace vec {

#define RM_NAME(name)                                       \
    struct name {                                           \
        static constexpr cpu::VecOp kId = cpu::VecOp::name; \
    };
#define RM_VEC(name, ...) RM_NAME(name)
#define RM_VEC_FP(name, tiny) RM_NAME(name)
#define RM_VEC_FP_IMM(name, last, tiny) RM_NAME(name)
#define RM_VEC_FP_UNARY(name, tiny) RM_NAME(name)
#define RM_VEC_OTHER(name) RM_NAME(name)
#include "cpu/instructions/vec_fp.def"
#include "cpu/instructions/vec_int.def"
#undef RM_NAME
#undef RM_VEC
#undef RM_VEC_FP
#undef RM_VEC_FP_IMM
#undef RM_VEC_FP_UNARY
#undef RM_VEC_OTHER

template <u8 Log2>
struct BlendBySign {
    static constexpr u8 kLane = Log2;
};
using pblendvb = BlendBySign<0>;
using blendvps = BlendBySign<2>;
using blendvpd = BlendBySign<3>;

}  // namespace vec

namespace {

using namespace cpu;
using namespace cpu::semantics;

// The operand size matters to bodies that say so by kSized, as in VectorShape.
template <class Body>
Step build_vector(ir::Builder& e, const Insn& i) {
    ir::VectorBuilder v{e};
    Step s;
    if constexpr (requires { Body::kSized; })
        s = i.size_log2 == 3 ? Body::template run<u64>(v, i) : Body::template run<u32>(v, i);
    else
        s = Body::template run<u32>(v, i);
    e.unsupported = v.unsupported;
    return s;
}

// In the order of mmx_sse_rows().
constexpr BuildFn kRows[] = {
#define RM_VROW(mnemonic, variant, forms, feature, checks, ...) nullptr,
#include "cpu/instructions/mmx.def"
#undef RM_VROW
#define RM_VROW(mnemonic, variant, forms, feature, checks, ...) &build_vector<__VA_ARGS__>,
// The order matters, the formatter would sort.
// clang-format off
#include "cpu/instructions/sse_int.def"
#include "cpu/instructions/sse_move.def"
#include "cpu/instructions/sse_fp.def"
#include "cpu/instructions/sse4.def"
#include "cpu/instructions/aes.def"
// clang-format on
#undef RM_VROW
};

}  // namespace

std::span<const BuildFn> vector_builders() { return kRows; }

}  // namespace rm::jit
