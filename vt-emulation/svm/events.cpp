// Exits that are not instructions: exceptions, physical and virtual interrupts, nested page faults,
// task switches, shutdown; and what GIF holds back.
// Source: APM2 15.12 (exceptions), 15.13 (interrupts), 15.14, 15.17 (GIF), 15.21 (virtual
// interrupts), 15.25.6 (nested page faults).
#include "cpu/events/events.h"
#include "vt-emulation/svm/svm.h"

namespace rm::vt::svm {

using cpu::Cpu;
using cpu::Event;
using cpu::EventAnswer;
using cpu::EventType;
using cpu::ExternalEvent;

namespace {

constexpr u64 kInterceptIntr = bit(0), kInterceptNmi = bit(1), kInterceptSmi = bit(2),
              kInterceptInit = bit(3), kInterceptVintr = bit(4), kInterceptTask = bit(29),
              kInterceptShutdown = bit(31);

bool is_exception(const Event& e) {
    return e.type == EventType::kHardwareException || e.type == EventType::kSoftwareException ||
           e.type == EventType::kPrivilegedSoftwareException;
}

}  // namespace

bool Svm::exception(Cpu& cpu, const Event& event, const Event* during) {
    if (!is_exception(event) || !on(F::INTERCEPT_EXCEPTION, bit(event.vector & 31))) return false;
    ExitInfo info{.code = exit_code::EXCP + (event.vector & 31)};
    if (event.has_error) info.info1 = event.error;
    const bool hardware = event.type == EventType::kHardwareException;
    if (hardware && event.vector == cpu::kPf) {
        info.info2 = event.payload;  // CR2 itself is not written
        info.fetched = !(event.error & memory::kPfFetch);
        info.linear_valid = true;
        info.linear = event.payload;
    }
    // DR6 and DR7 are as the handler would find them (APM2 15.12.2).
    if (hardware && event.vector == cpu::kDb) {
        cpu.dr6 = (cpu.dr6 & ~u64{0xF}) | event.payload;
        cpu.dr7 &= ~bit(13);
    }
    // A double fault is not an event during whose delivery something happened.
    if (event.vector != cpu::kDf) info.during = during;
    // INT3 and INTO, and BOUND, the only source of #BR, though that is a fault (APM2 15.7.1).
    const u8 length =
        hardware && event.vector == cpu::kBr ? cpu.faulting_length : event.insn_length;
    if (length) info.next_rip = (cpu.current_rip() + length) & cpu.ip_mask;
    info.event = &event;
    vm_exit(cpu, info);
    return true;
}

bool Svm::triple_fault(Cpu& cpu) {
    if (!on(F::INTERCEPT_1, kInterceptShutdown)) return false;
    vm_exit(cpu, {.code = exit_code::SHUTDOWN});
    return true;
}

// EXITINFO1: selector. EXITINFO2: error code 31:0, IRET 36, far JMP 38, error code valid 44, RF 48.
bool Svm::task_switch(Cpu& cpu, u16 selector, cpu::TaskSwitchSource source, const Event* during,
                      bool has_error, u32 error) {
    if (!on(F::INTERCEPT_1, kInterceptTask)) return false;
    u64 info2 = has_error ? error | bit(44) : 0;
    if (source == cpu::TaskSwitchSource::kIret) info2 |= bit(36);
    if (source == cpu::TaskSwitchSource::kJmp) info2 |= bit(38);
    if (cpu.flag(cpu::kFlagRf)) info2 |= bit(48);
    vm_exit(cpu,
            {.code = exit_code::TASK_SWITCH, .info1 = selector, .info2 = info2, .during = during});
    return true;
}

// EXITINFO1: page-fault code, 32 = the final address failed, 33 = a guest table did. EXITINFO2:
// gPA.
void Svm::second_stage_fault(Cpu& cpu, const memory::WalkFault& fault, const Event* during) {
    vm_exit(cpu, {.code = exit_code::NPF,
                  .info1 = fault.error_code | (fault.walk_access ? bit(33) : bit(32)),
                  .info2 = fault.guest_physical,
                  .during = during,
                  .fetched = fault.access != memory::Access::kExecute,
                  .linear_valid = fault.linear_valid,
                  .physical_valid = true,
                  .linear = fault.linear,
                  .physical = fault.guest_physical});
}

// --- physical interrupts ---

// With V_INTR_MASKING the host's IF decides, else the guest's (APM2 15.21.1).
bool Svm::interrupt_unmasked(const Cpu& cpu) const {
    const bool flag =
        v_intr() & kVIntrMasking ? host_.rflags & cpu::kFlagIf : cpu.flags_other & cpu::kFlagIf;
    return flag && !cpu.shadow;
}

EventAnswer Svm::external_interrupt(Cpu& cpu) {
    const bool masking = v_intr() & kVIntrMasking;
    // The processor's own rules are right where the guest's IF decides and there is no exit now.
    if (!masking && (!on(F::INTERCEPT_1, kInterceptIntr) || !cpu.flag(cpu::kFlagIf)))
        return EventAnswer::kDeliver;
    if (!interrupt_unmasked(cpu)) return EventAnswer::kBlocked;
    if (on(F::INTERCEPT_1, kInterceptIntr)) {
        vm_exit(cpu, {.code = exit_code::INTR});  // not acknowledged: the host takes it
        return EventAnswer::kExit;
    }
    // Taken through the guest's IDT whatever its IF says.
    const u8 vector = cpu.lapic.acknowledge();
    cpu.activity = cpu::Activity::kActive;
    cpu::deliver(cpu, {.vector = vector, .type = EventType::kExternalInterrupt});
    return EventAnswer::kExit;
}

// An intercepted INIT exits all the same; a processor that waits for SIPI has nothing to tell.
bool Svm::redirects_init(const Cpu& cpu) const {
    const bool exits = cpu.vt_mode == cpu::VtMode::kSvmGuest && on(F::INTERCEPT_1, kInterceptInit);
    return (vm_cr_ & kVmCrRedirectInit) && !exits && cpu.activity != cpu::Activity::kWaitForSipi;
}

EventAnswer Svm::external(Cpu& cpu, ExternalEvent event) {
    if (!gif_) return EventAnswer::kBlocked;
    if (event == ExternalEvent::kInit && redirects_init(cpu)) {
        constexpr u32 kInitRedirected = 1;  // the error code (APM2 8.2.24)
        cpu::deliver(cpu, {.vector = cpu::kSx, .has_error = true, .error = kInitRedirected});
        return EventAnswer::kExit;
    }
    if (cpu.vt_mode != cpu::VtMode::kSvmGuest) return EventAnswer::kDeliver;
    struct Row {
        u64 intercept, code;
    };
    Row row{};
    switch (event) {
        case ExternalEvent::kIntr: return external_interrupt(cpu);
        case ExternalEvent::kNmi:
            if (cpu.nmi_blocked) return EventAnswer::kDeliver;  // stays pending until IRET
            row = {kInterceptNmi, exit_code::NMI};
            break;
        case ExternalEvent::kSmi: row = {kInterceptSmi, exit_code::SMI}; break;
        case ExternalEvent::kInit: row = {kInterceptInit, exit_code::INIT}; break;
        case ExternalEvent::kSipi: return EventAnswer::kDrop;
    }
    if (!on(F::INTERCEPT_1, row.intercept)) return EventAnswer::kDeliver;
    // The event stays pending and is taken by the host when it sets GIF (APM2 15.13).
    vm_exit(cpu, {.code = row.code});
    return EventAnswer::kExitKeep;
}

// --- virtual interrupts ---

bool Svm::virtual_interrupt_wins() const {
    const u64 v = v_intr();
    const u64 priority = bits(v, kVIntrPrioShift + 3, kVIntrPrioShift);
    return (v & kVIrq) && ((v & kVIgnoreTpr) || priority > (v & kVTpr));
}

bool Svm::boundary(Cpu& cpu) {
    cpu.attention &= ~cpu::kAttnVt;
    if (cpu.vt_mode != cpu::VtMode::kSvmGuest || !(v_intr() & kVIrq)) return false;
    if (!virtual_interrupt_wins()) return false;  // a CR8 write looks again
    if (!cpu.flag(cpu::kFlagIf)) {
        cpu.pending |= cpu::kAttnVt;  // STI, POPF, IRET look again
        return false;
    }
    // A shadow passes; physical events come first and usually end in an exit.
    const bool physical = (cpu.intr_pin && interrupt_unmasked(cpu)) ||
                          ((cpu.pending & cpu::kAttnNmi) && !cpu.nmi_blocked);
    if (cpu.shadow || physical || cpu.activity == cpu::Activity::kShutdown) {
        cpu.attention |= cpu::kAttnVt;
        return false;
    }
    if (on(F::INTERCEPT_1, kInterceptVintr)) {
        vm_exit(cpu, {.code = exit_code::VINTR});
        return true;
    }
    const u8 vector = static_cast<u8>(v_intr() >> kVIntrVectorShift);
    vmcb_.set(F::V_INTR, v_intr() & ~kVIrq);
    cpu.activity = cpu::Activity::kActive;
    cpu::deliver(cpu, {.vector = vector, .type = EventType::kExternalInterrupt});
    return true;
}

}  // namespace rm::vt::svm
