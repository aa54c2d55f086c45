// The factory from QEMU's spec syntax; null and file backends.
#include "platform/backends/char_backend.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "platform/backends/fd_backend.h"

namespace rm::platform {
namespace {

class Null final : public CharBackend {
public:
    void write(u8) override {}
    void flush() override {}
    void poll() override {}
};

using View = std::string_view;

// Cuts the text up to the next comma off `rest`. A doubled comma stands for one.
std::string next_field(View& rest) {
    std::string field;
    while (!rest.empty()) {
        if (rest[0] == ',') {
            if (rest.size() < 2 || rest[1] != ',') break;
            rest.remove_prefix(1);
        }
        field += rest[0];
        rest.remove_prefix(1);
    }
    if (!rest.empty()) rest.remove_prefix(1);
    return field;
}

std::unexpected<Error> bad_option(View spec, const std::string& option, const char* known) {
    return fail("'%.*s': unknown option '%s'; known: %s", static_cast<int>(spec.size()),
                spec.data(), option.c_str(), known);
}

// name, name=on, name=off. True if `option` was that.
bool flag(const std::string& option, const char* name, bool& value) {
    const std::string n = name;
    if (option == n || option == n + "=on") return value = true, true;
    if (option == n + "=off") return value = false, true;
    return false;
}

Result<std::unique_ptr<CharBackend>> make_file(View spec, View rest) {
    const std::string path = next_field(rest);
    bool append = false;
    while (!rest.empty())
        if (const std::string option = next_field(rest); !flag(option, "append", append))
            return bad_option(spec, option, "append=on|off");
    if (path.empty()) return fail("'file:' needs a path: file:serial.log");
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0) return fail("'file:%s': cannot write: %s", path.c_str(), std::strerror(errno));
    return std::make_unique<FdBackend>(-1, fd, true, "'file:" + path + "'");
}

Result<std::unique_ptr<CharBackend>> make_socket(View spec, View rest, bool tcp) {
    SocketSpec socket{.text = std::string(spec), .tcp = tcp};
    const std::string address = next_field(rest);
    bool no_wait = false, no_delay = false;
    while (!rest.empty()) {
        const std::string option = next_field(rest);
        if (!flag(option, "server", socket.server) && !flag(option, "nowait", no_wait) &&
            !flag(option, "wait", socket.wait) && !(tcp && flag(option, "nodelay", no_delay)))
            return bad_option(
                spec, option,
                tcp ? "server nowait wait=on|off nodelay" : "server nowait wait=on|off");
    }
    if (no_wait) socket.wait = false;
    if (!tcp) {
        socket.path = address;
        return make_socket_backend(socket);
    }
    const size_t colon = address.rfind(':');
    if (colon == std::string::npos || colon + 1 == address.size())
        return fail("'%.*s': a TCP address is HOST:PORT, e.g. tcp:127.0.0.1:4444,server,nowait",
                    static_cast<int>(spec.size()), spec.data());
    socket.host = address.substr(0, colon);
    socket.port = address.substr(colon + 1);
    if (socket.host.size() > 1 && socket.host.front() == '[' && socket.host.back() == ']')
        socket.host = socket.host.substr(1, socket.host.size() - 2);  // [::1]:4444
    return make_socket_backend(socket);
}

Result<std::unique_ptr<CharBackend>> make_stdio(View spec, View rest, bool signals) {
    while (!rest.empty())
        if (const std::string option = next_field(rest); !flag(option, "signal", signals))
            return bad_option(spec, option, "signal=on|off");
    return make_stdio_backend(signals);
}

bool cut_prefix(View& text, View prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

}  // namespace

Result<std::unique_ptr<CharBackend>> make_char_backend(std::string_view spec) {
    View rest = spec;
    if (cut_prefix(rest, "mon:")) {
        const bool stdio = rest == "stdio" || rest.starts_with("stdio,");
        auto inner = stdio ? make_stdio(spec, rest.size() > 6 ? rest.substr(6) : View{}, false)
                           : make_char_backend(rest);
        if (!inner) return inner;
        return std::make_unique<CharMux>(std::move(*inner));
    }
    if (rest == "null" || rest == "none") return std::make_unique<Null>();
    if (rest == "stdio") return make_stdio(spec, {}, true);
    if (cut_prefix(rest, "stdio,")) return make_stdio(spec, rest, true);
    if (rest == "pty") return make_pty_backend();
    if (cut_prefix(rest, "file:")) return make_file(spec, rest);
    if (cut_prefix(rest, "unix:")) return make_socket(spec, rest, false);
    if (cut_prefix(rest, "tcp:")) return make_socket(spec, rest, true);
    return fail(
        "'%.*s' is no character device; known: stdio mon:stdio null pty file:PATH "
        "unix:PATH,server,nowait tcp:HOST:PORT,server,nowait",
        static_cast<int>(spec.size()), spec.data());
}

}  // namespace rm::platform
