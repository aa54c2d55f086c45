// -trace vmexit: one line for every VM exit, VM entry, refused entry and VT instruction, as text or
// JSON lines (docs/trace.md). Owns: the rendering. Shares: the output file, with -singlestep.
// Looks only: besides the records it reads the guest's general registers.
#pragma once
#include <memory>

#include "frontends/trace/decode.h"
#include "frontends/trace/disassembler.h"
#include "frontends/trace/line_builder.h"
#include "frontends/trace/output_file.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

class ExitTraceSink final : public vt::common::TraceSink {
public:
    // `symbols` must outlive the sink. Poll file->failed() while the machine runs.
    ExitTraceSink(std::shared_ptr<OutputFile> file, Format format, const Symbols& symbols);

    void on_exit(const cpu::Cpu& cpu, const vt::common::ExitRecord& exit) override;
    void on_entry(const cpu::Cpu& cpu, const vt::common::EntryRecord& entry) override;
    void on_entry_failed(const cpu::Cpu& cpu, const vt::common::EntryFailure& failure) override;
    void on_instruction(const cpu::Cpu& cpu, const vt::common::VtInstruction& insn) override;

    // The lines themselves, for those who have a record and no processor.
    std::string_view exit_line(const vt::common::ExitRecord& exit, const GuestRegisters& registers);
    std::string_view entry_line(const vt::common::EntryRecord& entry);
    std::string_view failure_line(const vt::common::EntryFailure& failure);
    std::string_view instruction_line(const vt::common::VtInstruction& insn);

    OutputFile& file() { return *file_; }

private:
    void begin(const char* event, const vt::common::RecordHead& head, unsigned level);
    void show_changes(std::span<const vt::common::FieldChange> changes, unsigned hypervisor_level);
    void show_insn(const vt::common::ExitRecord& exit);

    std::shared_ptr<OutputFile> file_;
    LineBuilder line_;
    Disassembler disassembler_;
};

}  // namespace rm::frontends::trace
