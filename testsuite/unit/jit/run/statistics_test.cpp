// The text of -accel jit,stats: shares and rates, also of nothing.
#include <doctest/doctest.h>

#include "jit/run/statistics.h"

using namespace rm;
using namespace rm::jit;

namespace {
bool has_line(const std::string& text, const std::string& name, const std::string& rest) {
    const auto at = text.find("\n" + name + " ");
    if (at == std::string::npos) return false;
    const std::string line = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
    return line.ends_with(" " + rest);
}
}  // namespace

TEST_CASE("shares are of what they belong to") {
    Statistics s;
    s.retired = 4000;
    s.in_translated_code = 2000;
    s.called = 40;
    s.touches = 3;
    s.instructions = 10;
    s.interpreted_instructions = 1;
    s.seconds[static_cast<unsigned>(Part::kTranslated)] = 1.5;
    s.seconds[static_cast<unsigned>(Part::kFlags)] = 0.5;
    const std::string text = s.text(3);
    CHECK(text.starts_with("translator of processor 3\n"));
    CHECK(has_line(text, "  in translated code", "2000  50.00 %"));
    CHECK(has_line(text, "  interpreted, called by translated code", "40   1.00 %"));
    CHECK(has_line(text, "  interpreted otherwise", "1960  49.00 %"));
    CHECK(has_line(text, "  of these interpreted", "1  10.00 %"));
    CHECK(has_line(text, "TLB refills for data", "3  1.500 per 1000"));
    CHECK(has_line(text, "milliseconds in translated code", "1500  75.00 %"));
    CHECK(has_line(text, "milliseconds computing flags late", "500  25.00 %"));
}

TEST_CASE("nothing has run") {
    const std::string text = Statistics{}.text(0);
    CHECK(has_line(text, "  in translated code", "0   0.00 %"));
    CHECK(has_line(text, "milliseconds elsewhere", "0   0.00 %"));
    CHECK(text.find("called most") == std::string::npos);
}

TEST_CASE("interpreter calls are listed by instruction, the most first") {
    Statistics s;
    s.calls_by_row = {5, 0, 7};
    const std::string text = s.text(0);
    const auto first = text.find("called most: ");
    REQUIRE(first != std::string::npos);
    CHECK(text.find(" 7\n", first) < text.find(" 5\n", first));
}

TEST_CASE("a clock that is off counts nothing; one that is on, all of the time") {
    PartClock off(false);
    { const PartClock::In part(off, Part::kTranslated); }
    for (const double s : off.seconds()) CHECK(s == 0);
    PartClock on(true);
    {
        const PartClock::In outer(on, Part::kTranslated);
        const PartClock::In inner(on, Part::kFlags);
    }
    const auto seconds = on.seconds();
    CHECK(seconds[static_cast<unsigned>(Part::kElsewhere)] > 0);
    CHECK(seconds[static_cast<unsigned>(Part::kTranslated)] > 0);
    CHECK(seconds[static_cast<unsigned>(Part::kFlags)] > 0);
    CHECK(seconds[static_cast<unsigned>(Part::kRefilling)] == 0);
}
