// Everything that watches a run, made from the options: exit traces, statistics, single-step lines,
// the run's hash. Watching never changes the run.
#pragma once
#include <memory>

#include "base/machine_lock.h"
#include "cpu/cpu.h"
#include "frontends/cli/options.h"
#include "platform/machine/pc.h"

namespace rm::vt::common {
class TraceSink;
}

namespace rm::frontends {

class Tracing final : public platform::Observer, public cpu::EventObserver {
public:
    static Result<std::unique_ptr<Tracing>> create(const Options& options, MachineLock* lock);
    ~Tracing() override;
    // The sink for the processors' VT objects; null when nobody looks.
    vt::common::TraceSink* sink();
    void attach(cpu::Cpu& cpu);

    void on_output(const char* device, std::span<const u8> bytes) override;
    void on_delivery(const cpu::Cpu& cpu, const cpu::Event& event) override;

    bool failed() const;  // a trace file could not be written
    void report();        // SIGUSR1: the statistics so far
    // At the end: flushes, prints statistics and the hash. Errors name the file.
    Result<void> finish(std::span<cpu::Cpu* const> cpus, platform::Pc& pc);

private:
    Tracing();
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace rm::frontends
