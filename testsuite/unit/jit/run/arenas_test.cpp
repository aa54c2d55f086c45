// Arenas of code memory, and the points' numbers that go with them.
#include <doctest/doctest.h>

#include "jit/run/points.h"

using namespace rm;
using namespace rm::jit;

TEST_CASE("arenas do not overlap and leave what was taken before alone") {
    auto made = CodeMemory::create(1 << 20);
    REQUIRE(made.has_value());
    CodeMemory& code = **made;
    const u8* const fixed = code.next() + code.executable_delta();
    code.take(100);
    code.divide();
    CHECK(code.arena() == 0);
    for (unsigned n = 0; n < CodeMemory::kArenas; ++n) {
        CHECK_FALSE(code.holds(n, fixed));
        code.use(n);
        CHECK(code.arena() == n);
        const std::size_t bytes = code.left();
        CHECK(bytes > (100u << 10));
        const u8* const first = code.next() + code.executable_delta();
        const u8* const last = first + bytes - 1;
        for (unsigned other = 0; other < CodeMemory::kArenas; ++other) {
            CHECK(code.holds(other, first) == (other == n));
            CHECK(code.holds(other, last) == (other == n));
        }
        code.take(bytes - 1);
        CHECK(code.left() == 0);
        *(code.next() - 1) = 0xC3;  // all of it is there
    }
    code.use(0);
    CHECK(code.left() > (100u << 10));
}

TEST_CASE("points keep their numbers until their arena is used again") {
    Points points;
    Point p;
    p.insn = 1;
    const u32 a = points.add(p);
    points.use(7);
    const u32 first = points.end();
    p.insn = 2;
    const u32 b = points.add(p);
    p.insn = 3;
    const u32 c = points.add(p);
    CHECK(b == first);
    CHECK(c == first + 1);
    CHECK(Points::arena_of(a) == 0);
    CHECK(Points::arena_of(b) == 7);
    CHECK(points[a].insn == 1);
    CHECK(points[b].insn == 2);
    CHECK(points.left() == Points::kPerArena - 2);
    points.cut(c);
    CHECK(points.end() == c);
    CHECK(points[b].insn == 2);
    points.use(0);
    CHECK(points.of(0).empty());
    CHECK(points.end() == 0);
    CHECK(points[b].insn == 2);
}
