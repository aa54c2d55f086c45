// The host's time stamp counter: the cheapest clock there is, for statistics only. Its rate is
// constant on every processor that VT-x or SVM code is developed on (SDM 3B 17.17, invariant TSC).
#pragma once
#include <x86intrin.h>

#include "base/types.h"

namespace rm::jit::x64 {

inline u64 time_stamp() { return __rdtsc(); }

}  // namespace rm::jit::x64
