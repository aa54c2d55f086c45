// lockstep: random sequences of instructions on several engines, each with a machine of its own,
// compared: registers, flags, rip, tick count, memory, page tables, events, device accesses. Prints
// seed and count; on a difference a shortened sequence with its inputs, both outcomes and the IR.
// Exit code: 0 = all equal, 1 = a difference, 2 = usage.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "lockstep/compare.h"
#include "lockstep/engine.h"
#include "lockstep/generator.h"
#include "lockstep/machine.h"

namespace rm::lockstep {

namespace {

struct Options {
    u64 count = 3000, seed = 1, first = 0;
    std::vector<std::string> engines = {"interp", "portable"};
    std::string row;
    bool show = false;  // print every sequence
};

class Lockstep {
public:
    explicit Lockstep(const Options& o) : options_(o), generator_(o.seed) {
        if (!o.row.empty() && !generator_.only(o.row)) {
            std::fprintf(stderr, "lockstep: no row \"%s\"\n", o.row.c_str());
            std::exit(2);
        }
        for (const std::string& name : o.engines) engines_.push_back(make_engine(name));
    }

    int run() {
        for (u64 n = 0; n < options_.count; ++n) {
            const Sequence s = generator_.make(options_.first + n);
            if (options_.show) std::printf("%s%s", inputs(s).c_str(), listing(s).c_str());
            const Result reference = run_on(0, s);
            note(s, reference);
            for (unsigned e = 1; e < engines_.size(); ++e)
                if (!differences(reference, run_on(e, s)).empty()) {
                    report(e, s);
                    return 1;
                }
        }
        summary();
        return 0;
    }

private:
    Machine& machine(unsigned engine, cpu::Vendor vendor) {
        Station& s = stations_[{engine, vendor}];
        if (!s.machine) {
            s.machine = std::make_unique<Machine>(vendor);
            s.attached = engines_[engine]->attach(s.machine->cpu());
        }
        return *s.machine;
    }
    Result run_on(unsigned engine, const Sequence& s) {
        Machine& m = machine(engine, s.vendor);
        m.load(s);
        Processor::Stop stop = Processor::Stop::kDeadline;
        for (std::size_t n = 0; n < s.stops.size(); ++n) {
            stop = engines_[engine]->run(m.cpu(), s.stops[n]);
            if (stop == Processor::Stop::kTripleFault) break;
            if (n + 1 == s.stops.size()) break;
            if (n < s.pokes.size()) m.poke(s.pokes[n]);
            m.interrupt();
        }
        return m.result(stop);
    }
    bool differs(unsigned engine, const Sequence& s) {
        return !differences(run_on(0, s), run_on(engine, s)).empty();
    }

    // Leaves out what the difference does not need.
    Sequence shortened(unsigned engine, Sequence s) {
        for (unsigned n = 0; n < s.insns.size();) {
            Sequence shorter = s;
            std::memset(shorter.memory.data() + kCodePage * kPageSize + s.insns[n].offset, 0x90,
                        s.insns[n].length);
            shorter.insns.erase(shorter.insns.begin() + n);
            if (differs(engine, shorter))
                s = std::move(shorter);
            else
                ++n;
        }
        while (s.stops.size() > 1) {
            Sequence shorter = s;
            shorter.stops.pop_back();
            if (!differs(engine, shorter)) break;
            s = std::move(shorter);
        }
        // The earliest tick at which it shows.
        for (u64 at = 1; at < s.stops.back() && s.stops.size() == 1; ++at) {
            Sequence shorter = s;
            shorter.stops.back() = at;
            if (differs(engine, shorter)) return shorter;
        }
        return s;
    }

    void report(unsigned engine, const Sequence& found) {
        stations_.clear();
        const bool alone = differs(engine, found);
        const Sequence s = alone ? shortened(engine, found) : found;
        const u64 batch = alone ? found.index : options_.first;
        std::printf("lockstep: %s and %s differ: --seed %llu --first %llu --count %llu%s\n",
                    engines_[0]->name(), engines_[engine]->name(),
                    static_cast<unsigned long long>(found.seed),
                    static_cast<unsigned long long>(batch),
                    static_cast<unsigned long long>(found.index - batch + 1),
                    alone ? "" : " (not by itself: it depends on what ran before)");
        const Result a = run_on(0, s), b = run_on(engine, s);
        std::printf("%s%s  %s:\n%s  %s:\n%s%s", inputs(s).c_str(), listing(s).c_str(),
                    engines_[0]->name(), outcome(a).c_str(), engines_[engine]->name(),
                    outcome(b).c_str(), intermediate(s).c_str());
        for (const std::string& d : differences(a, b)) std::printf("  * %s\n", d.c_str());
    }

    void note(const Sequence& s, const Result& r) {
        ticks_ += r.ticks;
        ++ends_[static_cast<unsigned>(r.stop)];
        if (r.ticks >= s.stops.back()) return;
        for (const Happening& h : r.happenings)
            if (h.what < 256) ++events_[h.what];
    }
    void summary() const {
        std::printf("lockstep: %llu sequences, seed %llu, no difference between",
                    static_cast<unsigned long long>(options_.count),
                    static_cast<unsigned long long>(options_.seed));
        for (const auto& e : engines_) std::printf(" %s", e->name());
        std::printf(
            "\nlockstep: %llu instructions each; %llu sequences ran to their limit, %llu "
            "halted, %llu triple faults; events by vector:",
            static_cast<unsigned long long>(ticks_), static_cast<unsigned long long>(ends_[0]),
            static_cast<unsigned long long>(ends_[1]), static_cast<unsigned long long>(ends_[2]));
        for (const auto& [vector, n] : events_)
            std::printf(" %llu:%llu", static_cast<unsigned long long>(vector),
                        static_cast<unsigned long long>(n));
        std::printf("\n");
        for (const auto& e : engines_)
            if (const std::string text = e->statistics(); !text.empty())
                std::printf("lockstep: %s: %s\n", e->name(), text.c_str());
    }

    Options options_;
    Generator generator_;
    std::vector<std::unique_ptr<Engine>> engines_;
    struct Station {
        std::unique_ptr<Machine> machine;
        std::shared_ptr<void> attached;  // the engine's
    };
    std::map<std::pair<unsigned, cpu::Vendor>, Station> stations_;
    u64 ticks_ = 0, ends_[4] = {};
    std::map<u64, u64> events_;
};

int usage() {
    std::fprintf(
        stderr,
        "usage: lockstep [--count N] [--seed S] [--first N] [--row NAME|integer|vector] [--show]\n"
        "                [--threads]                as with thread=multi\n"
        "                [--engines NAME,NAME...]   the first one is the reference\n"
        "engines:");
    for (const std::string& name : engine_names()) std::fprintf(stderr, " %s", name.c_str());
    std::fprintf(stderr, "\n");
    return 2;
}

bool parse(int argc, char** argv, Options& o) {
    for (int n = 1; n < argc; ++n) {
        const std::string arg = argv[n];
        if (arg == "--show") {
            o.show = true;
            continue;
        }
        if (arg == "--threads") {
            Machine::threads = true;
            continue;
        }
        if (++n == argc) return false;
        if (arg == "--count")
            o.count = std::strtoull(argv[n], nullptr, 0);
        else if (arg == "--seed")
            o.seed = std::strtoull(argv[n], nullptr, 0);
        else if (arg == "--first")
            o.first = std::strtoull(argv[n], nullptr, 0);
        else if (arg == "--row")
            o.row = argv[n];
        else if (arg == "--engines") {
            o.engines.clear();
            for (char* name = std::strtok(argv[n], ","); name; name = std::strtok(nullptr, ","))
                o.engines.push_back(name);
        } else
            return false;
    }
    for (const std::string& name : o.engines)
        if (!make_engine(name)) return false;
    return o.engines.size() > 1;
}

}  // namespace

}  // namespace rm::lockstep

int main(int argc, char** argv) {
    rm::lockstep::Options options;
    if (!rm::lockstep::parse(argc, argv, options)) return rm::lockstep::usage();
    return rm::lockstep::Lockstep(options).run();
}
