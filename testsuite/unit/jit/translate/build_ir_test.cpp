// The builder on every form of every instruction row, found by decoding every opcode under every
// prefix set: what it builds passes the verifier, and what must be built natively is.
#include "jit/translate/build_ir.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>

#include "cpu/decode/decoder.h"
#include "jit/ir/print.h"
#include "jit/ir/verify.h"
#include "jit/translate/rows.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::jit;
using ir::Code;

namespace {

constexpr u64 kRip = 0x401000;

constexpr Mode kLong{Mode::kCode64 | Mode::kPe | Mode::kLma | Mode::kOsfxsr};
constexpr Mode kFlat32{Mode::kCode32 | Mode::kStack32 | Mode::kPe | Mode::kFlat | Mode::kOsfxsr};
constexpr Mode kSegmented32{Mode::kCode32 | Mode::kStack32 | Mode::kPe | Mode::kOsfxsr};
constexpr Mode kReal{Mode::kOsfxsr};

ir::Block build(const Insn& insn, Mode mode) {
    ir::Block block;
    build_ir(block, {&insn, 1}, {.mode = mode, .block_rip = kRip, .counted_time = true});
    return block;
}
bool interpreted(const ir::Block& block) { return block.ops[1].code == Code::interp; }

// Calls f(insn) for every encoding with one ModRM byte and no further bytes but zeros.
template <class F>
void each_encoding(Decoder& decoder, Mode mode, F&& f) {
    const std::initializer_list<u8> kMaps[] = {{}, {0x0F}, {0x0F, 0x38}, {0x0F, 0x3A}};
    const std::initializer_list<u8> kPrefixes[] = {
        {}, {0x66}, {0xF3}, {0xF2}, {0x67}, {0x66, 0xF2}, {0x66, 0xF3}, {0x2E}, {0x65}, {0xF0}};
    u8 bytes[15];
    Insn insn;
    for (const auto& map : kMaps)
        for (unsigned opcode = 0; opcode < 256; ++opcode)
            for (const auto& prefixes : kPrefixes)
                for (unsigned w = 0; w < (mode.code64() ? 2u : 1u); ++w)
                    for (unsigned modrm = 0; modrm < 256;
                         modrm = modrm == 0x3F ? 0xC0 : modrm + 1) {
                        u8* p = bytes;
                        for (u8 b : prefixes) *p++ = b;
                        if (w) *p++ = 0x48;
                        for (u8 b : map) *p++ = b;
                        *p++ = static_cast<u8>(opcode);
                        *p++ = static_cast<u8>(modrm);
                        std::fill(p, bytes + sizeof bytes, u8{0});
                        if (decoder.decode(bytes, mode, kRip, 0, nullptr, insn) ==
                                Decoder::Status::kOk &&
                            insn.row != 0xFFFF)
                            f(insn);
                    }
}

Model everything() {
    Model m = *make_model("max");
    for (unsigned f = 1; f < static_cast<unsigned>(Feature::kCount); ++f)
        m.features.add(static_cast<Feature>(f));
    return m;
}

struct Seen {
    std::set<std::string> rows, native;  // with a builder; that were built at least once
    u64 forms = 0;
};

Seen build_all(Mode mode) {
    const Model model = everything();
    Decoder decoder(model);
    Seen seen;
    each_encoding(decoder, mode, [&](const Insn& insn) {
        const ir::Block block = build(insn, mode);
        ++seen.forms;
        if (const auto offence = ir::verify(block))
            FAIL_CHECK(*offence << "\n" << ir::print(block, {&insn, 1}, kRip));
        for (const ir::Op& op : block.ops)
            if (op.code == Code::store || op.code == Code::store_vec || op.code == Code::rmw)
                CHECK((mode.code64() || block[op.a].m != kCs));
        const Row& row = instruction_rows()[insn.row];
        if (!build_rows()[insn.row] || insn.fn != row.select(insn)) {
            CHECK(interpreted(block));
            return;
        }
        seen.rows.insert(row.name);
        if (!interpreted(block)) seen.native.insert(row.name);
    });
    return seen;
}

Insn decoded(std::initializer_list<u8> bytes, Mode mode) {
    static const Model model = everything();
    static Decoder decoder(model);
    u8 padded[15] = {};
    std::copy(bytes.begin(), bytes.end(), padded);
    Insn insn;
    REQUIRE(decoder.decode(padded, mode, kRip, 0, nullptr, insn) == Decoder::Status::kOk);
    return insn;
}
std::string text(std::initializer_list<u8> bytes, Mode mode = kLong) {
    const Insn insn = decoded(bytes, mode);
    return ir::print(build(insn, mode));
}

}  // namespace

TEST_CASE("there is a builder slot for every row") {
    CHECK(build_rows().size() == instruction_rows().size());
}

TEST_CASE("every row with a builder is built in 64-bit code") {
    const Seen seen = build_all(kLong);
    CHECK(seen.forms > 50000);
    // State that is the x87 unit's, and what has a form of its own in the interpreter.
    const std::set<std::string> expected{"CVTPD2PI",   "CVTPS2PI", "CVTTPD2PI", "CVTTPS2PI",
                                         "MASKMOVDQU", "MOVDQ2Q",  "MOVQ2DQ"};
    std::set<std::string> interpreted_rows;
    for (const std::string& row : seen.rows)
        if (!seen.native.contains(row)) interpreted_rows.insert(row);
    CHECK(interpreted_rows == expected);
}

TEST_CASE("every row with a builder is built in flat 32-bit code") {
    const Seen seen = build_all(kFlat32);
    for (const char* row : {"ADD", "CMPXCHG", "BTS", "PUSH", "POP", "CALL", "RET", "LEAVE", "CWDE"})
        CHECK_MESSAGE(seen.native.contains(row), row);
}

TEST_CASE("segments that are not flat: no memory operand, no branch, no stack") {
    for (Mode mode : {kSegmented32, kReal}) {
        const Model model = everything();
        Decoder decoder(model);
        each_encoding(decoder, mode, [&](const Insn& insn) {
            const ir::Block block = build(insn, mode);
            if (const auto offence = ir::verify(block))
                FAIL_CHECK(*offence << "\n" << ir::print(block, {&insn, 1}, kRip));
            for (const ir::Op& op : block.ops) {
                const bool memory = op.code == Code::load || op.code == Code::store ||
                                    op.code == Code::rmw || op.code == Code::load_vec ||
                                    op.code == Code::store_vec;
                const bool branch = op.code == Code::jump || op.code == Code::jump_if;
                CHECK_FALSE((memory || branch));
            }
        });
    }
}

TEST_CASE("what cannot be native is interpreted") {
    CHECK(text({0xF4}).starts_with("insn 0\n  interp 0\n"));        // HLT
    CHECK(text({0x0F, 0x0B}) == "insn 0\n  interp 0\n");            // UD2
    CHECK(text({0x0F, 0xA2}).starts_with("insn 0\n  interp 0\n"));  // CPUID
    CHECK(text({0x66, 0x67, 0x8B, 0x07}, kFlat32).find("interp") != std::string::npos);
    CHECK(text({0x2E, 0x89, 0x00}, kFlat32).find("interp") != std::string::npos);  // CS write
    CHECK(text({0x2E, 0x89, 0x00}, kLong).find("interp") == std::string::npos);
    CHECK(text({0x64, 0x8B, 0x00}, kFlat32).find("interp") != std::string::npos);  // FS
}

TEST_CASE("blocks end with a jump, or an interpreted instruction that ends them") {
    CHECK(text({0x90}) == "insn 0\n  jump_to 0x401001\n");
    CHECK(text({0x75, 0x10}) ==
          "insn 0\n  %1 = condition.nz ; reads Z\n  jump_if 0x401012, %1\n  jump_to 0x401002\n");
    CHECK(text({0xEB, 0xFE}) == "insn 0\n  jump_to 0x401000\n");
    CHECK(text({0xD9, 0xD8}) == "insn 0\n  interp 0\n  jump_to 0x401002\n");  // FSTPNCE
    CHECK(text({0xCF}) == "insn 0\n  interp 0\n");                            // IRET
}

TEST_CASE("instructions may be interpreted on demand, and follow each other") {
    Insn insns[3];
    for (u16 n = 0; n < 3; ++n) {
        insns[n] = decoded({0x01, 0xC8}, kLong);  // ADD EAX, ECX
        insns[n].offset = static_cast<u16>(2 * n);
    }
    const bool interpret[] = {false, true};
    ir::Block block;
    build_ir(block, insns, {.mode = kLong, .block_rip = kRip}, interpret);
    CHECK(!ir::verify(block));
    CHECK(ir::print(block, insns, kRip) ==
          "insn 0 401000 ADD\n"
          "  %1 = get.32 ecx\n"
          "  %2 = get.32 eax\n"
          "  %3 = add.32 %2, %1 ; sets OSZAPC\n"
          "  put.32 eax, %3\n"
          "insn 1 401002 ADD\n"
          "  interp 1\n"
          "insn 2 401004 ADD\n"
          "  %8 = get.32 ecx\n"
          "  %9 = get.32 eax\n"
          "  %10 = add.32 %9, %8 ; sets OSZAPC\n"
          "  put.32 eax, %10\n"
          "  jump_to 0x401006\n");
}

TEST_CASE("the vector families' builders are in the rows' order") {
    CHECK(text({0x66, 0x0F, 0xFC, 0xC1}).find(" vec.paddb ") != std::string::npos);
    CHECK(text({0x66, 0x0F, 0xFE, 0xC1}).find(" vec.paddd ") != std::string::npos);
    CHECK(text({0x0F, 0x28, 0xC1}).find("put_xmm xmm0, %1") != std::string::npos);  // MOVAPS
    CHECK(text({0x0F, 0x58, 0xC1}).find(" vec_fp.addps ") != std::string::npos);
    CHECK(text({0xF2, 0x0F, 0x5E, 0xC1}).find(" vec_fp.divsd ") != std::string::npos);
    CHECK(text({0x66, 0x0F, 0x38, 0x40, 0xC1}).find(" vec.pmulld ") != std::string::npos);
    CHECK(text({0x66, 0x0F, 0x38, 0xDC, 0xC1}).find(" vec.aesenc ") != std::string::npos);
    CHECK(text({0xF2, 0x0F, 0x38, 0xF1, 0xC1}).find(" crc32.32 ") != std::string::npos);
}

TEST_CASE("x87 instructions are one operation") {
    CHECK(text({0xD9, 0xE8}) == "insn 0\n  x87 0\n  jump_to 0x401002\n");  // FLD1
    CHECK(text({0xDB, 0x3F}) ==                                            // FSTP m80 [RDI]
          "insn 0\n  %1 = get.64 rdi\n  %2 = address.64 ds:[%1]\n  x87 0, %2\n"
          "  jump_to 0x401002\n");
    CHECK(text({0xDB, 0xF1}) == "insn 0\n  x87 0 ; sets OSZAPC\n  jump_to 0x401002\n");  // FCOMI
    CHECK(text({0xDA, 0xD1}) == "insn 0\n  x87 0 ; reads ZC\n  jump_to 0x401002\n");     // FCMOVBE
    CHECK(text({0x9B}) == "insn 0\n  x87 0\n  jump_to 0x401001\n");                      // FWAIT
    CHECK(text({0xD9, 0x2F}).find("x87 0, %2") != std::string::npos);                    // FLDCW
    CHECK(text({0xDF, 0xE0}).find("x87 0") != std::string::npos);  // FNSTSW AX
    // The environment and whole states are procedures.
    CHECK(text({0xD9, 0x37}).find("interp") != std::string::npos);        // FNSTENV
    CHECK(text({0x0F, 0xAE, 0x07}).find("interp") != std::string::npos);  // FXSAVE
    CHECK(text({0x0F, 0x77}).find("interp") != std::string::npos);        // EMMS
    // FSTP m32 through CS: not in legacy code.
    CHECK(text({0x2E, 0xD9, 0x18}, kFlat32).find("interp") != std::string::npos);
    CHECK(text({0x2E, 0xD9, 0x00}, kFlat32).find("interp") == std::string::npos);
}

TEST_CASE("the forms that were hard") {
    // CMPXCHG [RDI], ECX writes its destination in either case.
    CHECK(text({0x0F, 0xB1, 0x0F}).find("commit.32") != std::string::npos);
    CHECK(text({0x0F, 0xB1, 0xCF}).find("put_if.32 edi") != std::string::npos);
    // POP [RSP]: the load, then the store, then RSP.
    const std::string pop = text({0x8F, 0x04, 0x24});
    CHECK(pop.find("load") < pop.find("store"));
    CHECK(pop.find("store") < pop.find("put.64 rsp"));
    // INC keeps CF.
    CHECK(text({0xFF, 0xC0}).find("sets OSZAP\n") != std::string::npos);
}

TEST_CASE("system instructions of the kernel's level are native, others the interpreter's") {
    constexpr Mode kUser{kLong.word | 3 << Mode::kCplShift};
    CHECK(text({0xFA}) == "insn 0\n  mask_interrupts\n  jump_to 0x401001\n");
    CHECK(text({0xFB}) == "insn 0\n  allow_interrupts\n  jump_to 0x401001\n");
    CHECK(text({0xFA}, kUser).find("interp") != std::string::npos);
    CHECK(text({0xFB}, kUser).find("interp") != std::string::npos);
    CHECK(text({0x0F, 0x01, 0xF8}).find("swap_gs_base") != std::string::npos);
    CHECK(text({0x9C}, kUser).find("flags_image") != std::string::npos);
    CHECK(text({0x0F, 0x31}, kUser).find("tsc") != std::string::npos);
    // Whether its hypervisor intercepts RDTSC is for that to say.
    constexpr Mode kGuest{kLong.word | Mode::kGuest};
    CHECK(text({0x0F, 0x31}, kGuest).find("interp") != std::string::npos);
}
