// -singlestep L2 (or L1): one line for every instruction the level executes between two VM exits or
// entries. L2: all of the guest's instructions. L1: the hypervisor's, on each vCPU from its first
// VM exit on (so a hypervisor's boot does not fill the disk). Attach it to every processor as
// insn_observer and, for L1, to the trace fanout as well. Reads code bytes only through
// translations the processor already has, so that looking changes nothing.
#pragma once
#include <memory>

#include "cpu/cpu.h"
#include "frontends/trace/disassembler.h"
#include "frontends/trace/line_builder.h"
#include "frontends/trace/output_file.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

class SingleStep final : public cpu::InsnObserver, public vt::common::TraceSink {
public:
    // The file may be the one of -trace vmexit: then the lines stand between the exits they belong
    // to. `symbols` must outlive the object.
    SingleStep(unsigned level, std::shared_ptr<OutputFile> file, Format format,
               const Symbols& symbols);

    bool wants(const cpu::Cpu& cpu) const override {
        return wanted(cpu.config.index, cpu.in_guest());
    }
    void before_insn(cpu::Cpu& cpu, const cpu::Insn& insn) override;

    unsigned needs() const override { return 0; }
    void on_exit(const cpu::Cpu&, const vt::common::ExitRecord& exit) override {
        first_exit_seen(exit.vcpu);
    }
    void first_exit_seen(unsigned vcpu) { armed_ |= u64{1} << (vcpu & 63); }

    // One instruction as its line shows it.
    struct Step {
        unsigned vcpu = 0;
        u64 tick = 0, ns = 0;
        u64 rip = 0;
        LinearAddr linear = 0;
        u8 cpl = 0;
        u8 code_size = 8;  // 2, 4, 8
        std::span<const u8> bytes;
    };
    bool wanted(unsigned vcpu, bool in_guest) const {
        return in_guest == (level_ == 2) && (in_guest || (armed_ >> (vcpu & 63) & 1));
    }
    std::string_view step_line(const Step& step);
    OutputFile& file() { return *file_; }

private:
    unsigned level_;
    u64 armed_ = 0;  // vCPUs that have had a VM exit
    std::shared_ptr<OutputFile> file_;
    LineBuilder line_;
    Disassembler disassembler_;
};

}  // namespace rm::frontends::trace
