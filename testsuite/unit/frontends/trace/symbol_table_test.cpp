#include "frontends/trace/symbol_table.h"

#include <doctest/doctest.h>

#include "test_support.h"

using namespace rm::frontends::trace;
using namespace trace_test;

namespace {

constexpr u64 kText = 0xffffffff81000000;

std::string describe(const SymbolTable& table, u64 address) {
    const auto m = table.lookup(address);
    return m ? std::string(m->name) + "+" + std::to_string(m->offset) : "";
}

std::string error_of(const std::string& content) {
    TempFile file(content);
    const auto table = SymbolTable::load(file.path());
    if (table) return "";
    CHECK(table.error().message.find(file.path()) != std::string::npos);
    CHECK(table.error().message.find('\n') == std::string::npos);
    return table.error().message;
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("64-bit symbols: nearest function within its size") {
    TempFile file(make_elf64({{"start", kText, 0x20},
                              {"middle", kText + 0x100, 0x100},
                              {"local_alias", kText + 0x100, 0x100, STT_FUNC, STB_LOCAL},
                              {"inner", kText + 0x110, 4},
                              {"label", kText + 0x300, 0, STT_NOTYPE},
                              {"last", kText + 0xF00, 0x9000},
                              {"data", kText + 0x10, 8, STT_OBJECT},
                              {"elsewhere", 0x1000, 8, STT_FUNC, STB_GLOBAL, SHN_ABS}}));
    const auto table = SymbolTable::load(file.path());
    REQUIRE(table.has_value());
    CHECK(table->size() == 5);
    CHECK(describe(*table, kText) == "start+0");
    CHECK(describe(*table, kText + 0x1F) == "start+31");
    CHECK(describe(*table, kText + 0x20) == "");
    CHECK(describe(*table, kText + 0x112) == "inner+2");
    CHECK(describe(*table, kText + 0x114) == "middle+20");
    CHECK(describe(*table, kText + 0x200) == "");
    CHECK(describe(*table, kText + 0x300) == "label+0");
    CHECK(describe(*table, kText + 0xEFF) == "label+3071");
    CHECK(describe(*table, kText + 0xFFF) == "last+255");
    CHECK(describe(*table, kText + 0x1000) == "");  // the section ends here
    CHECK(describe(*table, kText - 1) == "");
    CHECK(describe(*table, ~u64{0}) == "");
    CHECK(describe(*table, 0x1004) == "");
}

TEST_CASE("32-bit symbols and levels") {
    TempFile l1(make_elf64({{"vmx_vmexit", kText, 0x10}})),
        l2(make_elf32({{"kernel", 0xc0100000, 0}}));
    Symbols symbols;
    REQUIRE(symbols.load(1, l1.path()).has_value());
    REQUIRE(symbols.load(2, l2.path()).has_value());
    CHECK(symbols.describe(1, kText + 10) == "vmx_vmexit+0xa");
    CHECK(symbols.describe(2, 0xc0100ABC) == "kernel+0xabc");
    CHECK(symbols.describe(2, kText) == "");
    CHECK(symbols.describe(3, kText) == "");
    CHECK(symbols.describe(99, kText) == "");
    CHECK_FALSE(symbols.load(99, l1.path()).has_value());
}

TEST_CASE("names are made printable") {
    TempFile file(make_elf64({{"a\x01 b\xff", kText, 0x10}}));
    const auto table = SymbolTable::load(file.path());
    REQUIRE(table.has_value());
    CHECK(describe(*table, kText) == "a??b?+0");
}

TEST_CASE("bad symbol files: one line naming file and cause") {
    const std::string good = make_elf64({{"start", kText, 0x20}});
    CHECK(contains(error_of(""), "empty"));
    CHECK(contains(error_of("hello, world"), "not an ELF file"));
    CHECK(contains(error_of("\x7f"), "not an ELF file"));
    CHECK(contains(error_of("\x1f\x8b\x08\x01garbage"), "compressed with gzip"));
    CHECK(contains(error_of(good.substr(0, 16)), "damaged ELF"));
    CHECK(contains(error_of(good.substr(0, 70)), "truncated"));
    CHECK_FALSE(error_of(good.substr(0, good.size() - 70)).empty());
    CHECK(contains(error_of(make_elf64({{"s", kText, 1}}, EM_AARCH64)), "another machine"));
    CHECK(contains(error_of(make_elf64({{"data", kText, 1, STT_OBJECT}})), "names no code"));
    const auto missing = SymbolTable::load("/nonexistent/vmlinux");
    REQUIRE_FALSE(missing.has_value());
    CHECK(contains(missing.error().message, "/nonexistent/vmlinux"));
    CHECK(contains(missing.error().message, "No such file"));
    CHECK(contains(SymbolTable::load("/").error().message, "not a regular file"));
}

TEST_CASE("random damage never crashes") {
    const std::string good = make_elf64({{"start", kText, 0x20}, {"next", kText + 0x40, 0x20}});
    u32 state = 12345;
    const auto next = [&] { return state = state * 1664525 + 1013904223, state >> 8; };
    for (unsigned round = 0; round < 2000; ++round) {
        std::string bad = good;
        for (unsigned n = 0; n < 6; ++n) bad[next() % bad.size()] = static_cast<char>(next());
        if (next() % 3 == 0) bad.resize(next() % bad.size());
        TempFile file(bad);
        if (const auto table = SymbolTable::load(file.path()); table)
            (void)table->lookup(kText + next() % 0x2000);
        else
            CHECK(table.error().message.find('\n') == std::string::npos);
    }
}
