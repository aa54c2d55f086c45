// Reset and INIT state, input pins, and the scheduler's view of the processor.
// Source: SDM 3A 9.1 and table 9-1, 8.4.2 (INIT, SIPI), 8.10.4 (MWAIT).
#include <algorithm>

#include "cpu/cpu.h"
#include "cpu/interpreter/block_cache.h"

namespace rm::cpu {

namespace {

constexpr u32 kDataAttr = 0x93, kCodeAttr = 0x9B, kLdtAttr = 0x82, kTssAttr = 0x8B;
constexpr u64 kCr0Reset = 0x60000010;
constexpr u64 kMiscEnableFastStrings = bit(0), kMiscEnableNoBts = bit(11),
              kMiscEnableNoPebs = bit(12), kMiscEnableMonitor = bit(18);
constexpr u64 kHwcrTscFreqSel = bit(24);  // family 10H: the TSC runs at the P0 frequency
constexpr u16 kFcwPowerUp = 0x40, kFtwPowerUp = 0x5555;

// What RESET and INIT have in common.
void reset_common(Cpu& cpu) {
    for (u64& r : cpu.gpr) r = 0;
    cpu.gpr[kRdx] = cpu.model.signature;
    cpu.rip = 0xFFF0;
    cpu.set_rflags(2);
    for (Segment& s : cpu.seg) s = {0, kDataAttr, 0xFFFF, 0};
    cpu.seg[kCs] = {0xF000, kCodeAttr, 0xFFFF, 0xFFFF0000};
    cpu.ldtr = {0, kLdtAttr, 0xFFFF, 0};
    cpu.tr = {0, kTssAttr, 0xFFFF, 0};
    cpu.gdtr = cpu.idtr = {0, 0xFFFF};
    cpu.cr2 = cpu.cr3 = cpu.cr4 = cpu.efer = 0;
    for (u64& d : cpu.dr) d = 0;
    for (u64& p : cpu.pdpte) p = 0;
    cpu.dr6 = 0xFFFF0FF0;
    cpu.dr7 = 0x400;
    cpu.cpl = 0;
    cpu.shadow = 0;
    cpu.nmi_blocked = false;
    cpu.activity = cpu.config.start_halted ? Activity::kWaitForSipi : Activity::kActive;
    cpu.attention = 0;
    cpu.pending = 0;
    cpu.pending_db = 0;
    cpu.monitor_armed = false;
    cpu.triple_faulted = false;
    cpu.vt_due = ~u64{0};
    cpu.delivering = nullptr;
    cpu.ext = 0;
}

void update_all(Cpu& cpu) {
    for (u8 s = 0; s < kSegRegs; ++s) cpu.update_segment(static_cast<SegReg>(s));
    cpu.update_apic_page();
    cpu.update_mode();
    cpu.update_paging();
    cpu.mmu.flush_all();
    cpu.recheck_events();
}

}  // namespace

void Cpu::reset() {
    static_cast<CpuState&>(*this) = CpuState{};
    second_stage = {};
    asid = 0;
    npt_guest_pdpte = false;
    reset_common(*this);
    cr0 = kCr0Reset;
    fpu.fcw = kFcwPowerUp;
    fpu.ftw = kFtwPowerUp;
    msr.misc_enable = kMiscEnableFastStrings | kMiscEnableNoBts | kMiscEnableNoPebs;
    if (model.features.has(Feature::k_monitor)) msr.misc_enable |= kMiscEnableMonitor;
    const unsigned family = ((model.signature >> 8) & 0xF) + ((model.signature >> 20) & 0xFF);
    if (model.vendor == Vendor::kAmd && family >= 0x10) msr.hwcr = kHwcrTscFreqSel;
    lapic.reset(false);
    msr.tsc_offset = 0 - clock.tsc();  // the TSC starts at zero
    lapic.tsc_offset_changed(msr.tsc_offset);
    if (vt) vt->reset(*this, false);
    update_all(*this);
}

void Cpu::init_reset() {
    // INIT keeps the caches' state, the FPU, MSRs, SMBASE and the TSC (SDM 3A table 9-1).
    const u64 kept = cr0 & (kCr0Cd | kCr0Nw);
    vt_mode = VtMode::kOff;
    second_stage = {};
    asid = 0;
    npt_guest_pdpte = false;
    reset_common(*this);
    cr0 = kept | kCr0Et;
    lapic.reset(true);
    if (vt) vt->reset(*this, true);
    update_all(*this);
}

void Cpu::set_a20(bool enabled) {
    const u64 mask = enabled ? ~u64{0} : ~bit(20);
    if (mask == a20_mask) return;
    a20_mask = mask;
    update_paging();
    mmu.flush_all();
}

// --- scheduling ---

void Cpu::skip_to(u64 ticks) {
    if (ticks <= tick_base) return;
    skipped += ticks - tick_base;
    tick_base = ticks;
}

void Cpu::stop_at(u64 at) {
    stop_tick = std::min<u64>(stop_tick, at);
    if (!ip) return;
    const u64 now = ticks();
    const u64 left = at > now ? at - now : 1;
    if (left < static_cast<u64>(ip_end - ip)) ip_end = ip + left;
}

void Cpu::kick() {
    kicked.store(true);
    stop_tick = 0;
    if (!foreign()) leave_block();
}

void Cpu::take_posted() {
    const MachineLock::Hold hold(threads);
    const Posted now = std::exchange(posted, {});
    if (now.written.size() > Posted::kMostWritten)
        blocks->flush();
    else
        for (const auto& [addr, size] : now.written) blocks->invalidate(addr, size);
    if (now.intr) set_intr(*now.intr);
    if (now.smi) pulse_smi();
    if (now.nmi) pulse_nmi();
    if (now.init) pulse_init();
    if (now.sipi) startup_ipi(*now.sipi);
}

bool Cpu::monitor_hit() const {
    for (unsigned n = 0; n < monitor_line.size(); ++n)
        if (memory.load(monitor_address + n * 8, 8) != monitor_line[n]) return true;
    return false;
}

bool Cpu::halted() const {
    if (activity == Activity::kActive || attention) return false;
    return activity != Activity::kMwait || !monitor_hit();
}

u64 Cpu::wake_at() const {
    return vt && in_guest() && activity == Activity::kHlt ? vt->deadline_ticks(*this) : ~u64{0};
}

// --- pins ---

void Cpu::set_intr(bool asserted) {
    if (foreign()) {
        posted.intr = asserted;
        return kick();
    }
    posted.intr.reset();  // older than this one
    intr_pin = asserted;
    if (asserted)
        request(kAttnIntr);
    else
        attention &= ~kAttnIntr;
}

void Cpu::pulse_nmi() {
    if (foreign()) return posted.nmi = true, kick();
    pending |= kAttnNmi;
    request(kAttnNmi);
}

void Cpu::pulse_smi() {
    if (foreign()) return posted.smi = true, kick();
    pending |= kAttnSmi;
    request(kAttnSmi);
}

void Cpu::pulse_init() {
    if (foreign()) return posted.init = true, kick();
    pending |= kAttnInit;
    request(kAttnInit);
}

void Cpu::startup_ipi(u8 vector) {
    if (foreign()) {
        posted.sipi = vector;
        return kick();
    }
    // An INIT that has not been looked at yet comes first: the SIPI belongs to its wait.
    if (activity != Activity::kWaitForSipi && !(pending & kAttnInit)) return;
    sipi_vector = vector;
    pending |= kAttnSipi;
    request(kAttnSipi);
}

}  // namespace rm::cpu
