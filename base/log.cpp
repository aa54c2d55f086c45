#include "base/log.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace rm::log {

namespace {

struct Name {
    const char* name;
    Item item;
};
constexpr Name kNames[] = {
    {"int", Item::kInt},      {"guest_errors", Item::kGuestErrors},
    {"unimp", Item::kUnimp},  {"cpu_reset", Item::kCpuReset},
    {"in_asm", Item::kInAsm}, {"hash", Item::kHash},
    {"op", Item::kOp},        {"out_asm", Item::kOutAsm},
};

u32 g_enabled = 0;
std::FILE* g_file = nullptr;  // null means stderr
int g_error = 0;              // the first failure to write to g_file

std::vector<std::pair<u64, u64>> g_address_ranges;

}  // namespace

bool enabled(Item item) { return g_enabled & static_cast<u32>(item); }
void enable(Item item) { g_enabled |= static_cast<u32>(item); }
void disable_all() { g_enabled = 0; }

bool enable_list(const char* list, const char** bad) {
    static char unknown[64];
    while (*list) {
        const std::size_t length = std::strcspn(list, ",");
        bool found = false;
        for (const Name& n : kNames)
            if (std::strlen(n.name) == length && !std::strncmp(n.name, list, length)) {
                enable(n.item);
                found = true;
            }
        if (!found) {
            std::snprintf(unknown, sizeof unknown, "%.*s", static_cast<int>(length), list);
            *bad = unknown;
            return false;
        }
        list += length;
        if (*list == ',') ++list;
    }
    return true;
}

void add_address_range(u64 first, u64 last) { g_address_ranges.emplace_back(first, last); }

bool in_address_ranges(u64 first, u64 last) {
    for (const auto& [low, high] : g_address_ranges)
        if (first <= high && last >= low) return true;
    return g_address_ranges.empty();
}

bool open_file(const char* path) {
    std::FILE* f = std::fopen(path, "w");
    if (!f) return false;
    g_file = f;
    return true;
}

bool failed() { return g_error != 0; }

bool close_file() {
    if (!g_file) return true;
    if (std::fclose(g_file) != 0 && g_error == 0) g_error = errno;
    g_file = nullptr;
    errno = g_error;
    return g_error == 0;
}

void write(Item item, const char* format, ...) {
    if (!enabled(item)) return;
    va_list args;
    va_start(args, format);
    if (std::vfprintf(g_file ? g_file : stderr, format, args) < 0 && g_file && g_error == 0)
        g_error = errno;
    va_end(args);
}

void warn(const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::fputs("ringminus: ", stderr);
    std::vfprintf(stderr, format, args);
    std::fputc('\n', stderr);
    va_end(args);
}

}  // namespace rm::log
