// Exit qualifications, instruction information and event information, decoded by name.
// Each function appends keys to the line being built (docs/trace.md lists them).
// Sources: SDM 3C 27.2.1-27.2.5 (tables 27-1 to 27-14), 24.8.3; APM2 15.8-15.13, appendix C.
#pragma once
#include <optional>

#include "frontends/trace/line_builder.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

// General registers of the guest that say what an exit was about: the MSR (ECX), the CPUID leaf or
// hypercall (EAX). Absent where they are not known.
struct GuestRegisters {
    std::optional<u64> rax, rcx;
};

// "decoded={...}" and, on VMX, "operand={...}" of the instruction information. Nothing is appended
// for exits that have no such data.
void decode_exit(LineBuilder& line, const vt::common::ExitRecord& exit,
                 const GuestRegisters& registers);
void decode_vmx_exit(LineBuilder& line, const vt::common::ExitRecord& exit,
                     const GuestRegisters& registers);
void decode_svm_exit(LineBuilder& line, const vt::common::ExitRecord& exit,
                     const GuestRegisters& registers);

// key={#PF vector=14 type=hardware-exception error=0x2}; nothing if the event is not valid.
void decode_event(LineBuilder& line, const char* key, const vt::common::EventInfo& event);

// "#PF", "#GP", or null for a vector without a name (SDM 3A table 6-1).
const char* exception_name(unsigned vector);
const char* gpr_name(unsigned number);      // 0..15
const char* segment_name(unsigned number);  // 0..5: es cs ss ds fs gs; else "?"
// Names of VMX basic exit reasons and VM-instruction errors; "?" if the number has none.
const char* vmx_reason_name(u64 reason);
const char* vm_instruction_error_text(u32 error);

}  // namespace rm::frontends::trace
