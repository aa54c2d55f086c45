// Differences between what two engines leave, and a sequence as text.
#pragma once
#include <string>
#include <vector>

#include "lockstep/machine.h"

namespace rm::lockstep {

// Every difference on a line: "RAX 5, but 6".
std::vector<std::string> differences(const Result& reference, const Result& other);
// The instructions with their addresses, and the IR they become.
std::string listing(const Sequence& s);
std::string intermediate(const Sequence& s);
// What a sequence starts with.
std::string inputs(const Sequence& s);
// The general registers, flags and happenings of a result.
std::string outcome(const Result& r);

}  // namespace rm::lockstep
