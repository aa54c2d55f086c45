// Intel VT-x of one processor: VMX operation, the current VMCS, VM entries and exits, and
// everything that VMX non-root operation changes in the processor's behaviour. Implements
// cpu::Virtualization. Files: vmx.cpp (operation, CRs, MSRs), instructions.cpp,
// instruction_info.cpp, entry.cpp (+ entry_checks), guest_state.cpp (save/load), exit.cpp,
// intercepts.cpp, events.cpp, apic.cpp, trace.cpp. Not modelled and not advertised: dual-monitor
// SMM, VMFUNC, VMCS shadowing, APIC-register virtualization, virtual-interrupt delivery, posted
// interrupts, PML. Source: SDM 3C chapters 23-30 (numbering of the 2015-2019 editions), 3D
// appendices A-C.
#pragma once
#include <vector>

#include "cpu/cpu.h"
#include "vt-emulation/common/exit_record.h"
#include "vt-emulation/common/profile.h"
#include "vt-emulation/vmx/capabilities.h"
#include "vt-emulation/vmx/entry_checks.h"
#include "vt-emulation/vmx/vmcs.h"

namespace rm::vt::vmx {

enum class ExitReason : u16 {
#define RM_EXIT(number, name) name = number,
#include "vt-emulation/vmx/exit_reasons.def"
};
const char* exit_reason_name(u32 basic_reason);

enum class VmError : u8 {
#define RM_VM_ERROR(number, name, text) k##name = number,
#include "vt-emulation/vmx/instruction_errors.def"
};
const char* vm_error_text(u32 error);

// What a VM exit records besides the guest's state (SDM 3C 27.2).
struct ExitInfo {
    ExitReason reason;
    u64 qualification = 0;
    u32 interruption_info = 0, interruption_error = 0;
    const cpu::Event* during = nullptr;  // event whose delivery was under way
    u32 instruction_length = 0;
    u32 instruction_info = 0;
    bool instruction_info_valid = false;
    bool linear_valid = false, physical_valid = false;
    u64 linear = 0, physical = 0;
    enum class Rf : u8 { kKeep, kClear, kSet } rf = Rf::kKeep;  // saved RFLAGS.RF (27.3.3)
    bool trap = false;  // trap-like: the instruction under way has retired, save the next rip
};

class Vmx final : public cpu::Virtualization {
public:
    explicit Vmx(const cpu::Model& model, common::TraceSink* sink = nullptr);
    ~Vmx() override;

    void set_sink(common::TraceSink* sink);

    // --- for debuggers, tests and traces ---
    const Capabilities& capabilities() const { return caps_; }
    bool in_operation() const { return on_; }
    u64 vmxon_pointer() const { return vmxon_pointer_; }
    u64 current_pointer() const { return current_; }  // kNoVmcs: none
    Vmcs& vmcs() { return vmcs_; }                    // of the current VMCS
    const Vmcs& vmcs() const { return vmcs_; }
    u64 feature_control() const { return feature_control_; }
    void set_feature_control(u64 value) { feature_control_ = value; }  // firmware's choice

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
    static constexpr u64 kNever = ~u64{0};

    // instructions.cpp
    cpu::Step vmxon(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vmxoff(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vmclear(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vmptrld(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vmptrst(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vmread(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vmwrite(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step vm_entry(cpu::Cpu& cpu, const cpu::Insn& insn, bool launch);
    cpu::Step invept(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step invvpid(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step succeed(cpu::Cpu& cpu, const cpu::Insn& insn, u64 operand);
    cpu::Step fail_invalid(cpu::Cpu& cpu, const cpu::Insn& insn, u64 operand);
    cpu::Step fail(cpu::Cpu& cpu, const cpu::Insn& insn, VmError error, u64 operand);
    bool operation_allowed(const cpu::Cpu& cpu) const;
    void put_away(cpu::Cpu& cpu);  // writes the current VMCS back to its region
    void write_field(cpu::Cpu& cpu, F field, u64 value);

    // entry.cpp
    bool entry_checks_pass(cpu::Cpu& cpu, const cpu::Insn& insn, const CheckContext& context,
                           cpu::Step& step);
    cpu::Step entry_failed(cpu::Cpu& cpu, ExitReason reason, u64 qualification);
    void begin_guest(cpu::Cpu& cpu);
    void inject(cpu::Cpu& cpu);
    u32 current_profile(const cpu::Cpu& cpu);
    common::Answers compute_answers() const;
    void start_timers(cpu::Cpu& cpu);

    // guest_state.cpp
    void load_guest(cpu::Cpu& cpu);
    bool load_guest_pdptes(cpu::Cpu& cpu);
    void save_guest(cpu::Cpu& cpu, const ExitInfo& info, u64 rip);
    void load_host(cpu::Cpu& cpu);
    void switch_space(cpu::Cpu& cpu, bool to_guest);

    // exit.cpp
    void vm_exit(cpu::Cpu& cpu, const ExitInfo& info);
    void record_exit(cpu::Cpu& cpu, const ExitInfo& info);
    void return_to_host(cpu::Cpu& cpu);
    void abort(cpu::Cpu& cpu, u32 indicator);
    // 0 = all loaded, else number (from 1) of the entry that failed.
    u32 load_msr_list(cpu::Cpu& cpu, PhysAddr list, u32 count);
    bool store_msr_list(cpu::Cpu& cpu, PhysAddr list, u32 count);
    cpu::Step instruction_exit(cpu::Cpu& cpu, const cpu::Insn& insn, ExitReason reason,
                               u64 qualification = 0);
    cpu::Step operand_exit(cpu::Cpu& cpu, const cpu::Insn& insn, ExitReason reason, u32 info);

    // intercepts.cpp
    cpu::Step intercept_control(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_lmsw(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_io(cpu::Cpu& cpu, const cpu::Insn& insn);
    cpu::Step intercept_msr(cpu::Cpu& cpu, const cpu::Insn& insn, bool write);
    cpu::Step intercept_descriptor(cpu::Cpu& cpu, const cpu::Insn& insn, cpu::Intercept id);
    cpu::Step intercept_vmx(cpu::Cpu& cpu, const cpu::Insn& insn, cpu::Intercept id);
    cpu::Step intercept_pause(cpu::Cpu& cpu, const cpu::Insn& insn);
    bool cr3_load_exits(u64 value) const;

    // apic.cpp
    u8 vtpr(const cpu::Cpu& cpu) const;
    void set_vtpr(cpu::Cpu& cpu, u8 value);
    bool below_threshold(const cpu::Cpu& cpu) const;

    // events.cpp
    bool needs_boundary() const;

    // trace.cpp
    void trace_exit(cpu::Cpu& cpu, const ExitInfo& info, u64 rip);
    void trace_entry(cpu::Cpu& cpu, bool launch, u64 hypervisor_rip);
    void trace_entry_failure(cpu::Cpu& cpu, common::EntryFailure& failure, F field, F other);
    void report_check(cpu::Cpu& cpu, const EntryCheck& check, u64 bits, u32 error, u64 reason,
                      u64 qualification);
    void trace_instruction(cpu::Cpu& cpu, const cpu::Insn& insn, u64 operand, u32 error,
                           bool invalid);
    void note_write(cpu::Cpu& cpu, F field, u64 old_value);

    bool nmi_exiting() const { return pin_ & pin::kNmiExiting; }
    bool virtual_nmis() const { return pin_ & pin::kVirtualNmis; }
    bool tpr_shadow() const { return proc_ & proc::kUseTprShadow; }

    Capabilities caps_;
    common::TraceSink* sink_ = nullptr;
    unsigned sink_needs_ = 0;
    common::ProfileTable profiles_;

    // --- VMX operation ---
    u64 feature_control_ = 0;
    bool on_ = false;
    u64 vmxon_pointer_ = kNoVmcs;
    u64 current_ = kNoVmcs;
    Vmcs vmcs_;

    // --- the guest that runs (or ran last): controls in force ---
    u32 pin_ = 0, proc_ = 0, proc2_ = 0, exitc_ = 0, entryc_ = 0;
    u64 profile_key_ = ~u64{0};  // proc_ and proc2_ of profile_
    u32 profile_ = 0;
    bool entry_launch_ = false;
    u64 entry_rip_ = 0;        // the hypervisor's VMLAUNCH or VMRESUME
    u64 mtf_tick_ = kNever;    // monitor-trap-flag exit due
    u64 timer_tick_ = kNever;  // preemption timer expires
    u64 timer_base_ = 0;       // TSC >> rate at entry
    bool tpr_exit_pending_ = false;
    bool nmi_held_ = false;  // blocking that IRET must not lift (no virtual NMIs)
    struct ApicAccess {
        bool pending = false;
        u16 offset = 0;
        memory::Access access = memory::Access::kRead;
    } apic_access_;
    u64 ple_first_ = 0, ple_last_ = 0;
    std::vector<u16> space_signature_;  // paging bits under which each VPID's mappings were made
    u16 host_signature_ = 0;

    struct SmmSaved {
        bool active = false, on = false;
        cpu::VtMode mode = cpu::VtMode::kOff;
        u32 profile = 0;
        u64 tsc_offset = 0;
        u16 asid = 0;
        memory::SecondStage second;
        u64 vmxe = 0;
        u64 pdpte[4] = {};
    } smm_;

    // --- what traces ask for ---
    struct Writer {
        bool known = false;
        u64 rip = 0, value = 0;
    };
    std::vector<Writer> writers_;
    std::vector<common::FieldChange> changes_;
    std::vector<u8> changed_at_;  // per field: index + 1 into changes_
};

// instruction_info.cpp: the VM-exit instruction-information field (SDM 3C 27.2.5).
u32 memory_operand_info(const cpu::Cpu& cpu, const cpu::Insn& insn);  // tables 27-9, 27-12
u32 register_or_memory_info(const cpu::Cpu& cpu, const cpu::Insn& insn, unsigned operand);
u32 string_io_info(const cpu::Insn& insn, bool outs, u8 segment);  // table 27-8

}  // namespace rm::vt::vmx
