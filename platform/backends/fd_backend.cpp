// Output buffering and input polling over descriptors; the terminal in raw mode; the pty.
#include "platform/backends/fd_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rm::platform {
namespace {

bool ready(int fd, short events) {
    pollfd p{.fd = fd, .events = events, .revents = 0};
    return fd >= 0 && ::poll(&p, 1, 0) > 0 && (p.revents & (events | POLLHUP));
}

}  // namespace

FdBackend::~FdBackend() {
    FdBackend::flush();
    if (!owns_) return;
    if (in_ >= 0) ::close(in_);
    if (out_ >= 0 && out_ != in_) ::close(out_);
}

void FdBackend::write(u8 byte) {
    buffer_[used_++] = byte;
    if (byte == '\n' || used_ == buffer_.size()) flush();
}

void FdBackend::flush() {
    size_t done = 0;
    while (done < used_ && out_ >= 0) {
        if (!may_block() && !ready(out_, POLLOUT)) break;
        const ssize_t n = ::write(out_, buffer_.data() + done, used_ - done);
        if (n > 0) {
            done += static_cast<size_t>(n);
        } else if (n < 0 && errno == EAGAIN) {
            pollfd p{.fd = out_, .events = POLLOUT, .revents = 0};
            if (may_block()) ::poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            output_failed();
        }
    }
    used_ = 0;
}

void FdBackend::output_failed() {
    error_ = errno;
    if (owns_ && out_ != in_) ::close(out_);
    out_ = -1;
}

std::string FdBackend::failure() const {
    return error_ ? name_ + ": " + std::strerror(error_) : std::string();
}

void FdBackend::read_input() {
    std::array<u8, 256> bytes;
    // Only as much as the device takes now: the rest waits in the host's buffer.
    while (in_ >= 0) {
        const size_t want = std::min(bytes.size(), room());
        if (!want || !ready(in_, POLLIN)) return;
        const ssize_t n = ::read(in_, bytes.data(), want);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
        if (n <= 0) {
            input_ended();
            return;
        }
        for (ssize_t i = 0; i < n; ++i) deliver(bytes[static_cast<size_t>(i)]);
    }
}

void FdBackend::poll() {
    if (used_) flush();
    if (has_receiver()) read_input();
}

// --- stdio
// ----------------------------------------------------------------------------------------

namespace {

// The terminal's settings before we changed them; restored on destruction and on exit().
termios saved_terminal;
bool terminal_changed = false;

void restore_terminal() {
    if (!terminal_changed) return;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
    terminal_changed = false;
}

class Stdio final : public FdBackend {
public:
    Stdio() : FdBackend(STDIN_FILENO, STDOUT_FILENO, false, "standard output") {}
    ~Stdio() override {
        flush();
        restore_terminal();
        in_use = false;
    }
    static bool in_use;
};
bool Stdio::in_use = false;

void make_terminal_raw(bool signals) {
    if (terminal_changed || ::tcgetattr(STDIN_FILENO, &saved_terminal) != 0) return;
    termios raw = saved_terminal;
    raw.c_iflag &=
        ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag |= OPOST;
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals) raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
    raw.c_cflag = (raw.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (::tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) return;
    terminal_changed = true;
    static const bool registered = std::atexit(restore_terminal) == 0;
    (void)registered;
}

class Pty final : public FdBackend {
public:
    Pty(int master, int slave, const std::string& name)
        : FdBackend(master, master, true, name), slave_(slave), name_(name) {}
    ~Pty() override { ::close(slave_); }
    std::string note() const override { return "char device redirected to " + name_; }

protected:
    bool may_block() const override { return false; }  // nobody may be reading at all

private:
    int slave_;  // kept open, so that a reader going away is no hang-up of the master
    std::string name_;
};

}  // namespace

Result<std::unique_ptr<CharBackend>> make_stdio_backend(bool signals) {
    if (Stdio::in_use)
        return fail(
            "'stdio' is used twice; share it with mon:stdio, or give one device another "
            "backend such as file:PATH or null");
    Stdio::in_use = true;
    make_terminal_raw(signals);
    return std::make_unique<Stdio>();
}

Result<std::unique_ptr<CharBackend>> make_pty_backend() {
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[128];
    if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0 ||
        ::ptsname_r(master, name, sizeof name) != 0) {
        const int error = errno;
        if (master >= 0) ::close(master);
        return fail("'pty': the host gives no pseudo-terminal: %s", std::strerror(error));
    }
    const int slave = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        const int error = errno;
        ::close(master);
        return fail("'pty': cannot open %s: %s", name, std::strerror(error));
    }
    termios raw;
    ::tcgetattr(slave, &raw);
    ::cfmakeraw(&raw);
    ::tcsetattr(slave, TCSANOW, &raw);
    return std::make_unique<Pty>(master, slave, name);
}

}  // namespace rm::platform
