// The answer to "which check failed?": a refused VM entry as a block for people, on stderr, at
// once. Attach it whenever the machine has VT; it needs nothing of the emitter and costs nothing
// until an entry is refused. The same refusal again (a hypervisor that retries) prints one line at
// the 2nd, 4th, 8th ... time, so that a guest cannot flood the terminal.
#pragma once
#include <cstdio>
#include <string>

#include "frontends/trace/symbol_table.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

class FailureReport final : public vt::common::TraceSink {
public:
    // `symbols` must outlive the object.
    explicit FailureReport(const Symbols& symbols, std::FILE* out = stderr)
        : symbols_(symbols), out_(out) {}

    unsigned needs() const override { return 0; }
    void on_entry_failed(const cpu::Cpu&, const vt::common::EntryFailure& failure) override {
        report(failure);
    }
    void report(const vt::common::EntryFailure& failure);
    std::string block(const vt::common::EntryFailure& failure) const;

private:
    const Symbols& symbols_;
    std::FILE* out_;
    u64 repeats_ = 0;
    // What the last report was about.
    const char* last_check_ = nullptr;
    u32 last_field_ = 0;
    u64 last_value_ = 0, last_rip_ = 0;
};

}  // namespace rm::frontends::trace
