#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace rm {

void assert_failed(const char* file, int line, const char* condition, const char* why) {
    std::fprintf(stderr, "ringminus: internal error at %s:%d: %s (%s). Please report it.\n", file,
                 line, why, condition);
    std::abort();
}

}  // namespace rm
