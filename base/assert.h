// Broken invariants of ours (never a guest's doing) end the process with file, line and reason,
// in every build type.
#pragma once

namespace rm {
[[noreturn]] void assert_failed(const char* file, int line, const char* condition, const char* why);
}

#define RM_ASSERT(condition, why)                                     \
    do {                                                              \
        if (!(condition)) [[unlikely]]                                \
            ::rm::assert_failed(__FILE__, __LINE__, #condition, why); \
    } while (0)
