// The host-flag fast paths of alu.h against their portable twins, and the condition codes.
#include <doctest/doctest.h>

#include <random>

#include "cpu/interpreter/alu.h"

using namespace rm;
using namespace rm::cpu;

namespace {

template <class T>
void compare_with_portable() {
    std::mt19937_64 random(sizeof(T));
    const T corners[] = {0,
                         1,
                         2,
                         0xF,
                         0x10,
                         static_cast<T>(~T{0}),
                         static_cast<T>(T{1} << (sizeof(T) * 8 - 1)),
                         static_cast<T>((T{1} << (sizeof(T) * 8 - 1)) - 1)};
    auto pick = [&]() -> T {
        const u64 r = random();
        return (r & 7) == 0 ? corners[(r >> 8) % std::size(corners)] : static_cast<T>(random());
    };
    for (int n = 0; n < 20000; ++n) {
        const T a = pick(), b = pick();
        const bool c = random() & 1;
        const auto same = [](Alu<T> x, Alu<T> y) {
            return x.value == y.value && x.flags == y.flags;
        };
        REQUIRE(same(alu::add(a, b), alu::adc_portable(a, b, false)));
        REQUIRE(same(alu::sub(a, b), alu::sbb_portable(a, b, false)));
        REQUIRE(same(alu::adc(a, b, c), alu::adc_portable(a, b, c)));
        REQUIRE(same(alu::sbb(a, b, c), alu::sbb_portable(a, b, c)));
        REQUIRE(alu::logic(a).flags == alu::result_flags(a));
    }
}

}  // namespace

TEST_CASE("host-flag arithmetic equals the portable definition") {
    compare_with_portable<u8>();
    compare_with_portable<u16>();
    compare_with_portable<u32>();
    compare_with_portable<u64>();
}

TEST_CASE("condition codes") {
    const auto flags = [](u8 a, u8 b) { return alu::sub<u8>(a, b).flags; };
    CHECK(alu::condition<2>(flags(1, 2)));      // B
    CHECK(alu::condition<12>(flags(0xFF, 1)));  // L: -1 < 1
    CHECK_FALSE(alu::condition<2>(flags(0xFF, 1)));
    CHECK(alu::condition<15>(flags(2, 0xFF)));  // NLE: 2 > -1
    CHECK(alu::condition<4>(flags(5, 5)));
    CHECK(alu::condition<6>(flags(5, 5)));
    CHECK(alu::condition<0>(flags(0x80, 1)));  // O
}

TEST_CASE("shifts by zero keep the flags, by one set OF as the manual says") {
    const Cc old = kCcAll | kCcFixed;
    CHECK(alu::shl<u32>(5, 0, old).flags == old);
    CHECK(alu::shl<u32>(5, 32, old).flags == old);
    CHECK((alu::shl<u32>(0x40000000, 1, 0).flags & kCcOf) != 0);
    CHECK((alu::sar<u8>(0x80, 1, old).flags & kCcOf) == 0);
    CHECK(alu::rcl<u8>(0x80, 9, kCcCf).value == 0x80);
    CHECK(alu::rcr<u64>(1, 1, 0).value == 0);
    CHECK((alu::rcr<u64>(1, 1, 0).flags & kCcCf) != 0);
    CHECK(alu::shld<u16>(0x1234, 0xABCD, 4, 0).value == 0x234A);
    CHECK(alu::shrd<u64>(0x1, 0x2, 1, 0).value == 0);
}

TEST_CASE("division errors") {
    Division<u32> d{};
    CHECK_FALSE(alu::div<u32>(0, 1, 0, d));
    CHECK_FALSE(alu::div<u32>(1, 0, 1, d));
    CHECK(alu::idiv<u32>(0xFFFFFFFF, 0xFFFFFFFE, 2, d));
    CHECK(d.quotient == 0xFFFFFFFF);
    Division<u64> q{};
    CHECK_FALSE(alu::idiv<u64>(~u64{0}, u64{1} << 63, ~u64{0}, q));  // -2^63 / -1
}
