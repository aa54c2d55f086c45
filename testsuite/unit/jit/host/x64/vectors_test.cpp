// Every encoding of every XMM row: its IR has a host form, and the host's instruction does to
// random state exactly what the interpreter does: registers, memory, flags, MXCSR.
#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>

#include "jit/host/x64/host_vectors.h"
#include "jit/host/x64/vector_form.h"
#include "jit/translate/build_ir.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::jit;
using namespace rm::jit::x64;
using ir::Code;

namespace {

constexpr u64 kRip = 0x401000, kData = 0x30000;
constexpr Mode kLong{Mode::kCode64 | Mode::kPe | Mode::kLma | Mode::kOsfxsr};

// What the generated function works on.
struct alignas(16) State {
    FpuState::Xmm xmm[16];
    u8 memory[16];
    u64 gpr[16];
    u64 flags;
    u32 mxcsr, host_mxcsr;
};

// Guest registers that the test keeps in host registers of the same number; the others are memory
// operands. R13 = &State, R11 = address of the memory operand, R12 scratch.
constexpr bool in_host(unsigned guest) {
    return guest < 4 || (guest >= 6 && guest <= 10 && guest != 7);
}

class Harness : public Xbyak::CodeGenerator {
public:
    void run(State& state, const VectorForm& form) {
        reset();
        emit(form);
        ready();
        getCode<void (*)(State*)>()(&state);
    }

private:
    Xbyak::Address at(std::size_t offset, unsigned bits = 64) {
        return Xbyak::Address(bits, false, r13 + offset);
    }
    static std::size_t gpr_at(unsigned n) { return offsetof(State, gpr) + 8 * n; }

    void emit(const VectorForm& form) {
        const Xbyak::Reg64 saved[] = {rbx, rbp, r12, r13, r14, r15};
        for (const auto& r : saved) push(r);
        mov(r13, rdi);
        stmxcsr(at(offsetof(State, host_mxcsr), 32));
        ldmxcsr(at(offsetof(State, mxcsr), 32));
        for (int n = 0; n < 16; ++n) movaps(Xbyak::Xmm(n), at(16 * n, 128));
        lea(r11, at(offsetof(State, memory)));
        push(qword[r13 + offsetof(State, flags)]);
        popfq();
        for (unsigned n = 0; n < 16; ++n)
            if (in_host(n)) mov(Xbyak::Reg64(static_cast<int>(n)), at(gpr_at(n)));
        instruction(form);
        for (unsigned n = 0; n < 16; ++n)
            if (in_host(n)) mov(at(gpr_at(n)), Xbyak::Reg64(static_cast<int>(n)));
        pushfq();
        pop(qword[r13 + offsetof(State, flags)]);
        for (int n = 0; n < 16; ++n) movaps(at(16 * n, 128), Xbyak::Xmm(n));
        stmxcsr(at(offsetof(State, mxcsr), 32));
        ldmxcsr(at(offsetof(State, host_mxcsr), 32));
        for (int n = 5; n >= 0; --n) pop(saved[n]);
        ret();
    }
    void instruction(const VectorForm& form) {
        const bool to_gpr = form.kind >= VectorForm::kToGpr && form.kind <= VectorForm::kCrc32;
        const unsigned guest = form.dst >> 3;
        const bool home = to_gpr && !in_host(guest);
        const Xbyak::Reg64 d = to_gpr && !home ? Xbyak::Reg64(static_cast<int>(guest)) : r12;
        if (home) mov(r12, at(gpr_at(guest)));
        with_source(form.source,
                    [&](const Xbyak::Operand& s) { emit_host_vector(*this, form, s, d, r12); });
        if (home) mov(at(gpr_at(guest)), r12);
    }
    template <class F>
    void with_source(const VectorSource& s, F&& f) {
        const unsigned n = s.n >> 3, bits = 8u << s.size;
        switch (s.kind) {
            case VectorSource::kXmm: return f(Xbyak::Xmm(s.n));
            case VectorSource::kMemory: return f(Xbyak::Address(bits, false, r11 + 0));
            case VectorSource::kCount: return f(xmm0);
            case VectorSource::kGpr: break;
        }
        if (!in_host(n)) return f(at(gpr_at(n), bits));
        const Xbyak::Reg64 r(static_cast<int>(n));
        switch (s.size) {
            case 0: return f(r.cvt8());
            case 1: return f(r.cvt16());
            case 2: return f(r.cvt32());
            default: return f(r);
        }
    }
};

struct VectorMachine : cpu::test::Machine {
    VectorMachine() : Machine("max") {
        long64();
        cpu.cr4 |= kCr4Osfxsr | kCr4Osxmmexcpt;
        cpu.update_mode();
    }
};

class Values {
public:
    u64 bits() { return random_(); }
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
    // Lanes that are numbers, zeros, denormals, infinities or NaNs, in 32 or 64 bits, or just bits.
    u64 quadword() {
        switch (below(7)) {
            case 0: return bits();
            case 1: return u64{single()} | u64{single()} << 32;
            case 2: return double_precision();
            case 3: return below(2) ? 0 : ~u64{0};
            case 4: return bits() & 0x8080'0101'7F7F'00FF;
            case 5: return 0x6162'6300'6162'6364 ^ (u64{0xFF} << below(64));  // short strings
            default: return below(300);
        }
    }

private:
    u32 single() {
        static constexpr u32 kSpecial[] = {
            0,          0x80000000, 1,          0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000,
            0xFF800000, 0x7FC00001, 0x7F800001, 0x3F800000, 0x4F000000, 0xCF000000, 0x33333333};
        const u32 v = static_cast<u32>(bits());
        if (below(3) == 0) return kSpecial[below(std::size(kSpecial))];
        return (v & 0x807FFFFF) | (0x3F800000 + ((v >> 8 & 0x3F) << 23) - (20u << 23));
    }
    u64 double_precision() {
        static constexpr u64 kSpecial[] = {0,
                                           0x8000000000000000,
                                           1,
                                           0x800FFFFFFFFFFFFF,
                                           0x0010000000000000,
                                           0x7FEFFFFFFFFFFFFF,
                                           0x7FF0000000000000,
                                           0x7FF8000000000001,
                                           0x7FF0000000000001,
                                           0x41DFFFFFFFC00000,
                                           0x43E0000000000000,
                                           0x380FFFFFF0000000};
        const u64 v = bits();
        if (below(3) == 0) return kSpecial[below(std::size(kSpecial))];
        return (v & 0x800FFFFFFFFFFFFF) | (u64{0x3F0 + (v >> 4 & 0x3F)} << 52);
    }
    std::mt19937_64 random_{20240914};
};

Model everything() {
    Model m = *make_model("max");
    for (unsigned f = 1; f < static_cast<unsigned>(Feature::kCount); ++f)
        m.features.add(static_cast<Feature>(f));
    return m;
}

bool xmm_row(const Insn& insn) {
    if (insn.row == 0xFFFF) return false;
    const Row* rows = instruction_rows().data();
    static const Row* const kFirst =
        find_row(mmx_sse_rows()[0].mnemonic, mmx_sse_rows()[0].variant);
    const Row* row = rows + insn.row;
    return row >= kFirst && row < kFirst + mmx_sse_rows().size();
}

// Encodings of the vector rows: opcode maps, prefixes, REX, random registers and immediate; memory
// operands are [RSI].
template <class F>
void each_vector(Decoder& decoder, Values& values, unsigned rounds, F&& f) {
    const std::initializer_list<u8> kMaps[] = {{0x0F}, {0x0F, 0x38}, {0x0F, 0x3A}};
    const std::initializer_list<u8> kPrefixes[] = {{}, {0x66}, {0xF3}, {0xF2}, {0x66, 0xF2}};
    Insn insn;
    for (const auto& map : kMaps)
        for (unsigned opcode = 0; opcode < 256; ++opcode) {
            if (map.size() == 1 && (opcode == 0x38 || opcode == 0x3A)) continue;  // the other maps
            for (const auto& prefixes : kPrefixes)
                for (unsigned form = 0; form < 4; ++form)
                    for (unsigned n = 0; n < rounds; ++n) {
                        u8 bytes[15];
                        u8* p = bytes;
                        for (u8 b : prefixes) *p++ = b;
                        const bool memory = form & 1;
                        *p++ = static_cast<u8>(0x40 | (form & 2 ? 8 : 0) | (values.bits() & 4) |
                                               (memory ? 0 : values.bits() & 1));
                        for (u8 b : map) *p++ = b;
                        *p++ = static_cast<u8>(opcode);
                        const u8 modrm = static_cast<u8>(values.bits());
                        *p++ = memory ? (modrm & 0x38) | 6 : modrm | 0xC0;
                        while (p < bytes + sizeof bytes) *p++ = static_cast<u8>(values.bits());
                        if (decoder.decode(bytes, kLong, kRip, 0, nullptr, insn) ==
                                Decoder::Status::kOk &&
                            xmm_row(insn) && insn.fn == instruction_rows()[insn.row].select(insn))
                            f(insn);
                    }
        }
}

void randomize(VectorMachine& m, State& s, Values& values) {
    for (FpuState::Xmm& x : s.xmm)
        for (u64& q : x.q) q = values.quadword();
    if (values.below(4) == 0) s.xmm[values.below(16)] = s.xmm[values.below(16)];
    for (u64& g : s.gpr) g = values.quadword();
    if (values.below(2)) s.gpr[kRax] = u64{0} - values.below(20);  // lengths of strings
    if (values.below(2)) s.gpr[kRdx] = values.below(20);
    for (unsigned n = 0; n < 16; n += 8) {
        const u64 q = values.quadword();
        std::memcpy(s.memory + n, &q, 8);
        m.put(kData + n, q, 8);
    }
    s.gpr[kRsi] = kData;
    s.flags = 2 | (values.bits() & kFlagsArith);
    s.mxcsr = 0x1F80 | (values.bits() & (0x6000 | kFlagCf));
    if (values.below(4) == 0) s.mxcsr |= values.bits() & 0x8040;
    std::memcpy(m.cpu.fpu.xmm, s.xmm, sizeof s.xmm);
    std::memcpy(m.cpu.gpr, s.gpr, sizeof s.gpr);
    m.cpu.cc = flags_to_cc(s.flags);
    m.cpu.fpu.mxcsr = s.mxcsr;
}

std::string differences(VectorMachine& m, const State& s) {
    std::string text;
    for (unsigned n = 0; n < 16; ++n)
        if (std::memcmp(&m.cpu.fpu.xmm[n], &s.xmm[n], 16)) text += " xmm" + std::to_string(n);
    for (unsigned n = 0; n < 16; ++n)
        if (m.cpu.gpr[n] != s.gpr[n]) text += " gpr" + std::to_string(n);
    for (unsigned n = 0; n < 16; n += 8) {
        u64 q;
        std::memcpy(&q, s.memory + n, 8);
        if (m.get(kData + n, 8) != q) text += " memory";
    }
    if (m.cpu.cc != flags_to_cc(s.flags)) text += " flags";
    if (m.cpu.fpu.mxcsr != s.mxcsr) text += " mxcsr";
    return text;
}

}  // namespace

TEST_CASE("every vector instruction that is built has a host form, and it does the same") {
    const Model model = everything();
    Decoder decoder(model);
    VectorMachine m;
    Values values;
    Harness harness;
    std::set<std::string> with, without;
    u64 runs = 0;
    each_vector(decoder, values, 64, [&](const Insn& insn) {
        ir::Block block;
        build_ir(block, {&insn, 1}, {.mode = kLong, .block_rip = kRip});
        const std::string name = instruction_rows()[insn.row].name;
        if (block.ops[1].code == Code::interp) return;
        const auto form = vector_form(block, 1, static_cast<ir::Value>(block.ops.size() - 1));
        if (!form) {
            without.insert(name);
            return;
        }
        with.insert(name);
        for (unsigned n = 0; n < 4; ++n) {
            State s;
            randomize(m, s, values);
            REQUIRE_MESSAGE(insn.fn(m.cpu, insn) == Step::kNext, name);
            harness.run(s, *form);
            ++runs;
            if (const std::string d = differences(m, s); !d.empty())
                FAIL_CHECK(name << " imm " << insn.imm << ":" << d);
        }
    });
    // With REX.W PCMPESTRx has none either, but without.
    // CVTPI2PD and CVTPI2PS from memory are no XMM row's form, SSE4a's fields have none, MOVNTI is
    // no vector operation.
    std::string names;
    for (const std::string& name : without) names += name + " ";
    CHECK(names == "CVTPI2PD CVTPI2PS EXTRQ INSERTQ MOVNTI PCMPESTRI PCMPESTRM ");
    CHECK(with.contains("PCMPESTRI"));
    CHECK(with.contains("PCMPESTRM"));
    CHECK(with.size() > 230);
    CHECK(runs > 100000);
}
