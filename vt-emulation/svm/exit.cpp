// #VMEXIT: the guest's state and the reason go into the VMCB, the host's state comes back.
// Source: APM2 15.6 (#VMEXIT), 15.7.1 (nRIP), 15.7.2 (EXITINTINFO), 15.8.4
// (instruction bytes).
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/svm/svm.h"

namespace rm::vt::svm {

using cpu::Cpu;

namespace {

// EXITINTINFO: SVM knows exceptions only as type 3, however they came about (APM2 15.7.2).
u64 exit_int_info(const cpu::Event* during) {
    if (!during) return 0;
    cpu::Event e = *during;
    if (e.type == cpu::EventType::kSoftwareException ||
        e.type == cpu::EventType::kPrivilegedSoftwareException)
        e.type = cpu::EventType::kHardwareException;
    return common::interruption_info(e) | (e.has_error ? u64{e.error} << 32 : 0);
}

}  // namespace

void Svm::vm_exit(Cpu& cpu, const ExitInfo& info) {
    const u64 rip = cpu.current_rip();
    vmcb_.set(F::EXITCODE, info.code);
    vmcb_.set(F::EXITINFO1, info.info1);
    vmcb_.set(F::EXITINFO2, info.info2);
    vmcb_.set(F::EXITINTINFO, exit_int_info(info.during));
    save_guest(cpu, info, rip);
    if (sink_) trace_exit(cpu, info, rip);
    write_back(cpu);
    if (sink_needs_ & common::TraceSink::kNeedChanges) remember_vmcb();
    load_host(cpu);
}

// A VMRUN that a check refused: no guest state is saved.
void Svm::exit_invalid(Cpu& cpu) {
    vmcb_.set(F::EXITCODE, exit_code::INVALID);
    vmcb_.set(F::EXITINFO1, 0);
    vmcb_.set(F::EXITINFO2, 0);
    vmcb_.set(F::EXITINTINFO, 0);
    vmcb_.write_to(cpu.memory, vmcb_pa_, F::EXITCODE, F::EXITINTINFO);
    load_host(cpu);
}

void Svm::save_guest(Cpu& cpu, const ExitInfo& info, u64 rip) {
    Vmcb& v = vmcb_;
    v.set_segment(F::ES_SELECTOR, cpu.seg[cpu::kEs]);
    v.set_segment(F::CS_SELECTOR, cpu.seg[cpu::kCs]);
    v.set_segment(F::SS_SELECTOR, cpu.seg[cpu::kSs]);
    v.set_segment(F::DS_SELECTOR, cpu.seg[cpu::kDs]);
    v.set(F::GDTR_BASE, cpu.gdtr.base);
    v.set(F::GDTR_LIMIT, cpu.gdtr.limit);
    v.set(F::IDTR_BASE, cpu.idtr.base);
    v.set(F::IDTR_LIMIT, cpu.idtr.limit);
    v.set(F::CPL, cpu.cpl);
    v.set(F::EFER, cpu.efer);
    v.set(F::CR0, cpu.cr0);
    v.set(F::CR2, cpu.cr2);
    v.set(F::CR3, cpu.cr3);
    v.set(F::CR4, cpu.cr4);
    v.set(F::DR6, cpu.dr6 & 0xFFFFFFFF);
    v.set(F::DR7, cpu.dr7 & 0xFFFFFFFF);
    v.set(F::RFLAGS, cpu.rflags());
    v.set(F::RIP, rip);
    v.set(F::RSP, cpu.gpr[cpu::kRsp]);
    v.set(F::RAX, cpu.gpr[cpu::kRax]);
    v.set(F::INTERRUPT_SHADOW, cpu.shadow ? 1 : 0);
    if (np_) v.set(F::G_PAT, cpu.msr.pat);
    if (nrip_save_) v.set(F::NRIP, info.next_rip);
    if (decode_assists_) {
        common::ExitRecord bytes;
        if (info.fetched) common::capture_guest(cpu, bytes, true);
        v.set_fetched(std::span(bytes.bytes).first(bytes.byte_count));
    }
}

// The fields that #VMEXIT writes; everything else in the page is the hypervisor's alone.
void Svm::write_back(Cpu& cpu) const {
    auto put = [&](F first, F last) { vmcb_.write_to(cpu.memory, vmcb_pa_, first, last); };
    put(F::V_INTR, F::EXITINTINFO);
    put(F::EVENTINJ, F::EVENTINJ);
    if (nrip_save_) put(F::NRIP, F::NRIP);
    if (decode_assists_) vmcb_.write_fetched(cpu.memory, vmcb_pa_);
    put(F::ES_SELECTOR, F::DS_BASE);
    put(F::GDTR_LIMIT, F::GDTR_BASE);
    put(F::IDTR_LIMIT, F::IDTR_BASE);
    put(F::CPL, F::CPL);
    put(F::EFER, F::EFER);
    put(F::CR4, F::RIP);
    put(F::RSP, F::RSP);
    put(F::RAX, F::RAX);
    put(F::CR2, F::CR2);
    if (np_) put(F::G_PAT, F::G_PAT);
}

// GIF becomes 0, all of DR7 is disabled, CPL is 0 (APM2 15.6).
void Svm::load_host(Cpu& cpu) {
    gif_ = false;
    cpu.vt_mode = cpu::VtMode::kOff;
    cpu.vt_tsc_offset = 0;
    cpu.second_stage = {};
    cpu.npt_guest_pdpte = false;
    cpu.asid = 0;
    if (np_) cpu.msr.pat = host_.pat;
    np_ = false;
    cpu.seg[cpu::kEs] = host_.es;
    cpu.seg[cpu::kCs] = host_.cs;
    cpu.seg[cpu::kSs] = host_.ss;
    cpu.seg[cpu::kDs] = host_.ds;
    cpu.gdtr = host_.gdtr;
    cpu.idtr = host_.idtr;
    cpu.efer = host_.efer;
    cpu.cr0 = host_.cr0 | cpu::kCr0Pe;
    cpu.cr3 = host_.cr3;
    cpu.cr4 = host_.cr4;
    for (unsigned n = 0; n < 4; ++n) cpu.pdpte[n] = host_.pdpte[n];
    cpu.set_rflags(host_.rflags & ~cpu::kFlagVm);
    cpu.rip = host_.rip;
    cpu.gpr[cpu::kRsp] = host_.rsp;
    cpu.gpr[cpu::kRax] = host_.rax;
    cpu.dr7 = 0x400;
    cpu.cpl = 0;
    cpu.shadow = 0;
    cpu.nmi_blocked = host_.nmi_blocked;
    cpu.activity = cpu::Activity::kActive;
    cpu.monitor_armed = false;
    cpu.pending_db = 0;
    cpu.pending &= ~cpu::kAttnVt;
    cpu.attention &= ~(cpu::kAttnTrap | cpu::kAttnVt);
    for (u8 s = 0; s < cpu::kSegRegs; ++s) cpu.update_segment(static_cast<cpu::SegReg>(s));
    cpu.update_mode();
    cpu.update_paging();
}

}  // namespace rm::vt::svm
