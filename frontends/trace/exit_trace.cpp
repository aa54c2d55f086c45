// Lines of -trace vmexit. Key order here is the documented order (docs/trace.md).
#include "frontends/trace/exit_trace.h"

#include "cpu/cpu.h"

namespace rm::frontends::trace {

using namespace vt::common;

namespace {

// The level of the hypervisor whose guest, or whose own instruction, the record is about.
unsigned hypervisor_of(const RecordHead& head) { return head.level > 1 ? head.level - 1 : 1; }

const char* second_stage_key(Vendor vendor) { return vendor == Vendor::kVmx ? "eptp" : "ncr3"; }

const char* control_block_key(Vendor vendor) { return vendor == Vendor::kVmx ? "vmcs" : "vmcb"; }

}  // namespace

ExitTraceSink::ExitTraceSink(std::shared_ptr<OutputFile> file, Format format,
                             const Symbols& symbols)
    : file_(std::move(file)), line_(format, symbols), disassembler_(symbols) {}

void ExitTraceSink::on_exit(const cpu::Cpu& cpu, const ExitRecord& exit) {
    if (file_->failed()) return;
    file_->line(exit_line(exit, {.rax = cpu.gpr[cpu::kRax], .rcx = cpu.gpr[cpu::kRcx]}));
}
void ExitTraceSink::on_entry(const cpu::Cpu&, const EntryRecord& entry) {
    if (!file_->failed()) file_->line(entry_line(entry));
}
void ExitTraceSink::on_entry_failed(const cpu::Cpu&, const EntryFailure& failure) {
    if (file_->failed()) return;
    file_->line(failure_line(failure));
    file_->flush();  // often the last thing that happens before somebody presses Ctrl-C
}
void ExitTraceSink::on_instruction(const cpu::Cpu&, const VtInstruction& insn) {
    if (!file_->failed()) file_->line(instruction_line(insn));
}

void ExitTraceSink::begin(const char* event, const RecordHead& head, unsigned level) {
    line_.begin(event, head.vcpu, level, head.tick, head.ns);
    if (!line_.text_format()) line_.word("isa", head.vendor == Vendor::kVmx ? "vmx" : "svm");
}

void ExitTraceSink::show_insn(const ExitRecord& exit) {
    if (exit.byte_count == 0) return;
    const std::span<const u8> all(exit.bytes.data(), exit.byte_count);
    const auto insn =
        disassembler_.disassemble(all, exit.code_size, exit.guest_linear_rip, exit.level);
    line_.bytes("bytes", insn.length ? all.first(insn.length) : all);
    line_.quoted("insn", insn.text);
}

std::string_view ExitTraceSink::exit_line(const ExitRecord& exit, const GuestRegisters& registers) {
    const bool vmx = exit.vendor == Vendor::kVmx;
    begin("exit", exit, exit.level);
    line_.named("reason", exit.reason_name, static_cast<i64>(exit.reason), !vmx);
    if (vmx && exit.reason_raw >> 31) line_.flag("failed_entry");
    line_.code("rip", exit.guest_rip, exit.guest_linear_rip, exit.level);
    line_.number("cpl", exit.guest_cpl);
    line_.hex("info1", exit.info1);
    if (!vmx) line_.hex("info2", exit.info2);
    decode_exit(line_, exit, registers);
    if (exit.linear_valid) line_.hex("gla", exit.guest_linear);
    if (exit.physical_valid) line_.hex("gpa", exit.guest_physical);
    show_insn(exit);
    if (exit.instruction_length) line_.number("insn_length", exit.instruction_length);
    decode_event(line_, "interruption", exit.interruption);
    decode_event(line_, "idt_vectoring", exit.idt_vectoring);
    if (exit.next_rip) line_.hex("next_rip", exit.next_rip);
    line_.hex("rsp", exit.guest_rsp);
    line_.hex("rflags", exit.guest_rflags);
    line_.hex("cr0", exit.guest_cr0);
    line_.hex("cr3", exit.guest_cr3);
    line_.hex(control_block_key(exit.vendor), exit.control_block);
    return line_.end();
}

void ExitTraceSink::show_changes(std::span<const FieldChange> changes, unsigned hypervisor_level) {
    if (changes.empty()) return;
    line_.open_list("changed");
    for (const FieldChange& c : changes) {
        line_.open_item();
        line_.named("field", c.name, c.field, true);
        line_.hex("old", c.old_value);
        line_.hex("new", c.new_value);
        if (c.writer_rip) line_.code("by", c.writer_rip, c.writer_rip, hypervisor_level);
        line_.close_item();
    }
    line_.close_list();
}

std::string_view ExitTraceSink::entry_line(const EntryRecord& entry) {
    begin("entry", entry, entry.level);
    line_.word("instruction", entry.instruction);
    line_.code("hypervisor_rip", entry.hypervisor_rip, entry.hypervisor_rip, hypervisor_of(entry));
    line_.code("rip", entry.guest_rip, entry.guest_linear_rip, entry.level);
    line_.hex("cr3", entry.guest_cr3);
    line_.number(entry.vendor == Vendor::kVmx ? "vpid" : "asid", entry.address_space_id);
    if (entry.second_stage) line_.hex(second_stage_key(entry.vendor), entry.second_stage);
    decode_event(line_, "injected", entry.injected);
    show_changes(entry.changes, hypervisor_of(entry));
    line_.hex(control_block_key(entry.vendor), entry.control_block);
    return line_.end();
}

std::string_view ExitTraceSink::failure_line(const EntryFailure& f) {
    const unsigned hypervisor = hypervisor_of(f);
    begin("entry_failed", f, f.level);
    line_.word("instruction", f.instruction);
    line_.code("hypervisor_rip", f.hypervisor_rip, f.hypervisor_rip, hypervisor);
    line_.quoted("check", f.check);
    line_.named("field", f.field_name, f.field, true);
    line_.hex("value", f.value);
    if (f.offending_bits) line_.hex("offending_bits", f.offending_bits);
    if (f.other_field_name) {
        line_.named("other_field", f.other_field_name, f.other_field, true);
        line_.hex("other_value", f.other_value);
    }
    line_.quoted("section", f.section);
    if (f.writer_known) {
        line_.code("written_by", f.writer_rip, f.writer_rip, hypervisor);
        line_.hex("written_value", f.writer_value);
    }
    if (f.instruction_error) line_.number("vm_instruction_error", f.instruction_error);
    if (f.reason) {
        line_.hex("exit_reason", f.reason);
        line_.hex("qualification", f.qualification);
    }
    line_.hex(control_block_key(f.vendor), f.control_block);
    return line_.end();
}

std::string_view ExitTraceSink::instruction_line(const VtInstruction& insn) {
    const unsigned level = hypervisor_of(insn);
    begin("vt_instruction", insn, level);
    line_.word("instruction", insn.instruction);
    line_.code("rip", insn.rip, insn.rip, level);
    line_.hex("operand", insn.operand);
    if (insn.invalid)
        line_.word("result", "VMfailInvalid");
    else if (insn.error)
        line_.word("result", "VMfailValid");
    else
        line_.word("result", "VMsucceed");
    if (insn.error) {
        line_.number("error", insn.error);
        line_.quoted("error_text", vm_instruction_error_text(insn.error));
    }
    line_.hex(control_block_key(insn.vendor), insn.control_block);
    return line_.end();
}

}  // namespace rm::frontends::trace
