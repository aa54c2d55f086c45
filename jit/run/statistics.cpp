#include "jit/run/statistics.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <numeric>
#include <utility>

#include "cpu/instructions/row.h"

namespace rm::jit {

namespace {

constexpr std::size_t kMostCalled = 24;

[[gnu::format(printf, 2, 3)]] void append(std::string& out, const char* format, ...) {
    char line[128];
    va_list args;
    va_start(args, format);
    std::vsnprintf(line, sizeof line, format, args);
    va_end(args);
    out += line;
}

void count(std::string& out, const char* name, u64 value) {
    append(out, "%-44s %16llu\n", name, static_cast<unsigned long long>(value));
}
double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }
void share(std::string& out, const char* name, u64 value, u64 of) {
    append(out, "%-44s %16llu %6.2f %%\n", name, static_cast<unsigned long long>(value),
           percent(static_cast<double>(value), static_cast<double>(of)));
}
// Events for every 1000 instructions in translated code.
void rate(std::string& out, const char* name, u64 value, u64 instructions) {
    append(out, "%-44s %16llu %6.3f per 1000\n", name, static_cast<unsigned long long>(value),
           percent(static_cast<double>(value), static_cast<double>(instructions)) * 10);
}

}  // namespace

std::string Statistics::text(unsigned processor) const {
    std::string out;
    append(out, "translator of processor %u\n", processor);
    count(out, "instructions retired", retired);
    share(out, "  in translated code", in_translated_code, retired);
    share(out, "  interpreted, called by translated code", called, retired);
    share(out, "  interpreted otherwise", retired - in_translated_code - called, retired);
    count(out, "blocks translated", blocks);
    count(out, "  guest instructions in them", instructions);
    share(out, "  of these interpreted", interpreted_instructions, instructions);
    count(out, "  optimised ones", optimised);
    count(out, "  traces of several blocks", traces);
    count(out, "  loops with a copy without checks", copies);
    count(out, "  bytes of host code", code_bytes);
    count(out, "  tries that met an unknown form", retries);
    count(out, "blocks left to the interpreter", untranslatable);
    count(out, "translations dropped", dropped);
    count(out, "arenas evicted", evictions);
    count(out, "  translations they held", evicted);
    count(out, "cache emptied", flushes);
    count(out, "writes to lines with code", overwrites);
    count(out, "  decoded blocks they dropped", overwritten_blocks);
    count(out, "  immediates found to change", loosened);
    count(out, "stores made beside code", stores_beside_code);
    rate(out, "TLB refills for data", touches, in_translated_code);
    rate(out, "TLB refills for code", code_touches, in_translated_code);
    rate(out, "sites filled", sites_filled, in_translated_code);
    count(out, "  forgotten", sites_forgotten);
    count(out, "  found to roam", roaming);
    rate(out, "entries from the run loop", entries, in_translated_code);
    count(out, "direct links made", links);
    rate(out, "indirect targets not in the table", target_misses, in_translated_code);
    count(out, "  found and put there", targets_found);
    count(out, "jumps to pages not in the exec TLB", pages_entered);
    count(out, "left before an access", access_exits);
    count(out, "left before an instruction", instruction_exits);
    count(out, "left for an event", event_exits);
    rate(out, "interpreter calls", calls, in_translated_code);
    count(out, "  that left the block", call_leaves);
    rate(out, "flags computed late", flags_resolved, in_translated_code);

    static constexpr const char* kNames[kParts] = {
        "milliseconds elsewhere",
        "milliseconds in translated code",
        "milliseconds translating",
        "milliseconds refilling the TLB",
        "milliseconds interpreting for translated code",
        "milliseconds looking up and linking",
        "milliseconds computing flags late",
    };
    const double all = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    for (unsigned p = 0; p < kParts; ++p)
        append(out, "%-44s %16.0f %6.2f %%\n", kNames[p], seconds[p] * 1000,
               percent(seconds[p], all));

    std::vector<std::pair<u64, u16>> most;
    for (std::size_t row = 0; row < calls_by_row.size(); ++row)
        if (calls_by_row[row]) most.emplace_back(calls_by_row[row], static_cast<u16>(row));
    std::sort(most.rbegin(), most.rend());
    if (most.size() > kMostCalled) most.resize(kMostCalled);
    for (const auto& [n, row] : most) {
        const std::string name = std::string("called most: ") + cpu::instruction_rows()[row].name;
        count(out, name.c_str(), n);
    }
    return out;
}

}  // namespace rm::jit
