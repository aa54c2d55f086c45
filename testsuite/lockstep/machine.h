// A processor with its memory for one engine, and what is left after a sequence has run on it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu.h"
#include "lockstep/sequence.h"

namespace rm::lockstep {

// An event as it is delivered, and a device access: what must be the same besides the state.
struct Happening {
    u64 tick = 0, rip = 0;
    u64 what = 0;  // vector, or address | size << 48
    u64 value = 0;
    bool operator==(const Happening&) const = default;
};

struct Result {
    Processor::Stop stop = Processor::Stop::kDeadline;
    u64 ticks = 0;
    cpu::CpuState state;
    std::vector<Happening> happenings;
    std::vector<u8> memory;
};

class Machine final : public cpu::EventObserver {
public:
    explicit Machine(cpu::Vendor vendor);
    ~Machine() override;
    // Everything as the sequence says. What a processor may keep (decoded and translated code)
    // stays.
    void load(const Sequence& s);
    void interrupt();
    void poke(const Sequence::Poke& p);
    Result result(Processor::Stop stop) const;
    cpu::Cpu& cpu();
    void on_delivery(const cpu::Cpu& cpu, const cpu::Event& event) override;

    static cpu::Model model(cpu::Vendor vendor);
    static cpu::Mode mode(Kind kind);
    // RAM before a sequence has put its own into it: descriptors, tables, handlers.
    // Machines made from here on work as with thread=multi, one processor each.
    static inline bool threads = false;
    static std::vector<u8> system_memory();

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace rm::lockstep
