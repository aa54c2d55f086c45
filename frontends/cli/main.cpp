// Program entry: options, signals, exit code. Everything else is in Machine.
#include <signal.h>

#include <cstdio>
#include <string>

#include "base/log.h"
#include "frontends/cli/machine.h"
#include "frontends/cli/options.h"

namespace {

std::atomic<bool> g_interrupt{false};
std::atomic<bool> g_report{false};
std::atomic<int> g_signal{0};

void on_signal(int number) {
    if (number == SIGUSR1) {
        g_report = true;
    } else {
        g_signal = number;
        g_interrupt = true;
    }
}

// One line, whatever was in the names it repeats.
int complain(const rm::Error& error) {
    std::string line = error.message;
    for (char& c : line)
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) c = '?';
    std::fprintf(stderr, "ringminus: %s\n", line.c_str());
    return 1;
}

int print(const std::string& text) {
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0)
        return complain(rm::fail("standard output: %m").error());
    return 0;
}

std::string cpu_list() {
    std::string text;
    for (const auto& name : rm::cpu::model_names()) text += name + "\n";
    return text;
}

// The first of these signals ends the machine in order; a second one ends the process at once, in
// case the first waits for an output that nobody reads.
void catch_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, nullptr);
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
    using namespace rm;
    auto options = frontends::parse_options(argc, argv);
    if (!options) return complain(options.error());
    if (options->help) return print(frontends::help_text());
    if (options->version) return print("Ringminus 0.1.0\n");
    if (options->help_topic == "cpu") return print(cpu_list());
    if (const char* bad = nullptr; !log::enable_list(options->log_items.c_str(), &bad))
        return complain(fail("-d: '%s' is not a log item (-help lists them)", bad).error());
    if (!options->log_file.empty() && !log::open_file(options->log_file.c_str()))
        return complain(fail("-D %s: %m", options->log_file.c_str()).error());
    catch_signals();
    auto machine = frontends::Machine::create(*options);
    if (!machine) return complain(machine.error());
    if (options->start_paused) raise(SIGSTOP);
    int code = (*machine)->run(g_interrupt, g_report);
    machine->reset();  // the terminal is as it was before the last messages
    if (!log::close_file()) code = complain(fail("-D %s: %m", options->log_file.c_str()).error());
    return code == frontends::kInterruptedCode ? 128 + g_signal : code;
}
