// Results of configuration and host operations: a value, or one line that names the thing, the
// offending value and the remedy. Guest faults are NOT reported this way (see cpu/state/step.h).
#pragma once
#include <expected>
#include <string>
#include <utility>

namespace rm {

struct Error {
    std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

[[gnu::format(printf, 1, 2)]] std::unexpected<Error> fail(const char* format, ...);

}  // namespace rm
