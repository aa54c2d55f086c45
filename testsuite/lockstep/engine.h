// The engines that are compared. Each runs a processor up to a tick count; the first one named is
// the reference.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu.h"

namespace rm::lockstep {

class Engine {
public:
    virtual ~Engine() = default;
    virtual const char* name() const = 0;
    // Called once for each processor it will run; what it needs for it, to be dropped before the
    // processor.
    virtual std::shared_ptr<void> attach(cpu::Cpu&) { return {}; }
    virtual Processor::Stop run(cpu::Cpu& cpu, u64 until) = 0;
    virtual std::string statistics() const { return {}; }
};

// By name; null if there is no such engine on this host.
std::unique_ptr<Engine> make_engine(const std::string& name);
std::vector<std::string> engine_names();

}  // namespace rm::lockstep
