// SVM's instructions other than VMRUN, its MSRs, GIF, and the hooks that need no more than a line.
// Source: APM2 15.5.2 (VMLOAD, VMSAVE), 15.16.3 (INVLPGA), 15.17 (GIF), 15.21 (V_TPR), 15.30
// (MSRs).
#include "vt-emulation/svm/svm.h"

#include <utility>

#include "vt-emulation/common/instruction.h"

namespace rm::vt::svm {

using cpu::Cpu;
using cpu::Feature;
using cpu::Insn;
using cpu::Intercept;
using cpu::MsrAnswer;
using cpu::Step;

namespace {

constexpr u32 kMsrEfer = 0xC0000080, kMsrVmCr = 0xC0010114, kMsrIgnne = 0xC0010115,
              kMsrSmmCtl = 0xC0010116, kMsrHsavePa = 0xC0010117, kMsrSvmKey = 0xC0010118;
// VM_CR: DPD 0, R_INIT 1 (vmcb.h), DIS_A20M 2, LOCK 3, SVMDIS 4.
constexpr u64 kVmCrLock = bit(3), kVmCrSvmDisable = bit(4), kVmCrDefined = 0x1F;

}  // namespace

Svm::Svm(const cpu::Model& model, common::TraceSink* sink)
    : npt_(model.features.has(Feature::k_npt)),
      nrip_save_(model.features.has(Feature::k_nrip_save)),
      decode_assists_(model.features.has(Feature::k_decodeassists)),
      flush_by_asid_(model.features.has(Feature::k_flushbyasid)),
      pause_filter_(model.features.has(Feature::k_pause_filter)),
      pause_threshold_(model.features.has(Feature::k_pfthreshold)),
      lock_(model.features.has(Feature::k_svm_lock)),
      physical_bits_(model.physical_bits),
      asids_(model.svm_asids),
      space_signature_(model.svm_asids) {
    set_sink(sink);
}

Svm::~Svm() = default;

void Svm::set_sink(common::TraceSink* sink) {
    sink_ = sink;
    sink_needs_ = sink ? sink->needs() : 0;
    remembered_.clear();
}

void Svm::reset(Cpu& cpu, bool init) {
    gif_ = true;
    smm_ = {};
    const bool guest_pat = std::exchange(np_, false);
    if (init) {  // keeps the MSRs
        if (guest_pat) cpu.msr.pat = host_.pat;
        return;
    }
    vm_cr_ = svm_key_ = hsave_pa_ = 0;
}

// --- instructions ---

Step Svm::execute(Cpu& cpu, const Insn& insn, Intercept id) {
    // VMMCALL that nobody intercepts, and SKINIT, which CPUID does not offer (APM3, VMMCALL,
    // SKINIT).
    if (id == Intercept::kVMMCALL || id == Intercept::kSKINIT || !(cpu.efer & cpu::kEferSvme))
        return cpu.raise_ud();
    if (cpu.cpl != 0) return cpu.raise_gp(0);
    switch (id) {
        case Intercept::kSTGI: set_gif(cpu, true); return Step::kEnd;
        case Intercept::kCLGI: set_gif(cpu, false); return Step::kEnd;
        case Intercept::kINVLPGA: return invlpga(cpu, insn);
        case Intercept::kVMRUN:
        case Intercept::kVMLOAD:
        case Intercept::kVMSAVE: break;
        default: return cpu.raise_ud();
    }
    const PhysAddr at = cpu.gpr[cpu::kRax] & common::address_mask(insn);
    if ((at & ~kPageMask) || (at & ~low_mask(physical_bits_))) return cpu.raise_gp(0);
    const PhysAddr machine = at & cpu.a20_mask;
    if (id == Intercept::kVMRUN) return vmrun(cpu, insn, machine);
    return id == Intercept::kVMLOAD ? vmload(cpu, machine) : vmsave(cpu, machine);
}

void Svm::set_gif(Cpu& cpu, bool value) {
    gif_ = value;
    if (value) cpu.recheck_events();
}

namespace {

// MSRs that VMLOAD and VMSAVE move.
struct MovedMsr {
    F field;
    u64 cpu::Msrs::*member;
};
constexpr MovedMsr kMovedMsrs[] = {
    {F::STAR, &cpu::Msrs::star},
    {F::LSTAR, &cpu::Msrs::lstar},
    {F::CSTAR, &cpu::Msrs::cstar},
    {F::SFMASK, &cpu::Msrs::sfmask},
    {F::KERNEL_GS_BASE, &cpu::Msrs::kernel_gs_base},
    {F::SYSENTER_CS, &cpu::Msrs::sysenter_cs},
    {F::SYSENTER_ESP, &cpu::Msrs::sysenter_esp},
    {F::SYSENTER_EIP, &cpu::Msrs::sysenter_eip},
};

}  // namespace

Step Svm::vmload(Cpu& cpu, PhysAddr at) {
    Vmcb v;
    v.read_from(cpu.memory, at);
    cpu.seg[cpu::kFs] = v.segment(F::FS_SELECTOR);
    cpu.seg[cpu::kGs] = v.segment(F::GS_SELECTOR);
    cpu.ldtr = v.segment(F::LDTR_SELECTOR);
    cpu.tr = v.segment(F::TR_SELECTOR);
    for (const MovedMsr& m : kMovedMsrs) cpu.msr.*m.member = v[m.field];
    cpu.update_segment(cpu::kFs);
    cpu.update_segment(cpu::kGs);
    return Step::kEnd;
}

Step Svm::vmsave(Cpu& cpu, PhysAddr at) {
    Vmcb v;
    v.set_segment(F::FS_SELECTOR, cpu.seg[cpu::kFs]);
    v.set_segment(F::GS_SELECTOR, cpu.seg[cpu::kGs]);
    v.set_segment(F::LDTR_SELECTOR, cpu.ldtr);
    v.set_segment(F::TR_SELECTOR, cpu.tr);
    for (const MovedMsr& m : kMovedMsrs) v.set(m.field, cpu.msr.*m.member);
    v.write_to(cpu.memory, at, F::FS_SELECTOR, F::GS_BASE);
    v.write_to(cpu.memory, at, F::LDTR_SELECTOR, F::LDTR_BASE);
    v.write_to(cpu.memory, at, F::TR_SELECTOR, F::TR_BASE);
    v.write_to(cpu.memory, at, F::STAR, F::SYSENTER_EIP);
    return Step::kEnd;
}

// rAX = linear address, ECX = ASID.
Step Svm::invlpga(Cpu& cpu, const Insn& insn) {
    const LinearAddr va = cpu.gpr[cpu::kRax] & common::address_mask(insn);
    const u32 asid = static_cast<u32>(cpu.gpr[cpu::kRcx]);
    if (asid < asids_) cpu.mmu.flush({.asid = static_cast<u16>(asid), .va = va});
    return Step::kEnd;
}

// --- control registers ---

u64 Svm::guest_cr_write(Cpu&, unsigned, u64 value) { return value; }

u64 Svm::guest_cr_read(Cpu& cpu, unsigned cr) {
    switch (cr) {
        case 0: return cpu.cr0;
        case 2: return cpu.cr2;
        case 3: return cpu.cr3;
        default: return cpu.cr4;
    }
}

void Svm::cr_fixed(const Cpu&, unsigned, u64& must_be_one, u64& may_be_one) {
    must_be_one = 0;
    may_be_one = ~u64{0};
}

MsrAnswer Svm::cr8_read(Cpu& cpu, u64& value) {
    if (cpu.vt_mode != cpu::VtMode::kSvmGuest || !(v_intr() & kVIntrMasking))
        return MsrAnswer::kNotMine;
    value = v_intr() & kVTpr;
    return MsrAnswer::kDone;
}

// Without V_INTR_MASKING a guest's write goes to both TPRs (APM2 15.21.2).
MsrAnswer Svm::cr8_write(Cpu& cpu, const Insn&, u64 value, Step& step) {
    if (cpu.vt_mode != cpu::VtMode::kSvmGuest) return MsrAnswer::kNotMine;
    const bool masking = v_intr() & kVIntrMasking;
    if (value & ~kVTpr) {
        if (!masking) return MsrAnswer::kNotMine;
        step = cpu.raise_gp(0);
        return MsrAnswer::kDone;
    }
    vmcb_.set(F::V_INTR, (v_intr() & ~u64{0xFF}) | value);
    if (v_intr() & kVIrq) cpu.request(cpu::kAttnVt);
    if (!masking) return MsrAnswer::kNotMine;
    step = Step::kEnd;
    return MsrAnswer::kDone;
}

// --- MSRs ---

MsrAnswer Svm::msr_read(Cpu&, u32 msr, u64& value) {
    switch (msr) {
        case kMsrVmCr: value = vm_cr_; return MsrAnswer::kDone;
        case kMsrHsavePa: value = hsave_pa_; return MsrAnswer::kDone;
        case kMsrIgnne:
        case kMsrSvmKey: value = 0; return MsrAnswer::kDone;
        case kMsrSmmCtl: return MsrAnswer::kGp;  // write-only
        default: return MsrAnswer::kNotMine;
    }
}

MsrAnswer Svm::msr_write(Cpu& cpu, u32 msr, u64 value) {
    switch (msr) {
        case kMsrEfer:
            // SVM disabled by VM_CR: SVME cannot be set (APM2 15.30.1).
            return (value & cpu::kEferSvme) && (vm_cr_ & kVmCrSvmDisable) ? MsrAnswer::kGp
                                                                          : MsrAnswer::kNotMine;
        case kMsrVmCr: return write_vm_cr(cpu, value) ? MsrAnswer::kDone : MsrAnswer::kGp;
        case kMsrHsavePa:
            if ((value & ~kPageMask) || (value & ~low_mask(physical_bits_))) return MsrAnswer::kGp;
            hsave_pa_ = value;
            return MsrAnswer::kDone;
        case kMsrIgnne:
        case kMsrSmmCtl: return MsrAnswer::kDone;
        case kMsrSvmKey:
            // Unlocked: sets the key. Locked: the right key (never 0) unlocks (APM2 15.31).
            if (!(vm_cr_ & kVmCrLock))
                svm_key_ = value;
            else if (svm_key_ && value == svm_key_)
                vm_cr_ &= ~kVmCrLock;
            return MsrAnswer::kDone;
        default: return MsrAnswer::kNotMine;
    }
}

bool Svm::write_vm_cr(Cpu& cpu, u64 value) {
    if (value & ~kVmCrDefined) return false;
    constexpr u64 kLocked = kVmCrLock | kVmCrSvmDisable;
    if (!lock_) value &= ~kVmCrLock;
    if (vm_cr_ & kVmCrLock) value = (value & ~kLocked) | (vm_cr_ & kLocked);
    if ((value & kVmCrSvmDisable) && (cpu.efer & cpu::kEferSvme)) return false;
    vm_cr_ = value;
    return true;
}

// --- the rest ---

u64 Svm::deadline_ticks(const Cpu&) const { return ~u64{0}; }

// NMI windows are found by intercepting IRET; nothing is virtual about NMIs here.
void Svm::iret_done(Cpu&) {}

bool Svm::apic_page_access(Cpu&, PhysAddr, LinearAddr, memory::Access, unsigned, u64&, bool&) {
    return false;
}

// SMM is entered with GIF = 0 and outside of guest mode; RSM puts both back (APM2 15.22).
void Svm::smm_enter(Cpu& cpu) {
    smm_ = {.active = true,
            .gif = gif_,
            .mode = cpu.vt_mode,
            .tsc_offset = cpu.vt_tsc_offset,
            .asid = cpu.asid,
            .guest_pdpte = cpu.npt_guest_pdpte,
            .second = cpu.second_stage};
    gif_ = false;
    cpu.vt_mode = cpu::VtMode::kOff;
    cpu.vt_tsc_offset = 0;
    cpu.asid = 0;
    cpu.npt_guest_pdpte = false;
    cpu.second_stage = {};
}

void Svm::smm_leave(Cpu& cpu) {
    if (!smm_.active) return;
    gif_ = smm_.gif;
    cpu.vt_mode = smm_.mode;
    cpu.vt_tsc_offset = smm_.tsc_offset;
    cpu.asid = smm_.asid;
    cpu.npt_guest_pdpte = smm_.guest_pdpte;
    cpu.second_stage = smm_.second;
    smm_.active = false;
    if (gif_) cpu.recheck_events();
}

}  // namespace rm::vt::svm
