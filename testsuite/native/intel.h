// What Intel's processors may do otherwise than the interpreter, where the manuals leave it open or
// a processor is newer than the modelled ones.
#pragma once
#include <vector>

#include "native/compare.h"

namespace rm::native {

// What the interpreter could have done as well. Starts as what it did; memory is copied where it
// differs.
struct Alternative {
    Outcome outcome;
    std::vector<u8> memory;  // kScratchBytes, or empty: as in the comparison
};
// Where the host's result is one that is allowed, the alternative gets that part of it.
Alternative intel_alternative(const Comparison& x);

}  // namespace rm::native
