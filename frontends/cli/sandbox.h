// -sandbox: once everything is open, the process gives up what running a guest does not need:
// opening files, sockets, other programs, memory that is writable and executable at once. What is
// open stays usable. So an error in a device model does not put the user's files into the guest's
// hands. Assumes: files, sockets and terminals are opened before; a feature that needs more system
// calls later adds them to the table in sandbox.cpp. Source: seccomp(2), seccomp_init(3).
#pragma once
#include "base/result.h"

namespace rm::frontends {

// False in sanitizer builds, whose run-time libraries read files and start processes themselves.
bool sandbox_possible();

// For all threads of the process and those to come; there is no way back. A forbidden system call
// fails with EPERM. Error: the kernel has no seccomp filters, or this build cannot use them.
Result<void> enter_sandbox();

}  // namespace rm::frontends
