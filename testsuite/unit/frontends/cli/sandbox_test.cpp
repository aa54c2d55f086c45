// What a process in the sandbox can still do, and what not. Each case runs in a child process,
// since there is no way out of a sandbox.
#include "frontends/cli/sandbox.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

using namespace rm::frontends;

namespace {

// Wait status of a child that enters the sandbox and exits with what `body` gives.
int child(const std::function<int()>& body) {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) ::_exit(enter_sandbox() ? body() : 99);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return status;
}
bool works(const std::function<bool()>& body) {
    const int status = child([&] { return body() ? 0 : 1; });
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
// `call` returns -1 with EPERM (or MAP_FAILED, as -1).
bool refused(const std::function<long()>& call) {
    return works([&] {
        errno = 0;
        return call() == -1 && errno == EPERM;
    });
}

}  // namespace

TEST_CASE("what is open stays usable") {
    if (!sandbox_possible()) return;
    int pipe_ends[2], server = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::pipe(pipe_ends) == 0);
    std::FILE* file = std::tmpfile();
    const int fd = ::fileno(file);
    CHECK(works([&] {
        char byte = 0;
        struct stat info {};
        return ::write(pipe_ends[1], "x", 1) == 1 && ::read(pipe_ends[0], &byte, 1) == 1 &&
               byte == 'x' && ::pwrite(fd, "abc", 3, 100) == 3 && ::pread(fd, &byte, 1, 101) == 1 &&
               byte == 'b' && ::ftruncate(fd, 50) == 0 && ::fdatasync(fd) == 0 &&
               ::fstat(fd, &info) == 0 && info.st_size == 50;
    }));
    CHECK(works([&] {
        return std::fputs("buffered", file) >= 0 && std::fclose(file) == 0 &&
               std::fprintf(stderr, "%s", "") == 0;
    }));
    sockaddr address{.sa_family = AF_UNIX, .sa_data = {}};
    REQUIRE(::bind(server, &address, sizeof address.sa_family) ==
            0);  // a name of the kernel's choice
    REQUIRE(::listen(server, 1) == 0);
    sockaddr_storage name{};
    socklen_t length = sizeof name;
    REQUIRE(::getsockname(server, reinterpret_cast<sockaddr*>(&name), &length) == 0);
    const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::connect(client, reinterpret_cast<sockaddr*>(&name), length) == 0);
    CHECK(works([&] {
        const int peer = ::accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
        return peer >= 0 && ::send(peer, "y", 1, MSG_NOSIGNAL) == 1;
    }));
    char byte = 0;
    CHECK((::read(client, &byte, 1) == 1 && byte == 'y'));
    for (const int each : {pipe_ends[0], pipe_ends[1], server, client}) ::close(each);
    std::fclose(file);
}

TEST_CASE("terminals, memory, threads, signals go on") {
    if (!sandbox_possible()) return;
    int master = -1, slave = -1;
    REQUIRE(::openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
    CHECK(works([&] {
        termios t;
        if (::tcgetattr(slave, &t) != 0) return false;
        ::cfmakeraw(&t);
        return ::tcsetattr(slave, TCSANOW, &t) == 0 && ::isatty(slave);
    }));
    ::close(master), ::close(slave);
    CHECK(works([] {
        const int fd = ::memfd_create("m", MFD_CLOEXEC);
        if (fd < 0 || ::ftruncate(fd, 4096) != 0) return false;
        void* w = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        void* x = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        std::vector<char> big(64 << 20, 1);
        big.resize(100 << 20);
        return w != MAP_FAILED && x != MAP_FAILED && ::mprotect(w, 4096, PROT_READ) == 0 &&
               ::madvise(w, 4096, MADV_DONTNEED) == 0;
    }));
    CHECK(works([] {
        int sum = 0;
        std::thread a([&] { sum += 1; });
        a.join();
        return sum == 1 && std::thread::hardware_concurrency() > 0;
    }));
    CHECK(works([] {
        static volatile sig_atomic_t seen = 0;
        ::signal(SIGUSR1, [](int) { seen = 1; });
        return ::raise(SIGUSR1) == 0 && seen == 1;
    }));
    const int aborted = child([]() -> int {
        ::signal(SIGABRT, SIG_DFL);  // not the test program's report
        std::abort();
    });
    CHECK((WIFSIGNALED(aborted) && WTERMSIG(aborted) == SIGABRT));
}

TEST_CASE("nothing new from outside") {
    if (!sandbox_possible()) return;
    CHECK(refused([] { return ::open("/dev/null", O_RDONLY); }));
    CHECK(refused([] { return ::socket(AF_INET, SOCK_STREAM, 0); }));
    CHECK(refused([] { return ::unlink("/nonexistent"); }));
    CHECK(refused([] { return ::mkdir("/nonexistent/a", 0700); }));
    CHECK(refused([] { return ::execl("/bin/true", "true", nullptr); }));
    CHECK(refused([] { return ::fork(); }));
    CHECK(refused([] { return ::kill(::getppid(), 0); }));
    CHECK(refused([] { return ::fcntl(0, F_SETOWN, 1); }));
    CHECK(refused([] {
        return reinterpret_cast<long>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    }));
    CHECK(refused([] {
        void* p = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return ::mprotect(p, 4096, PROT_WRITE | PROT_EXEC);
    }));
}

TEST_CASE("threads that run already are in it too") {
    if (!sandbox_possible()) return;
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        int go[2], result = 1;
        if (::pipe(go) != 0) ::_exit(2);
        std::thread other([&] {
            char byte;
            if (::read(go[0], &byte, 1) == 1 && ::open("/dev/null", O_RDONLY) == -1) result = 0;
        });
        if (!enter_sandbox() || ::write(go[1], "x", 1) != 1) ::_exit(3);
        other.join();
        ::_exit(result);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
}
