// From a raised event to its handler: VM exits asked first, delivery by mode, nested faults, double
// and triple fault. Source: SDM 3A 6.5, 6.12, 6.15 (#DF, table 6-5); SDM 3C 25.2, 27.2.4;
// APM2 8.2.9.
#include "base/log.h"
#include "cpu/events/events.h"
#include "cpu/events/gates.h"
#include "cpu/system/system.h"

namespace rm::cpu {

namespace {

bool is_exception(const Event& e) {
    return e.type == EventType::kHardwareException || e.type == EventType::kSoftwareException ||
           e.type == EventType::kPrivilegedSoftwareException;
}

bool hardware(const Event& e, u8 vector) {
    return e.type == EventType::kHardwareException && e.vector == vector;
}

bool contributory(const Event& e) {
    if (e.type != EventType::kHardwareException) return false;
    return e.vector == kDe || (e.vector >= kTs && e.vector <= kGp);
}

// Faults are restarted: RF in the pushed image keeps an instruction breakpoint there from hitting
// twice (SDM 3B 17.3.1.1). Aborts and debug exceptions leave RF alone.
bool restartable(const Event& e) {
    return e.type == EventType::kHardwareException && e.vector != kDb && e.vector != kDf &&
           e.vector != kMc;
}

// SDM 3A table 6-5.
bool makes_double_fault(const Event& first, const Event& second) {
    if (contributory(first)) return contributory(second);
    return hardware(first, kPf) && (contributory(second) || hardware(second, kPf));
}

// What the event itself does to the state at the moment it is certain to be delivered.
void apply_payload(Cpu& cpu, const Event& e) {
    if (hardware(e, kPf)) cpu.cr2 = e.payload;
    if (e.vector == kDb && e.type == EventType::kHardwareException) {
        cpu.dr6 = (cpu.dr6 & ~u64{0xF}) | e.payload;
        cpu.dr7 &= ~bit(13);          // GD
        cpu.msr.debugctl &= ~bit(1);  // BTF (SDM 3B 17.4.3)
    }
}

Step deliver_once(Cpu& cpu, const Event& event) {
    const u64 return_rip = (cpu.rip + event.insn_length) & cpu.ip_mask;
    if (!cpu.protected_mode()) return deliver_real(cpu, event, return_rip);
    if (cpu.v86() && event.type == EventType::kSoftwareInterrupt) {
        bool redirected;
        RM_TRY(vme_redirection(cpu, event.vector, redirected));
        if (redirected) return deliver_vme(cpu, event, return_rip);
    }
    return cpu.long_mode() ? deliver_long(cpu, event, return_rip)
                           : deliver_protected(cpu, event, return_rip);
}

void triple_fault(Cpu& cpu) {
    if (cpu.in_guest() && cpu.vt->triple_fault(cpu)) return;
    cpu.last_triple_fault.cs = cpu.seg[kCs].selector;
    cpu.last_triple_fault.rip = cpu.rip;
    cpu.shadow = 0;  // as behind a fault that is delivered
    cpu.activity = Activity::kShutdown;
    cpu.triple_faulted = true;
    cpu.request(kAttnStop);
}

void note_vector(Cpu& cpu, const Event& event) {
    auto& v = cpu.last_triple_fault.vectors;
    v[0] = v[1];
    v[1] = v[2];
    v[2] = event.vector;
}

void begin(Cpu& cpu, const Event& event) {
    cpu.delivering = &event;
    cpu.ext = checks_gate_dpl(event.type) ? 0 : 1;
}
void end(Cpu& cpu) {
    cpu.delivering = nullptr;
    cpu.ext = 0;
}

// The fault in cpu.raised happened while `event` was being delivered. True: `event` is now what to
// deliver next. False: an exit, or the machine has shut down.
bool take_nested(Cpu& cpu, Event& event) {
    if (cpu.raised.kind == Raised::Kind::kVmExitTaken) return false;
    if (cpu.raised.kind == Raised::Kind::kSecondStage) {
        const Event during = event;
        cpu.vt->second_stage_fault(cpu, cpu.mmu.fault(), &during);
        return false;
    }
    const Event next = cpu.raised.event;
    if (cpu.in_guest() && cpu.vt->exception(cpu, next, &event)) return false;
    note_vector(cpu, next);
    if (hardware(event, kDf)) {
        triple_fault(cpu);
        return false;
    }
    if (!makes_double_fault(event, next)) {
        event = next;
        if (restartable(event)) cpu.flags_other |= kFlagRf;
        return true;
    }
    apply_payload(cpu, next);
    event = {.vector = kDf, .has_error = true, .error = 0};
    note_vector(cpu, event);
    // A double fault that exits at once is not an event being delivered (SDM 3C 27.2.4).
    return !(cpu.in_guest() && cpu.vt->exception(cpu, event, nullptr));
}

}  // namespace

void deliver(Cpu& cpu, const Event& first, bool injected) {
    if (!injected && cpu.in_guest() && is_exception(first) &&
        cpu.vt->exception(cpu, first, nullptr))
        return;
    Event event = first;
    cpu.last_triple_fault = {};
    note_vector(cpu, event);
    // Injection leaves CR2 and DR6 to the hypervisor (SDM 3C 26.6.1.1; APM2 15.20).
    bool with_payload = !injected;
    for (;;) {
        if (with_payload) apply_payload(cpu, event);
        with_payload = true;
        begin(cpu, event);
        if (cpu.event_observer) cpu.event_observer->on_delivery(cpu, event);
        const Step step = deliver_once(cpu, event);
        if (step == Step::kFault) {
            const bool again = take_nested(cpu, event);
            end(cpu);
            if (again) continue;
            return;
        }
        end(cpu);
        if (step != Step::kVmExit) {
            cpu.shadow = 0;
            cpu.activity = Activity::kActive;
        }
        return;
    }
}

void handle_fault(Cpu& cpu) {
    switch (cpu.raised.kind) {
        case Raised::Kind::kVmExitTaken: return;
        case Raised::Kind::kSecondStage:
            cpu.pending_db = 0;
            cpu.vt->second_stage_fault(cpu, cpu.mmu.fault(), nullptr);
            return;
        case Raised::Kind::kEvent: break;
    }
    const Event event = cpu.raised.event;
    if (event.type == EventType::kHardwareException) {
        if (restartable(event)) cpu.flags_other |= kFlagRf;
        // Data breakpoints of an instruction that did not complete are not reported.
        if (!(cpu.shadow & kShadowMovSs)) cpu.pending_db = 0;
    }
    deliver(cpu, event);
}

}  // namespace rm::cpu
