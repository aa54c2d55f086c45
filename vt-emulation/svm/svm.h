// AMD SVM of one processor: VMRUN and #VMEXIT, the host state in between, GIF, intercepts, virtual
// interrupts, and SVM's MSRs. Implements cpu::Virtualization.
// Files: svm.cpp (instructions other than VMRUN, MSRs, small hooks), run.cpp (VMRUN), exit.cpp,
// entry_checks, intercept.cpp (instructions), events.cpp (exceptions, interrupts, nested page
// faults), trace.cpp. Not modelled and not advertised: LBR virtualization, SKINIT, AVIC, VGIF, TSC
// ratio, SEV. VMCB clean bits are honoured in the allowed way of always loading everything. The
// host-save area keeps no data: the host's state is held inside, as APM2 15.30.4 permits. Source:
// APM2 chapter 15, appendices B and C.
#pragma once
#include <map>
#include <vector>

#include "cpu/cpu.h"
#include "vt-emulation/common/exit_record.h"
#include "vt-emulation/common/profile.h"
#include "vt-emulation/svm/vmcb.h"

namespace rm::vt::svm {

struct EntryCheck;

// What a #VMEXIT records besides the guest's state (APM2 15.6).
struct ExitInfo {
    u64 code = 0;
    u64 info1 = 0, info2 = 0;
    const cpu::Event* during = nullptr;  // event whose delivery was under way: EXITINTINFO
    u64 next_rip = 0;                    // where nRIP is saved; 0 = none
    bool fetched = false;                // with decode assists: store the instruction's bytes
    // For records only.
    const cpu::Event* event = nullptr;
    bool linear_valid = false, physical_valid = false;
    u64 linear = 0, physical = 0;
};

class Svm final : public cpu::Virtualization {
public:
    explicit Svm(const cpu::Model& model, common::TraceSink* sink = nullptr);
    ~Svm() override;

    void set_sink(common::TraceSink* sink);

    // --- for debuggers, tests and traces ---
    bool gif() const { return gif_; }
    PhysAddr vmcb_address() const { return vmcb_pa_; }  // of the guest that runs or ran last
    const Vmcb& vmcb() const { return vmcb_; }

    // --- cpu::Virtualization ---
    void reset(cpu::Cpu& cpu, bool init) override;
    cpu::InterceptAnswer answer(u32 profile, cpu::Intercept id) const override {
        return profiles_.answer(profile, id);
    }
    cpu::Step intercept(cpu::Cpu& cpu, const cpu::Insn& insn, cpu::Intercept id) override;
    cpu::Step execute(cpu::Cpu& cpu, const cpu::Insn& insn, cpu::Intercept id) override;
    u64 guest_cr_write(cpu::Cpu& cpu, unsigned cr, u64 value) override;
    u64 guest_cr_read(cpu::Cpu& cpu, unsigned cr) override;
    cpu::MsrAnswer cr8_read(cpu::Cpu& cpu, u64& value) override;
    cpu::MsrAnswer cr8_write(cpu::Cpu& cpu, const cpu::Insn& insn, u64 value,
                             cpu::Step& step) override;
    cpu::MsrAnswer msr_read(cpu::Cpu& cpu, u32 msr, u64& value) override;
    cpu::MsrAnswer msr_write(cpu::Cpu& cpu, u32 msr, u64 value) override;
    void cr_fixed(const cpu::Cpu& cpu, unsigned cr, u64& must_be_one, u64& may_be_one) override;
    bool exception(cpu::Cpu& cpu, const cpu::Event& event, const cpu::Event* during) override;
    bool triple_fault(cpu::Cpu& cpu) override;
    bool task_switch(cpu::Cpu& cpu, u16 selector, cpu::TaskSwitchSource source,
                     const cpu::Event* during, bool has_error, u32 error) override;
    cpu::EventAnswer external(cpu::Cpu& cpu, cpu::ExternalEvent event) override;
    void second_stage_fault(cpu::Cpu& cpu, const memory::WalkFault& fault,
                            const cpu::Event* during) override;
    bool boundary(cpu::Cpu& cpu) override;
    u64 deadline_ticks(const cpu::Cpu& cpu) const override;
    void iret_done(cpu::Cpu& cpu) override;
    bool apic_page_access(cpu::Cpu& cpu, PhysAddr addr, LinearAddr linear, memory::Access access,
                          unsigned size, u64& value, bool& exited) override;
    void smm_enter(cpu::Cpu& cpu) override;
    void smm_leave(cpu::Cpu& cpu) override;

private:
    // svm.cpp
    cpu::Step vmload(cpu::Cpu& cpu, PhysAddr at);
    cpu::Step vmsave(cpu::Cpu& cpu, PhysAddr at);
    cpu::Step invlpga(cpu::Cpu& cpu, const cpu::Insn& insn);
    bool write_vm_cr(cpu::Cpu& cpu, u64 value);
    void set_gif(cpu::Cpu& cpu, bool value);

    // run.cpp
    cpu::Step vmrun(cpu::Cpu& cpu, const cpu::Insn& insn, PhysAddr at);
    void save_host(cpu::Cpu& cpu, const cpu::Insn& insn);
    void load_guest(cpu::Cpu& cpu);
    void flush_for_entry(cpu::Cpu& cpu);
    bool load_guest_pdptes(cpu::Cpu& cpu);
    void inject(cpu::Cpu& cpu);
    u32 current_profile();
    common::Answers compute_answers() const;

    // exit.cpp
    void vm_exit(cpu::Cpu& cpu, const ExitInfo& info);
    void exit_invalid(cpu::Cpu& cpu);
    void save_guest(cpu::Cpu& cpu, const ExitInfo& info, u64 rip);
    void write_back(cpu::Cpu& cpu) const;
    void load_host(cpu::Cpu& cpu);

    // intercept.cpp
    cpu::Step exit_at(cpu::Cpu& cpu, const cpu::Insn& insn, u64 code, u64 info1 = 0, u64 info2 = 0);
    cpu::Step intercept_cr(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_lmsw(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_dr(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_io(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_msr(cpu::Cpu& cpu, const cpu::Insn& insn, bool write);
    cpu::Step intercept_pause(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_mwait(cpu::Cpu& cpu, const cpu::Insn& insn);
    bool on(F word, u64 bits) const { return vmcb_[word] & bits; }

    // events.cpp
    bool interrupt_unmasked(const cpu::Cpu& cpu) const;  // physical INTR, guest mode
    bool virtual_interrupt_wins() const;                 // V_IRQ against V_TPR
    cpu::EventAnswer external_interrupt(cpu::Cpu& cpu);
    bool redirects_init(const cpu::Cpu& cpu) const;
    u64 v_intr() const { return vmcb_[F::V_INTR]; }

    // trace.cpp
    void trace_exit(cpu::Cpu& cpu, const ExitInfo& info, u64 rip);
    void trace_entry(cpu::Cpu& cpu);
    void report_check(cpu::Cpu& cpu, const EntryCheck& check, u64 bits);
    void remember_vmcb();
    void find_changes();

    const bool npt_, nrip_save_, decode_assists_, flush_by_asid_, pause_filter_, pause_threshold_,
        lock_;
    const unsigned physical_bits_;
    const u32 asids_;
    common::TraceSink* sink_ = nullptr;
    unsigned sink_needs_ = 0;
    common::ProfileTable profiles_;

    bool gif_ = true;
    u64 vm_cr_ = 0, svm_key_ = 0, hsave_pa_ = 0;

    // --- the guest that runs, or ran last ---
    PhysAddr vmcb_pa_ = 0;
    Vmcb vmcb_;  // as loaded at VMRUN, V_INTR kept current
    u64 entry_rip_ = 0;
    bool np_ = false;
    u64 pause_left_ = 0, pause_last_ = 0;  // counter; TSC of the last PAUSE
    std::array<u32, 6> profile_words_{};
    u32 profile_ = ~u32{0};
    std::vector<u16> space_signature_;  // by ASID: common::paging_signature of the last stay

    // The processor's state that VMRUN puts away (APM2 15.5.1).
    struct Host {
        cpu::Segment es, cs, ss, ds;
        cpu::TableRegister gdtr, idtr;
        u64 efer = 0, cr0 = 0, cr3 = 0, cr4 = 0, rflags = 0, rip = 0, rsp = 0, rax = 0;
        u64 pdpte[4] = {};
        u64 pat = 0;
        bool nmi_blocked = false;
    } host_;

    struct SmmSaved {
        bool active = false;
        bool gif = true;
        cpu::VtMode mode = cpu::VtMode::kOff;
        u64 tsc_offset = 0;
        u16 asid = 0;
        bool guest_pdpte = false;
        memory::SecondStage second;
    } smm_;

    // --- what traces ask for ---
    std::map<PhysAddr, Vmcb> remembered_;  // as each VMCB was after its last exit
    std::vector<common::FieldChange> changes_;
};

}  // namespace rm::vt::svm
