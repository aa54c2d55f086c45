#include "frontends/cli/tracing.h"

#include <cstdio>
#include <map>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "frontends/trace/exit_trace.h"
#include "frontends/trace/failure_report.h"
#include "frontends/trace/output_file.h"
#include "frontends/trace/run_hash.h"
#include "frontends/trace/single_step.h"
#include "frontends/trace/symbol_table.h"
#include "frontends/trace/trace_fanout.h"
#include "frontends/trace/vm_stat.h"

namespace rm::frontends {

struct Tracing::Parts {
    trace::Symbols symbols;
    trace::TraceFanout fanout;
    // One file may take several traces ("-trace vmexit,file=F" and -singlestep): opened once.
    std::map<std::string, std::shared_ptr<trace::OutputFile>> files;
    std::vector<std::unique_ptr<trace::ExitTraceSink>> exits;
    std::unique_ptr<trace::FailureReport> failures;
    struct Statistic {
        trace::VmStat stat;
        std::shared_ptr<trace::OutputFile> file;
    };
    std::vector<std::unique_ptr<Statistic>> statistics;
    std::unique_ptr<trace::SingleStep> single_step;
    std::unique_ptr<trace::RunHash> hash;
    std::vector<const cpu::Cpu*> cpus;

    Result<std::shared_ptr<trace::OutputFile>> open(const std::string& path) {
        if (auto known = files.find(path); known != files.end()) return known->second;
        auto file = trace::OutputFile::open(path);
        if (!file) return std::unexpected(file.error());
        files[path] = *file;
        return *file;
    }
};

Tracing::Tracing() : parts_(std::make_unique<Parts>()) {}
Tracing::~Tracing() = default;

Result<std::unique_ptr<Tracing>> Tracing::create(const Options& options, MachineLock* lock) {
    std::unique_ptr<Tracing> tracing(new Tracing);
    Parts& p = *tracing->parts_;
    p.fanout.set_lock(lock);
    for (const SymbolOption& s : options.symbols)
        if (auto loaded = p.symbols.load(s.level, s.file); !loaded)
            return std::unexpected(loaded.error());
    std::string step_file;
    trace::Format step_format = trace::Format::kText;
    for (const TraceOption& t : options.traces) {
        auto file = p.open(t.file);
        if (!file) return std::unexpected(file.error());
        if (t.kind == "vmstat") {
            p.statistics.push_back(std::make_unique<Parts::Statistic>());
            p.statistics.back()->file = *file;
            p.fanout.add(p.statistics.back()->stat);
            continue;
        }
        const auto format = t.format == "jsonl" ? trace::Format::kJsonl : trace::Format::kText;
        step_file = t.file;
        step_format = format;
        p.exits.push_back(std::make_unique<trace::ExitTraceSink>(*file, format, p.symbols));
        p.fanout.add(*p.exits.back());
    }
    if (options.singlestep_level != 0) {
        auto file = p.open(step_file);
        if (!file) return std::unexpected(file.error());
        p.single_step = std::make_unique<trace::SingleStep>(options.singlestep_level, *file,
                                                            step_format, p.symbols);
        p.fanout.add(*p.single_step);
    }
    p.failures = std::make_unique<trace::FailureReport>(p.symbols);
    p.fanout.add(*p.failures);
    if (log::enabled(log::Item::kHash)) {
        p.hash = std::make_unique<trace::RunHash>();
        p.fanout.add(*p.hash);
    }
    return tracing;
}

vt::common::TraceSink* Tracing::sink() { return &parts_->fanout; }

void Tracing::attach(cpu::Cpu& cpu) {
    parts_->cpus.push_back(&cpu);
    if (parts_->single_step) cpu.insn_observer = parts_->single_step.get();
    if (parts_->hash || log::enabled(log::Item::kInt)) cpu.event_observer = this;
}

void Tracing::on_output(const char* device, std::span<const u8> bytes) {
    if (parts_->hash) parts_->hash->on_output(device, bytes);
    if (log::enabled(log::Item::kCpuReset) && std::string_view(device) == "reset")
        for (const cpu::Cpu* cpu : parts_->cpus)  // as they are before it
            log::write(log::Item::kCpuReset,
                       "cpu%u tick %llu: reset at %04x:%llx cr0 %llx cr3 %llx\n", cpu->config.index,
                       static_cast<unsigned long long>(cpu->ticks()), cpu->seg[cpu::kCs].selector,
                       static_cast<unsigned long long>(cpu->rip),
                       static_cast<unsigned long long>(cpu->cr0),
                       static_cast<unsigned long long>(cpu->cr3));
}

void Tracing::on_delivery(const cpu::Cpu& cpu, const cpu::Event& event) {
    if (parts_->hash) parts_->hash->on_delivery(cpu, event);
    if (!log::enabled(log::Item::kInt)) return;
    log::write(log::Item::kInt,
               "cpu%u tick %llu: vector %u type %u error %x at %04x:%llx cpl %u payload %llx\n",
               cpu.config.index, static_cast<unsigned long long>(cpu.ticks()), event.vector,
               static_cast<unsigned>(event.type), event.has_error ? event.error : 0,
               cpu.seg[cpu::kCs].selector, static_cast<unsigned long long>(cpu.rip), cpu.cpl,
               static_cast<unsigned long long>(event.payload));
}

bool Tracing::failed() const {
    for (const auto& [path, file] : parts_->files)
        if (file->failed()) return true;
    return false;
}

void Tracing::report() {
    for (auto& s : parts_->statistics) s->stat.print(stderr);
}

Result<void> Tracing::finish(std::span<cpu::Cpu* const> cpus, platform::Pc& pc) {
    for (auto& s : parts_->statistics) s->stat.print(*s->file);
    if (parts_->hash) {
        const std::vector<const cpu::Cpu*> all(cpus.begin(), cpus.end());
        log::write(log::Item::kHash, "%s\n", parts_->hash->finish(all, pc.ram()).c_str());
    }
    for (auto& [path, file] : parts_->files)
        if (auto closed = file->close(); !closed) return closed;
    return {};
}

}  // namespace rm::frontends
