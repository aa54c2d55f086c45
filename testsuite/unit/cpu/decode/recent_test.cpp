// Instructions that have been decoded before are known by their bytes: what depends on more than
// these is not.
#include <doctest/doctest.h>

#include <array>

#include "cpu/decode/decoder.h"

using namespace rm;
using namespace rm::cpu;

namespace {

Mode mode64(bool user) {
    Mode m;
    m.word = Mode::kPe | Mode::kLma | Mode::kCode64 | (user ? 3u << Mode::kCplShift : 0);
    return m;
}

struct Case {
    Model model = *make_model("max");
    Decoder decoder{model};

    Insn decode(std::initializer_list<int> list, u64 rip, u16 offset = 0, bool user = false) {
        std::array<u8, 16> bytes{};
        u8* p = bytes.data();
        for (const int b : list) *p++ = static_cast<u8>(b);
        Insn i;
        REQUIRE(decoder.decode(bytes, mode64(user), rip, offset, nullptr, i) ==
                Decoder::Status::kOk);
        return i;
    }
};

}  // namespace

TEST_CASE("a branch leads where its distance from the instruction says") {
    Case c;
    for (const u64 rip : {0x1000ull, 0x2000ull, 0xFFFFFFFF81000000ull})
        for (const u16 offset : {0, 7}) {
            CHECK(c.decode({0xEB, 0x10}, rip, offset).imm == rip + offset + 2 + 0x10);
            CHECK(c.decode({0x0F, 0x84, 0xF0, 0xFF, 0xFF, 0xFF}, rip, offset).imm ==
                  rip + offset + 6 - 0x10);
            CHECK(c.decode({0xEB, 0x10}, rip, offset).offset == offset);
        }
}

TEST_CASE("so does an operand relative to RIP") {
    Case c;
    const Insn a = c.decode({0x48, 0x8B, 0x05, 4, 0, 0, 0}, 0x1000),
               b = c.decode({0x48, 0x8B, 0x05, 4, 0, 0, 0}, 0x3000);
    CHECK(b.disp - a.disp == 0x2000);
}

TEST_CASE("immediates and displacements of like instructions are their own") {
    Case c;
    for (int twice = 0; twice < 2; ++twice)
        for (const int k : {1, 2, 3}) {
            CHECK(c.decode({0x48, 0x81, 0xC0, k, 0, 0, 0}, 0x1000).imm == static_cast<u64>(k));
            CHECK(c.decode({0x48, 0x8B, 0x43, k}, 0x1000).disp == k);
        }
}

TEST_CASE("the mode counts: HLT at CPL 3 is not HLT") {
    Case c;
    const Insn kernel = c.decode({0xF4}, 0x1000), user = c.decode({0xF4}, 0x1000, 0, true);
    CHECK((kernel.fn != user.fn));
    CHECK((c.decode({0xF4}, 0x1000).fn == kernel.fn));
}
