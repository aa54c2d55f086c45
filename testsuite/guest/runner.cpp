// Runs guest test programs (testsuite/guest/*/*.asm) on a tiny board: RAM, local APICs, processors,
// a debug port and an exit port; no chipset, no firmware. Every model named in a program's header
// is tried. Exit code 0: every program ended as its header says. Usage: guest_runner [-v]
// [--jit | --verify] [--threads] PROGRAM.asm PROGRAM.bin [PROGRAM.asm PROGRAM.bin ...]
// --jit: on the translator; --verify: on both at once, compared each time translated code
// is left, as -accel verify; --threads: a host thread for each processor, as -accel
// ...,thread=multi; ticks of the deadline are then 100 times as long.
//
// Header lines, all optional, at the head of the .asm file:
//   ; models: Westmere, max,+svm    -cpu arguments (separated by blanks after the comma); default
//   Westmere ; start: protected | reset      Multiboot entry in flat 32-bit mode (default), or the
//   image (64 KiB)
//                                   is the ROM below 1 MiB and below 4 GiB and starts at the reset
//                                   vector
//   ; cpus: 2                       processors; default 1
//   ; chipset: pic                  adds the 8259 pair and the IRQ 13 logic of port F0H
//   ; ticks: 5000000                the deadline in instructions; default 20 million
//   ; expect: exit=0 | triple-fault | idle       how it ends; default exit=0
//   ; expect: output="TEXT"         what port E9H got, with \n for a newline
//   ; expect: rax=0x5 mem[0x28000]=0x1234        final state of processor 0; mem reads 4 bytes
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "cpu/cpu.h"
#include "jit/run/translator.h"
#include "jit/run/verify.h"
#include "platform/interrupt/coprocessor_error.h"
#include "platform/interrupt/local_apic.h"
#include "platform/interrupt/locked_apic.h"
#include "platform/interrupt/pic8259.h"
#include "platform/machine/scheduler.h"
#include "vt-emulation/svm/svm.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::guest_test {

namespace {

bool g_translate = false;  // --jit
bool g_threads = false;    // --threads
bool g_verify = false;     // --verify

constexpr u64 kRamBytes = u64{64} << 20;
constexpr u32 kMultibootLoaded = 0x2BADB002;

struct Program {
    std::vector<std::string> models{"Westmere"};
    bool from_reset = false;
    unsigned cpus = 1;
    bool pic = false;
    u64 ticks = 20'000'000;
    std::string end = "exit=0";
    std::optional<std::string> output;
    struct Value {
        std::string name;  // register, or "mem"
        u64 address = 0, wanted = 0;
    };
    std::vector<Value> values;
    std::vector<u8> image;
};

std::string trimmed(const std::string& s) {
    const auto first = s.find_first_not_of(" \t");
    if (first == s.npos) return {};
    return s.substr(first, s.find_last_not_of(" \t\r") - first + 1);
}

void parse_expectation(Program& p, const std::string& text) {
    if (text.starts_with("output=\"")) {
        std::string out;
        for (std::size_t i = 8; i < text.size() && text[i] != '"'; ++i)
            if (text[i] == '\\' && text[i + 1] == 'n') {
                out += '\n';
                ++i;
            } else {
                out += text[i];
            }
        p.output = out;
        return;
    }
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        const auto eq = word.find('=');
        if (word.starts_with("exit=") || eq == word.npos) {
            p.end = word;
            continue;
        }
        Program::Value v{word.substr(0, eq), 0, std::strtoull(word.c_str() + eq + 1, nullptr, 0)};
        if (v.name.starts_with("mem[")) {
            v.address = std::strtoull(v.name.c_str() + 4, nullptr, 0);
            v.name = "mem";
        }
        p.values.push_back(v);
    }
}

std::vector<std::string> parse_models(const std::string& text) {
    std::vector<std::string> models;
    std::size_t at = 0;
    while (at < text.size()) {
        auto end = text.find(", ", at);
        if (end == text.npos) end = text.size();
        models.push_back(trimmed(text.substr(at, end - at)));
        at = end + 2;
    }
    return models;
}

bool load_program(const char* source, const char* binary, Program& p) {
    std::ifstream text(source);
    std::ifstream image(binary, std::ios::binary);
    if (!text || !image) return false;
    for (std::string line; std::getline(text, line) && line.starts_with(";");) {
        const auto colon = line.find(':');
        if (colon == line.npos) continue;
        const std::string key = trimmed(line.substr(1, colon - 1)),
                          value = trimmed(line.substr(colon + 1));
        if (key == "models") p.models = parse_models(value);
        if (key == "start") p.from_reset = value == "reset";
        if (key == "cpus") p.cpus = static_cast<unsigned>(std::atoi(value.c_str()));
        if (key == "chipset") p.pic = value == "pic";
        if (key == "ticks") p.ticks = std::strtoull(value.c_str(), nullptr, 0);
        if (key == "expect") parse_expectation(p, value);
    }
    p.image.assign(std::istreambuf_iterator<char>(image), {});
    return true;
}

// The pins of a processor, which is built after its local APIC.
class LatePins final : public CpuPins {
public:
    CpuPins* target = nullptr;
    void set_intr(bool on) override { target->set_intr(on); }
    void pulse_nmi() override { target->pulse_nmi(); }
    void pulse_smi() override { target->pulse_smi(); }
    void pulse_init() override { target->pulse_init(); }
    void startup_ipi(u8 vector) override { target->startup_ipi(vector); }
};

// Which half of a verified run a board is; no channel: it runs alone.
struct VerifyRole {
    jit::VerifyChannel* channel = nullptr;
    jit::Verifier::Role role = jit::Verifier::Role::kSender;
};

class Board final : memory::PortWindow {
public:
    Board(const cpu::Model& model, const Program& program, VerifyRole verify);
    std::string run();  // how it ended
    const std::string& output() const { return output_; }
    cpu::Cpu& cpu() { return *cpus_[0]; }
    u32 word(PhysAddr at) { return static_cast<u32>(memory_.load(at, 4)); }

private:
    void add_processors(const cpu::Model& model, unsigned count);
    void add_translator(cpu::Cpu& cpu);
    void add_pic();
    void place(const Program& program);
    u32 port_read(u16, unsigned) override { return 0xE9; }
    void port_write(u16, unsigned size, u32 value) override;

    struct ExitPort final : memory::PortWindow {
        explicit ExitPort(Board& owner) : board(owner) {}
        u32 port_read(u16, unsigned) override { return ~0u; }
        void port_write(u16, unsigned, u32 value) override {
            board.ended_ = "exit=" + std::to_string(value);
            board.scheduler_->stop();
        }
        Board& board;
    };

    const VerifyRole verify_;
    MachineLock lock_;
    MachineLock* const used_lock_ = g_threads ? &lock_ : nullptr;
    std::unique_ptr<memory::Ram> ram_, rom_;
    memory::PhysicalMemory memory_;
    memory::IoBus io_{used_lock_};
    platform::EventQueue events_{
        2, g_threads ? platform::EventQueue::Time::kHost : platform::EventQueue::Time::kExecuted};
    platform::ApicBus apic_bus_;
    ExitPort exit_port_{*this};
    platform::Pic8259Pair pic_{apic_bus_.lint0()};
    platform::CoprocessorError coprocessor_error_{
        pic_.input(platform::CoprocessorError::kIrq),
        [this](bool asserted) { cpus_[0]->set_ignne(asserted); }};
    std::vector<std::unique_ptr<platform::LocalApic>> lapics_;
    std::vector<std::unique_ptr<platform::LockedApic>> locked_lapics_;
    std::vector<std::unique_ptr<LatePins>> pins_;
    std::vector<std::unique_ptr<cpu::Virtualization>> vts_;
    std::vector<std::unique_ptr<jit::Translator>> translators_;
    std::vector<std::unique_ptr<jit::Verifier>> verifiers_;
    std::vector<std::unique_ptr<cpu::Cpu>> cpus_;
    std::optional<platform::Scheduler> scheduler_;
    platform::Timer deadline_;
    std::string output_, ended_;
};

Board::Board(const cpu::Model& model, const Program& program, VerifyRole verify)
    : verify_(verify), memory_(model.physical_bits, used_lock_), deadline_(events_, [this] {
          ended_ = "deadline";
          scheduler_->stop();
      }) {
    ram_ = std::move(*memory::Ram::create(kRamBytes));
    memory_.map_ram(0, kRamBytes, ram_->host());
    memory_.map_mmio(platform::ApicBus::kMsiBase, platform::ApicBus::kMsiSize, &apic_bus_);
    io_.add(0xE9, 1, this);
    io_.add(0xF4, 4, &exit_port_, memory::IoBus::kAny);
    add_processors(model, program.cpus);
    if (program.pic) add_pic();
    place(program);
    deadline_.arm_at_ns((program.ticks << events_.shift()) * (g_threads ? 100 : 1));
}

void Board::add_processors(const cpu::Model& model, unsigned count) {
    platform::LocalApic::Features features;
    features.x2apic = model.features.has(cpu::Feature::k_x2apic);
    features.tsc_deadline = model.features.has(cpu::Feature::k_tsc_deadline);
    features.physical_bits = model.physical_bits;
    std::vector<Processor*> processors;
    for (unsigned n = 0; n < count; ++n) {
        lapics_.push_back(
            std::make_unique<platform::LocalApic>(n, n == 0, events_, apic_bus_, features));
        cpu::CpuConfig config;
        config.index = n;
        config.processors = count;
        config.start_halted = n != 0;
        LocalApicPort* lapic = lapics_[n].get();
        if (g_threads) {
            locked_lapics_.push_back(std::make_unique<platform::LockedApic>(*lapic, lock_));
            lapic = locked_lapics_[n].get();
        }
        cpus_.push_back(std::make_unique<cpu::Cpu>(model, config, memory_, io_, *lapic, events_));
        if (model.features.has(cpu::Feature::k_vmx))
            vts_.push_back(std::make_unique<vt::vmx::Vmx>(model, nullptr));
        else if (model.features.has(cpu::Feature::k_svm))
            vts_.push_back(std::make_unique<vt::svm::Svm>(model, nullptr));
        if (vts_.size() > n) cpus_[n]->vt = vts_[n].get();
        cpus_[n]->reset();
        if (g_translate) add_translator(*cpus_[n]);
        processors.push_back(cpus_[n].get());
    }
    scheduler_.emplace(events_, processors, platform::Scheduler::kDefaultQuantum, used_lock_);
    for (unsigned n = 0; n < count; ++n) {
        pins_.push_back(std::make_unique<LatePins>());
        pins_[n]->target = &scheduler_->pins(n);
        lapics_[n]->connect(*pins_[n]);
    }
}

void Board::add_translator(cpu::Cpu& cpu) {
    auto translator =
        jit::Translator::create(cpu, {.code_bytes = 8 << 20, .hot = 1, .samples = 0, .trial = 1});
    translators_.push_back(std::move(*translator));
    if (verify_.channel)
        verifiers_.push_back(std::make_unique<jit::Verifier>(
            cpu, *translators_.back(), *verify_.channel, verify_.role, ~u64{0}));
}

void Board::add_pic() {
    io_.add(platform::Pic8259Pair::kMasterPort, 2, &pic_.master_ports());
    io_.add(platform::Pic8259Pair::kSlavePort, 2, &pic_.slave_ports());
    io_.add(platform::CoprocessorError::kPort, 1, &coprocessor_error_);
    apic_bus_.set_pic_acknowledge([this] { return pic_.acknowledge(); });
    cpus_[0]->on_ferr = [this](bool asserted) { coprocessor_error_.set_ferr(asserted); };
}

// Puts the image into memory and, for a Multiboot program, the processor where the loader leaves it
// (Multiboot 0.6.96, 3.2).
void Board::place(const Program& program) {
    if (program.from_reset) {
        constexpr u64 kRomBytes = 0x10000;
        rom_ = std::move(*memory::Ram::create(kRomBytes));
        const u64 used = std::min<u64>(program.image.size(), kRomBytes);
        std::memcpy(rom_->host() + kRomBytes - used, program.image.data(), used);
        memory_.map_rom(0xF0000, kRomBytes, rom_->host());
        memory_.map_rom(0xFFFF0000, kRomBytes, rom_->host());
        return;
    }
    u32 header[8];
    std::memcpy(header, program.image.data(), sizeof header);
    memory_.load_image(header[4], program.image);
    cpu::Cpu& c = *cpus_[0];
    for (cpu::Segment& s : c.seg) s = {0x10, 0xC093, 0xFFFFFFFF, 0};
    c.seg[cpu::kCs] = {0x08, 0xC09B, 0xFFFFFFFF, 0};
    c.cr0 = cpu::kCr0Pe | cpu::kCr0Et;
    c.gpr[cpu::kRax] = kMultibootLoaded;
    c.gpr[cpu::kRdx] = 0;
    c.rip = header[7];
    c.set_rflags(2);
    for (u8 s = 0; s < cpu::kSegRegs; ++s) c.update_segment(static_cast<cpu::SegReg>(s));
    c.update_mode();
    c.update_paging();
}

void Board::port_write(u16, unsigned, u32 value) { output_ += static_cast<char>(value); }

std::string Board::run() {
    std::atomic<bool> interrupt{false};
    const auto outcome = scheduler_->run(interrupt);
    using Reason = platform::Scheduler::Reason;
    if (!ended_.empty()) return ended_;
    return outcome.reason == Reason::kTripleFault   ? "triple-fault"
           : outcome.reason == Reason::kIdleForever ? "idle"
                                                    : "stopped";
}

u64 register_value(const cpu::Cpu& c, const std::string& name, bool& known) {
    static constexpr const char* kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                             "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                             "r12", "r13", "r14", "r15"};
    for (unsigned n = 0; n < 16; ++n)
        if (name == kNames[n]) return c.gpr[n];
    if (name == "rip") return c.rip;
    if (name == "cr0") return c.cr0;
    if (name == "rflags") return c.rflags();
    known = false;
    return 0;
}

// Runs the program on one board and prints how it went.
bool run_board(const std::string& name, const Program& program, const cpu::Model& model,
               const std::string& model_name, VerifyRole verify, bool verbose) {
    Board board(model, program, verify);
    const std::string ended = board.run();
    std::string complaint;
    if (ended != program.end) complaint = "ended with " + ended + ", expected " + program.end;
    if (program.output && *program.output != board.output()) complaint += "; output differs";
    for (const auto& v : program.values) {
        bool known = true;
        const u64 is =
            v.name == "mem" ? board.word(v.address) : register_value(board.cpu(), v.name, known);
        char text[128];
        std::snprintf(text, sizeof text, "; %s is %llx, expected %llx%s", v.name.c_str(),
                      static_cast<unsigned long long>(is),
                      static_cast<unsigned long long>(v.wanted),
                      known ? "" : " (no such register)");
        if (!known || is != v.wanted) complaint += text;
    }
    const cpu::Cpu& c = board.cpu();
    if (verbose || !complaint.empty())
        std::printf("%s %s on %s: %s\n  output: %s\n  cs:rip %04x:%llx ticks %llu\n",
                    complaint.empty() ? "passed" : "FAILED", name.c_str(), model_name.c_str(),
                    complaint.c_str(), board.output().c_str(), c.seg[cpu::kCs].selector,
                    static_cast<unsigned long long>(c.rip),
                    static_cast<unsigned long long>(c.ticks()));
    else
        std::printf("passed %s on %s\n", name.c_str(), model_name.c_str());
    if (ended == "triple-fault" && !complaint.empty()) {
        const auto& t = c.last_triple_fault;
        std::printf("  triple fault at %04x:%llx, exceptions %u, %u, %u\n", t.cs,
                    static_cast<unsigned long long>(t.rip), t.vectors[0], t.vectors[1],
                    t.vectors[2]);
    }
    return complaint.empty();
}

bool run_on(const std::string& name, const Program& program, const std::string& model_name,
            bool verbose) {
    auto model = cpu::make_model(model_name);
    if (!model) {
        std::printf("FAILED %s: %s\n", name.c_str(), model.error().message.c_str());
        return false;
    }
    if (!g_verify) return run_board(name, program, *model, model_name, {}, verbose);
    auto channel = jit::VerifyChannel::create();
    std::fflush(stdout);
    const pid_t translating = channel ? fork() : -1;
    if (translating < 0) {
        std::printf("FAILED %s: --verify: no second process\n", name.c_str());
        return false;
    }
    if (translating > 0) (*channel)->set_sender(translating);
    const VerifyRole role{
        channel->get(), translating ? jit::Verifier::Role::kChecker : jit::Verifier::Role::kSender};
    const bool passed = run_board(name, program, *model, model_name, role, verbose);
    std::fflush(stdout);
    if (!translating) std::_Exit(!passed);
    int status = 0;
    return waitpid(translating, &status, 0) == translating && status == 0 && passed;
}

}  // namespace

}  // namespace rm::guest_test

int main(int argc, char** argv) {
    using namespace rm::guest_test;
    int failed = 0, at = 1;
    const bool verbose = argc > 1 && std::strcmp(argv[1], "-v") == 0;
    if (verbose) ++at;
    if (argc > at && std::strcmp(argv[at], "--jit") == 0) {
        g_translate = true;
        ++at;
    }
    if (argc > at && std::strcmp(argv[at], "--verify") == 0) {
        g_translate = g_verify = true;
        ++at;
    }
    if (argc > at && std::strcmp(argv[at], "--threads") == 0) {
        g_threads = true;
        ++at;
    }
    for (; at + 1 < argc; at += 2) {
        Program program;
        const std::string name = argv[at];
        if (!load_program(argv[at], argv[at + 1], program) ||
            program.image.size() < (program.from_reset ? 16u : 32u)) {
            std::printf("FAILED %s: cannot be read\n", name.c_str());
            ++failed;
            continue;
        }
        for (const std::string& model : program.models)
            failed += !run_on(name, program, model, verbose);
    }
    return failed != 0;
}
