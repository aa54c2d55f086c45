// What the CPU asks of VT emulation. One object per processor, implemented by vt-emulation/vmx or
// vt-emulation/svm; a processor without VT has none. `cpu` includes nothing of vt-emulation.
//
// Conventions: "exit taken" means the object has done the whole VM exit: guest state saved, host
// state loaded, rip set. The caller then returns Step::kVmExit (or restarts its loop) and touches
// nothing more. While an instruction runs, the guest's rip is cpu.rip_of(insn).
#pragma once
#include "cpu/state/event.h"
#include "cpu/state/insn.h"
#include "memory/paging/walker.h"

namespace rm::cpu {

enum class Intercept : u8 {
    kNone,
#define RM_INTERCEPT(id) k##id,
#include "cpu/instructions/intercepts.def"
#undef RM_INTERCEPT
    kCount
};

// Answer of an intercept profile, asked when a block is decoded (docs/architecture.md, decision 7).
enum class InterceptAnswer : u8 { kNever, kAlways, kAsk };

enum class ExternalEvent : u8 { kIntr, kNmi, kSmi, kInit, kSipi };
enum class EventAnswer : u8 {
    kDeliver,   // not intercepted: the CPU's own rules (IF, shadows) decide
    kBlocked,   // must stay pending now (GIF = 0, blocking by the VMCS)
    kExit,      // VM exit taken
    kExitKeep,  // VM exit taken, and the event stays pending (SVM: APM2 15.13)
    kDrop,      // discard (e.g. SIPI in a guest)
};
enum class TaskSwitchSource : u8 { kCall = 0, kIret = 1, kJmp = 2, kGate = 3 };
enum class MsrAnswer : u8 { kNotMine, kDone, kGp };

class Virtualization {
public:
    virtual ~Virtualization() = default;
    virtual void reset(Cpu& cpu, bool init) = 0;

    // --- instructions ---
    // Decode time, guest mode only: does this profile intercept the instruction class?
    virtual InterceptAnswer answer(u32 profile, Intercept id) const = 0;
    // Run time, guest mode, answer kAlways or kAsk; privilege checks of the row have passed.
    // kNext: not intercepted, run the body. kVmExit: exit taken. kFault: cpu.raised.
    virtual Step intercept(Cpu& cpu, const Insn& insn, Intercept id) = 0;
    // VMXON .. VMXOFF, VMRUN .. CLGI, VMCALL, VMMCALL, INVEPT ...: `id` names the instruction. In
    // guest mode intercept() is asked first (its answer() says kAlways).
    virtual Step execute(Cpu& cpu, const Insn& insn, Intercept id) = 0;

    // --- guest mode: control registers, TPR, MSRs, I/O ---
    // MOV to CRn / LMSW / CLTS after intercept() said kNext: the value to really write
    // (host-owned bits kept). Reads: what the guest sees.
    virtual u64 guest_cr_write(Cpu& cpu, unsigned cr, u64 value) = 0;
    virtual u64 guest_cr_read(Cpu& cpu, unsigned cr) = 0;
    // CR8 with TPR virtualization. Return kNotMine to use the local APIC's TPR.
    virtual MsrAnswer cr8_read(Cpu& cpu, u64& value) = 0;
    virtual MsrAnswer cr8_write(Cpu& cpu, const Insn& insn, u64 value, Step& step) = 0;
    // Called before the common MSR rows, in and out of guest mode.
    virtual MsrAnswer msr_read(Cpu& cpu, u32 msr, u64& value) = 0;
    virtual MsrAnswer msr_write(Cpu& cpu, u32 msr, u64 value) = 0;
    // Bits of CR0/CR4 that must be one / may be one because of VMX operation (fixed bits); a MOV to
    // CR0/CR4 that violates them raises #GP(0). Outside VMX operation: 0 and ~0.
    virtual void cr_fixed(const Cpu& cpu, unsigned cr, u64& must_be_one, u64& may_be_one) = 0;

    // --- events ---
    // A guest-mode exception about to be delivered. `during` is the event whose delivery caused it
    // (IDT-vectoring), or null. True: exit taken.
    virtual bool exception(Cpu& cpu, const Event& event, const Event* during) = 0;
    virtual bool triple_fault(Cpu& cpu) = 0;  // guest mode; true: exit taken
    virtual bool task_switch(Cpu& cpu, u16 selector, TaskSwitchSource source, const Event* during,
                             bool has_error, u32 error) = 0;
    virtual EventAnswer external(Cpu& cpu, ExternalEvent event) = 0;
    // Second-stage fault (EPT violation/misconfiguration, NPF). `during` as above. Always exits.
    virtual void second_stage_fault(Cpu& cpu, const memory::WalkFault& fault,
                                    const Event* during) = 0;
    // At an instruction boundary with `attention` set: interrupt/NMI windows, MTF, preemption
    // timer, pending virtual interrupts (may call cpu's event delivery). True: state changed, start
    // over.
    virtual bool boundary(Cpu& cpu) = 0;
    // Tick at which boundary() must be called at the latest; ~0 = none.
    virtual u64 deadline_ticks(const Cpu& cpu) const = 0;
    // IRET finished, NMI unblocked, etc.: virtual-NMI bookkeeping (SDM 3C 25.3).
    virtual void iret_done(Cpu& cpu) = 0;
    // Access to the APIC-access page (machine physical page registered as special slot 1).
    // False: an ordinary page after all. True: handled, or with `exited` set the access must not
    // happen: mmu.fault() then holds a second-stage fault, and the exit is taken when that fault
    // reaches second_stage_fault() (so that rip and the event being delivered are right there).
    virtual bool apic_page_access(Cpu& cpu, PhysAddr addr, LinearAddr linear, memory::Access access,
                                  unsigned size, u64& value, bool& exited) = 0;
    // SMI/RSM while VMX is on: save and restore of VMX mode (SDM 3C 34.14).
    virtual void smm_enter(Cpu& cpu) = 0;
    virtual void smm_leave(Cpu& cpu) = 0;
};

// Runs hot blocks as host code. One object per processor, implemented by jit/run; without one every
// block is interpreted.
struct Block;
class Translator {
public:
    virtual ~Translator() = default;
    // Called by the run loop for a block that it may run whole, with at least BlockCache::kMaxInsns
    // ticks to go before anything has to be looked at. True: it has run it, and possibly more after
    // it; state, rip and tick count are exact. False: interpret it.
    virtual bool run(Cpu& cpu, Block& block) = 0;
    // The block's bytes or its mapping are gone.
    virtual void dropped(Block& block) = 0;
    virtual void flushed() = 0;  // every block is
};

}  // namespace rm::cpu
