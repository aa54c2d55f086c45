// Capstone as the second opinion on instruction lengths: random bytes behind random prefixes, in
// the three code sizes. Compared where both decoders know the instruction and it has a row.
#include <capstone/capstone.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "cpu/decode/decoder.h"

using namespace rm;
using namespace rm::cpu;

namespace {

struct Random {
    u64 state = 88172645463325252;
    u64 next() {
        state ^= state << 13;
        state ^= state >> 7;
        return state ^= state << 17;
    }
    unsigned below(unsigned n) { return static_cast<unsigned>((next() >> 20) % n); }
};

std::array<u8, 16> candidate(Random& random) {
    static constexpr u8 kPrefixes[] = {0x66, 0x67, 0xF2, 0xF3, 0xF0, 0x2E,
                                       0x36, 0x3E, 0x26, 0x64, 0x65};
    std::array<u8, 16> b;
    for (u8& byte : b) byte = static_cast<u8>(random.next() >> 30);
    unsigned at = 0;
    for (unsigned n = random.below(3); n > 0; --n)
        b[at++] = kPrefixes[random.below(std::size(kPrefixes))];
    if (random.below(3) == 0) b[at++] = static_cast<u8>(0x40 | random.below(16));
    if (random.below(2) == 0) b[at++] = 0x0F;
    return b;
}

// Where Capstone 4 does not follow the manuals, by mnemonic; `needs`: only with this prefix (0:
// always).
struct Dissent {
    const char* mnemonic;
    u8 needs;
};
constexpr Dissent kDissents[] = {
    {"ud0", 0},          // has a ModRM byte (SDM 2B 4.3, UD); #UD either way
    {"ud2b", 0},         // UD1, the same
    {"vmread", 0x66},    // SSE4a's EXTRQ and INSERTQ with prefixes around 66H and F2H (APM4)
    {"vmread", 0xF2},    // the same
    {"extrq", 0x67},     // takes 67H for 66H: VMREAD
    {"ret", 0},          // always imm16, also with REX.W (SDM 2B 4.3, RET)
    {"bnd ret", 0},      // the same
    {"retf", 0},         // the same
    {"retfq", 0},        // the same
    {"call", 0x66},      // 16 or 32 bits by the order of the prefixes, and in spite of REX.W
    {"call", 0x67},      // takes the address size for the operand size
    {"bnd call", 0x66},  // as without F2H
    {"bnd call", 0x67},  // the same
    {"push", 0x66},      // imm16 with 66H, also behind F2H and F3H (SDM 2B 4.3, PUSH)
};
bool dissents(const cs_insn& c, std::span<const u8> bytes) {
    for (const Dissent& d : kDissents)
        if (std::string_view(c.mnemonic) == d.mnemonic &&
            (d.needs == 0 ||
             std::find(bytes.begin(), bytes.begin() + 6, d.needs) != bytes.begin() + 6))
            return true;
    return false;
}

std::string hex(std::span<const u8> bytes) {
    std::string out;
    for (u8 b : bytes) (out += "0123456789abcdef"[b >> 4]) += "0123456789abcdef"[b & 15];
    return out;
}

struct Capstone {
    csh handle = 0;
    cs_insn* insn = nullptr;
    explicit Capstone(unsigned bits) {
        REQUIRE(cs_open(CS_ARCH_X86,
                        bits == 16   ? CS_MODE_16
                        : bits == 32 ? CS_MODE_32
                                     : CS_MODE_64,
                        &handle) == CS_ERR_OK);
        insn = cs_malloc(handle);
    }
    ~Capstone() {
        cs_free(insn, 1);
        cs_close(&handle);
    }
    bool decode(std::span<const u8> bytes) {
        const u8* at = bytes.data();
        size_t left = 15;
        u64 address = 0x1000;
        return cs_disasm_iter(handle, &at, &left, &address, insn);
    }
};

}  // namespace

TEST_CASE("Zydis and Capstone agree on lengths") {
    // AMD's model: Capstone too takes 66H before a near branch in 64-bit code as a 16-bit branch
    // (APM3 1.2.4), where Intel's processors ignore it.
    const Model amd = *make_model("max,+svm"), intel = *make_model("max");
    Decoder amd_decoder(amd), intel_decoder(intel);
    Random random;
    unsigned compared = 0, differing = 0, branches = 0;
    for (const unsigned size_log2 : {1u, 2u, 3u}) {
        Capstone capstone(8u << size_log2);
        const Mode mode{(size_log2 - 1) | Mode::kPe | Mode::kOsfxsr | Mode::kOsxsave};
        for (unsigned n = 0; n < 60000; ++n) {
            const auto bytes = candidate(random);
            Insn ours, intels;
            REQUIRE(amd_decoder.decode(bytes, mode, 0x1000, 0, nullptr, ours) ==
                    Decoder::Status::kOk);
            REQUIRE(intel_decoder.decode(bytes, mode, 0x1000, 0, nullptr, intels) ==
                    Decoder::Status::kOk);
            if (ours.row == 0xFFFF || !capstone.decode(bytes)) continue;
            ++compared;
            if (intels.row == ours.row && intels.length != ours.length) {
                ++branches;
                CHECK_MESSAGE(intels.length == ours.length + 2, hex(bytes));
            }
            if (capstone.insn->size == ours.length || dissents(*capstone.insn, bytes)) continue;
            if (++differing < 10)
                MESSAGE((8u << size_log2), " bits, ", hex(bytes), ": ", int{ours.length},
                        " bytes; Capstone: ", capstone.insn->size, " ", capstone.insn->mnemonic,
                        " ", capstone.insn->op_str);
        }
    }
    CHECK(compared > 60000);
    CHECK(branches > 50);
    CHECK(differing == 0);
}

TEST_CASE("F3 90 is PAUSE, with REX.B an exchange with R8 of the same length") {
    const Model model = *make_model("max");
    Decoder decoder(model);
    const Mode mode{Mode::kCode64 | Mode::kPe};
    const auto row_of = [&](std::initializer_list<u8> list, unsigned& length) {
        std::array<u8, 15> bytes{};
        std::copy(list.begin(), list.end(), bytes.begin());
        Insn insn;
        REQUIRE(decoder.decode(bytes, mode, 0, 0, nullptr, insn) == Decoder::Status::kOk);
        length = insn.length;
        return std::string(insn.row == 0xFFFF ? "none" : instruction_rows()[insn.row].name);
    };
    unsigned n = 0;
    CHECK(row_of({0xF3, 0x90}, n) == "PAUSE");
    CHECK(n == 2);
    CHECK(row_of({0xF3, 0x4E, 0x90}, n) == "PAUSE");
    CHECK(n == 3);
    CHECK(row_of({0xF3, 0x41, 0x90}, n) == "XCHG");
    CHECK(n == 3);
    CHECK(row_of({0x66, 0xF3, 0xF3, 0x41, 0x90}, n) == "XCHG");
    CHECK(n == 5);
}
