// Runs one instruction in the interpreter, on a processor set up as a Linux process sees its own:
// long mode, CPL 3, flat segments, the pages of layout.h mapped at the same addresses.
// Source: SDM 3A 4.5 (page tables), 9.8.5 (long mode).
#pragma once
#include <memory>

#include "cpu/cpu.h"
#include "native/state.h"

namespace rm::native {

class EmulatedCpu final : cpu::EventObserver {
public:
    explicit EmulatedCpu(cpu::Vendor vendor);
    ~EmulatedCpu() override;
    // `piece` bounds the ticks of one run() call, so that REP instructions are cut into pieces.
    // `cold`: with an empty TLB, so that what the fast value engine would have done falls to the
    // complete one.
    Outcome run(const Case& c, unsigned piece, bool cold);
    const u8* memory() const;  // kScratchBytes after run()
    const cpu::Model& model() const;
    cpu::Mode mode(Code code) const;

private:
    struct Machine;
    void on_delivery(const cpu::Cpu& cpu, const cpu::Event& event) override;
    void load(const Case& c);
    void save(State& out) const;

    std::unique_ptr<Machine> machine_;
    bool delivered_ = false;
    Outcome outcome_;
};

}  // namespace rm::native
