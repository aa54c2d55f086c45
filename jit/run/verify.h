// -accel verify: the machine twice, in two processes, one on the translator and one on the
// interpreter. Both are deterministic, so they must agree whenever translated code has been left.
// The translating process sends its state at those moments through shared memory; the interpreting
// one stops at the same tick, compares, and at the first difference explains it: registers of both,
// the guest instructions since the last agreement, their IR and host code.
#pragma once
#include <memory>
#include <string>

#include "base/result.h"
#include "cpu/cpu.h"
#include "jit/run/translator.h"

namespace rm::jit {

// The shared memory between the two; made before fork().
class VerifyChannel {
public:
    static Result<std::unique_ptr<VerifyChannel>> create();
    ~VerifyChannel();
    void set_sender(int process);  // of the translating process, told by the other one
    struct Shared;
    Shared& shared() { return *shared_; }

private:
    VerifyChannel() = default;
    Shared* shared_ = nullptr;
};

// Wraps a processor's translator: in the sender it runs it and reports; in the checker it
// interprets.
class Verifier final : public cpu::Translator {
public:
    enum class Role { kSender, kChecker };
    // step_from: from this tick on the state is compared after every block; before it after chains
    // of blocks as they really run, which is faster.
    Verifier(cpu::Cpu& cpu, jit::Translator& translator, VerifyChannel& channel, Role role,
             u64 step_from);

    bool run(cpu::Cpu& cpu, cpu::Block& block) override;
    void dropped(cpu::Block& block) override { translator_.dropped(block); }
    void flushed() override { translator_.flushed(); }

private:
    void send(cpu::Cpu& cpu);
    void check(cpu::Cpu& cpu);
    [[noreturn]] void report(cpu::Cpu& cpu, const std::string& difference);

    jit::Translator& translator_;
    VerifyChannel& channel_;
    Role role_;
    u64 step_from_;
    u64 agreed_at_ = 0;            // tick of the last agreement
    bool alone_ = false;           // the sender has ended
    std::vector<u64> trail_;       // blocks interpreted since then
    cpu::Block* first_ = nullptr;  // the block at the last agreement
    cpu::CpuState before_;
    u64 agreements_ = 0;
};

}  // namespace rm::jit
