// The sinks on a real processor: what they read of it, and that reading changes nothing.
#include <doctest/doctest.h>

#include "cpu/cpu.h"
#include "frontends/trace/exit_trace.h"
#include "frontends/trace/run_hash.h"
#include "frontends/trace/single_step.h"
#include "frontends/trace/trace_fanout.h"
#include "frontends/trace/vm_stat.h"
#include "test_support.h"

using namespace rm;
using namespace rm::frontends::trace;
using namespace rm::vt::common;
using trace_test::TempFile;

namespace {

struct NoApic : LocalApicPort {
    u8 acknowledge() override { return 0xFF; }
    u8 tpr() const override { return 0; }
    void set_tpr(u8) override {}
    u64 apic_base() const override { return 0xFEE00900; }
    bool set_apic_base(u64) override { return true; }
    bool msr_read(u32, u64&) override { return false; }
    bool msr_write(u32, u64) override { return false; }
    u64 mmio_read(u64, unsigned) override { return 0; }
    void mmio_write(u64, unsigned, u64) override {}
    void reset(bool) override {}
};
struct CpuClock : VirtualClock {
    const cpu::Cpu* cpu = nullptr;
    u64 now_ticks() const override { return cpu ? cpu->ticks() : 0; }
    u64 now_ns() const override { return now_ticks() * 4; }
};

// A processor in real mode, code at 1000:0000.
struct Machine {
    std::unique_ptr<memory::Ram> ram = std::move(*memory::Ram::create(1 << 20));
    memory::PhysicalMemory memory;
    memory::IoBus io;
    NoApic apic;
    CpuClock clock;
    cpu::Model model = *cpu::make_model("Westmere");
    std::unique_ptr<cpu::Cpu> cpu;

    explicit Machine(std::span<const u8> code) {
        memory.map_ram(0, ram->size(), ram->host());
        std::copy(code.begin(), code.end(), ram->host() + 0x10000);
        cpu = std::make_unique<cpu::Cpu>(model, cpu::CpuConfig{}, memory, io, apic, clock);
        clock.cpu = cpu.get();
        auto& cs = cpu->seg[cpu::kCs];
        cs.selector = 0x1000;
        cs.base = 0x10000;
        cs.limit = 0xFFFF;
        cpu->rip = 0;
        cpu->update_segment(cpu::kCs);
        cpu->update_mode();
        cpu->update_paging();
    }
};

constexpr u8 kCode[] = {0xB8, 0x34, 0x12,  // mov ax, 1234h
                        0x40,              // inc ax
                        0x50,              // push ax
                        0xEB, 0xFC};       // jmp back to push... by -4: inc ax

}  // namespace

TEST_CASE("single-stepping L1 shows each instruction once and changes nothing") {
    Machine plain(kCode), traced(kCode);
    TempFile out;
    const Symbols none;
    auto file = *OutputFile::open(out.path());
    SingleStep step(1, file, Format::kText, none);
    traced.cpu->insn_observer = &step;
    step.on_exit(*traced.cpu, ExitRecord{});
    for (Machine* m : {&plain, &traced}) CHECK(m->cpu->run(5) == Processor::Stop::kDeadline);
    file->flush();
    const std::string text = out.content();
    CHECK(std::count(text.begin(), text.end(), '\n') == 5);
    CHECK(
        text.starts_with("             0 0.000000000 cpu0 L1 insn cpl=0 rip=0x0 bytes=b83412 "
                         "insn=\"mov ax, 0x1234\"\n"));
    CHECK(text.find("             4 0.000000016 cpu0 L1 insn cpl=0 rip=0x3 bytes=40") !=
          std::string::npos);
    std::string lines[2];
    int n = 0;
    for (Machine* m : {&plain, &traced}) {
        RunHash hash;
        const cpu::Cpu* cpus[] = {m->cpu.get()};
        lines[n++] = hash.finish(cpus, *m->ram);
    }
    CHECK(lines[0] == lines[1]);
    CHECK(lines[0].ends_with(" insns=5"));
}

TEST_CASE("what the observer does not want runs in whole blocks") {
    struct Observer : cpu::InsnObserver {
        bool wanted = false;
        unsigned seen = 0;
        bool wants(const cpu::Cpu&) const override { return wanted; }
        void before_insn(cpu::Cpu&, const cpu::Insn&) override { ++seen; }
    } observer;
    Machine m(kCode);
    m.cpu->insn_observer = &observer;
    CHECK(m.cpu->run(5) == Processor::Stop::kDeadline);
    CHECK(observer.seen == 0);
    observer.wanted = true;
    CHECK(m.cpu->run(8) == Processor::Stop::kDeadline);
    CHECK(observer.seen == 3);
    CHECK(m.cpu->retired() == 8);
}

TEST_CASE("single-stepping wants only its level") {
    Machine m(kCode);
    TempFile out;
    const Symbols none;
    auto file = *OutputFile::open(out.path());
    SingleStep host(1, file, Format::kText, none), guest(2, file, Format::kText, none);
    CHECK_FALSE(guest.wants(*m.cpu));  // the processor is in L1
    CHECK_FALSE(host.wants(*m.cpu));   // and has had no exit
    m.cpu->insn_observer = &guest;
    m.cpu->run(3);
    file->flush();
    CHECK(out.content().empty());
    host.on_exit(*m.cpu, ExitRecord{});
    CHECK(host.wants(*m.cpu));
    CHECK_FALSE(guest.wants(*m.cpu));
}

TEST_CASE("skipped time is not instructions") {
    Machine m(kCode);
    m.cpu->run(3);
    m.cpu->skip_to(1000);
    CHECK(m.cpu->ticks() == 1000);
    CHECK(m.cpu->retired() == 3);
    m.cpu->skip_to(5);  // never backwards
    CHECK(m.cpu->ticks() == 1000);
}

TEST_CASE("the fanout reaches every sink; registers explain exits") {
    Machine m(kCode);
    m.cpu->gpr[cpu::kRax] = 0x40000000;
    m.cpu->gpr[cpu::kRcx] = 0xC0000080;
    TempFile out;
    const Symbols none;
    auto file = *OutputFile::open(out.path());
    ExitTraceSink trace(file, Format::kText, none);
    VmStat stat;
    RunHash with, without;
    TraceFanout fanout;
    fanout.add(trace);
    fanout.add(stat);
    fanout.add(with);

    ExitRecord exit;
    exit.reason = 10;
    exit.reason_name = "CPUID";
    fanout.on_exit(*m.cpu, exit);
    EntryRecord entry;
    entry.instruction = "VMRESUME";
    m.cpu->run(4);
    entry.ns = 16;
    fanout.on_entry(*m.cpu, entry);
    fanout.on_entry_failed(*m.cpu, EntryFailure{});
    fanout.on_instruction(*m.cpu, VtInstruction{});
    fanout.on_field_write(*m.cpu, RecordHead{}, FieldChange{});
    without.add(exit);
    without.add(entry);
    without.add(EntryFailure{});
    CHECK(with.digest() == without.digest());
    CHECK(stat.table().find("instructions: 4, failed entries: 1.") != std::string::npos);
    file->flush();
    const std::string text = out.content();
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
    CHECK(text.find("decoded={leaf=0x40000000}") != std::string::npos);
}

TEST_CASE("deliveries reach the hash with their place") {
    Machine m(kCode);
    RunHash a, b;
    cpu::Event event{.vector = 13, .has_error = true};
    a.on_delivery(*m.cpu, event);
    b.delivery(0, 0, 0, event);
    CHECK(a.digest() == b.digest());
}
