// When decoded code must be decoded again (cpu/interpreter/block_cache.h).
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

TEST_CASE("what does not decode is decoded again when any of its bytes changes") {
    Machine m;
    m.long64();
    constexpr u64 kAt = kCodeAt + 0x3E;      // its third byte is in the next 64-byte line
    m.bytes(kAt, {0x0F, 0x38, 0xFF, 0xC1});  // no such instruction
    m.cpu.rip = kAt;
    (void)m.run();
    CHECK(m.in_handler(kUd));
    m.put(kAt + 2, 0x00, 1);  // PSHUFB MM0, MM1
    m.cpu.rip = kAt;
    (void)m.run();
    CHECK(m.cpu.rip == kAt + 4);
}

TEST_CASE("code that a store changes is decoded again, in the same block too") {
    Machine m;
    m.long64();
    // mov byte [rip+0], 0x43: the next instruction INC EAX becomes INC EBX
    m.code({0xC6, 0x05, 0x01, 0x00, 0x00, 0x00, 0xC3, 0xFF, 0xC0, 0xF4});
    (void)m.run(2);
    CHECK(m.cpu.gpr[kRax] == 0);
    CHECK(m.cpu.gpr[kRbx] == 1);
}

namespace {

// 64-bit code in a machine, and its blocks compared with a fresh decode of the same bytes.
struct Overwritten : Machine {
    Decoder fresh{model};
    Overwritten() { long64(); }

    Block* at(u64 rip) {
        cpu.rip = rip;
        Block* b = cpu.blocks->find();
        REQUIRE(b);
        return b;
    }
    void write(u64 to, std::initializer_list<u8> what) {
        memory.write(to, {what.begin(), what.size()});
    }
    // The block says what its bytes say.
    void check(const Block& b) {
        for (unsigned n = 0; n < b.count; ++n) {
            Insn i;
            const std::span<const u8> bytes(ram->host() + b.rip + b.insns[n].offset, 15);
            REQUIRE(fresh.decode(bytes, b.mode, b.rip, b.insns[n].offset, nullptr, i) ==
                    Decoder::Status::kOk);
            CHECK(bool(i.fn == b.insns[n].fn));
            CHECK(i.imm == b.insns[n].imm);
            CHECK(i.disp == b.insns[n].disp);
            CHECK(i.length == b.insns[n].length);
            CHECK(i.row == b.insns[n].row);
            CHECK(i.kinds == b.insns[n].kinds);
            CHECK(i.size_log2 == b.insns[n].size_log2);
        }
    }
    u64 dropped() const { return cpu.blocks->dropped_blocks; }
};

}  // namespace

TEST_CASE_FIXTURE(Overwritten, "a new immediate of 32 or 64 bits keeps the block") {
    // add rax, 1; mov ecx, 2; mov rdx, 3 (64 bits); mov dword [rsp], 4; push 5; test eax, 6; hlt
    code({0x48, 0x05, 1,    0,    0, 0, 0xB9, 2, 0,    0, 0, 0x48, 0xBA, 3,    0, 0, 0, 0, 0,   0,
          0,    0xC7, 0x04, 0x24, 4, 0, 0,    0, 0x68, 5, 0, 0,    0,    0xA9, 6, 0, 0, 0, 0xF4});
    Block* b = at(kCodeAt);
    CHECK(b->count == 7);
    for (const u64 field : {2, 7, 13, 24, 29, 34})
        for (const u64 value : {0x80000000u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
            put(kCodeAt + field, value, 4);
            CHECK(at(kCodeAt) == b);
            check(*b);
        }
    put(kCodeAt + 16, 0xFFFEFDFC, 4);  // in the middle of the wide one
    check(*b);
    CHECK(b->loose == 0x3F);
    CHECK(dropped() == 0);
    write(kCodeAt + 0, {0x48, 0x05, 1});  // the opcode as it was, with a part of the immediate
    CHECK(at(kCodeAt) == b);
    check(*b);
    write(kCodeAt + 1, {0x2D});  // SUB
    CHECK(dropped() == 1);
    check(*at(kCodeAt));
    CHECK(at(kCodeAt)->loose == 0);
}

TEST_CASE_FIXTURE(Overwritten, "what changes more than one immediate drops its blocks only") {
    code({0x48, 0x05, 1, 0, 0, 0, 0x83, 0xC0, 1, 0x8B, 0x05, 1, 0, 0, 0, 0xEB, 0, 0xF4});
    at(kCodeAt);
    Block* last = at(kCodeAt + 17);  // in the same line
    u64 before = 0;
    const auto drops = [&](u64 to, std::initializer_list<u8> what) {
        before = dropped();
        write(kCodeAt + to, what);
        const bool dropped_one = dropped() == before + 1;
        check(*at(kCodeAt));
        return dropped_one;
    };
    CHECK_FALSE(drops(0, {0x48, 0x05, 1, 0, 0, 0, 0x83}));  // as it is
    CHECK_FALSE(drops(5, {0x12, 0x83}));  // the immediate, up to the next instruction
    CHECK(drops(5, {0x13, 0x81}));        // and into it
    CHECK(drops(6, {0x83}));
    CHECK(drops(8, {2}));      // 8 bits
    CHECK(drops(11, {2}));     // a displacement
    CHECK(drops(16, {0x01}));  // a branch's distance
    CHECK(at(kCodeAt + 17) == last);
    write(kCodeAt + 40, {1, 2, 3});  // beside them
    CHECK(at(kCodeAt + 17) == last);
}

TEST_CASE_FIXTURE(Overwritten, "a frame's marks go with its last block, whoever else there is") {
    Cpu other(model, {.index = 1, .processors = 2}, memory, io, apic, clock);
    code({0x90, 0xF4});
    const Block* b = at(kCodeAt);
    CHECK(memory.has_code(kCodeAt));
    write(kCodeAt, {0x90});
    CHECK(at(kCodeAt) == b);
    CHECK_FALSE(other.holds_code(kCodeAt));
    write(kCodeAt, {0xF4});
    CHECK_FALSE(cpu.holds_code(kCodeAt));
    CHECK_FALSE(memory.has_code(kCodeAt));
}

TEST_CASE_FIXTURE(Overwritten, "random writes: blocks always say what their bytes say") {
    // Encodings with immediates and displacements of all sizes, and branches.
    const std::initializer_list<u8> forms[] = {{0x48, 0x05, 1, 2, 3, 4},
                                               {0xB9, 1, 2, 3, 4},
                                               {0x83, 0xC0, 1},
                                               {0x90},
                                               {0x66, 0x05, 1, 2},
                                               {0x48, 0xBA, 1, 2, 3, 4, 5, 6, 7, 8},
                                               {0x8B, 0x05, 1, 2, 3, 4},
                                               {0xC7, 0x44, 0x24, 8, 1, 2, 3, 4},
                                               {0x69, 0xC9, 1, 2, 3, 4},
                                               {0xC7, 0x05, 1, 2, 3, 4, 5, 6, 7, 8},
                                               {0x0F, 0x84, 1, 2, 3, 4},
                                               {0x68, 1, 2, 3, 4},
                                               {0x49, 0xC7, 0xC0, 1, 2, 3, 4},
                                               {0xA9, 1, 2, 3, 4}};
    u64 state = 1;
    const auto below = [&](u64 n) {
        state = state * 6364136223846793005 + 1442695040888963407;
        return (state >> 33) % n;
    };
    constexpr u64 kBytes = 2 * kPageSize, kAt = 0x40000;
    std::vector<u64> starts;
    for (u64 used = 0; used + 16 < kBytes;) {
        const auto& form = forms[below(std::size(forms))];
        if (below(4) == 0) starts.push_back(kAt + used);
        write(kAt + used, form);
        used += form.size();
    }
    u64 kept = 0;
    for (unsigned round = 0; round < 30000; ++round) {
        const u64 rip = starts[below(starts.size())];
        Block* b = at(rip);
        check(*b);
        u8 bytes[16];
        const u64 size = 1 + below(below(8) ? 8 : 16);
        // Mostly in an instruction of the block, as it is but for a few bytes.
        const Insn& i = b->insns[below(b->count)];
        const u64 to = below(8) ? b->rip + i.offset + i.length - std::min<u64>(i.length, size)
                                : kAt + below(kBytes - 16);
        memory.read(to, {bytes, size});
        for (u64 n = below(5); n; --n)
            bytes[size - 1 - below(std::min<u64>(size, 4))] = u8(below(256));
        memory.write(to, {bytes, size});
        b = at(rip);
        check(*b);
        kept += b->loose != 0;
    }
    CHECK(kept > 1000);
    CHECK(dropped() > 1000);
}
