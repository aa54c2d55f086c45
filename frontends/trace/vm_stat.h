// -trace vmstat: the time hypervisors spend on each kind of VM exit, as a table shaped like
// `perf kvm stat report`. Owns: one row for each (guest level, vendor, exit reason).
// Time of an exit = from the exit to the next successful VM entry on the same vCPU, whichever guest
// that enters: the hardware's events, so nothing of the handler is missing. Virtual time includes
// time the hypervisor sleeps (HLT); instructions are those it executed.
#pragma once
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "frontends/trace/output_file.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

class VmStat final : public vt::common::TraceSink {
public:
    unsigned needs() const override { return 0; }
    void on_exit(const cpu::Cpu& cpu, const vt::common::ExitRecord& exit) override;
    void on_entry(const cpu::Cpu& cpu, const vt::common::EntryRecord& entry) override;
    void on_entry_failed(const cpu::Cpu& cpu, const vt::common::EntryFailure& failure) override;

    // The events with the processor's executed-instruction count at that moment.
    void exit(const vt::common::ExitRecord& exit, u64 instructions);
    void entry(const vt::common::EntryRecord& entry, u64 instructions);
    void entry_failed(const vt::common::EntryFailure& failure);

    // All tables so far; may be asked for at any time (SIGUSR1) and changes nothing.
    std::string table() const;
    Result<void> print(std::FILE* out) const;
    Result<void> print(OutputFile& out) const;

private:
    struct Spread {  // of one quantity over the finished exits of one reason
        u64 count = 0, min = 0, max = 0;
        u64 sum = 0;
        u128 squares = 0;
        void add(u64 value);
        double mean() const;
        double relative_error() const;  // standard error of the mean, percent of the mean
    };
    struct Row {
        std::string name;
        u64 samples = 0;
        Spread ns, instructions;
    };
    struct Group {
        std::map<u64, Row> rows;  // by reason number
        u64 failed_entries = 0;
    };
    struct OpenExit {
        Row* row = nullptr;
        u64 ns = 0, instructions = 0;
    };
    using GroupKey = std::pair<unsigned, vt::common::Vendor>;

    static void append_group(std::string& out, const GroupKey& key, const Group& group);

    std::map<GroupKey, Group> groups_;
    std::vector<OpenExit> open_;  // by vCPU
};

}  // namespace rm::frontends::trace
