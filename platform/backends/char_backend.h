// Where the bytes of a serial port, debug console or monitor go to and come from on the host.
// Owns: the interface, the factory by QEMU's spec syntax. Assumes: one thread; the frontend calls
// poll() every few milliseconds and when the machine is idle, and flush() when it stops or exits.
//
// Output is buffered: written at a newline, when 4 KiB have gathered, at poll() and at the end.
// Input goes to the one receiver; what it cannot take yet waits here or in the host's pipe.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace rm::platform {

class CharBackend {
public:
    virtual ~CharBackend() = default;
    virtual void write(u8 byte) = 0;
    virtual void flush() = 0;
    // Moves pending input to the receiver, accepts connections, flushes. Never blocks.
    virtual void poll() = 0;
    // Descriptor that becomes readable with input, for the frontend's poll(2); -1: none now.
    virtual int poll_fd() const { return -1; }
    // One line for the user where there is something to know ("/dev/pts/3"), else empty.
    virtual std::string note() const { return {}; }

    // One line that names the backend and the cause once output was lost for good, else empty.
    virtual std::string failure() const { return {}; }

    // The device: takes one byte; `room` tells how many it would take now.
    struct Receiver {
        std::function<size_t()> room;
        std::function<void(u8)> take;
    };
    void set_receiver(Receiver receiver) { receiver_ = std::move(receiver); }

protected:
    size_t room() const { return receiver_.room ? receiver_.room() : 0; }
    void deliver(u8 byte) {
        if (receiver_.take) receiver_.take(byte);
    }
    bool has_receiver() const { return static_cast<bool>(receiver_.take); }

private:
    Receiver receiver_;
};

// spec: null | stdio | mon:stdio | file:PATH | pty | unix:PATH,server[,nowait] |
// tcp:HOST:PORT,server[,nowait] | unix:PATH | tcp:HOST:PORT (client). server=on|off and
// wait=on|off are accepted too. Errors name the spec and the remedy. mon:stdio is a CharMux.
Result<std::unique_ptr<CharBackend>> make_char_backend(std::string_view spec);

// Several frontends on one terminal, with QEMU's escape key Ctrl-A: x quits, c goes to the next
// user, h prints help, b sends a break, s flushes disks, Ctrl-A sends itself. Input goes to the
// user in focus, output of every user is shown.
class CharMux final : public CharBackend {
public:
    struct Actions {
        std::function<void()> quit;
        std::function<void()> send_break;
        std::function<void()> flush_disks;
    };
    explicit CharMux(std::unique_ptr<CharBackend> terminal);
    ~CharMux() override;
    void set_actions(Actions actions) { actions_ = std::move(actions); }
    // A new user of the terminal (a second serial port, the monitor). Focus stays with the first;
    // user 0 is the mux itself used as a backend. The view must not outlive the mux.
    std::unique_ptr<CharBackend> add_user();

    void write(u8 byte) override;
    void flush() override;
    void poll() override;
    int poll_fd() const override;
    std::string failure() const override { return terminal_->failure(); }

private:
    class User;
    void input(u8 byte);
    void command(u8 byte);
    void print(const char* text);
    size_t focus_room() const;
    void to_focus(u8 byte);

    std::unique_ptr<CharBackend> terminal_;
    Actions actions_;
    std::vector<User*> users_;  // null: gone
    size_t focus_ = 0;          // 0: this object, n: users_[n - 1]
    bool escaped_ = false;
};

}  // namespace rm::platform
