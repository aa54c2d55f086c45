// The run loop: finds blocks, runs them up to an exact tick, and does the boundary work between
// them. Faults, traps, shadows and stop conditions are all decided here, never inside a body.
#include <algorithm>

#include "cpu/events/events.h"
#include "cpu/interpreter/block_cache.h"
#include "cpu/system/system.h"

namespace rm::cpu {

Cpu::Cpu(const Model& m, const CpuConfig& c, memory::PhysicalMemory& mem, memory::IoBus& bus,
         LocalApicPort& apic, VirtualClock& vclock)
    : model(m),
      config(c),
      memory(mem),
      mmu(mem, *this),
      io(bus),
      lapic(apic),
      clock(vclock),
      threads(mem.lock()) {
    blocks = std::make_unique<BlockCache>(*this);
    reset();
}

Cpu::~Cpu() = default;

void Cpu::before_device_access() { leave_block(); }

void Cpu::code_invalidated(PhysAddr addr, std::span<const u8> bytes) {
    if (foreign()) [[unlikely]] {
        if (posted.written.size() <= Posted::kMostWritten)
            posted.written.emplace_back(addr, static_cast<unsigned>(bytes.size()));
        return kick();
    }
    // The running block may be among those that are dropped.
    if (blocks->overwrite(addr, bytes)) leave_block();
}

bool Cpu::holds_code(PhysAddr frame) const { return blocks->holds(frame); }

namespace {

// Conditions under which instructions are run one by one.
bool single_step(const Cpu& cpu) {
    return cpu.shadow || (cpu.flags_other & (kFlagTf | kFlagRf)) || (cpu.dr7 & 0xFF) ||
           (cpu.insn_observer && cpu.insn_observer->wants(cpu));
}

bool loads_rf(const Insn& i) {
    if (i.row == 0xFFFF) return false;
    const Intercept id = instruction_rows()[i.row].intercept;
    return id == Intercept::kIRET || id == Intercept::kRSM;
}

// One instruction with everything that looks at single instructions: shadows, TF, RF, breakpoints.
void run_single(Cpu& cpu, const Block& block) {
    const u8 shadow = cpu.shadow;
    bool trap = cpu.flags_other & kFlagTf;
    const LinearAddr linear =
        cpu.mode.code64() ? cpu.rip : (cpu.seg[kCs].base + cpu.rip) & 0xFFFFFFFF;
    if (const u64 hits = instruction_breakpoints(cpu, linear)) {
        Event db{.vector = kDb, .payload = hits};
        cpu.block_rip = block.rip;
        cpu.raised = {Raised::Kind::kEvent, db};
        ++cpu.tick_base;
        handle_fault(cpu);
        return;
    }
    cpu.block_rip = block.rip;
    cpu.block_first = block.insns;
    const Insn& i = block.insns[0];
    cpu.ip = &i;
    cpu.ip_end = &i + 1;
    if (cpu.insn_observer) cpu.insn_observer->before_insn(cpu, i);
    const bool had_rf = cpu.flags_other & kFlagRf;
    const Step step = i.fn(cpu, i);
    const bool retired = step != Step::kFault && step != Step::kVmExit;
    // RF holds for one instruction; IRET and RSM keep what they loaded (SDM 3B 17.3.1.1).
    if (had_rf && retired && !loads_rf(i)) cpu.flags_other &= ~kFlagRf;
    // DEBUGCTL.BTF: only taken branches trap (SDM 3B 17.4.3).
    if ((cpu.msr.debugctl & bit(1)) && step != Step::kJump) trap = false;
    // The instruction that begins a MOV SS shadow does not trap; the one inside it does.
    const bool begins_shadow = (cpu.shadow & ~shadow) & kShadowMovSs;
    if (trap && retired && !begins_shadow) {
        cpu.pending_db |= bit(14);
        cpu.attention |= kAttnTrap;
    }
    cpu.finish(i, step);
    if (shadow && retired) cpu.shadow = cpu.shadow == shadow ? 0 : cpu.shadow & ~shadow;
}

}  // namespace

void Cpu::finish(const Insn& last, Step step) {
    const u64 done = static_cast<u64>(&last - block_first) + 1;
    switch (step) {
        case Step::kNext:
        case Step::kEnd:
        case Step::kRepeated: rip = next_rip(last); break;
        case Step::kJump:
        case Step::kVmExit: break;
        case Step::kAgain:
        case Step::kFault: rip = rip_of(last); break;
    }
    ip = nullptr;
    // A REP piece has added its iterations to tick_base itself.
    tick_base += step == Step::kAgain ? done - 1 : done;
    if (step != Step::kFault) return;
    faulting_length = last.length;
    handle_fault(*this);
}

Step Cpu::run_block(const Block& block, unsigned first, u64 limit) {
    block_rip = block.rip;
    block_first = block.insns;
    const Insn* i = block.insns + first;
    ip_end = block.insns + (block.count < limit ? block.count : limit);
    Step step;
    do {
        ip = i;
        step = i->fn(*this, *i);
        ++i;
    } while (step == Step::kNext && i < ip_end);
    finish(i[-1], step);
    return step;
}

Processor::Stop Cpu::run(u64 until) {
    if (threads) {
        stop_tick.store_ordered(until);
        if (kicked.exchange(false)) take_posted();
    } else {
        stop_tick = until;
    }
    Block* last = nullptr;
    Step step = Step::kNext;
    for (;;) {
        if (threads) std::atomic_thread_fence(std::memory_order_seq_cst);
        if (attention || activity != Activity::kActive || tick_base >= vt_due) [[unlikely]] {
            if (triple_faulted) return Stop::kTripleFault;
            if (!service_attention(*this))
                return triple_faulted ? Stop::kTripleFault : Stop::kHalted;
            if (debug_stop) return Stop::kDebug;
        }
        const u64 stop = stop_tick;
        if (tick_base >= stop) return Stop::kDeadline;
        if (activity != Activity::kActive) [[unlikely]]
            return Stop::kHalted;
        Block* block = blocks->follow(last, step == Step::kJump);
        last = block;
        if (!block) [[unlikely]] {
            ++tick_base;
            faulting_length = 0;
            handle_fault(*this);
            continue;
        }
        const u64 limit = (vt_due > tick_base ? std::min(stop, vt_due) : stop) - tick_base;
        if (single_step(*this)) [[unlikely]] {
            run_single(*this, *block);
        } else if (translator && limit > BlockCache::kMaxInsns && translator->run(*this, *block)) {
            last = nullptr;
        } else {
            step = run_block(*block, 0, limit);
        }
    }
}

}  // namespace rm::cpu
