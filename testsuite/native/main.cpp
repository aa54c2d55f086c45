// native_oracle: every instruction row that user code can run, on the host's processor and in the
// interpreter, with the same bytes and the same inputs, compared. Prints the first mismatch of each
// row in full. Exit code: 0 = all equal, 1 = mismatches, 2 = cannot run here.
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
    u64 cases = 300, seed = 1;
    std::string row;
    bool verbose = false;
};

struct Totals {
    u64 rows = 0, cases = 0, mismatches = 0, mismatched_rows = 0;
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

// Why a row is not run at all, or null.
const char* reason_to_skip(const cpu::Row& row) {
    if (row.variant == cpu::Variant::kFar) return "far transfer";
    if (row.variant == cpu::Variant::kSegment || row.variant == cpu::Variant::kControl ||
        row.variant == cpu::Variant::kDebug)
        return "segment, control or debug register";
    if (row.checks & cpu::kCpl0) return "needs CPL 0";
    switch (row.mnemonic) {
#define RM_SKIP(m, reason)   \
    case ZYDIS_MNEMONIC_##m: \
        return reason;
#include "native/skipped.def"
#undef RM_SKIP
        default: return nullptr;
    }
}

class Oracle {
public:
    explicit Oracle(const Options& o)
        : options_(o), emulated_(HostCpu::is_amd() ? cpu::Vendor::kAmd : cpu::Vendor::kIntel) {}

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
        for (const auto& [reason, rows] : skipped_)
            std::printf("native: skipped (%s):%s\n", reason.c_str(), rows.c_str());
        std::printf("native: %llu rows, %llu cases, %llu mismatches in %llu rows\n",
                    static_cast<unsigned long long>(totals_.rows),
                    static_cast<unsigned long long>(totals_.cases),
                    static_cast<unsigned long long>(totals_.mismatches),
                    static_cast<unsigned long long>(totals_.mismatched_rows));
        if (totals_.rows == 0) std::printf("native: no such row\n");
        return totals_.mismatches || totals_.rows == 0 ? 1 : 0;
    }

private:
    void run_mode(Code code) {
        Encodings encodings(emulated_.model(), emulated_.mode(code), code);
        const auto rows = cpu::instruction_rows();
        for (unsigned n = 0; n < rows.size(); ++n) {
            if (!options_.row.empty() && options_.row != rows[n].name) continue;
            if (encodings.of(n).empty()) continue;  // not in this mode
            if (const char* reason = reason_to_skip(rows[n])) {
                skip(reason, rows[n].name);
                continue;
            }
            const FeatureBit& f = kFeatureBits[static_cast<unsigned>(rows[n].feature)];
            if (f.leaf && !HostCpu::cpuid_bit(f.leaf, f.subleaf, f.reg, f.bit)) {
                skip((std::string("host has no ") + f.name).c_str(), rows[n].name);
                continue;
            }
            run_row(encodings, n, code);
        }
    }
    void skip(const char* reason, const char* row) {
        std::string& list = skipped_[reason];
        const std::string name = std::string(" ") + row;
        if (list.size() < name.size() || list.compare(list.size() - name.size(), name.size(), name))
            if (list.find(name + " ") == list.npos) list += name;
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
    std::map<std::string, std::string> skipped_;
    Case case_;
};

[[noreturn]] void usage() {
    std::fprintf(stderr, "usage: native_oracle [--cases N] [--row NAME] [--seed S] [--verbose]\n");
    std::exit(2);
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
