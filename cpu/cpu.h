// One processor: its architectural state, its view of memory, and its connections. The functions
// that act on it live by subject in cpu/events (exceptions, interrupts, delivery), cpu/system (far
// transfers, control registers, MSRs, CPUID), cpu/interpreter (blocks, run loop) and
// vt-emulation; members here are what nearly all of them need.
//
// rip: while a block runs, the instruction pointer of instruction i is rip_of(i); `rip` itself is
// brought up to date whenever the run loop leaves the block, before any event is delivered.
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/interfaces.h"
#include "base/machine_lock.h"
#include "base/relaxed.h"
#include "cpu/hooks.h"
#include "cpu/models/model.h"
#include "cpu/state/cpu_state.h"
#include "cpu/state/event.h"
#include "cpu/state/insn.h"
#include "cpu/state/mode.h"
#include "cpu/state/translator_state.h"
#include "memory/access/mmu.h"
#include "memory/bus/io_bus.h"

namespace rm::cpu {

class BlockCache;

// Why a body returned kFault.
struct Raised {
    enum class Kind : u8 { kEvent, kSecondStage, kVmExitTaken } kind = Kind::kEvent;
    Event event;  // kSecondStage: the fault is in mmu.fault()
};

// Requests for the run loop's boundary work (Cpu::attention).
inline constexpr u32 kAttnIntr = 1, kAttnNmi = 2, kAttnSmi = 4, kAttnInit = 8, kAttnSipi = 16,
                     kAttnVt = 32,  // vt->boundary() has something to look at
    kAttnTrap = 64,                 // pending_db holds DR6 bits of a trap to deliver
    kAttnStop = 128;

struct CpuConfig {
    unsigned index = 0;  // = initial APIC id; 0 is the bootstrap processor
    unsigned processors = 1;
    bool start_halted = false;  // application processor: waits for SIPI after reset
};

// Observers of the instruction stream for traces and debuggers; null when nobody looks.
class InsnObserver {
public:
    virtual ~InsnObserver() = default;
    // Asked before each block: false lets it run at full speed. May change only at VM entries and
    // exits.
    virtual bool wants(const Cpu&) const { return true; }
    virtual void before_insn(Cpu& cpu, const Insn& insn) = 0;
};

// Told of every event that enters the run's hash and the -d int log.
class EventObserver {
public:
    virtual ~EventObserver() = default;
    virtual void on_delivery(const Cpu& cpu, const Event& event) = 0;
};

struct Cpu final : CpuState, Processor, CpuPins, memory::Mmu::Owner {
    Cpu(const Model& model, const CpuConfig& config, memory::PhysicalMemory& memory,
        memory::IoBus& io, LocalApicPort& lapic, VirtualClock& clock);
    ~Cpu() override;

    const Model& model;
    const CpuConfig config;
    memory::PhysicalMemory& memory;
    memory::Mmu mmu;
    memory::IoBus& io;
    LocalApicPort& lapic;
    VirtualClock& clock;
    MachineLock* const threads;        // null: all processors run on one host thread
    Virtualization* vt = nullptr;      // null: the model has no VT
    Translator* translator = nullptr;  // null: everything is interpreted
    TranslatorState translated;
    InsnObserver* insn_observer = nullptr;
    EventObserver* event_observer = nullptr;

    // --- pending work ---
    Raised raised;                // valid after a body returned kFault
    u32 attention = 0;            // kAttn*: checked at every block boundary
    bool triple_faulted = false;  // run() returns kTripleFault until reset
    bool debug_stop = false;      // a debugger asks run() to return kDebug; set with kAttnStop
    u64 pending_db = 0;           // DR6 bits of traps that happened in the instruction just retired
    bool intr_pin = false;        // level of the local APIC's INTR output
    u8 sipi_vector = 0;
    // NMI, SMI, INIT and SIPI that have arrived and are not yet taken (kAttn* bits); `attention`
    // has such a bit only while it makes sense to look.
    u32 pending = 0;
    u64 monitor_address = 0;  // MONITOR: physical line address, valid if monitor_armed
    bool monitor_armed = false;
    bool mwait_any_interrupt = false;   // MWAIT with ECX bit 0: wakes although IF = 0
    std::array<u64, 8> monitor_line{};  // the line's content when MONITOR armed it
    bool monitor_hit() const;           // somebody has changed the armed line
    // Event being delivered, null outside of deliver(); `ext` is the EXT bit (0 or 1) that goes
    // into the error codes of faults which that delivery raises (SDM 3A 6.13).
    const Event* delivering = nullptr;
    u32 ext = 0;
    // For the message of a triple fault: where, and the last three vectors.
    struct TripleFault {
        u16 cs = 0;
        u64 rip = 0;
        u8 vectors[3] = {};
    } last_triple_fault;
    std::function<void(bool)> on_smm_change;  // the chipset opens or closes SMRAM
    // FERR# while CR0.NE = 0: the chipset raises IRQ 13; false when an instruction has cleared the
    // exception. ignne is the chipset's IGNNE# (port F0H), which lets x87 instructions run in spite
    // of a pending exception. Without a hook they always do.
    std::function<void(bool)> on_ferr;
    bool ignne = false;
    std::vector<u32> reported_msrs;  // unknown ones, already logged
    u64 a20_mask = ~u64{0};

    // --- derived from the architectural state by update_mode() / update_paging() ---
    Mode mode;
    u64 stack_mask = 0xFFFF;        // which bits of RSP PUSH/POP use
    u64 ip_mask = 0xFFFFFFFF;       // ~0 in 64-bit code; else 32 bits
    u64 seg_base64[kSegRegs] = {};  // bases as 64-bit code uses them: 0 but for FS and GS
    // Legacy data-access range of each segment, inclusive; empty (lo > hi) if not accessible.
    struct SegRange {
        u64 lo = 1, hi = 0;
    } read_range[kSegRegs], write_range[kSegRegs];
    bool mem_checks = false;  // #AC checking or data breakpoints active: slow access path

    void update_mode();  // after CS, SS, CPL, CR0, CR4, EFER, EFLAGS.VM/AC, DR7, VT mode changes
    void update_segment(SegReg s);  // after seg[s] changed (also calls for its ranges)
    bool flat_segments() const;
    void update_paging();  // after CR0/CR3/CR4/EFER/PDPTEs, ASID or second stage change
    // Second stage and address-space id, set by VT at entry and exit before update_paging().
    memory::SecondStage second_stage;
    u16 asid = 0;
    bool npt_guest_pdpte = false;  // PagingContext::pdpte_from_memory

    // Length of the instruction whose body returned kFault; 0 if it could not be fetched.
    u8 faulting_length = 0;

    // --- instruction pointer ---
    u64 block_rip = 0;
    const Insn* ip = nullptr;  // instruction being executed, or null between blocks
    u64 rip_of(const Insn& i) const { return (block_rip + i.offset) & ip_mask; }
    u64 next_rip(const Insn& i) const { return (block_rip + i.offset + i.length) & ip_mask; }
    // rip of the instruction being executed, or `rip` between instructions.
    u64 current_rip() const { return ip ? rip_of(*ip) : rip; }

    // --- raising: each returns Step::kFault so that bodies can `return cpu.raise_gp(0);` ---
    Step raise(u8 vector);                   // no error code
    Step raise_error(u8 vector, u32 error);  // with error code
    Step raise_event(const Event& event);
    Step raise_ud() { return raise(kUd); }
    Step raise_nm() { return raise(kNm); }
    Step raise_gp(u32 error) { return raise_error(kGp, error); }
    Step raise_ss(u32 error) { return raise_error(kSs12, error); }
    // The same for functions that return bool: always false.
    bool fail(u8 vector, u32 error) {
        (void)raise_error(vector, error);
        return false;
    }
    // Turns mmu.fault() into `raised`; s is the segment used (#SS or #GP if not canonical).
    // Always returns false, so that slow paths can `return cpu.access_failed(s);`.
    bool access_failed(SegReg s);

    // --- memory by segment:offset for system code; false: `raised` is set ---
    // Applies base, limit, type and canonicality (in 64-bit code: base of FS/GS only).
    [[nodiscard]] bool linear(SegReg s, u64 offset, unsigned size, memory::Access access,
                              LinearAddr& out);
    // Checks for #AC and data breakpoints; only called when mem_checks.
    [[nodiscard]] bool check_access(LinearAddr va, unsigned size, memory::Access access);
    template <class T>
    [[nodiscard]] bool read(SegReg s, u64 offset, T& out) {
        LinearAddr va;
        if (!linear(s, offset, sizeof(T), memory::Access::kRead, va)) return false;
        return mmu.load(va, out) || access_failed(s);
    }
    template <class T>
    [[nodiscard]] bool write(SegReg s, u64 offset, T value) {
        LinearAddr va;
        if (!linear(s, offset, sizeof(T), memory::Access::kWrite, va)) return false;
        return mmu.store(va, value) || access_failed(s);
    }
    // Implicit supervisor accesses by linear address (GDT, IDT, LDT, TSS), whatever the CPL.
    template <class T>
    [[nodiscard]] bool read_system(LinearAddr va, T& out) {
        return mmu.load_as(memory::PrivClass::kSupervisor, va, out) || access_failed(kDs);
    }
    template <class T>
    [[nodiscard]] bool write_system(LinearAddr va, T value) {
        return mmu.store_as(memory::PrivClass::kSupervisor, va, value) || access_failed(kDs);
    }

    // --- time ---
    u64 tick_base = 0;  // ticks at the first instruction of the running block
    const Insn* block_first = nullptr;
    const Insn* ip_end = nullptr;  // the run loop leaves the block here; may be lowered any time
    Relaxed<u64> stop_tick = 0;    // set to 0 by kick()
    // Tick at which vt->boundary() must run although `attention` is clear; set by VT (~0: never).
    u64 vt_due = ~u64{0};
    u64 skipped = 0;  // ticks skip_to() went over: idle time and other processors' turns
    // Instructions executed, exact also in the middle of a block; for statistics and the hash.
    u64 retired() const { return ticks() - skipped; }
    u64 tsc() const { return clock.tsc() + msr.tsc_offset; }
    // As the program reads it (SDM 3C 25.3; APM2 15.30.5).
    u64 seen_tsc() const { return tsc() + (in_guest() ? vt_tsc_offset : 0); }
    bool tsc_forbidden() const { return (cr4 & kCr4Tsd) && protected_mode() && cpl != 0; }
    // Ticks left before the run loop must look up; bounds pieces of REP instructions.
    u64 budget() const {
        const u64 stop = stop_tick, end = stop < vt_due ? stop : vt_due;
        return end > ticks() ? end - ticks() : 0;
    }
    // A repeated CMPS or SCAS has been left between two pieces at this time and place.
    struct {
        u64 ticks = ~u64{0}, rip = 0;
        Cc flags_before{};  // of the whole instruction
    } string_piece;
    // The current instruction serializes: earlier stores are seen by everybody, and what others
    // have written of the code behind it is fetched anew (SDM 3A 9.3). Ends of blocks do so by
    // themselves.
    void serialize() {
        if (!threads) return;
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (kicked.load()) leave_block();
    }
    // Leave the block after the current instruction.
    void leave_block() {
        if (ip) ip_end = ip + 1;
    }
    void request(u32 attn) {
        attention |= attn;
        leave_block();
    }
    // Looks at everything pending again: after IF, TPR, GIF, NMI blocking or the VT mode changed.
    void recheck_events() {
        if (u32 attn = pending | (intr_pin ? kAttnIntr : 0) | (pending_db ? kAttnTrap : 0))
            request(attn);
    }
    // The xAPIC page follows IA32_APIC_BASE; call after it changed.
    void update_apic_page();

    // --- Processor ---
    CpuPins& pins() override { return *this; }
    Stop run(u64 until) override;
    u64 ticks() const override { return ip ? tick_base + (ip - block_first) : tick_base; }
    void skip_to(u64 ticks) override;
    u64 wake_at() const override;
    void stop_at(u64 ticks) override;
    void kick() override;
    bool halted() const override;
    bool watches_memory() const override { return activity == Activity::kMwait; }
    void reset() override;
    void init_reset();  // INIT: SDM 3A table 9-1
    void set_a20(bool enabled) override;
    void set_ignne(bool asserted) override { ignne = asserted; }

    // --- CpuPins ---
    void set_intr(bool asserted) override;
    void pulse_nmi() override;
    void pulse_smi() override;
    void pulse_init() override;
    void startup_ipi(u8 vector) override;

    // --- Mmu::Owner ---
    void before_device_access() override;
    void code_invalidated(PhysAddr addr, std::span<const u8> bytes) override;
    bool holds_code(PhysAddr frame) const override;
    memory::Mmu::Owner::Special special_page(PhysAddr page, LinearAddr va, memory::Access access,
                                             unsigned size, u64& value) override;

    std::unique_ptr<BlockCache> blocks;

    // --- thread=multi: what other threads have done to this processor, taken when it next begins
    // to run. They post with the machine's lock held and kick.
    struct Posted {
        std::optional<bool> intr;
        bool nmi = false, smi = false, init = false;
        std::optional<u8> sipi;
        // code_invalidated(); beyond kMostWritten all blocks go.
        static constexpr std::size_t kMostWritten = 1024;
        std::vector<std::pair<PhysAddr, unsigned>> written;
    } posted;
    std::atomic<bool> kicked = false;
    // Is it for another thread than the caller's to act on this processor?
    bool foreign() const { return threads && threads->elsewhere(config.index); }
    void take_posted();

    // --- the run loop's parts, which the translator uses too (cpu/interpreter/run.cpp) ---
    // State after instruction `last` of the running block ended with `step`: rip, tick count,
    // fault.
    void finish(const Insn& last, Step step);
    // Interprets `block` from instruction `first` on, at most `limit` instructions.
    Step run_block(const Block& block, unsigned first, u64 limit);
};

}  // namespace rm::cpu
