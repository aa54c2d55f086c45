// Program entry: options, signals, exit code. Everything else is in Machine.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/log.h"
#include "frontends/cli/machine.h"
#include "frontends/cli/options.h"
#include "frontends/cli/sandbox.h"

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

// The interpreting half of -accel verify: the same machine, with nothing that anybody sees or
// keeps.
void make_silent(rm::frontends::Options& o, rm::frontends::VerifyRole& verify) {
    verify.role = rm::jit::Verifier::Role::kChecker;
    if (o.serials.empty() && o.nographic) o.serials.push_back("null");
    for (std::string& s : o.serials) s = s == "none" ? s : "null";
    if (!o.debugcon.empty()) o.debugcon = "null";
    o.traces.clear();
    o.screendump.clear();
    o.snapshot = true;
    o.translator_statistics = false;
    rm::log::disable_all();
}

// Exit code of -accel verify once neither has found a difference: the translating process's own.
int outcome_of(pid_t translating, int code) {
    int status = 0;
    if (waitpid(translating, &status, 0) != translating || WIFEXITED(status))
        return WIFEXITED(status) ? WEXITSTATUS(status) : code;
    std::fprintf(stderr, "ringminus: -accel verify: the translating process ended by signal %d\n",
                 WTERMSIG(status));
    return 5;
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
    for (const auto& r : options->log_ranges) log::add_address_range(r.first, r.last);
    const bool by_address = log::enabled(log::Item::kInAsm) || log::enabled(log::Item::kOp) ||
                            log::enabled(log::Item::kOutAsm);
    if (!options->log_ranges.empty() && !by_address)
        return complain(
            fail("-dfilter: it restricts -d in_asm, op and out_asm; give one of them").error());
    if (!options->log_file.empty() && !log::open_file(options->log_file.c_str()))
        return complain(fail("-D %s: %m", options->log_file.c_str()).error());
    catch_signals();
    frontends::VerifyRole verify;
    std::unique_ptr<jit::VerifyChannel> channel;
    pid_t translating = 0;
    if (options->verify) {
        auto made = jit::VerifyChannel::create();
        if (!made) return complain(made.error());
        channel = std::move(*made);
        verify.channel = channel.get();
        // What the host types in would reach the two machines at different times.
        if (!std::freopen("/dev/null", "r", stdin)) return complain(fail("/dev/null: %m").error());
        translating = fork();
        if (translating < 0) return complain(fail("-accel verify: fork: %m").error());
        if (translating > 0) {
            channel->set_sender(translating);
            make_silent(*options, verify);
        }
    }
    auto machine = frontends::Machine::create(*options, verify);
    if (!machine) return complain(machine.error());
    if (options->start_paused) raise(SIGSTOP);
    // Not asked for, it is only a precaution: an old kernel, a sanitizer and the two processes of
    // -accel verify, which watch each other, go without.
    if (options->sandbox.value_or(frontends::sandbox_possible() && !options->verify))
        if (auto entered = frontends::enter_sandbox(); !entered && options->sandbox)
            return complain(fail("-sandbox on: %s", entered.error().message.c_str()).error());
    int code = (*machine)->run(g_interrupt, g_report);
    machine->reset();  // the terminal is as it was before the last messages
    if (translating > 0) code = outcome_of(translating, code);
    if (!log::close_file()) code = complain(fail("-D %s: %m", options->log_file.c_str()).error());
    return code == frontends::kInterruptedCode ? 128 + g_signal : code;
}
