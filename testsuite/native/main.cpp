// native_oracle: every instruction row that user code can run, on the host's processor and in the
// interpreter, with the same bytes and the same inputs, compared. Prints the first mismatch of each
// row in full. Exit code: 0 = all equal, 1 = mismatches or rows without cases, 2 = cannot run here.
// --part K/N runs the K-th of N shares of the rows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "native/compare.h"
#include "native/emulated_cpu.h"
#include "native/host_cpu.h"

namespace rm::native {

namespace {

struct Options {
    u64 cases = 300, seed = 1, part = 0, parts = 1;
    std::string row;
    bool verbose = false;
};

struct Totals {
    u64 rows = 0, cases = 0, mismatches = 0, mismatched_rows = 0, unanswered = 0;
};

struct FeatureBit {
    const char* name;
    u32 leaf, subleaf;
    unsigned reg, bit;
};
constexpr FeatureBit kFeatureBits[] = {
    {"", 0, 0, 0, 0},
#define EAX 0
#define EBX 1
#define ECX 2
#define EDX 3
#define RM_FEATURE(name, leaf, subleaf, reg, bit) {#name, leaf, subleaf, reg, bit},
#include "cpu/models/features.def"
#undef RM_FEATURE
#undef EAX
#undef EBX
#undef ECX
#undef EDX
};

const char* name_of(Code code) {
    return code == Code::k64 ? "64" : code == Code::k32 ? "32" : "16";
}

// Loads or looks at selectors, which must mean the same in both.
bool uses_descriptors(const cpu::Row& row) {
    if (row.variant == cpu::Variant::kFar || row.variant == cpu::Variant::kSegment) return true;
    switch (row.mnemonic) {
        case ZYDIS_MNEMONIC_LAR:
        case ZYDIS_MNEMONIC_LSL:
        case ZYDIS_MNEMONIC_VERR:
        case ZYDIS_MNEMONIC_VERW:
        case ZYDIS_MNEMONIC_LDS:
        case ZYDIS_MNEMONIC_LES:
        case ZYDIS_MNEMONIC_LFS:
        case ZYDIS_MNEMONIC_LGS:
        case ZYDIS_MNEMONIC_LSS:
        case ZYDIS_MNEMONIC_IRET:
        case ZYDIS_MNEMONIC_IRETD:
        case ZYDIS_MNEMONIC_IRETQ: return true;
        default: return false;
    }
}

// Why a row is not run here, or empty.
std::string reason_to_skip(const cpu::Row& row, const HostCpu& host) {
    if (row.feature == cpu::Feature::k_svm || row.feature == cpu::Feature::k_vmx)
        return "virtualization is the host's";
    const FeatureBit& f = kFeatureBits[static_cast<unsigned>(row.feature)];
    if (f.leaf && !HostCpu::cpuid_bit(f.leaf, f.subleaf, f.reg, f.bit))
        return std::string("host has no ") + f.name;
    if (uses_descriptors(row) && !host.has_ldt()) return "host has no modify_ldt";
    switch (row.mnemonic) {
#define RM_SKIP(m, reason)   \
    case ZYDIS_MNEMONIC_##m: \
        return reason;
#include "native/skipped.def"
#undef RM_SKIP
        case ZYDIS_MNEMONIC_LFS:
        case ZYDIS_MNEMONIC_LGS:
            return host.has_segment_bases() ? "" : "host has no FSGSBASE for user code";
        default: return "";
    }
}

class Oracle {
public:
    explicit Oracle(const Options& o)
        : options_(o),
          emulated_(HostCpu::is_amd() ? cpu::Vendor::kAmd : cpu::Vendor::kIntel),
          cases_(cpu::instruction_rows().size()) {}

    int run() {
        if (!host_.open()) return 2;
        std::printf("native: seed %llu, %llu cases a row and mode, host %s\n",
                    static_cast<unsigned long long>(options_.seed),
                    static_cast<unsigned long long>(options_.cases),
                    HostCpu::is_amd() ? "AMD" : "Intel");
        if (!host_.has_segment_bases())
            std::printf("native: no FSGSBASE here: FS and GS bases stay as they are\n");
        for (Code code : {Code::k64, Code::k32, Code::k16})
            if (host_.has_code(code))
                run_mode(code);
            else
                std::printf("native: no %s-bit code segment here: skipped\n", name_of(code));
        const unsigned missing = check_coverage();
        std::printf(
            "native: %llu rows (%zu in all), %llu row and mode pairs, %llu cases, "
            "%llu mismatches in %llu rows, %u rows without cases, %llu cases without an answer\n",
            static_cast<unsigned long long>(rows_run()), cases_.size(),
            static_cast<unsigned long long>(totals_.rows),
            static_cast<unsigned long long>(totals_.cases),
            static_cast<unsigned long long>(totals_.mismatches),
            static_cast<unsigned long long>(totals_.mismatched_rows), missing,
            static_cast<unsigned long long>(totals_.unanswered));
        if (totals_.rows == 0) std::printf("native: no such row\n");
        return totals_.mismatches || missing || totals_.rows == 0 ? 1 : 0;
    }

private:
    // This part's share of the table.
    bool wanted(unsigned n) const {
        const auto rows = cpu::instruction_rows();
        if (!options_.row.empty()) return options_.row == rows[n].name;
        const u64 part = options_.part, parts = options_.parts, count = rows.size();
        return n >= part * count / parts && n < (part + 1) * count / parts;
    }
    void run_mode(Code code) {
        Encodings encodings(emulated_.model(), emulated_.mode(code), code);
        for (unsigned n = 0; n < cases_.size(); ++n)
            if (wanted(n) && !encodings.of(n).empty() &&
                reason_to_skip(cpu::instruction_rows()[n], host_).empty())
                run_row(encodings, n, code);
    }
    // Every row has its cases, or a reason why not. Number of rows for which that is not so.
    unsigned check_coverage() {
        unsigned missing = 0;
        std::map<std::string, std::string> skipped;
        for (unsigned n = 0; n < cases_.size(); ++n) {
            if (!wanted(n)) continue;
            const cpu::Row& row = cpu::instruction_rows()[n];
            const std::string reason = reason_to_skip(row, host_);
            if (!reason.empty()) {
                skipped[reason] += std::string(" ") + row.name;
            } else if (cases_[n] < options_.cases) {
                ++missing;
                std::printf("NO CASES for %s, variant %u: %llu\n", row.name,
                            static_cast<unsigned>(row.variant),
                            static_cast<unsigned long long>(cases_[n]));
            }
        }
        for (const auto& [reason, rows] : skipped)
            std::printf("native: not run (%s):%s\n", reason.c_str(), rows.c_str());
        return missing;
    }

    u64 rows_run() const {
        return static_cast<u64>(
            std::ranges::count_if(cases_, [](u64 cases) { return cases != 0; }));
    }
    void run_row(Encodings& encodings, unsigned n, Code code) {
        const cpu::Row& row = cpu::instruction_rows()[n];
        Generator generator(encodings,
                            options_.seed << 20 | row.mnemonic << 8 |
                                static_cast<u64>(row.variant) << 4 | static_cast<u64>(code),
                            host_.has_segment_bases());
        u64 cases = 0, mismatches = 0, faults = 0;
        while (cases < options_.cases && generator.make(n, case_)) {
            ++cases;
            const Outcome host = host_.run(case_);
            if (host.vector == kNoAnswer) {
                if (!totals_.unanswered++ || options_.verbose)
                    std::printf("native: the host does not end: %s\n",
                                disassembly(generator).c_str());
                continue;
            }
            const unsigned piece = 1 + static_cast<unsigned>(generator.random().below(100));
            const Outcome emulated = emulated_.run(case_, piece, generator.random().percent(10));
            faults += host.vector != kNoFault;
            const Comparison x{case_,    generator.instruction(), generator.insn(),  host,
                               emulated, host_.memory(),          emulated_.memory()};
            if (differences(x).empty()) continue;
            if (mismatches++ && !options_.verbose) continue;
            std::printf("MISMATCH %s case %llu: %s\n%s", row.name,
                        static_cast<unsigned long long>(cases), disassembly(generator).c_str(),
                        describe(x).c_str());
        }
        ++totals_.rows;
        totals_.cases += cases;
        cases_[n] += cases;
        totals_.mismatches += mismatches;
        totals_.mismatched_rows += mismatches != 0;
        if (options_.verbose || mismatches || cases < options_.cases)
            std::printf("%-12s %s %zu forms %llu cases %llu faults %llu mismatches\n", row.name,
                        name_of(code), encodings.of(n).size(),
                        static_cast<unsigned long long>(cases),
                        static_cast<unsigned long long>(faults),
                        static_cast<unsigned long long>(mismatches));
    }
    std::string disassembly(const Generator& g) const {
        ZydisFormatter f;
        ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
        char text[160];
        ZydisFormatterFormatInstruction(&f, &g.instruction(), g.operands(),
                                        g.instruction().operand_count_visible, text, sizeof text,
                                        case_.in.rip, nullptr);
        return text;
    }

    const Options& options_;
    HostCpu host_;
    EmulatedCpu emulated_;
    Totals totals_;
    std::vector<u64> cases_;  // of each row, all modes
    Case case_;
};

[[noreturn]] void usage() {
    std::fprintf(stderr,
                 "usage: native_oracle [--cases N] [--row NAME] [--part K/N] [--seed S] "
                 "[--verbose]\n");
    std::exit(2);
}

void parse_part(const char* text, Options& o) {
    char* end = nullptr;
    const u64 part = std::strtoull(text, &end, 10);
    const u64 parts = *end == '/' ? std::strtoull(end + 1, nullptr, 10) : 0;
    if (part < 1 || part > parts) usage();
    o.part = part - 1;
    o.parts = parts;
}

Options parse(int argc, char** argv) {
    Options o;
    for (int n = 1; n < argc; ++n) {
        const std::string a = argv[n];
        const auto value = [&] { return n + 1 < argc ? argv[++n] : (usage(), nullptr); };
        if (a == "--verbose")
            o.verbose = true;
        else if (a == "--cases")
            o.cases = std::strtoull(value(), nullptr, 0);
        else if (a == "--seed")
            o.seed = std::strtoull(value(), nullptr, 0);
        else if (a == "--part")
            parse_part(value(), o);
        else if (a == "--row")
            o.row = value();
        else
            usage();
    }
    return o;
}

}  // namespace

}  // namespace rm::native

int main(int argc, char** argv) {
    const rm::native::Options options = rm::native::parse(argc, argv);
    return rm::native::Oracle(options).run();
}
