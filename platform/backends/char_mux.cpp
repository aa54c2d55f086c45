// Several users of one terminal and the Ctrl-A escape, as in QEMU's -nographic.
#include <algorithm>

#include "base/assert.h"
#include "platform/backends/char_backend.h"

namespace rm::platform {
namespace {

constexpr u8 kEscape = 0x01;  // Ctrl-A
constexpr char kHelp[] =
    "\r\n"
    "Ctrl-A h    this help\r\n"
    "Ctrl-A x    end the emulator\r\n"
    "Ctrl-A s    write disk data to the image files\r\n"
    "Ctrl-A b    send a break\r\n"
    "Ctrl-A c    switch between the console and the monitor\r\n"
    "Ctrl-A Ctrl-A  send Ctrl-A\r\n";

}  // namespace

// A further user: output goes through, input arrives while it has the focus.
class CharMux::User final : public CharBackend {
public:
    explicit User(CharMux& mux) : mux_(mux) {}
    ~User() override {
        std::replace(mux_.users_.begin(), mux_.users_.end(), this, static_cast<User*>(nullptr));
    }
    void write(u8 byte) override { mux_.write(byte); }
    void flush() override { mux_.flush(); }
    void poll() override {}  // the mux is polled once, by its owner
    size_t space() const { return room(); }
    void give(u8 byte) { deliver(byte); }

private:
    CharMux& mux_;
};

CharMux::CharMux(std::unique_ptr<CharBackend> terminal) : terminal_(std::move(terminal)) {
    // One byte at a time while an escape may follow; the user in focus limits the rest.
    terminal_->set_receiver({.room = [this] { return std::max<size_t>(focus_room(), 1); },
                             .take = [this](u8 byte) { input(byte); }});
}

CharMux::~CharMux() {
    RM_ASSERT(std::all_of(users_.begin(), users_.end(), [](User* u) { return !u; }),
              "a user outlives its terminal");
}

std::unique_ptr<CharBackend> CharMux::add_user() {
    auto user = std::make_unique<User>(*this);
    users_.push_back(user.get());
    return user;
}

void CharMux::write(u8 byte) { terminal_->write(byte); }
void CharMux::flush() { terminal_->flush(); }
void CharMux::poll() { terminal_->poll(); }
int CharMux::poll_fd() const { return terminal_->poll_fd(); }

void CharMux::print(const char* text) {
    for (; *text; ++text) terminal_->write(static_cast<u8>(*text));
    terminal_->flush();
}

size_t CharMux::focus_room() const {
    if (focus_ == 0) return room();
    return users_[focus_ - 1] ? users_[focus_ - 1]->space() : 0;
}

void CharMux::to_focus(u8 byte) {
    if (!focus_room()) return;  // typed faster than the user takes: lost, as on a real line
    if (focus_ == 0)
        deliver(byte);
    else
        users_[focus_ - 1]->give(byte);
}

void CharMux::input(u8 byte) {
    if (escaped_) {
        escaped_ = false;
        command(byte);
    } else if (byte == kEscape) {
        escaped_ = true;
    } else {
        to_focus(byte);
    }
}

void CharMux::command(u8 byte) {
    switch (byte) {
        case kEscape: to_focus(byte); break;
        case 'h':
        case '?': print(kHelp); break;
        case 'x':
            if (actions_.quit) actions_.quit();
            break;
        case 'b':
            if (actions_.send_break) actions_.send_break();
            break;
        case 's':
            if (actions_.flush_disks) actions_.flush_disks();
            break;
        case 'c':
            do focus_ = (focus_ + 1) % (users_.size() + 1);
            while (focus_ && !users_[focus_ - 1]);
            break;
        default: break;
    }
}

}  // namespace rm::platform
