#include "frontends/trace/single_step.h"

#include <doctest/doctest.h>

#include "test_support.h"

using namespace rm;
using namespace rm::frontends::trace;
using namespace trace_test;

TEST_CASE("which instructions a level gets") {
    const Symbols none;
    auto file = *OutputFile::open("/dev/null");
    SingleStep guest(2, file, Format::kText, none), host(1, file, Format::kText, none);
    CHECK(guest.wanted(0, true));
    CHECK_FALSE(guest.wanted(0, false));
    CHECK_FALSE(host.wanted(0, false));  // nothing before the first exit
    host.first_exit_seen(0);
    CHECK(host.wanted(0, false));
    CHECK_FALSE(host.wanted(0, true));
    CHECK_FALSE(host.wanted(1, false));  // another vCPU
    CHECK(guest.needs() == 0);
}

TEST_CASE("instruction lines") {
    Symbols symbols;
    TempFile elf(make_elf64({{"func", 0xffffffff81000000, 0x10}}));
    REQUIRE(symbols.load(2, elf.path()).has_value());
    auto file = *OutputFile::open("/dev/null");
    const u8 code[] = {0x48, 0x89, 0xD8};
    SingleStep::Step step{.vcpu = 2,
                          .tick = 77,
                          .ns = 308,
                          .rip = 0xffffffff81000003,
                          .linear = 0xffffffff81000003,
                          .cpl = 3,
                          .code_size = 8,
                          .bytes = code};
    SingleStep text(2, file, Format::kText, symbols), json(2, file, Format::kJsonl, symbols);
    CHECK(text.step_line(step) ==
          "            77 0.000000308 cpu2 L2 insn cpl=3 rip=0xffffffff81000003 <func+0x3> "
          "bytes=4889d8 insn=\"mov rax, rbx\"");
    CHECK(json.step_line(step) ==
          R"({"event":"insn","vcpu":2,"level":"L2","insns":77,"ns":308,"cpl":3,)"
          R"("rip":"0xffffffff81000003","rip_symbol":"func+0x3","bytes":"4889d8",)"
          R"("insn":"mov rax, rbx"})");
    step.bytes = {};
    CHECK(text.step_line(step).ends_with("<func+0x3>"));
}
