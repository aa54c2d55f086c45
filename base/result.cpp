#include "base/result.h"

#include <cstdarg>
#include <cstdio>

namespace rm {

std::unexpected<Error> fail(const char* format, ...) {
    va_list args;
    va_start(args, format);
    char text[2048];
    std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return std::unexpected(Error{text});
}

}  // namespace rm
