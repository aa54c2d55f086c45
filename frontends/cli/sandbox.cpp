// The system calls that a running machine needs, as a seccomp filter. See sandbox.h.
#include "frontends/cli/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/types.h"

namespace rm::frontends {

namespace {

constexpr int kAlways[] = {
    // what is open: images, traces, logs, serial ports; a server's next client
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(close),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),
    // memory
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(memfd_create),
    // threads and their locks
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    // signals
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    // time (where the vDSO does not answer), pacing, wake-ups
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(eventfd2),
    // the C library: seeds of its allocator, sizes of its sorting buffers
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
};

// Allowed where (argument & mask) == value.
struct Conditional {
    int call;
    unsigned argument;
    u64 mask, value;
};
constexpr u64 kAll = ~u64{0}, kWriteExec = PROT_WRITE | PROT_EXEC;
constexpr u64 kThread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
constexpr Conditional kSometimes[] = {
    // never writable and executable at once
    {SCMP_SYS(mmap), 2, kWriteExec, 0},
    {SCMP_SYS(mmap), 2, kWriteExec, PROT_WRITE},
    {SCMP_SYS(mmap), 2, kWriteExec, PROT_EXEC},
    {SCMP_SYS(mprotect), 2, kWriteExec, 0},
    {SCMP_SYS(mprotect), 2, kWriteExec, PROT_WRITE},
    {SCMP_SYS(mprotect), 2, kWriteExec, PROT_EXEC},
    // threads, but no processes
    {SCMP_SYS(clone), 0, kThread, kThread},
    // of a descriptor: fstat() by its newer name, status flags, terminal settings
    {SCMP_SYS(newfstatat), 3, kAll, AT_EMPTY_PATH},
    {SCMP_SYS(fcntl), 1, kAll, F_GETFL},
    {SCMP_SYS(fcntl), 1, kAll, F_SETFL},
    {SCMP_SYS(ioctl), 1, kAll, TCGETS},
    {SCMP_SYS(ioctl), 1, kAll, TCSETS},
    {SCMP_SYS(ioctl), 1, kAll, TCSETSW},
    {SCMP_SYS(ioctl), 1, kAll, TCSETSF},
    {SCMP_SYS(ioctl), 1, kAll, TIOCGWINSZ},
    {SCMP_SYS(ioctl), 1, kAll, FIONREAD},
    {SCMP_SYS(prctl), 0, kAll, PR_SET_NAME},
};

int add_rules(scmp_filter_ctx filter) {
    int error = 0;
    for (const int call : kAlways)
        if (!error) error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 0, nullptr);
    const auto allow_where = [&](const Conditional& c) {
        const scmp_arg_cmp compare{c.argument, SCMP_CMP_MASKED_EQ, c.mask, c.value};
        if (!error) error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, c.call, 1, &compare);
    };
    for (const Conditional& c : kSometimes) allow_where(c);
    // raise() and abort(), but no signals to others.
    allow_where({SCMP_SYS(tgkill), 0, kAll, static_cast<u64>(::getpid())});
    // Its arguments lie in memory, out of a filter's sight: the C library then uses clone().
    if (!error)
        error =
            seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, nullptr);
    return error;
}

}  // namespace

bool sandbox_possible() {
#ifdef RM_SANITIZER  // by meson.build
    return false;
#else
    return true;
#endif
}

Result<void> enter_sandbox() {
    if (!sandbox_possible()) return fail("a build with sanitizers cannot use a sandbox");
    struct Release {
        void operator()(void* filter) const { seccomp_release(filter); }
    };
    const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
    if (!filter) return fail("no memory for the system call filter");
    int error = add_rules(filter.get());
    // The other system call tables of this processor are nobody's business.
    if (!error)
        error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!error) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    // Speculation stays as it was: older kernels slow a filtered process down otherwise, to protect
    // secrets that this one does not have.
    if (!error) (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_SSB, 1);
    if (!error) (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!error) error = seccomp_load(filter.get());
    if (error) return fail("the kernel takes no system call filter: %s", std::strerror(-error));
    return {};
}

}  // namespace rm::frontends
