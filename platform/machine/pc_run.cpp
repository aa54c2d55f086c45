// Running and resetting the machine. Requests made while a processor runs (reset ports, power-off,
// debug exit) are noted, end the scheduler's run after the current instruction, and are served
// here. Source: PIIX3 datasheet 2.5.5.2 (reset), ACPI 6.4 7.4.2.6 (S5).
#include "platform/machine/board.h"

namespace rm::platform {

void Pc::Board::request(Request what, int status) {
    if (pending != Request::kNone) return;
    pending = what;
    pending_status = status;
    if (scheduler) scheduler->stop();
}

// RESET# to everything. RAM and CMOS keep their contents; ROM shows again where PAM had RAM.
void Pc::Board::reset() {
    observe("reset", {});
    pci.reset();
    pic.reset();
    io_apic.reset();
    hpet.reset();
    pit.reset();
    port61.reset();
    port92.reset();
    coprocessor_error.reset();
    rtc.reset();
    keyboard.reset();
    fw_cfg.reset();
    for (Uart16550& uart : uarts) uart.reset();
    for (LocalApic& lapic : lapics) lapic.reset(false);
    for (auto& cpu : cpus) {
        cpu->reset();
        cpu->set_a20(a20.level());
    }
}

PcExit Pc::Board::run(const std::atomic<bool>& interrupt) {
    using Kind = PcExit::Kind;
    for (;;) {
        const Scheduler::Outcome outcome = scheduler->run(interrupt);
        const Request what = pending;
        pending = Request::kNone;
        switch (what) {
            case Request::kPowerOff: return {.kind = Kind::kPowerOff};
            case Request::kQuit: return {.kind = Kind::kQuit};
            case Request::kDebugExit: {
                const u8 code = static_cast<u8>(pending_status);
                observe("exit", {&code, 1});
                return {.kind = Kind::kDebugExit, .status = pending_status};
            }
            case Request::kReset:
                if (config.no_reboot) return {.kind = Kind::kReset};
                reset();
                continue;
            case Request::kNone: break;
        }
        switch (outcome.reason) {
            case Scheduler::Reason::kStopRequested: return {.kind = Kind::kInterrupted};
            case Scheduler::Reason::kIdleForever: return {.kind = Kind::kIdleForever};
            case Scheduler::Reason::kDebug: return {.kind = Kind::kDebug, .cpu = outcome.index};
            case Scheduler::Reason::kTripleFault:
                if (config.on_triple_fault) config.on_triple_fault(outcome.index);
                if (config.no_reboot) return {.kind = Kind::kTripleFault, .cpu = outcome.index};
                reset();
                break;
        }
    }
}

}  // namespace rm::platform
