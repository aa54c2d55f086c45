// What the hardware event "VM exit" or "VM entry" is, as data, for both vendors; and the interface
// of those who look: traces, statistics, the run's hash (frontends/trace). Nobody looking costs one
// pointer test. Records live on the emitter's stack: a sink copies what it keeps. A sink never
// changes the machine.
//
// Emitted at the event itself: on_exit after the exit information is known, while the processor's
// general registers are still the guest's, and before the first instruction of the hypervisor;
// on_entry after all checks passed and before the guest's first instruction. Ticks between the two
// are exactly what the hypervisor used.
// Sources: SDM 3C 24.9, 26.8, 27.2; APM2 15.6, 15.20.
#pragma once
#include <array>
#include <span>

#include "base/types.h"

namespace rm::cpu {
struct Cpu;
}

namespace rm::vt::common {

enum class Vendor : u8 { kVmx = 1, kSvm = 2 };  // numbers as in KVM's `isa`

// Common head of all records.
struct RecordHead {
    unsigned vcpu = 0;
    unsigned level = 2;  // the guest's level: 2 = a guest of the hypervisor that runs in L1
    u64 tick = 0;        // instruction count of this vCPU's clock (Processor::ticks)
    u64 ns = 0;          // virtual time
    Vendor vendor = Vendor::kVmx;
    u64 control_block = 0;  // machine physical address of the VMCS or VMCB
};

// Layout of VMX interruption information: vector 7:0, type 10:8, error code valid 11, valid 31
// (SDM 3C 24.8.3). SVM's EVENTINJ/EXITINTINFO low half has the same layout (APM2 15.20).
struct EventInfo {
    u32 info = 0;
    u32 error = 0;
    u32 instruction_length = 0;  // software events at VMX entry
    bool valid() const { return info >> 31; }
    u8 vector() const { return static_cast<u8>(info); }
    unsigned type() const { return (info >> 8) & 7; }
    bool has_error() const { return info & (1u << 11); }
};

struct ExitRecord : RecordHead {
    u64 reason = 0;      // VMX basic exit reason (15:0); SVM EXITCODE
    u64 reason_raw = 0;  // VMX: the whole 32-bit exit-reason field
    const char* reason_name = "";
    u64 guest_rip = 0;
    u64 guest_linear_rip = 0;  // CS base applied
    u64 guest_rsp = 0, guest_rflags = 0, guest_cr0 = 0, guest_cr3 = 0;
    u8 guest_cpl = 0;
    u8 code_size = 4;          // bytes: 2, 4, 8: the guest's code size, for the disassembler
    u64 info1 = 0;             // VMX exit qualification; SVM EXITINFO1
    u64 info2 = 0;             // VMX 0; SVM EXITINFO2
    u32 instruction_info = 0;  // VMX VM-exit instruction-information field
    bool instruction_info_valid = false;
    u32 instruction_length = 0;
    bool linear_valid = false, physical_valid = false;
    u64 guest_linear = 0, guest_physical = 0;
    EventInfo interruption;   // VMX VM-exit interruption information; SVM: intercepted exception
    EventInfo idt_vectoring;  // VMX IDT-vectoring information; SVM EXITINTINFO
    u64 next_rip = 0;         // SVM nRIP, 0 where the model has none
    bool decode_assists = false;  // SVM: EXITINFO1 tells operands (APM2 15.8)
    // Bytes at guest_linear_rip as far as they could be read without side effects.
    std::array<u8, 15> bytes{};
    u8 byte_count = 0;
};

// One field that the hypervisor changed between an exit and the next entry.
struct FieldChange {
    u32 field = 0;  // VMCS field encoding, or byte offset in the VMCB
    u8 width = 0;   // bytes
    const char* name = "";
    u64 old_value = 0, new_value = 0;
    u64 writer_rip = 0;  // VMX: RIP of the last VMWRITE; SVM: 0 (plain stores)
};

struct EntryRecord : RecordHead {
    const char* instruction = "";  // "VMLAUNCH", "VMRESUME", "VMRUN"
    u64 hypervisor_rip = 0;
    u64 guest_rip = 0, guest_linear_rip = 0;
    u64 guest_cr3 = 0;
    EventInfo injected;
    u16 address_space_id = 0;  // VPID, ASID
    u64 second_stage = 0;      // EPTP, nCR3; 0 = none
    std::span<const FieldChange> changes;
};

// A VM entry that a consistency check refused. One record names the first check that failed.
struct EntryFailure : RecordHead {
    const char* instruction = "";
    u64 hypervisor_rip = 0;
    const char* check = "";       // the rule in words
    const char* field_name = "";  // the field to look at
    u32 field = 0;                // encoding or offset
    u64 value = 0;
    u64 offending_bits = 0;                  // 0 where no bits can be singled out
    const char* other_field_name = nullptr;  // second field of the rule, or null
    u32 other_field = 0;
    u64 other_value = 0;
    const char* section = "";  // "SDM 3C 26.3.1.2"
    // What the guest sees: VM-instruction error (7, 8, ...; 0 = none), or the exit reason
    // (80000021H, 80000022H; SVM -1) and qualification.
    u32 instruction_error = 0;
    u64 reason = 0;
    u64 qualification = 0;
    // The last VMWRITE of the field by this vCPU. SVM: not known.
    bool writer_known = false;
    u64 writer_rip = 0;
    u64 writer_value = 0;
};

// VMXON, VMPTRLD, VMCLEAR, VMFAIL and the like: what traces of hypervisor bring-up want to see.
struct VtInstruction : RecordHead {
    const char* instruction = "";
    u64 rip = 0;
    u64 operand = 0;       // physical address, field encoding, or INVEPT/INVVPID type
    u32 error = 0;         // VM-instruction error; 0 = success
    bool invalid = false;  // VMfailInvalid
};

class TraceSink {
public:
    virtual ~TraceSink() = default;
    // What the sink looks at; asked when it is attached. Emitters leave the rest out.
    static constexpr unsigned kNeedBytes = 1, kNeedChanges = 2;
    virtual unsigned needs() const { return kNeedBytes | kNeedChanges; }

    virtual void on_exit(const cpu::Cpu&, const ExitRecord&) {}
    virtual void on_entry(const cpu::Cpu&, const EntryRecord&) {}
    virtual void on_entry_failed(const cpu::Cpu&, const EntryFailure&) {}
    // Each VMWRITE, also of the unchanged value. SVM has no such event.
    virtual void on_field_write(const cpu::Cpu&, const RecordHead&, const FieldChange&) {}
    virtual void on_instruction(const cpu::Cpu&, const VtInstruction&) {}
};

}  // namespace rm::vt::common
