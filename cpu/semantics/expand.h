// Expansion of the row files (cpu/instructions/*.def) for the value engine, and the shapes used by
// the integer families. Included only by the <family>.cpp files.
#pragma once
#include <Zydis/Zydis.h>

#include "cpu/interpreter/locked.h"
#include "cpu/interpreter/value_engine.h"

#define RM_ROW(mnemonic, variant, body, shape, feature, checks, intercept, ending)    \
    {ZYDIS_MNEMONIC_##mnemonic, Variant::variant, Feature::feature,           checks, \
     Intercept::intercept,      Ending::ending,   &select_shape<body, shape>, #mnemonic},
#define RM_PROC(mnemonic, variant, function, feature, checks, intercept, ending)  \
    {ZYDIS_MNEMONIC_##mnemonic, Variant::variant, Feature::feature,       checks, \
     Intercept::intercept,      Ending::ending,   &select_proc<function>, #mnemonic},

namespace rm::cpu {

using Binary =
    Shape<kSizesAll, Form<kR, kR>, Form<kR, kM>, Form<kM, kR>, Form<kR, kI>, Form<kM, kI>>;
using Unary = Shape<kSizesAll, Form<kR, kN>, Form<kM, kN>>;
using RegSource = Shape<kSizesAll, Form<kR, kR>, Form<kM, kR>>;
using Load = Shape<kSizesWdq, Form<kR, kR>, Form<kR, kM>>;
using Multiply = Shape<kSizesAll, Form<kR, kN>, Form<kM, kN>, Form<kR, kR>, Form<kR, kM>>;
using Implicit = Shape<kSizesAll, Form<kN, kN>>;
using ImplicitWdq = Shape<kSizesWdq, Form<kN, kN>>;
using Shift = Shape<kSizesAll, Form<kR, kR>, Form<kM, kR>, Form<kR, kI>, Form<kM, kI>, Form<kR, kN>,
                    Form<kM, kN>>;
using Bit = Shape<kSizesWdq, Form<kR, kR>, Form<kM, kR>, Form<kR, kI>, Form<kM, kI>>;

}  // namespace rm::cpu
