// Character backend over a stream socket: unix or TCP, listening or connected.
// A listener serves one client at a time; output without a client is dropped, a client that hangs
// up makes place for the next.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "platform/backends/fd_backend.h"

namespace rm::platform {
namespace {

class Socket final : public FdBackend {
public:
    Socket(int listener, int stream, const SocketSpec& spec)
        : FdBackend(stream, stream, true), listener_(listener), spec_(spec) {}
    ~Socket() override {
        if (listener_ >= 0) ::close(listener_);
        if (spec_.server && !spec_.tcp) ::unlink(spec_.path.c_str());
    }

    void poll() override {
        if (in_ < 0) accept_client(false);
        FdBackend::poll();
    }
    int poll_fd() const override { return in_ >= 0 ? in_ : listener_; }
    std::string note() const override {
        return spec_.server && in_ < 0 ? "waiting for a client on " + spec_.text : "";
    }

    void accept_client(bool wait) {
        if (listener_ < 0) return;
        pollfd p{.fd = listener_, .events = POLLIN, .revents = 0};
        while (::poll(&p, 1, wait ? -1 : 0) < 0 && errno == EINTR) {
        }
        if (!(p.revents & POLLIN)) return;
        in_ = out_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    }

protected:
    void input_ended() override { hang_up(); }
    void output_failed() override { hang_up(); }

private:
    void hang_up() {
        if (in_ >= 0) ::close(in_);
        in_ = out_ = -1;
    }

    int listener_;
    SocketSpec spec_;
};

std::unexpected<Error> socket_error(const SocketSpec& spec, const char* what, int error) {
    return fail("'%s': cannot %s: %s%s", spec.text.c_str(), what, std::strerror(error),
                !spec.server && (error == ECONNREFUSED || error == ENOENT)
                    ? "; start the peer first, or add ,server,nowait to listen here"
                    : "");
}

// Binds or connects fd; 0 or the errno.
int attach(int fd, const SocketSpec& spec, const sockaddr* address, socklen_t length) {
    if (!spec.server) return ::connect(fd, address, length) == 0 ? 0 : errno;
    const int on = 1;
    if (spec.tcp) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return ::bind(fd, address, length) == 0 && ::listen(fd, 1) == 0 ? 0 : errno;
}

Result<int> open_unix(const SocketSpec& spec) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (spec.path.empty() || spec.path.size() >= sizeof address.sun_path)
        return fail("'%s': a socket path has 1 to %zu characters", spec.text.c_str(),
                    sizeof address.sun_path - 1);
    std::memcpy(address.sun_path, spec.path.c_str(), spec.path.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return socket_error(spec, "make a socket", errno);
    if (spec.server) ::unlink(spec.path.c_str());  // what a former run left behind
    const int error = attach(fd, spec, reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (!error) return fd;
    ::close(fd);
    return socket_error(spec, spec.server ? "listen" : "connect", error);
}

Result<int> open_tcp(const SocketSpec& spec) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = spec.server ? AI_PASSIVE : 0;
    addrinfo* list = nullptr;
    const int found = ::getaddrinfo(spec.host.empty() ? nullptr : spec.host.c_str(),
                                    spec.port.c_str(), &hints, &list);
    if (found != 0) return fail("'%s': %s", spec.text.c_str(), ::gai_strerror(found));
    int error = EADDRNOTAVAIL;
    for (addrinfo* a = list; a; a = a->ai_next) {
        const int fd = ::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            error = errno;
            continue;
        }
        error = attach(fd, spec, a->ai_addr, a->ai_addrlen);
        if (!error) {
            ::freeaddrinfo(list);
            return fd;
        }
        ::close(fd);
    }
    ::freeaddrinfo(list);
    return socket_error(spec, spec.server ? "listen" : "connect", error);
}

}  // namespace

Result<std::unique_ptr<CharBackend>> make_socket_backend(const SocketSpec& spec) {
    // A peer that hangs up is an error of write(2) for us, not the end of the process.
    std::signal(SIGPIPE, SIG_IGN);
    Result<int> fd = spec.tcp ? open_tcp(spec) : open_unix(spec);
    if (!fd) return std::unexpected(fd.error());
    auto socket = std::make_unique<Socket>(spec.server ? *fd : -1, spec.server ? -1 : *fd, spec);
    if (spec.server && spec.wait) socket->accept_client(true);
    return socket;
}

}  // namespace rm::platform
