// Records for those who watch: exits, entries, entries that a check refused, VMX instructions and
// field writes. Nothing here changes the machine.
#include "base/log.h"
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/vmx/vmx.h"

#include "cpu/instructions/row.h"

namespace rm::vt::vmx {

using cpu::Cpu;

namespace {

using Ull = unsigned long long;

common::EventInfo info_of(u32 info, u32 error, u32 length) {
    return {info, info & common::kInfoErrorValid ? error : 0, length};
}

const char* entry_name(bool launch) { return launch ? "VMLAUNCH" : "VMRESUME"; }

}  // namespace

void Vmx::trace_exit(Cpu& cpu, const ExitInfo& info, u64 rip) {
    common::ExitRecord r;
    common::fill_head(cpu, r);
    common::capture_guest(cpu, r, sink_needs_ & common::TraceSink::kNeedBytes);
    r.control_block = current_;
    r.reason = static_cast<u16>(info.reason);
    r.reason_raw = vmcs_[F::EXIT_REASON];
    r.reason_name = exit_reason_name(static_cast<u32>(info.reason));
    r.guest_rip = rip;
    r.info1 = info.qualification;
    r.instruction_info = info.instruction_info;
    r.instruction_info_valid = info.instruction_info_valid;
    r.instruction_length = vmcs_.get32(F::EXIT_INSTRUCTION_LENGTH);
    r.linear_valid = info.linear_valid;
    r.physical_valid = info.physical_valid;
    r.guest_linear = info.linear_valid ? info.linear : 0;
    r.guest_physical = info.physical_valid ? info.physical : 0;
    r.interruption = info_of(info.interruption_info, info.interruption_error, 0);
    r.idt_vectoring = common::event_info(info.during);
    sink_->on_exit(cpu, r);
}

void Vmx::trace_entry(Cpu& cpu, bool launch, u64 hypervisor_rip) {
    common::EntryRecord r;
    common::fill_head(cpu, r);
    r.control_block = current_;
    r.instruction = entry_name(launch);
    r.hypervisor_rip = hypervisor_rip;
    r.guest_rip = cpu.rip;
    r.guest_linear_rip = cpu.code64() ? cpu.rip : (cpu.rip + cpu.seg[cpu::kCs].base) & 0xFFFFFFFF;
    r.guest_cr3 = cpu.cr3;
    const u32 info = vmcs_.get32(F::ENTRY_INTERRUPTION_INFO);
    if (info & common::kInfoValid)
        r.injected = info_of(info, vmcs_.get32(F::ENTRY_EXCEPTION_ERROR_CODE),
                             vmcs_.get32(F::ENTRY_INSTRUCTION_LENGTH));
    r.address_space_id = cpu.asid;
    r.second_stage = proc2_ & proc2::kEnableEpt ? vmcs_[F::EPT_POINTER] : 0;
    r.changes = changes_;
    sink_->on_entry(cpu, r);
}

void Vmx::trace_entry_failure(Cpu& cpu, common::EntryFailure& f, F field, F other) {
    f.instruction = entry_name(entry_launch_);
    f.hypervisor_rip = entry_rip_;
    f.control_block = current_;
    f.field_name = row(field).name;
    f.field = row(field).encoding;
    if (other != field) {
        f.other_field_name = row(other).name;
        f.other_field = row(other).encoding;
        f.other_value = vmcs_[other];
    }
    const Writer& w = writers_[static_cast<unsigned>(field)];
    f.writer_known = w.known;
    f.writer_rip = w.rip;
    f.writer_value = w.value;
    log::write(log::Item::kGuestErrors,
               "%s at %llx failed: %s (%s): %s (%04x) = %llx, offending bits %llx\n", f.instruction,
               static_cast<Ull>(f.hypervisor_rip), f.check, f.section, f.field_name, f.field,
               static_cast<Ull>(f.value), static_cast<Ull>(f.offending_bits));
    if (!sink_) return;
    common::fill_head(cpu, f);
    sink_->on_entry_failed(cpu, f);
}

void Vmx::report_check(Cpu& cpu, const EntryCheck& check, u64 bits, u32 error, u64 reason,
                       u64 qualification) {
    common::EntryFailure f;
    f.check = check.text;
    f.section = check.section;
    f.value = vmcs_[check.field];
    f.offending_bits = bits == kWholeField ? 0 : bits;
    f.instruction_error = error;
    f.reason = reason;
    f.qualification = qualification;
    trace_entry_failure(cpu, f, check.field, check.other);
}

void Vmx::trace_instruction(Cpu& cpu, const cpu::Insn& insn, u64 operand, u32 error, bool invalid) {
    if (!sink_) return;
    common::VtInstruction r;
    common::fill_head(cpu, r);
    r.control_block = current_;
    const auto rows = cpu::instruction_rows();
    r.instruction = insn.row < rows.size() ? rows[insn.row].name : "?";
    r.rip = cpu.current_rip();
    r.operand = operand;
    r.error = error;
    r.invalid = invalid;
    sink_->on_instruction(cpu, r);
}

// The last writer of each field explains failed entries; the list of changes goes with the next
// entry.
void Vmx::note_write(Cpu& cpu, F field, u64 old_value) {
    const unsigned n = static_cast<unsigned>(field);
    const u64 value = vmcs_[field];
    writers_[n] = {true, cpu.current_rip(), value};
    if (!sink_) return;
    const FieldRow& f = row(field);
    const common::FieldChange change{f.encoding, f.bytes(), f.name,
                                     old_value,  value,     cpu.current_rip()};
    common::RecordHead head;
    common::fill_head(cpu, head);
    head.control_block = current_;
    sink_->on_field_write(cpu, head, change);
    if (!(sink_needs_ & common::TraceSink::kNeedChanges)) return;
    if (changed_at_[n]) {
        common::FieldChange& first = changes_[changed_at_[n] - 1u];
        first.new_value = value;
        first.writer_rip = change.writer_rip;
    } else if (value != old_value) {
        changes_.push_back(change);
        changed_at_[n] = static_cast<u8>(changes_.size());
    }
}

}  // namespace rm::vt::vmx
