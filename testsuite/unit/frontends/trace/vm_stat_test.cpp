#include "frontends/trace/vm_stat.h"

#include <doctest/doctest.h>

#include "test_support.h"

using namespace rm;
using namespace rm::frontends::trace;
using namespace rm::vt::common;

namespace {

struct Run {
    VmStat stat;
    u64 ns = 0;

    void exit(unsigned vcpu, u64 at, u64 instructions, u64 reason, const char* name,
              Vendor vendor = Vendor::kVmx) {
        ExitRecord r;
        r.vcpu = vcpu;
        r.ns = at;
        r.reason = reason;
        r.reason_name = name;
        r.vendor = vendor;
        stat.exit(r, instructions);
    }
    void entry(unsigned vcpu, u64 at, u64 instructions) {
        EntryRecord r;
        r.vcpu = vcpu;
        r.ns = at;
        stat.entry(r, instructions);
    }
};

}  // namespace

TEST_CASE("the table") {
    Run run;
    CHECK(run.stat.table() == "\nNo VM exits.\n");
    run.entry(0, 50, 10);  // the first launch belongs to no exit
    run.exit(0, 1000, 100, 12, "HLT");
    run.exit(1, 1500, 7, 10, "CPUID");  // another vCPU in between
    run.entry(1, 2500, 57);
    run.entry(0, 9000, 150);
    run.exit(0, 10000, 200, 10, "CPUID");
    run.entry(0, 13000, 350);
    run.entry(0, 14000, 360);              // no exit before it: not counted
    run.exit(0, 20000, 400, 10, "CPUID");  // never answered
    EntryFailure failure;
    run.stat.entry_failed(failure);
    CHECK(run.stat.table() ==
          "\nAnalyze events for all vCPUs, L2 guests under VMX:\n\n"
          "                   VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time       "
          "   "
          "      Avg time  Min insns  Max insns    Avg insns\n\n"
          "                     CPUID          3    75.00%    33.33%      1.00us      3.00us      "
          "2.00us ( +-  50.00% )         50        150       100.00\n"
          "                       HLT          1    25.00%    66.67%      8.00us      8.00us      "
          "8.00us ( +-   0.00% )         50         50        50.00\n"
          "\nTotal Samples: 4, Total events handled time: 12.00us, instructions: 250, failed "
          "entries: 1.\n");
}

TEST_CASE("one table for each vendor, and printing") {
    Run run;
    run.exit(0, 0, 0, 12, "HLT");
    run.entry(0, 4, 1);
    run.exit(0, 8, 2, 0x78, "HLT", Vendor::kSvm);
    run.entry(0, 16, 4);
    const std::string table = run.stat.table();
    CHECK(table.find("under VMX") < table.find("under SVM"));
    trace_test::TempFile file;
    auto out = *OutputFile::open(file.path());
    CHECK(run.stat.print(*out).has_value());
    CHECK(file.content() == table);
    std::FILE* full = std::fopen("/dev/full", "w");
    REQUIRE(full);
    const auto status = run.stat.print(full);
    std::fclose(full);
    REQUIRE_FALSE(status.has_value());
    CHECK(status.error().message == "VM exit statistic: No space left on device");
}
