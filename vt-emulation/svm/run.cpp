// VMRUN: checks, the switch from host to guest state, TLB control, event injection.
// Source: APM2 15.5.1, 15.16 (ASIDs, TLB_CONTROL), 15.20 (EVENTINJ), 15.25 (nested paging).
#include "cpu/events/events.h"
#include "cpu/system/system.h"
#include "vt-emulation/common/address_space.h"
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/svm/entry_checks.h"
#include "vt-emulation/svm/svm.h"

namespace rm::vt::svm {

using cpu::Cpu;
using cpu::Insn;
using cpu::Intercept;
using cpu::InterceptAnswer;
using cpu::Step;

namespace {

// RFLAGS bits that exist; bit 1 is forced elsewhere.
constexpr u64 kRflagsDefined = 0x3F7FD5;
constexpr u64 kCr0Defined = 0xE005003F;
constexpr u64 kDr6Writable = 0xE00F, kDr6Ones = 0xFFFF0FF0;
constexpr u64 kDr7Writable = 0xFFFF23FF, kDr7Ones = 0x400;

// Delivery of the injected event happens after the instruction, in the guest: for its duration the
// processor is between instructions, with the clock standing at VMRUN's own tick.
class BetweenInstructions {
public:
    explicit BetweenInstructions(Cpu& cpu)
        : cpu_(cpu), ip_(cpu.ip), done_(ip_ ? static_cast<u64>(ip_ - cpu.block_first) : 0) {
        cpu_.tick_base += done_;
        cpu_.ip = nullptr;
    }
    ~BetweenInstructions() {
        cpu_.tick_base -= done_;
        cpu_.ip = ip_;
        cpu_.leave_block();
    }

private:
    Cpu& cpu_;
    const Insn* ip_;
    u64 done_;
};

}  // namespace

Step Svm::vmrun(Cpu& cpu, const Insn& insn, PhysAddr at) {
    vmcb_pa_ = at;
    entry_rip_ = cpu.rip_of(insn);
    vmcb_.read_from(cpu.memory, at);
    save_host(cpu, insn);
    const BetweenInstructions between(cpu);

    const CheckContext context(vmcb_, cpu.model, cpu.cr0 & cpu::kCr0Pg);
    u64 bits = 0;
    if (const EntryCheck* check = first_failure(context, &bits)) {
        report_check(cpu, *check, bits);
        exit_invalid(cpu);
        return Step::kVmExit;
    }
    np_ = context.nested;
    load_guest(cpu);
    if (!load_guest_pdptes(cpu)) {
        static constexpr EntryCheck kPdptes{F::CR3, F::CR4, "APM2 15.5.1",
                                            "PDPTEs must not have reserved bits set", nullptr};
        report_check(cpu, kPdptes, kWholeField);
        exit_invalid(cpu);
        return Step::kVmExit;
    }
    flush_for_entry(cpu);
    gif_ = true;
    pause_left_ = vmcb_[F::PAUSE_COUNT];
    pause_last_ = cpu.tsc();
    cpu.vt_profile = current_profile();
    cpu.vt_mode = cpu::VtMode::kSvmGuest;
    for (u8 s = 0; s < cpu::kSegRegs; ++s) cpu.update_segment(static_cast<cpu::SegReg>(s));
    cpu.update_mode();
    cpu.update_paging();
    cpu.recheck_events();  // GIF is 1 now
    trace_entry(cpu);
    if (v_intr() & kVIrq) cpu.request(cpu::kAttnVt);
    inject(cpu);
    return Step::kVmExit;
}

void Svm::save_host(Cpu& cpu, const Insn& insn) {
    host_.es = cpu.seg[cpu::kEs];
    host_.cs = cpu.seg[cpu::kCs];
    host_.ss = cpu.seg[cpu::kSs];
    host_.ds = cpu.seg[cpu::kDs];
    host_.gdtr = cpu.gdtr;
    host_.idtr = cpu.idtr;
    host_.efer = cpu.efer;
    host_.cr0 = cpu.cr0;
    host_.cr3 = cpu.cr3;
    host_.cr4 = cpu.cr4;
    for (unsigned n = 0; n < 4; ++n) host_.pdpte[n] = cpu.pdpte[n];
    host_.rflags = cpu.rflags();
    host_.rip = cpu.next_rip(insn);
    host_.rsp = cpu.gpr[cpu::kRsp];
    host_.rax = cpu.gpr[cpu::kRax];
    host_.pat = cpu.msr.pat;
    host_.nmi_blocked = cpu.nmi_blocked;
}

void Svm::load_guest(Cpu& cpu) {
    const Vmcb& v = vmcb_;
    cpu.second_stage = {};
    if (np_) {
        memory::SecondStage& second = cpu.second_stage;
        second.kind = memory::SecondStage::Kind::kNpt;
        second.root = v[F::N_CR3];
        // The nested tables have the format of the host's paging mode (APM2 15.25.3).
        second.host_long = host_.efer & cpu::kEferLma;
        second.host_pae = host_.cr4 & cpu::kCr4Pae;
        second.host_pse = host_.cr4 & cpu::kCr4Pse;
        second.host_nxe = host_.efer & cpu::kEferNxe;
        cpu.msr.pat = v[F::G_PAT];
    }
    cpu.npt_guest_pdpte = np_;
    cpu.asid = static_cast<u16>(v[F::GUEST_ASID]);

    cpu.cr0 = (v[F::CR0] & kCr0Defined) | cpu::kCr0Et;
    cpu.cr2 = v[F::CR2];
    cpu.cr3 = v[F::CR3];
    cpu.cr4 = v[F::CR4];
    const bool long_mode = (v[F::EFER] & cpu::kEferLme) && (cpu.cr0 & cpu::kCr0Pg);
    cpu.efer = (v[F::EFER] & ~cpu::kEferLma) | (long_mode ? cpu::kEferLma : 0);
    cpu.seg[cpu::kEs] = v.segment(F::ES_SELECTOR);
    cpu.seg[cpu::kCs] = v.segment(F::CS_SELECTOR);
    cpu.seg[cpu::kSs] = v.segment(F::SS_SELECTOR);
    cpu.seg[cpu::kDs] = v.segment(F::DS_SELECTOR);
    cpu.gdtr = {v[F::GDTR_BASE], static_cast<u16>(v[F::GDTR_LIMIT])};
    cpu.idtr = {v[F::IDTR_BASE], static_cast<u16>(v[F::IDTR_LIMIT])};
    cpu.dr6 = (v[F::DR6] & kDr6Writable) | kDr6Ones;
    cpu.dr7 = (v[F::DR7] & kDr7Writable) | kDr7Ones;
    cpu.set_rflags(v[F::RFLAGS] & kRflagsDefined);
    // Real mode runs at level 0, virtual-8086 mode at 3, whatever the field says.
    cpu.cpl = !(cpu.cr0 & cpu::kCr0Pe) ? 0 : cpu.v86() ? 3 : static_cast<u8>(v[F::CPL] & 3);
    cpu.rip = v[F::RIP];
    cpu.gpr[cpu::kRsp] = v[F::RSP];
    cpu.gpr[cpu::kRax] = v[F::RAX];
    cpu.shadow = v[F::INTERRUPT_SHADOW] & 1 ? cpu::kShadowSti : 0;
    cpu.vt_tsc_offset = v[F::TSC_OFFSET];
    cpu.monitor_armed = false;
    cpu.pending_db = 0;
    cpu.attention &= ~cpu::kAttnTrap;
}

// Legacy PAE without nested paging: the registers are loaded from memory, as by MOV CR3. With
// nested paging they are read on each walk (APM2 15.25.10).
bool Svm::load_guest_pdptes(Cpu& cpu) {
    const bool pae = (cpu.cr0 & cpu::kCr0Pg) && (cpu.cr4 & cpu::kCr4Pae) && !cpu.long_mode();
    return !pae || np_ || cpu::load_pdptes(cpu, cpu.cr3);
}

void Svm::flush_for_entry(Cpu& cpu) {
    constexpr u64 kAll = 1, kGuest = 3, kGuestNonGlobal = 7;
    u16& last = space_signature_[cpu.asid];
    const u16 now = common::paging_signature(cpu);
    const u64 control = vmcb_[F::TLB_CONTROL];
    if (control == kGuest && flush_by_asid_)
        cpu.mmu.flush({.asid = cpu.asid});
    else if (control == kGuestNonGlobal && flush_by_asid_)
        cpu.mmu.flush({.asid = cpu.asid, .keep_global = true});
    else if (control & kAll)
        cpu.mmu.flush_all();
    if (last && last != now) cpu.mmu.flush({.asid = cpu.asid});
    last = now;
}

// EVENTINJ is delivered before the guest's first instruction and is not itself intercepted.
void Svm::inject(Cpu& cpu) {
    const u64 inj = vmcb_[F::EVENTINJ];
    if (!(inj & kEventValid)) return;
    vmcb_.set(F::EVENTINJ, inj & ~kEventValid);
    cpu::Event e = common::event_of(static_cast<u32>(inj), static_cast<u32>(inj >> 32), 0);
    const bool trap_vector = e.vector == cpu::kBp || e.vector == cpu::kOf;
    if (e.type == cpu::EventType::kHardwareException && trap_vector)
        e.type = cpu::EventType::kSoftwareException;
    if (e.type == cpu::EventType::kSoftwareInterrupt ||
        e.type == cpu::EventType::kSoftwareException) {
        // With nRIP save the handler returns to nRIP, else to RIP (APM2 15.20).
        const u64 length = vmcb_[F::NRIP] - cpu.rip;
        if (nrip_save_ && length <= 15) e.insn_length = static_cast<u8>(length);
    }
    if (e.type == cpu::EventType::kNmi) cpu.nmi_blocked = true;
    cpu::deliver(cpu, e, true);
}

// --- intercept profile ---

namespace {

constexpr F kInterceptWords[] = {F::INTERCEPT_CR, F::INTERCEPT_DR, F::INTERCEPT_EXCEPTION,
                                 F::INTERCEPT_1,  F::INTERCEPT_2,  F::INTERCEPT_3};

// Classes where the operands or the guest's state decide.
constexpr bool asks(Intercept id) {
    switch (id) {
        case Intercept::kMOV_CR:
        case Intercept::kMOV_DR:
        case Intercept::kIO:
        case Intercept::kRDMSR:
        case Intercept::kWRMSR:
        case Intercept::kPAUSE:
        case Intercept::kMWAIT:
        case Intercept::kRDTSC:
        case Intercept::kRDTSCP:
        case Intercept::kRDPMC:
        case Intercept::kPUSHF:
        case Intercept::kPOPF:
        case Intercept::kIRET:
        case Intercept::kINTN: return true;
        default: return false;
    }
}

}  // namespace

common::Answers Svm::compute_answers() const {
    common::Answers answers;
    answers.fill(InterceptAnswer::kNever);
    auto set = [&](Intercept id, F word, u64 bits) {
        if (on(word, bits))
            answers[static_cast<unsigned>(id)] =
                asks(id) ? InterceptAnswer::kAsk : InterceptAnswer::kAlways;
    };
#define RM_SVM_INTERCEPT(id, word, bits, code) set(Intercept::k##id, F::word, bits);
#include "vt-emulation/svm/intercepts.def"
#undef RM_SVM_INTERCEPT
    return answers;
}

u32 Svm::current_profile() {
    std::array<u32, 6> words;
    for (unsigned n = 0; n < words.size(); ++n)
        words[n] = static_cast<u32>(vmcb_[kInterceptWords[n]]);
    if (words != profile_words_ || profile_ == ~u32{0}) {
        profile_words_ = words;
        profile_ = profiles_.intern(compute_answers());
    }
    return profile_;
}

}  // namespace rm::vt::svm
