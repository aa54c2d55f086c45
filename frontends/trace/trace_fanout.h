// One TraceSink that is several: the emitters know a single pointer. Sinks are added before the
// fanout is attached, since the emitter asks needs() once.
#pragma once
#include <vector>

#include "base/machine_lock.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

class TraceFanout final : public vt::common::TraceSink {
public:
    // Not owned; called in the order of adding.
    void add(vt::common::TraceSink& sink) { sinks_.push_back(&sink); }
    // Held while the sinks are told, if processors have threads of their own.
    void set_lock(MachineLock* lock) { lock_ = lock; }
    bool empty() const { return sinks_.empty(); }

    unsigned needs() const override {
        unsigned all = 0;
        for (const auto* sink : sinks_) all |= sink->needs();
        return all;
    }
    void on_exit(const cpu::Cpu& cpu, const vt::common::ExitRecord& r) override {
        const MachineLock::Hold hold(lock_);
        for (auto* sink : sinks_) sink->on_exit(cpu, r);
    }
    void on_entry(const cpu::Cpu& cpu, const vt::common::EntryRecord& r) override {
        const MachineLock::Hold hold(lock_);
        for (auto* sink : sinks_) sink->on_entry(cpu, r);
    }
    void on_entry_failed(const cpu::Cpu& cpu, const vt::common::EntryFailure& r) override {
        const MachineLock::Hold hold(lock_);
        for (auto* sink : sinks_) sink->on_entry_failed(cpu, r);
    }
    void on_field_write(const cpu::Cpu& cpu, const vt::common::RecordHead& head,
                        const vt::common::FieldChange& change) override {
        const MachineLock::Hold hold(lock_);
        for (auto* sink : sinks_) sink->on_field_write(cpu, head, change);
    }
    void on_instruction(const cpu::Cpu& cpu, const vt::common::VtInstruction& r) override {
        const MachineLock::Hold hold(lock_);
        for (auto* sink : sinks_) sink->on_instruction(cpu, r);
    }

private:
    std::vector<vt::common::TraceSink*> sinks_;
    MachineLock* lock_ = nullptr;
};

}  // namespace rm::frontends::trace
