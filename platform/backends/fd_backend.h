// Character backend over host descriptors: buffered output, input read without blocking.
// Owns: the two descriptors (may be one) unless told otherwise; -1 stands for "none".
// Assumes: poll(2) tells truthfully whether input waits, so descriptors need not be non-blocking
// (a terminal's flags are shared with the shell that started us).
#pragma once
#include <array>

#include "platform/backends/char_backend.h"

namespace rm::platform {

class FdBackend : public CharBackend {
public:
    // name: for failure()
    FdBackend(int in_fd, int out_fd, bool owns, std::string name = {})
        : in_(in_fd), out_(out_fd), owns_(owns), name_(std::move(name)) {}
    ~FdBackend() override;
    FdBackend(const FdBackend&) = delete;
    FdBackend& operator=(const FdBackend&) = delete;

    void write(u8 byte) override;
    void flush() override;
    void poll() override;
    int poll_fd() const override { return in_; }
    std::string failure() const override;

protected:
    // End of input or a broken output (errno tells why). The default forgets the descriptor; a lost
    // output is then a failure().
    virtual void input_ended() { in_ = -1; }
    virtual void output_failed();
    // False: output is thrown away instead of waited for while the reader is slow.
    virtual bool may_block() const { return true; }

    int in_;
    int out_;

private:
    void read_input();

    bool owns_;
    std::string name_;
    int error_ = 0;
    size_t used_ = 0;
    std::array<u8, 4096> buffer_;
};

Result<std::unique_ptr<CharBackend>> make_stdio_backend(bool signals);
Result<std::unique_ptr<CharBackend>> make_pty_backend();

// A stream socket, listening (server) or connected. wait: block until the first client is there.
struct SocketSpec {
    std::string text;  // as the user wrote it, for messages
    bool tcp = false;
    std::string host, port;  // tcp
    std::string path;        // unix
    bool server = false;
    bool wait = true;
};
Result<std::unique_ptr<CharBackend>> make_socket_backend(const SocketSpec& spec);

}  // namespace rm::platform
