// Diagnostics for people: categories selected with -d, written to stderr or the -D file.
// Nothing here may influence the guest. printf formats keep this header light.
#pragma once
#include "base/types.h"

namespace rm::log {

// One bit each; names as in QEMU's -d where QEMU has the thing (log.cpp has the name table).
enum class Item : u32 {
    kInt = 1 << 0,          // exceptions and interrupts delivered
    kGuestErrors = 1 << 1,  // things a guest did that real hardware leaves undefined or faults
    kUnimp = 1 << 2,        // a feature a guest asked for that the model does not have
    kCpuReset = 1 << 3,
    kInAsm = 1 << 4,   // guest code, disassembled, as blocks are decoded
    kHash = 1 << 5,    // print the run's hash when the machine ends
    kOp = 1 << 6,      // the translator's intermediate code of each block
    kOutAsm = 1 << 7,  // the host code of each block
};

bool enabled(Item item);
void enable(Item item);
void disable_all();
// Parses "int,guest_errors"; returns false and sets *bad to the first unknown name.
bool enable_list(const char* list, const char** bad);
// Restricts what is logged per guest address (in_asm, op, out_asm) to these ranges, inclusive.
// Without any there is no restriction.
void add_address_range(u64 first, u64 last);
// Is anything of these addresses wanted?
bool in_address_ranges(u64 first, u64 last);
// Redirects output to a file; false if it cannot be opened (errno tells why).
bool open_file(const char* path);
// True once a line could not be written to that file.
bool failed();
// Writes out and closes that file; false if anything of it was lost (errno tells why).
bool close_file();

[[gnu::format(printf, 2, 3)]] void write(Item item, const char* format, ...);
// Always shown, prefixed "ringminus: ", on stderr.
[[gnu::format(printf, 1, 2)]] void warn(const char* format, ...);

}  // namespace rm::log
