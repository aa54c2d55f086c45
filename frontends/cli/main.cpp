// Program entry: options, signals, exit code. Everything else is in Machine.
#include <signal.h>

#include <cstdio>

#include "base/log.h"
#include "frontends/cli/machine.h"
#include "frontends/cli/options.h"

namespace {

std::atomic<bool> g_interrupt{false};
std::atomic<bool> g_report{false};

void on_signal(int number) {
    if (number == SIGUSR1)
        g_report = true;
    else
        g_interrupt = true;
}

int complain(const rm::Error& error) {
    std::fprintf(stderr, "ringminus: %s\n", error.message.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    using namespace rm;
    auto options = frontends::parse_options(argc, argv);
    if (!options) return complain(options.error());
    if (options->help) {
        std::fputs(frontends::help_text().c_str(), stdout);
        return 0;
    }
    if (options->version) {
        std::puts("Ringminus 0.1.0");
        return 0;
    }
    if (options->help_topic == "cpu") {
        for (const auto& name : cpu::model_names()) std::puts(name.c_str());
        return 0;
    }
    if (!options->log_file.empty() && !log::open_file(options->log_file.c_str()))
        return complain(fail("-D %s: %m", options->log_file.c_str()).error());
    if (const char* bad = nullptr; !log::enable_list(options->log_items.c_str(), &bad))
        return complain(fail("-d: '%s' is not a log item (-help lists them)", bad).error());
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaction(number, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
    auto machine = frontends::Machine::create(*options);
    if (!machine) return complain(machine.error());
    return (*machine)->run(g_interrupt, g_report);
}
