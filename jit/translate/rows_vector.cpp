// Builder forms of the vector row files.
#include "jit/translate/rows.h"

namespace rm::jit {

std::span<const BuildFn> vector_builders() { return {}; }

}  // namespace rm::jit
