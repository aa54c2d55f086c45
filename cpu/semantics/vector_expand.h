// Expansion of the vector row files for the value engine, and their operand forms. Included only by
// the .cpp files of the vector families, each of which lists one row file.
#pragma once
#include <Zydis/Zydis.h>

#include "cpu/interpreter/value_engine_vector.h"
#include "cpu/semantics/sse.h"
#include "cpu/semantics/vec_ops.h"

#define RM_VROW(mnemonic, variant, forms, feature, checks, ...) \
    {ZYDIS_MNEMONIC_##mnemonic,                                 \
     Variant::variant,                                          \
     Feature::feature,                                          \
     checks,                                                    \
     Intercept::kNone,                                          \
     Ending::kNext,                                             \
     &select_vector<__VA_ARGS__, forms>,                        \
     #mnemonic},

namespace rm::cpu {

using Rr = VectorShape<Form<kR, kR>>;
using Rm = VectorShape<Form<kR, kM>>;
using Mr = VectorShape<Form<kM, kR>>;
using Ri = VectorShape<Form<kR, kI>>;
using RrRm = VectorShape<Form<kR, kR>, Form<kR, kM>>;
using RrMr = VectorShape<Form<kR, kR>, Form<kM, kR>>;
using RmMr = VectorShape<Form<kR, kM>, Form<kM, kR>>;
using RrRi = VectorShape<Form<kR, kR>, Form<kR, kI>>;
using RrRmMr = VectorShape<Form<kR, kR>, Form<kR, kM>, Form<kM, kR>>;
using RrRmRi = VectorShape<Form<kR, kR>, Form<kR, kM>, Form<kR, kI>>;

// The families of mmx_sse_rows(), one per .cpp so that they compile apart.
std::span<const Row> mmx_family();
std::span<const Row> sse_int_family();
std::span<const Row> sse_move_family();
std::span<const Row> sse_fp_family();
std::span<const Row> sse4_family();
std::span<const Row> aes_family();

}  // namespace rm::cpu
