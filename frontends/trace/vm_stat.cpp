// The exit statistic. See vm_stat.h; columns: docs/trace.md.
#include "frontends/trace/vm_stat.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "cpu/cpu.h"

namespace rm::frontends::trace {

using namespace vt::common;

namespace {

double percent(double part, double whole) { return whole > 0 ? 100.0 * part / whole : 0.0; }

template <class... Args>
void append_format(std::string& out, const char* format, Args... args) {
    char text[320];
    const int n = std::snprintf(text, sizeof text, format, args...);
    if (n > 0)
        out.append(text, std::min<std::size_t>(static_cast<std::size_t>(n), sizeof text - 1));
}

using Count = unsigned long long;

}  // namespace

void VmStat::Spread::add(u64 value) {
    min = count ? std::min(min, value) : value;
    max = std::max(max, value);
    sum += value;
    squares += static_cast<u128>(value) * value;
    ++count;
}

double VmStat::Spread::mean() const {
    return count ? static_cast<double>(sum) / static_cast<double>(count) : 0;
}

double VmStat::Spread::relative_error() const {
    if (count < 2 || sum == 0) return 0;
    const double n = static_cast<double>(count);
    const double m = mean();
    const double variance = (static_cast<double>(squares) - n * m * m) / (n - 1);
    return variance > 0 ? 100.0 * std::sqrt(variance / n) / m : 0;
}

void VmStat::on_exit(const cpu::Cpu& cpu, const ExitRecord& record) { exit(record, cpu.retired()); }
void VmStat::on_entry(const cpu::Cpu& cpu, const EntryRecord& record) {
    entry(record, cpu.retired());
}
void VmStat::on_entry_failed(const cpu::Cpu&, const EntryFailure& failure) {
    entry_failed(failure);
}

void VmStat::exit(const ExitRecord& record, u64 instructions) {
    Row& row = groups_[{record.level, record.vendor}].rows[record.reason];
    if (row.samples++ == 0) row.name = record.reason_name;
    if (record.vcpu >= open_.size()) open_.resize(record.vcpu + 1);
    open_[record.vcpu] = {&row, record.ns, instructions};
}

void VmStat::entry(const EntryRecord& record, u64 instructions) {
    if (record.vcpu >= open_.size() || !open_[record.vcpu].row) return;
    OpenExit& open = open_[record.vcpu];
    open.row->ns.add(record.ns - open.ns);
    open.row->instructions.add(instructions - open.instructions);
    open.row = nullptr;
}

void VmStat::entry_failed(const EntryFailure& failure) {
    ++groups_[{failure.level, failure.vendor}].failed_entries;
}

void VmStat::append_group(std::string& out, const GroupKey& key, const Group& group) {
    std::vector<std::pair<u64, const Row*>> rows;  // reason, row
    u64 samples = 0, ns = 0, instructions = 0;
    for (const auto& [reason, row] : group.rows) {
        rows.emplace_back(reason, &row);
        samples += row.samples;
        ns += row.ns.sum;
        instructions += row.instructions.sum;
    }
    std::ranges::sort(rows, {}, [](const auto& r) {
        return std::pair(~r.second->samples, r.first);  // the most frequent first
    });
    append_format(out, "\nAnalyze events for all vCPUs, L%u guests under %s:\n\n", key.first,
                  key.second == Vendor::kVmx ? "VMX" : "SVM");
    append_format(out, "%26s %10s %9s %9s %11s %11s %23s %10s %10s %12s\n\n", "VM-EXIT", "Samples",
                  "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "Min insns", "Max insns",
                  "Avg insns");
    for (const auto& [reason, r] : rows)
        append_format(out,
                      "%26s %10llu %8.2f%% %8.2f%% %9.2fus %9.2fus %9.2fus ( +-%7.2f%% ) "
                      "%10llu %10llu %12.2f\n",
                      r->name.c_str(), Count{r->samples},
                      percent(static_cast<double>(r->samples), static_cast<double>(samples)),
                      percent(static_cast<double>(r->ns.sum), static_cast<double>(ns)),
                      static_cast<double>(r->ns.min) / 1000, static_cast<double>(r->ns.max) / 1000,
                      r->ns.mean() / 1000, r->ns.relative_error(), Count{r->instructions.min},
                      Count{r->instructions.max}, r->instructions.mean());
    append_format(out,
                  "\nTotal Samples: %llu, Total events handled time: %.2fus, instructions: %llu, "
                  "failed entries: %llu.\n",
                  Count{samples}, static_cast<double>(ns) / 1000, Count{instructions},
                  Count{group.failed_entries});
}

std::string VmStat::table() const {
    std::string out;
    for (const auto& [key, group] : groups_) append_group(out, key, group);
    return out.empty() ? "\nNo VM exits.\n" : out;
}

Result<void> VmStat::print(std::FILE* out) const {
    errno = 0;
    if (std::fputs(table().c_str(), out) < 0 || std::fflush(out) != 0)
        return fail("VM exit statistic: %s", std::strerror(errno));
    return {};
}

Result<void> VmStat::print(OutputFile& out) const {
    std::string text = table();
    text.pop_back();  // line() adds the line end
    out.line(text);
    out.flush();
    return out.status();
}

}  // namespace rm::frontends::trace
