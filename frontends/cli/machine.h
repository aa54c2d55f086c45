// Builds the machine that the options describe: model, processors with their VT, PC, host ends of
// serial ports, traces. Owns everything; runs it and turns the way it ended into an exit code.
#pragma once
#include <atomic>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/machine_lock.h"
#include "cpu/cpu.h"
#include "cpu/models/model.h"
#include "frontends/cli/options.h"
#include "frontends/cli/tracing.h"
#include "jit/run/translator.h"
#include "jit/run/verify.h"
#include "platform/machine/pc.h"

namespace rm::frontends {

// run()'s result when `interrupt` ended it.
inline constexpr int kInterruptedCode = -1;

// Which of -accel verify's two processes this is.
struct VerifyRole {
    jit::VerifyChannel* channel = nullptr;  // null: no verification
    jit::Verifier::Role role = jit::Verifier::Role::kSender;
};

class Machine {
public:
    static Result<std::unique_ptr<Machine>> create(const Options& options, VerifyRole verify = {});
    ~Machine();
    // Runs to the end. `interrupt` is set by SIGINT and SIGTERM, `report` by SIGUSR1.
    int run(const std::atomic<bool>& interrupt, std::atomic<bool>& report);

private:
    Machine(const Options& options, VerifyRole verify) : options_(options), verify_(verify) {}
    Result<void> build();
    Result<void> add_serials(platform::PcConfig& config);
    Result<void> add_drives(platform::PcConfig& config);
    std::unique_ptr<Processor> make_cpu(const platform::CpuPlace& place);
    void poll(std::atomic<bool>& report);
    bool wait_for_input(std::atomic<bool>& report);
    int exit_code(const platform::PcExit& exit);
    Result<void> open_screendump();
    Result<void> dump_screen();

    struct FileCloser {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    Options options_;
    VerifyRole verify_;
    cpu::Model model_;
    std::unique_ptr<MachineLock> lock_;  // thread=multi
    std::unique_ptr<Tracing> tracing_;
    std::vector<std::unique_ptr<cpu::Virtualization>> virtualizations_;
    std::vector<std::unique_ptr<jit::Translator>> translators_;
    std::vector<std::unique_ptr<jit::Verifier>> verifiers_;
    std::vector<std::unique_ptr<platform::CharBackend>> backends_;
    std::vector<cpu::Cpu*> cpus_;
    std::unique_ptr<platform::Pc> pc_;
    std::unique_ptr<std::FILE, FileCloser> perf_map_;
    std::unique_ptr<std::FILE, FileCloser> screendump_;
    bool quit_ = false;    // asked for at the terminal
    std::string failure_;  // of a backend, while running
};

}  // namespace rm::frontends
