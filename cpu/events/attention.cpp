// The boundary between two instructions: what is pending is taken in the manual's order of
// priority, and `attention` is left set only for what can still happen. Source: SDM 3A 6.8-6.9
// (table 6-2), 8.4.2, 8.10.4; SDM 3C 25.2, 34.3; APM2 8.5, 15.17.
#include "cpu/events/events.h"
#include "cpu/system/system.h"

namespace rm::cpu {

namespace {

// Result of looking at one source of events.
enum class Look : u8 {
    kNothing,  // not pending, or cannot be taken now
    kRetry,    // blocked for a moment: keep looking at every boundary
    kTaken,    // state changed: start over
};

EventAnswer ask(Cpu& cpu, ExternalEvent e) {
    return cpu.vt ? cpu.vt->external(cpu, e) : EventAnswer::kDeliver;
}

// Common part: false if the caller shall deliver, else *look is the result.
bool settled(Cpu& cpu, ExternalEvent e, u32 attn, Look* look) {
    switch (ask(cpu, e)) {
        case EventAnswer::kDeliver: return false;
        case EventAnswer::kBlocked: *look = Look::kRetry; return true;
        case EventAnswer::kExit:
            *look = Look::kTaken;
            // A VM exit consumes the event where the manual says so; NMI, SMI, INIT and SIPI are
            // edges and gone, the interrupt pin is a level and stays.
            cpu.pending &= ~attn;
            return true;
        case EventAnswer::kExitKeep: *look = Look::kTaken; return true;
        case EventAnswer::kDrop:
            cpu.pending &= ~attn;
            *look = Look::kNothing;
            return true;
    }
    return false;
}

Look look_smi(Cpu& cpu) {
    if (!(cpu.pending & kAttnSmi) || cpu.smm || cpu.activity == Activity::kWaitForSipi)
        return Look::kNothing;
    Look look;
    if (settled(cpu, ExternalEvent::kSmi, kAttnSmi, &look)) return look;
    cpu.pending &= ~kAttnSmi;
    enter_smm(cpu);
    return Look::kTaken;
}

Look look_init(Cpu& cpu) {
    if (!(cpu.pending & kAttnInit) || cpu.smm) return Look::kNothing;
    Look look;
    if (settled(cpu, ExternalEvent::kInit, kAttnInit, &look)) return look;
    const u32 sipi = cpu.pending & kAttnSipi;
    const u8 vector = cpu.sipi_vector;
    cpu.init_reset();
    cpu.pending = sipi;
    cpu.sipi_vector = vector;
    return Look::kTaken;
}

Look look_sipi(Cpu& cpu) {
    if (!(cpu.pending & kAttnSipi)) return Look::kNothing;
    if (cpu.activity != Activity::kWaitForSipi) {
        cpu.pending &= ~kAttnSipi;
        return Look::kNothing;
    }
    Look look;
    if (settled(cpu, ExternalEvent::kSipi, kAttnSipi, &look)) return look;
    cpu.pending &= ~kAttnSipi;
    cpu.activity = Activity::kActive;
    cpu.seg[kCs].selector = static_cast<u16>(cpu.sipi_vector << 8);
    cpu.seg[kCs].base = u32{cpu.sipi_vector} << 12;
    cpu.update_segment(kCs);
    cpu.update_mode();
    cpu.rip = 0;
    return Look::kTaken;
}

Look look_trap(Cpu& cpu) {
    if (!cpu.pending_db) return Look::kNothing;
    if (cpu.shadow & kShadowMovSs) return Look::kRetry;
    const Event db{.vector = kDb, .payload = cpu.pending_db};
    cpu.pending_db = 0;
    cpu.activity = Activity::kActive;
    deliver(cpu, db);
    return Look::kTaken;
}

Look look_nmi(Cpu& cpu) {
    if (!(cpu.pending & kAttnNmi)) return Look::kNothing;
    if (!cpu.vt && cpu.nmi_blocked) return Look::kNothing;
    Look look;
    if (settled(cpu, ExternalEvent::kNmi, kAttnNmi, &look)) return look;
    if (cpu.nmi_blocked) return Look::kNothing;  // IRET looks again
    if (cpu.shadow) return Look::kRetry;
    cpu.pending &= ~kAttnNmi;
    cpu.nmi_blocked = true;
    cpu.activity = Activity::kActive;
    deliver(cpu, {.vector = kNmiVector, .type = EventType::kNmi});
    return Look::kTaken;
}

Look look_intr(Cpu& cpu) {
    if (!cpu.intr_pin || cpu.activity == Activity::kShutdown) return Look::kNothing;
    Look look;
    if (settled(cpu, ExternalEvent::kIntr, 0, &look)) return look;
    if (!cpu.flag(kFlagIf)) {
        if (cpu.activity != Activity::kMwait || !cpu.mwait_any_interrupt) return Look::kNothing;
        cpu.activity = Activity::kActive;  // goes on after MWAIT; the interrupt stays pending
        return Look::kTaken;
    }
    if (cpu.shadow) return Look::kRetry;
    const u8 vector = cpu.lapic.acknowledge();
    cpu.activity = Activity::kActive;
    deliver(cpu, {.vector = vector, .type = EventType::kExternalInterrupt});
    return Look::kTaken;
}

// What VT has a time for (monitor trap flag, preemption timer): before debug traps, and VT itself
// lets those go first where they must.
Look look_vt_due(Cpu& cpu) {
    if (!cpu.vt || cpu.tick_base < cpu.vt_due) return Look::kNothing;
    return cpu.vt->boundary(cpu) ? Look::kTaken : Look::kNothing;
}

Look look_vt(Cpu& cpu) {
    if (!cpu.vt || !(cpu.attention & kAttnVt)) return Look::kNothing;
    // The bit is VT's own: set and cleared there.
    return cpu.vt->boundary(cpu) ? Look::kTaken : Look::kNothing;
}

Look look_monitor(Cpu& cpu) {
    if (cpu.activity != Activity::kMwait || !cpu.monitor_hit()) return Look::kNothing;
    cpu.activity = Activity::kActive;
    return Look::kTaken;
}

struct Source {
    u32 attn;
    Look (*look)(Cpu&);
    bool while_waiting_for_sipi;
};

// SDM 3A table 6-2. VT's windows and timer sit between debug traps and NMI (SDM 3C 25.5.1, 25.2).
constexpr Source kSources[] = {
    {kAttnSmi, look_smi, false},  {kAttnInit, look_init, true},  {kAttnSipi, look_sipi, true},
    {kAttnVt, look_vt_due, true}, {kAttnTrap, look_trap, false}, {kAttnVt, look_vt, true},
    {kAttnNmi, look_nmi, false},  {kAttnIntr, look_intr, false}, {kAttnStop, look_monitor, false},
};

}  // namespace

bool interrupt_deliverable(const Cpu& cpu) {
    return cpu.intr_pin && cpu.flag(kFlagIf) && !cpu.shadow;
}

bool service_attention(Cpu& cpu) {
    // While halted the VT bit is parked in `pending`, so that `attention` can be 0.
    cpu.attention |= cpu.pending & kAttnVt;
    cpu.pending &= ~kAttnVt;
    // Each round takes one event. The bound only guards against an owner of kAttnVt that always
    // claims a change.
    for (unsigned round = 0; round < 64; ++round) {
        u32 keep = 0;
        Look look = Look::kNothing;
        for (const Source& source : kSources) {
            if (cpu.activity == Activity::kWaitForSipi && !source.while_waiting_for_sipi) continue;
            look = source.look(cpu);
            if (look == Look::kTaken) break;
            if (look == Look::kRetry) keep |= source.attn;
        }
        if (cpu.triple_faulted) return false;
        if (look == Look::kTaken) continue;
        if (cpu.activity == Activity::kActive) {
            cpu.attention = (cpu.attention & kAttnVt) | keep;
            return true;
        }
        break;
    }
    if (cpu.activity == Activity::kActive) return true;
    cpu.pending |= cpu.attention & kAttnVt;
    cpu.attention = 0;
    return false;
}

}  // namespace rm::cpu
