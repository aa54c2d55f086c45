// Is a file an initial ramdisk that Linux can take, and is all of it there? Linux itself tells only
// late, on its console; here a random or cut-off file is an error before the machine starts.
// Owns: nothing. Assumes: nothing about the bytes.
// Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst (cpio archives, plain or
// compressed, one after the other, with zeros between them); lib/decompress.c (magic numbers).
#pragma once
#include <span>
#include <string>

#include "base/result.h"
#include "base/types.h"

namespace rm::platform {

// Accepts cpio archives, what Linux can decompress (gzip and zstd streams, xz and lz4 files are
// followed to their end, the others taken by their first bytes), and old file-system images. Errors
// name the file and the cause.
Result<void> check_initrd(const std::string& name, std::span<const u8> bytes);

}  // namespace rm::platform
