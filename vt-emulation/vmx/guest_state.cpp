// Moving state between the processor and the VMCS: loading the guest's at entry, saving it at exit,
// loading the host's; and what entries and exits do to cached translations.
// Source: SDM 3C 26.3.2 (loading guest state), 27.3 (saving it), 27.5 (loading host state), 28.3.3.
#include "cpu/system/system.h"
#include "vt-emulation/common/address_space.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

using common::paging_signature;
using cpu::Cpu;
using cpu::Segment;

namespace {

// CR0 bits that entries and exits leave alone: ET, 15:6, 17, 28:19, NW, CD (26.3.2.1, 27.5.1).
constexpr u64 kCr0Kept = 0x7FFAFFD0;
constexpr u64 kLm = cpu::kEferLme | cpu::kEferLma;
constexpr u64 kDr7One = bit(10), kDr7Zero = bit(11) | bit(12) | bit(14) | bit(15);
constexpr u32 kUnusableAttr = Segment::kUnusable;

void update_derived(Cpu& cpu) {
    for (u8 s = 0; s < cpu::kSegRegs; ++s) cpu.update_segment(static_cast<cpu::SegReg>(s));
    cpu.update_mode();
    cpu.update_paging();
}

Segment load_segment(const Vmcs& v, unsigned n) {
    Segment s;
    s.selector = static_cast<u16>(v[F::GUEST_ES_SELECTOR + n]);
    s.base = v[F::GUEST_ES_BASE + n];
    s.limit = v.get32(F::GUEST_ES_LIMIT + n);
    s.attr = v.get32(F::GUEST_ES_ACCESS_RIGHTS + n);
    return s;
}

void save_segment(Vmcs& v, unsigned n, const Segment& s) {
    v.set(F::GUEST_ES_SELECTOR + n, s.selector);
    v.set(F::GUEST_ES_BASE + n, s.base);
    v.set(F::GUEST_ES_LIMIT + n, s.limit);
    v.set(F::GUEST_ES_ACCESS_RIGHTS + n, s.attr & 0x1F0FF);
}

constexpr unsigned kLdtr = 6, kTr = 7;

}  // namespace

// Without VPIDs, both directions drop the mappings of VPID 0 (28.3.3.1); with them, nothing goes.
void Vmx::switch_space(Cpu& cpu, bool to_guest) {
    const bool vpid = proc2_ & proc2::kEnableVpid;
    if (to_guest) host_signature_ = paging_signature(cpu);
    if (!vpid) cpu.mmu.flush({.asid = 0, .linear_only = true});
}

void Vmx::load_guest(Cpu& cpu) {
    const Vmcs& v = vmcs_;
    switch_space(cpu, true);
    cpu.cr0 = (v[F::GUEST_CR0] & ~kCr0Kept) | (cpu.cr0 & kCr0Kept);
    cpu.cr3 = v[F::GUEST_CR3];
    cpu.cr4 = v[F::GUEST_CR4];
    if (entryc_ & entryc::kLoadDebugControls) {
        cpu.dr7 = (v[F::GUEST_DR7] & ~kDr7Zero) | kDr7One;
        cpu.msr.debugctl = v[F::GUEST_IA32_DEBUGCTL];
    }
    cpu.msr.sysenter_cs = v[F::GUEST_IA32_SYSENTER_CS];
    cpu.msr.sysenter_esp = v[F::GUEST_IA32_SYSENTER_ESP];
    cpu.msr.sysenter_eip = v[F::GUEST_IA32_SYSENTER_EIP];
    if (entryc_ & entryc::kLoadPat) cpu.msr.pat = v[F::GUEST_IA32_PAT];
    if (entryc_ & entryc::kLoadEfer) {
        cpu.efer = v[F::GUEST_IA32_EFER];
    } else {
        // LMA follows "IA-32e mode guest", and so does LME while paging is on (26.3.2.1).
        const u64 mode = entryc_ & entryc::kIa32eModeGuest ? kLm : 0;
        const u64 mask = cpu.cr0 & cpu::kCr0Pg ? kLm : cpu::kEferLma;
        cpu.efer = (cpu.efer & ~mask) | (mode & mask);
    }
    for (unsigned s = 0; s < cpu::kSegRegs; ++s) cpu.seg[s] = load_segment(v, s);
    cpu.ldtr = load_segment(v, kLdtr);
    cpu.tr = load_segment(v, kTr);
    cpu.gdtr = {v[F::GUEST_GDTR_BASE], static_cast<u16>(v[F::GUEST_GDTR_LIMIT])};
    cpu.idtr = {v[F::GUEST_IDTR_BASE], static_cast<u16>(v[F::GUEST_IDTR_LIMIT])};
    cpu.cpl = static_cast<u8>(cpu.seg[cpu::kSs].dpl());
    cpu.gpr[cpu::kRsp] = v[F::GUEST_RSP];
    cpu.rip = v[F::GUEST_RIP];
    cpu.set_rflags(v[F::GUEST_RFLAGS]);

    const u64 blocking = v[F::GUEST_INTERRUPTIBILITY];
    cpu.shadow = static_cast<u8>(blocking & 3);
    cpu.nmi_blocked = blocking & 8;
    cpu.activity = static_cast<cpu::Activity>(v[F::GUEST_ACTIVITY_STATE]);
    cpu.monitor_armed = false;
    cpu.pending_db = 0;
    cpu.attention &= ~cpu::kAttnTrap;

    cpu.asid = proc2_ & proc2::kEnableVpid ? static_cast<u16>(v[F::VPID]) : 0;
    cpu.second_stage = {};
    if (proc2_ & proc2::kEnableEpt) {
        memory::SecondStage& second = cpu.second_stage;
        second.kind = memory::SecondStage::Kind::kEpt;
        second.ept_accessed_dirty = v[F::EPT_POINTER] & 0x40;
        // The tag of cached mappings; mappings made with and without A/D flags are kept apart.
        second.root = v[F::EPT_POINTER] & (kPageMask | 0x40);
        second.ept_execute_only = has_bit(caps_.ept_vpid, 0);
        second.ept_1g_pages = has_bit(caps_.ept_vpid, 17);
    }
    if (cpu.asid) {
        if (space_signature_.empty()) space_signature_.resize(0x10000);
        u16& last = space_signature_[cpu.asid];
        const u16 now = paging_signature(cpu);
        if (last && last != now) cpu.mmu.flush({.asid = cpu.asid, .linear_only = true});
        last = now;
    }
}

// PAE guests: from the VMCS with EPT, else from memory, where a reserved bit fails the entry.
bool Vmx::load_guest_pdptes(Cpu& cpu) {
    const bool pae = (cpu.cr0 & cpu::kCr0Pg) && (cpu.cr4 & cpu::kCr4Pae) && !cpu.long_mode();
    if (!pae) return true;
    if (proc2_ & proc2::kEnableEpt) {
        for (unsigned n = 0; n < 4; ++n) cpu.pdpte[n] = vmcs_[F::GUEST_PDPTE0 + n];
        return true;
    }
    return cpu::load_pdptes(cpu, cpu.cr3);
}

void Vmx::save_guest(Cpu& cpu, const ExitInfo& info, u64 rip) {
    Vmcs& v = vmcs_;
    v.set(F::GUEST_CR0, cpu.cr0);
    v.set(F::GUEST_CR3, cpu.cr3);
    v.set(F::GUEST_CR4, cpu.cr4);
    v.set(F::GUEST_IA32_SYSENTER_CS, cpu.msr.sysenter_cs);
    v.set(F::GUEST_IA32_SYSENTER_ESP, cpu.msr.sysenter_esp);
    v.set(F::GUEST_IA32_SYSENTER_EIP, cpu.msr.sysenter_eip);
    if (exitc_ & exitc::kSaveDebugControls) {
        v.set(F::GUEST_DR7, cpu.dr7);
        v.set(F::GUEST_IA32_DEBUGCTL, cpu.msr.debugctl);
    }
    if (exitc_ & exitc::kSavePat) v.set(F::GUEST_IA32_PAT, cpu.msr.pat);
    if (exitc_ & exitc::kSaveEfer) v.set(F::GUEST_IA32_EFER, cpu.efer);
    if (caps_.store_lma) {
        const u64 controls = v[F::ENTRY_CONTROLS] & ~u64{entryc::kIa32eModeGuest};
        v.set(F::ENTRY_CONTROLS, controls | (cpu.long_mode() ? entryc::kIa32eModeGuest : 0));
    }
    for (unsigned s = 0; s < cpu::kSegRegs; ++s) save_segment(v, s, cpu.seg[s]);
    save_segment(v, kLdtr, cpu.ldtr);
    save_segment(v, kTr, cpu.tr);
    v.set(F::GUEST_GDTR_BASE, cpu.gdtr.base);
    v.set(F::GUEST_GDTR_LIMIT, cpu.gdtr.limit);
    v.set(F::GUEST_IDTR_BASE, cpu.idtr.base);
    v.set(F::GUEST_IDTR_LIMIT, cpu.idtr.limit);
    v.set(F::GUEST_RIP, rip);
    v.set(F::GUEST_RSP, cpu.gpr[cpu::kRsp]);
    u64 flags = cpu.rflags();
    if (info.rf == ExitInfo::Rf::kSet) flags |= cpu::kFlagRf;
    if (info.rf == ExitInfo::Rf::kClear) flags &= ~cpu::kFlagRf;
    v.set(F::GUEST_RFLAGS, flags);

    // MWAIT's wait is not an activity state of its own: it is seen as active (24.4.2).
    const bool waits = cpu.activity == cpu::Activity::kMwait;
    v.set(F::GUEST_ACTIVITY_STATE, waits ? 0 : static_cast<u64>(cpu.activity));
    v.set(F::GUEST_INTERRUPTIBILITY,
          u64{info.trap ? u8{0} : cpu.shadow} | (cpu.nmi_blocked ? 8 : 0));
    // A single-step trap of the instruction that a trap-like exit ends has not been noted yet.
    const u64 step = info.trap && cpu.flag(cpu::kFlagTf) ? bit(14) : 0;
    const u64 db = (cpu.pending_db & 0x400F) | step;
    v.set(F::GUEST_PENDING_DEBUG_EXCEPTIONS, db | (db & 0xF ? bit(12) : 0));
    if (proc2_ & proc2::kEnableEpt)
        for (unsigned n = 0; n < 4; ++n) v.set(F::GUEST_PDPTE0 + n, cpu.pdpte[n]);
    if (exitc_ & exitc::kSavePreemptionTimer) {
        const u64 gone = ((cpu.tsc() >> kPreemptionRate) - timer_base_);
        const u64 value = v[F::PREEMPTION_TIMER_VALUE];
        v.set(F::PREEMPTION_TIMER_VALUE, gone < value ? value - gone : 0);
    }
}

void Vmx::load_host(Cpu& cpu) {
    const Vmcs& v = vmcs_;
    const bool host64 = exitc_ & exitc::kHostAddressSpaceSize;
    switch_space(cpu, false);
    cpu.cr0 = (v[F::HOST_CR0] & ~kCr0Kept) | (cpu.cr0 & kCr0Kept);
    cpu.cr3 = v[F::HOST_CR3] & (host64 ? ~u64{0} : 0xFFFFFFFF);
    cpu.cr4 = v[F::HOST_CR4];
    if (host64)
        cpu.cr4 |= cpu::kCr4Pae;
    else
        cpu.cr4 &= ~cpu::kCr4Pcide;
    cpu.dr7 = kDr7One;
    cpu.msr.debugctl = 0;
    cpu.msr.sysenter_cs = v[F::HOST_IA32_SYSENTER_CS];
    cpu.msr.sysenter_esp = v[F::HOST_IA32_SYSENTER_ESP];
    cpu.msr.sysenter_eip = v[F::HOST_IA32_SYSENTER_EIP];
    if (exitc_ & exitc::kLoadPat) cpu.msr.pat = v[F::HOST_IA32_PAT];
    if (exitc_ & exitc::kLoadEfer) cpu.efer = v[F::HOST_IA32_EFER];
    cpu.efer = (cpu.efer & ~kLm) | (host64 ? kLm : 0);

    const u32 flat = 3 | Segment::kS | Segment::kP | Segment::kDb | Segment::kG;
    for (unsigned s = 0; s < cpu::kSegRegs; ++s) {
        const unsigned n = s;  // host selectors have the same order
        const u16 selector = static_cast<u16>(v[F::HOST_ES_SELECTOR + n]);
        u64 base = 0;
        if (s == cpu::kFs) base = v[F::HOST_FS_BASE];
        if (s == cpu::kGs) base = v[F::HOST_GS_BASE];
        cpu.seg[s] = {selector, flat | (selector ? 0 : kUnusableAttr), 0xFFFFFFFF, base};
    }
    cpu.seg[cpu::kCs].attr =
        11 | Segment::kS | Segment::kP | Segment::kG | (host64 ? Segment::kL : Segment::kDb);
    cpu.tr = {static_cast<u16>(v[F::HOST_TR_SELECTOR]), 11 | Segment::kP, 0x67, v[F::HOST_TR_BASE]};
    cpu.ldtr = {0, kUnusableAttr, 0, 0};
    cpu.gdtr = {v[F::HOST_GDTR_BASE], 0xFFFF};
    cpu.idtr = {v[F::HOST_IDTR_BASE], 0xFFFF};
    cpu.cpl = 0;
    cpu.gpr[cpu::kRsp] = v[F::HOST_RSP];
    cpu.rip = v[F::HOST_RIP];
    cpu.set_rflags(2);
    cpu.shadow = 0;
    cpu.activity = cpu::Activity::kActive;
    cpu.monitor_armed = false;
    cpu.pending_db = 0;
    cpu.attention &= ~(cpu::kAttnTrap | cpu::kAttnVt);
    cpu.vt_due = ~u64{0};

    cpu.vt_mode = cpu::VtMode::kVmxRoot;
    cpu.vt_tsc_offset = 0;
    cpu.asid = 0;
    cpu.second_stage = {};
    if (paging_signature(cpu) != host_signature_) cpu.mmu.flush({.asid = 0, .linear_only = true});
    if (proc2_ & proc2::kVirtualizeApicAccesses) cpu.mmu.set_special_page(1, ~PhysAddr{0});
    update_derived(cpu);
}

void Vmx::begin_guest(Cpu& cpu) {
    cpu.vt_mode = cpu::VtMode::kVmxGuest;
    cpu.vt_profile = current_profile(cpu);
    cpu.vt_tsc_offset = proc_ & proc::kUseTscOffsetting ? vmcs_[F::TSC_OFFSET] : 0;
    if (proc2_ & proc2::kVirtualizeApicAccesses)
        cpu.mmu.set_special_page(1, vmcs_[F::APIC_ACCESS_ADDRESS]);
    update_derived(cpu);
}

}  // namespace rm::vt::vmx
