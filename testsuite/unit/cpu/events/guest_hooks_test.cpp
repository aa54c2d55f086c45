// What event delivery asks of VT, and when: exceptions and nested ones, external events,
// second-stage faults, task switches.
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

struct FakeVt final : Virtualization {
    struct Asked {
        u8 vector;
        int during;  // -1: none
    };
    std::vector<Asked> exceptions;
    u32 exit_on = 0;  // exception vectors that exit
    EventAnswer external_answer = EventAnswer::kDeliver;
    unsigned exits = 0, triple = 0, boundaries = 0;

    bool exit(Cpu& cpu) {
        ++exits;
        cpu.vt_mode = VtMode::kVmxRoot;
        cpu.update_mode();
        return true;
    }
    void reset(Cpu&, bool) override {}
    InterceptAnswer answer(u32, Intercept) const override { return InterceptAnswer::kNever; }
    Step intercept(Cpu&, const Insn&, Intercept) override { return Step::kNext; }
    Step execute(Cpu& cpu, const Insn&, Intercept) override { return cpu.raise_ud(); }
    u64 guest_cr_write(Cpu&, unsigned, u64 v) override { return v; }
    u64 guest_cr_read(Cpu& cpu, unsigned cr) override {
        return cr == 0 ? cpu.cr0 : cr == 3 ? cpu.cr3 : cpu.cr4;
    }
    MsrAnswer cr8_read(Cpu&, u64&) override { return MsrAnswer::kNotMine; }
    MsrAnswer cr8_write(Cpu&, const Insn&, u64, Step&) override { return MsrAnswer::kNotMine; }
    MsrAnswer msr_read(Cpu&, u32, u64&) override { return MsrAnswer::kNotMine; }
    MsrAnswer msr_write(Cpu&, u32, u64) override { return MsrAnswer::kNotMine; }
    void cr_fixed(const Cpu&, unsigned, u64& ones, u64& may) override { ones = 0, may = ~u64{0}; }
    bool exception(Cpu& cpu, const Event& e, const Event* during) override {
        exceptions.push_back({e.vector, during ? during->vector : -1});
        return ((exit_on >> e.vector) & 1) && exit(cpu);
    }
    bool triple_fault(Cpu& cpu) override { return ++triple, exit(cpu); }
    bool task_switch(Cpu& cpu, u16, TaskSwitchSource, const Event*, bool, u32) override {
        return exit(cpu);
    }
    EventAnswer external(Cpu& cpu, ExternalEvent) override {
        if (external_answer == EventAnswer::kExit) (void)exit(cpu);
        const EventAnswer a = external_answer;
        if (a == EventAnswer::kExit) external_answer = EventAnswer::kDeliver;
        return a;
    }
    void second_stage_fault(Cpu& cpu, const memory::WalkFault&, const Event*) override {
        (void)exit(cpu);
    }
    bool boundary(Cpu&) override { return ++boundaries, false; }
    u64 deadline_ticks(const Cpu&) const override { return ~u64{0}; }
    void iret_done(Cpu&) override {}
    bool apic_page_access(Cpu&, PhysAddr, LinearAddr, memory::Access, unsigned, u64&,
                          bool&) override {
        return false;
    }
    void smm_enter(Cpu&) override {}
    void smm_leave(Cpu&) override {}
};

struct Guest : Machine {
    FakeVt vt;
    Guest() {
        cpu.vt = &vt;
        protected32();
        cpu.vt_mode = VtMode::kVmxGuest;
        cpu.update_mode();
    }
    ~Guest() { cpu.vt = nullptr; }
};

}  // namespace

TEST_CASE("an intercepted exception leaves CR2, DR6 and the stack alone") {
    Guest g;
    g.code({0x0F, 0x0B});
    g.vt.exit_on = 1 << kUd;
    (void)g.run();
    CHECK(g.vt.exits == 1);
    CHECK(g.cpu.gpr[kRsp] == kStack0);
    CHECK(g.cpu.rip == kCodeAt);
    CHECK((g.cpu.rflags() & kFlagRf));
}

TEST_CASE("nested faults name the event being delivered; #DF does not") {
    Guest g;
    g.code({0x8E, 0xD8});
    g.cpu.gpr[kRax] = 0xFFF8;
    g.put(kIdt + kGp * 8, 0, 8);
    g.put(kIdt + kDf * 8, 0, 8);
    (void)g.run();
    REQUIRE(g.vt.exceptions.size() == 4);
    CHECK(g.vt.exceptions[0].vector == kGp);
    CHECK(g.vt.exceptions[0].during == -1);
    CHECK(g.vt.exceptions[1].vector == kGp);  // bad gate
    CHECK(g.vt.exceptions[1].during == kGp);
    CHECK(g.vt.exceptions[2].vector == kDf);
    CHECK(g.vt.exceptions[2].during == -1);
    CHECK(g.vt.exceptions[3].during == kDf);
    CHECK(g.vt.triple == 1);
    CHECK_FALSE(g.cpu.triple_faulted);
}

TEST_CASE("injected events are not intercepted and keep CR2") {
    Guest g;
    g.vt.exit_on = ~0u;
    g.cpu.cr2 = 0x1234;
    deliver(g.cpu, {.vector = kPf, .has_error = true, .error = 2}, true);
    CHECK(g.vt.exits == 0);
    CHECK(g.in_handler(kPf));
    CHECK(g.cpu.cr2 == 0x1234);
}

TEST_CASE("external interrupts: exit instead of delivery, or blocked") {
    Guest g;
    g.code({0x90, 0x90, 0x90});
    g.vt.external_answer = EventAnswer::kBlocked;
    g.cpu.flags_other |= kFlagIf;
    g.apic.raise(0x31);
    (void)g.run(2);
    CHECK(g.cpu.rip == kCodeAt + 2);
    CHECK((g.cpu.attention & kAttnIntr));
    g.vt.external_answer = EventAnswer::kExit;
    g.cpu.flags_other &= ~kFlagIf;
    (void)g.run();
    CHECK(g.vt.exits == 1);
    CHECK(g.apic.queue.size() == 1);
    CHECK_FALSE(g.cpu.in_guest());
}

TEST_CASE("task switches of a guest exit") {
    Guest g;
    g.bytes(kCodeAt, {0xEA, 0, 0, 0, 0, kTss2, 0});
    (void)g.run();
    CHECK(g.vt.exits == 1);
    CHECK(g.cpu.tr.selector == kTss);
    CHECK(g.get(kGdt + kTss2 + 5, 1) == 0x89);
}
