#include "jit/run/verify.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cpu/decode/instruction_text.h"
#include "jit/ir/print.h"
#include "jit/translate/build_ir.h"

namespace rm::jit {

namespace {

// What is compared.
struct Checkpoint {
    u64 tick = 0;
    u32 processor = 0;
    u32 mode = 0;
    u64 gpr[16] = {}, rip = 0, rflags = 0, cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
    u64 xmm[16][2] = {}, st[8] = {};
    u16 st_high[8] = {}, fcw = 0, fsw = 0, ftw = 0;
    u32 mxcsr = 0;
};

Checkpoint checkpoint_of(const cpu::Cpu& c) {
    Checkpoint p;
    p.tick = c.tick_base;
    p.processor = c.config.index;
    p.mode = c.mode.word;
    for (unsigned n = 0; n < 16; ++n) {
        p.gpr[n] = c.gpr[n];
        p.xmm[n][0] = c.fpu.xmm[n].q[0];
        p.xmm[n][1] = c.fpu.xmm[n].q[1];
    }
    for (unsigned n = 0; n < 8; ++n) {
        p.st[n] = c.fpu.st[n].mantissa;
        p.st_high[n] = c.fpu.st[n].sign_exponent;
    }
    p.rip = c.rip;
    p.rflags = c.rflags();
    p.cr0 = c.cr0, p.cr2 = c.cr2, p.cr3 = c.cr3, p.cr4 = c.cr4;
    p.fcw = c.fpu.fcw, p.fsw = c.fpu.fsw, p.ftw = c.fpu.ftw;
    p.mxcsr = c.fpu.mxcsr;
    return p;
}

// "name translated interpreted" for each field that differs.
std::string differences(const Checkpoint& jit, const Checkpoint& interp) {
    static constexpr const char* kNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                               "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                               "r12", "r13", "r14", "r15"};
    std::string out;
    char line[160];
    auto field = [&](const char* name, u64 a, u64 b) {
        if (a == b) return;
        std::snprintf(line, sizeof line, "  %-7s translated %016llx  interpreted %016llx\n", name,
                      static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
        out += line;
    };
    field("mode", jit.mode, interp.mode);
    field("rip", jit.rip, interp.rip);
    for (unsigned n = 0; n < 16; ++n) field(kNames[n], jit.gpr[n], interp.gpr[n]);
    field("rflags", jit.rflags, interp.rflags);
    field("cr0", jit.cr0, interp.cr0);
    field("cr2", jit.cr2, interp.cr2);
    field("cr3", jit.cr3, interp.cr3);
    field("cr4", jit.cr4, interp.cr4);
    field("mxcsr", jit.mxcsr, interp.mxcsr);
    field("fcw", jit.fcw, interp.fcw);
    field("fsw", jit.fsw, interp.fsw);
    field("ftw", jit.ftw, interp.ftw);
    for (unsigned n = 0; n < 16; ++n) {
        const std::string name = "xmm" + std::to_string(n);
        field((name + ".l").c_str(), jit.xmm[n][0], interp.xmm[n][0]);
        field((name + ".h").c_str(), jit.xmm[n][1], interp.xmm[n][1]);
    }
    for (unsigned n = 0; n < 8; ++n) {
        const std::string name = "r" + std::to_string(n) + "(x87)";
        field(name.c_str(), jit.st[n], interp.st[n]);
        field(name.c_str(), jit.st_high[n], interp.st_high[n]);
    }
    return out;
}

constexpr std::size_t kRing = 4096;

}  // namespace

struct VerifyChannel::Shared {
    std::atomic<u64> written{0}, read{0};
    std::atomic<bool> checker_gone{false};
    std::atomic<int> sender{0};  // its process
    Checkpoint ring[kRing];
};

Result<std::unique_ptr<VerifyChannel>> VerifyChannel::create() {
    void* at =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return fail("-accel verify: no shared memory: %s", std::strerror(errno));
    std::unique_ptr<VerifyChannel> channel(new VerifyChannel);
    channel->shared_ = new (at) Shared;
    return channel;
}

void VerifyChannel::set_sender(int process) { shared_->sender = process; }

VerifyChannel::~VerifyChannel() { ::munmap(shared_, sizeof(Shared)); }

Verifier::Verifier(cpu::Cpu& cpu, jit::Translator& translator, VerifyChannel& channel, Role role,
                   u64 step_from)
    : translator_(translator), channel_(channel), role_(role), step_from_(step_from) {
    cpu.translator = this;
    if (role == Role::kSender) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

bool Verifier::run(cpu::Cpu& cpu, cpu::Block& block) {
    if (role_ == Role::kSender) {
        const u64 chain = cpu.tick_base < step_from_ ? 200 : 1;
        const bool ran = translator_.run_until(cpu, block, cpu.tick_base + chain);
        if (ran) send(cpu);
        return ran;
    }
    check(cpu);
    return true;
}

void Verifier::send(cpu::Cpu& cpu) {
    VerifyChannel::Shared& s = channel_.shared();
    const u64 n = s.written.load(std::memory_order_relaxed);
    while (n - s.read.load(std::memory_order_acquire) >= kRing) {
        if (s.checker_gone) std::_Exit(6);
        ::sched_yield();
    }
    s.ring[n % kRing] = checkpoint_of(cpu);
    s.written.store(n + 1, std::memory_order_release);
    ++agreements_;
}

// Interprets up to the sender's next checkpoint, or to the block's end.
void Verifier::check(cpu::Cpu& cpu) {
    VerifyChannel::Shared& s = channel_.shared();
    const u64 end = std::min<u64>(cpu.stop_tick, cpu.vt_due);
    u64 waited = 0;
    auto interpret = [&](u64 limit) {
        cpu::Block* block = cpu.blocks->find();
        first_ = block;
        before_ = cpu;
        trail_.push_back(cpu.rip);
        (void)cpu.run_block(*block, 0, limit);
    };
    for (;;) {
        const u64 n = s.read.load(std::memory_order_relaxed);
        while (s.written.load(std::memory_order_acquire) == n) {
            if (alone_) return interpret(end - cpu.tick_base);
            // Nothing for a while: has it ended (then so shall we, alone), or crashed?
            if (++waited % 1024) continue;
            ::sched_yield();
            siginfo_t info{};
            const int sender = s.sender;
            if (!sender ||
                ::waitid(P_PID, static_cast<id_t>(sender), &info, WEXITED | WNOHANG | WNOWAIT) ||
                info.si_pid == 0)
                continue;
            if (info.si_code != CLD_EXITED)
                report(cpu, "  the translating process ended by signal " +
                                std::to_string(info.si_status) + "\n");
            alone_ = true;
        }
        const Checkpoint& c = s.ring[n % kRing];
        if (c.processor == cpu.config.index && c.tick > cpu.tick_base) {
            interpret(std::min(end, c.tick) - cpu.tick_base);
            if (cpu.tick_base < c.tick) return;
            const Checkpoint mine = checkpoint_of(cpu);
            std::string difference;
            if (mine.tick != c.tick)
                difference = "  ticks   translated " + std::to_string(c.tick) + "  interpreted " +
                             std::to_string(mine.tick) + "\n";
            difference += differences(c, mine);
            if (!difference.empty()) report(cpu, difference);
            ++agreements_;
            agreed_at_ = cpu.tick_base;
            trail_.clear();
            s.read.store(n + 1, std::memory_order_release);
            return;
        }
        // Passed in a stretch that neither side translates.
        s.read.store(n + 1, std::memory_order_release);
    }
}

void Verifier::report(cpu::Cpu& cpu, const std::string& difference) {
    std::fprintf(stderr,
                 "\nringminus: -accel verify: translated and interpreted code differ on processor "
                 "%u at tick "
                 "%llu, after %llu agreements\n%s",
                 cpu.config.index, static_cast<unsigned long long>(cpu.tick_base),
                 static_cast<unsigned long long>(agreements_), difference.c_str());
    std::fprintf(stderr,
                 "blocks since the last agreement at tick %llu (-accel verify,step-from=%llu "
                 "compares each):\n ",
                 static_cast<unsigned long long>(agreed_at_),
                 static_cast<unsigned long long>(agreed_at_));
    for (std::size_t n = trail_.size() > 40 ? trail_.size() - 40 : 0; n < trail_.size(); ++n)
        std::fprintf(stderr, " %llx", static_cast<unsigned long long>(trail_[n]));
    std::fprintf(stderr, "\nstate before the last of them:\n  rip %llx rflags %llx cc %x\n",
                 static_cast<unsigned long long>(before_.rip),
                 static_cast<unsigned long long>(before_.rflags()), before_.cc);
    for (unsigned n = 0; n < 16; ++n)
        std::fprintf(stderr, "  r%-2u %016llx%s", n,
                     static_cast<unsigned long long>(before_.gpr[n]), n % 4 == 3 ? "\n" : "");
    if (first_ && first_->host) {
        cpu::InstructionText text;
        std::fprintf(stderr, "guest instructions:\n");
        for (u32 n = 0; n < first_->count; ++n) {
            const cpu::Insn& i = first_->insns[n];
            const u64 rip = first_->rip + i.offset;
            std::fprintf(
                stderr, "  %llx: %s\n", static_cast<unsigned long long>(rip),
                text.of({first_->host + i.offset, i.length}, first_->mode.code_size_log2(), rip)
                    .text.c_str());
        }
        std::fprintf(stderr, "%s", translator_.explain(*first_).c_str());
    }
    channel_.shared().checker_gone = true;
    std::fflush(stderr);
    std::_Exit(5);
}

}  // namespace rm::jit
