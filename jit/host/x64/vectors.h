// Emission of one guest vector instruction.
#pragma once
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

// Emits the instruction whose operations are [first, end). The guest's XMM registers and MXCSR must
// be in the host's. False: it has no native form (vector_form.h) and nothing has been emitted.
bool emit_vector(Emitter& e, const ir::Block& block, ir::Value first, ir::Value end);

}  // namespace rm::jit::x64
