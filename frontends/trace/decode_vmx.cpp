// VMX exit qualifications and VM-exit instruction information as rows (SDM 3C 27.2.1, 27.2.5).
// Reasons without a row carry nothing (SDM: "the exit qualification is cleared to 0").
#include <algorithm>
#include <span>

#include "base/bits.h"
#include "frontends/trace/bit_fields.h"
#include "frontends/trace/decode.h"
#include "frontends/trace/number_text.h"

namespace rm::frontends::trace {

using vt::common::ExitRecord;

namespace {

enum Reason : u16 {
#define RM_EXIT(number, name) name = number,
#include "vt-emulation/vmx/exit_reasons.def"
};

constexpr const char* kTaskSwitchSources[] = {"CALL", "IRET", "JMP", "task-gate"};
constexpr const char* kCrAccess[] = {"mov-to-cr", "mov-from-cr", "CLTS", "LMSW"};
constexpr const char* kOperandKinds[] = {"register", "memory"};
constexpr const char* kMovDirections[] = {"mov-to-dr", "mov-from-dr"};
constexpr const char* kIoDirections[] = {"out", "in"};
constexpr const char* kIoSizes[] = {"1", "2", "?", "4", "?", "?", "?", "?"};
constexpr const char* kIoOperands[] = {"dx", "immediate"};
constexpr const char* kEptPermissions[] = {"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"};
constexpr const char* kApicAccess[] = {"linear-read",
                                       "linear-write",
                                       "linear-fetch",
                                       "linear-event-delivery",
                                       "4",
                                       "5",
                                       "6",
                                       "7",
                                       "8",
                                       "9",
                                       "physical-event-delivery",
                                       "11",
                                       "12",
                                       "13",
                                       "14",
                                       "physical"};
constexpr const char* kPhysicalUse[] = {"page-walk", "translation"};
constexpr const char* kWaitStates[] = {"not-armed", "armed"};
constexpr const char* kAddressSizes[] = {"16", "32", "64", "?", "?", "?", "?", "?"};
constexpr const char* kTableNames[] = {"SGDT", "SIDT", "LGDT", "LIDT"};
constexpr const char* kSelectorNames[] = {"SLDT", "STR", "LLDT", "LTR"};
// Entry failure by guest state: SDM 3C 26.7 (the qualification's values).
constexpr const char* kGuestStateCauses[] = {
    "unspecified", "1", "PDPTE-loading", "NMI-injection", "VMCS-link-pointer", "5", "6", "7"};

// --- exit qualifications: one table a reason, in the manual's order ---
constexpr BitField kDebugException[] = {{"b0", 0, 0, Show::kFlag},   {"b1", 1, 1, Show::kFlag},
                                        {"b2", 2, 2, Show::kFlag},   {"b3", 3, 3, Show::kFlag},
                                        {"bd", 13, 13, Show::kFlag}, {"bs", 14, 14, Show::kFlag}};
constexpr BitField kLinearAddress[] = {{"address", 63, 0, Show::kHex}};
constexpr BitField kDisplacement[] = {{"displacement", 63, 0, Show::kHex}};
constexpr BitField kSipiVector[] = {{"vector", 7, 0, Show::kHex}};
constexpr BitField kTaskSwitch[] = {{"selector", 15, 0, Show::kHex},
                                    {"source", 31, 30, Show::kName, kTaskSwitchSources}};
constexpr BitField kControlRegister[] = {
    {"cr", 3, 0, Show::kNumber},
    {"access", 5, 4, Show::kName, kCrAccess},
    {"lmsw_operand", 6, 6, Show::kName, kOperandKinds, 0x30, 0x30},
    {"register", 11, 8, Show::kGpr, nullptr, 0x20, 0},
    {"lmsw_source", 31, 16, Show::kHex, nullptr, 0x30, 0x30}};
constexpr BitField kDebugRegister[] = {{"dr", 2, 0, Show::kNumber},
                                       {"access", 4, 4, Show::kName, kMovDirections},
                                       {"register", 11, 8, Show::kGpr}};
constexpr BitField kIo[] = {{"direction", 3, 3, Show::kName, kIoDirections},
                            {"port", 31, 16, Show::kHex},
                            {"size", 2, 0, Show::kName, kIoSizes},
                            {"string", 4, 4, Show::kFlag},
                            {"rep", 5, 5, Show::kFlag},
                            {"port_operand", 6, 6, Show::kName, kIoOperands}};
constexpr BitField kGuestState[] = {{"cause", 2, 0, Show::kName, kGuestStateCauses}};
constexpr BitField kMsrLoading[] = {{"entry", 31, 0, Show::kNumber}};
constexpr BitField kMwait[] = {{"monitor", 0, 0, Show::kName, kWaitStates}};
constexpr BitField kApicPage[] = {{"offset", 11, 0, Show::kHex},
                                  {"access", 15, 12, Show::kName, kApicAccess}};
constexpr BitField kEpt[] = {{"read", 0, 0, Show::kFlag},
                             {"write", 1, 1, Show::kFlag},
                             {"fetch", 2, 2, Show::kFlag},
                             {"ept", 5, 3, Show::kName, kEptPermissions},
                             {"linear_valid", 7, 7, Show::kFlag},
                             {"for", 8, 8, Show::kName, kPhysicalUse, 0x80, 0x80},
                             {"nmi_unblocking_by_iret", 12, 12, Show::kFlag}};

struct QualificationRow {
    u16 reason;
    std::span<const BitField> fields;
};
constexpr QualificationRow kQualifications[] = {
    {SIPI, kSipiVector},
    {TASK_SWITCH, kTaskSwitch},
    {INVLPG, kLinearAddress},
    {VMCLEAR, kDisplacement},
    {VMPTRLD, kDisplacement},
    {VMPTRST, kDisplacement},
    {VMREAD, kDisplacement},
    {VMWRITE, kDisplacement},
    {VMXON, kDisplacement},
    {CR_ACCESS, kControlRegister},
    {MOV_DR, kDebugRegister},
    {IO_INSTRUCTION, kIo},
    {ENTRY_FAIL_GUEST_STATE, kGuestState},
    {ENTRY_FAIL_MSR_LOADING, kMsrLoading},
    {MWAIT, kMwait},
    {APIC_ACCESS, kApicPage},
    {GDTR_IDTR, kDisplacement},
    {LDTR_TR, kDisplacement},
    {EPT_VIOLATION, kEpt},
    {INVEPT, kDisplacement},
    {INVVPID, kDisplacement},
    {INVPCID, kDisplacement},
};

// --- instruction information: SDM 3C 27.2.5; the memory operand is written by memory_operand() ---
constexpr BitField kStringIo[] = {{"address_size", 9, 7, Show::kName, kAddressSizes}};
constexpr BitField kInvalidate[] = {{"type_register", 31, 28, Show::kGpr}};
constexpr BitField kReadWrite[] = {{"field_register", 31, 28, Show::kGpr},
                                   {"register", 6, 3, Show::kGpr, nullptr, 0x400, 0x400}};
constexpr BitField kTable[] = {{"instruction", 29, 28, Show::kName, kTableNames}};
constexpr BitField kSelector[] = {{"instruction", 29, 28, Show::kName, kSelectorNames},
                                  {"register", 6, 3, Show::kGpr, nullptr, 0x400, 0x400}};

struct InstructionRow {
    u16 reason;
    std::span<const BitField> fields;
    bool memory;  // bits 1:0, 9:7, 17:15 and 27:18 describe a memory operand, unless bit 10 is set
};
constexpr InstructionRow kInstructions[] = {
    {IO_INSTRUCTION, kStringIo, false},
    {VMCLEAR, {}, true},
    {VMPTRLD, {}, true},
    {VMPTRST, {}, true},
    {VMXON, {}, true},
    {VMREAD, kReadWrite, true},
    {VMWRITE, kReadWrite, true},
    {GDTR_IDTR, kTable, true},
    {LDTR_TR, kSelector, true},
    {INVEPT, kInvalidate, true},
    {INVVPID, kInvalidate, true},
    {INVPCID, kInvalidate, true},
};

// "ds:[rax+rcx*4+0x10]"; the displacement is the exit qualification.
std::string memory_operand(u32 info, u64 displacement) {
    std::string out = segment_name(static_cast<unsigned>(bits(info, 17, 15)));
    out += ":[";
    const std::size_t start = out.size();
    if (!has_bit(info, 27)) out += gpr_name(static_cast<unsigned>(bits(info, 26, 23)));
    if (!has_bit(info, 22)) {
        if (out.size() > start) out += '+';
        out += gpr_name(static_cast<unsigned>(bits(info, 21, 18)));
        if (const unsigned scale = info & 3) {
            out += '*';
            append_decimal(out, u64{1} << scale);
        }
    }
    const bool negative = displacement >> 63 && out.size() > start;
    if (displacement || out.size() == start) {
        if (out.size() > start) out += negative ? '-' : '+';
        append_hex(out, negative ? ~displacement + 1 : displacement);
    }
    return out + ']';
}

// What the qualification of exit 0 means depends on the exception (SDM 3C 27.2.1).
std::span<const BitField> qualification_fields(const ExitRecord& exit) {
    if (exit.reason == EXCEPTION_NMI && exit.interruption.valid()) {
        if (exit.interruption.vector() == 14) return kLinearAddress;
        if (exit.interruption.vector() == 1) return kDebugException;
        return {};
    }
    for (const QualificationRow& row : kQualifications)
        if (row.reason == exit.reason) return row.fields;
    return {};
}

// The register operand that says what the exit was about; null if there is none.
const char* register_meaning(u64 reason, const GuestRegisters& registers, u64& value) {
    const bool by_rcx = reason == RDMSR || reason == WRMSR || reason == XSETBV;
    const bool by_rax = reason == CPUID || reason == VMCALL;
    const auto& source = by_rcx ? registers.rcx : registers.rax;
    if ((!by_rcx && !by_rax) || !source) return nullptr;
    value = static_cast<u32>(*source);
    if (by_rcx) return reason == XSETBV ? "xcr" : "msr";
    return reason == CPUID ? "leaf" : "hypercall";
}

// A row of exit_reasons.def or instruction_errors.def.
struct NumberName {
    u64 number;
    const char* name;
};
const char* name_of(u64 number, std::span<const NumberName> rows) {
    const auto row = std::ranges::find(rows, number, &NumberName::number);
    return row == rows.end() ? "?" : row->name;
}

}  // namespace

void decode_vmx_exit(LineBuilder& line, const ExitRecord& exit, const GuestRegisters& registers) {
    const auto fields = qualification_fields(exit);
    u64 value = 0;
    const char* meaning = register_meaning(exit.reason, registers, value);
    if (!fields.empty() || meaning) {
        line.open("decoded");
        show_fields(line, exit.info1, fields);
        if (meaning) line.hex(meaning, value);
        line.close();
    }
    if (!exit.instruction_info_valid) return;
    line.open("operand");
    for (const InstructionRow& row : kInstructions) {
        if (row.reason != exit.reason) continue;
        show_fields(line, exit.instruction_info, row.fields);
        if (row.memory && !has_bit(exit.instruction_info, 10))
            line.quoted("memory", memory_operand(exit.instruction_info, exit.info1));
    }
    line.hex("info", exit.instruction_info);
    line.close();
}

const char* vmx_reason_name(u64 reason) {
    static constexpr NumberName kRows[] = {
#define RM_EXIT(number, name) {number, #name},
#include "vt-emulation/vmx/exit_reasons.def"
    };
    return name_of(reason, kRows);
}

const char* vm_instruction_error_text(u32 error) {
    static constexpr NumberName kRows[] = {
#define RM_VM_ERROR(number, name, text) {number, text},
#include "vt-emulation/vmx/instruction_errors.def"
    };
    return name_of(error, kRows);
}

}  // namespace rm::frontends::trace
