// Reading whole files of the host (kernels, firmware) with errors that name the file and the cause.
// Owns: nothing. Assumes: called while the machine is built, never by a guest's doing.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace rm::platform {

// The file's bytes. `what` names its role in errors ("kernel"). More than `limit` bytes, an empty
// file, a directory or an unreadable file is an error.
Result<std::vector<u8>> read_host_file(const char* what, const std::string& path, u64 limit);

}  // namespace rm::platform
