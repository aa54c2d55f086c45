// Loops that have a copy without checks (jit/host/x64/emit_loop.cpp), and tables that are checked
// once, against the interpreter: pages that lie elsewhere, end, or may not be written in the middle
// of a loop; events and exits at any run.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "jit/run/translator.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

namespace {

// Pages of 4 KiB from here on, each in a frame of its own, the order turned round.
constexpr u64 kData = 0x400000, kFrames = 0x800000, kTable = kPages + 0x3000;
constexpr unsigned kDataPages = 64;

struct Loop {
    std::string name;
    std::vector<int> code;
};
const Loop kLoops[] = {
    // l: movzx edx, byte [rsi]; sub rdx, 9; xor eax,[rbx+rdx*4]; movzx ebp, byte [rsi+1]; xor
    // eax,[rbx+rbp*4+8]; lea rbp,[rbp+5]; add eax,[rbx+rdx*4+4]; xor [rbx+rbp*4],eax; add rsi, 1;
    // sub rcx, 1; jnz l; hlt
    {"shifted table",
     {0x0F, 0xB6, 0x16, 0x48, 0x83, 0xEA, 0x09, 0x33, 0x04, 0x93, 0x0F, 0xB6, 0x6E, 0x01,
      0x33, 0x44, 0xAB, 0x08, 0x48, 0x8D, 0x6D, 0x05, 0x03, 0x44, 0x93, 0x04, 0x31, 0x04,
      0xAB, 0x48, 0x83, 0xC6, 0x01, 0x48, 0x83, 0xE9, 0x01, 0x75, 0xD9, 0xF4}},
    // l: movaps xmm0,[rsi+rax]; paddd xmm0,[rdi+rax]; movaps [rdi+rax],xmm0; add rax,16; cmp
    // rax,rcx; jne l; hlt
    {"vectors", {0x0F, 0x28, 0x04, 0x06, 0x66, 0x0F, 0xFE, 0x04, 0x07, 0x0F, 0x29, 0x04,
                 0x07, 0x48, 0x83, 0xC0, 0x10, 0x48, 0x39, 0xC8, 0x75, 0xEA, 0xF4}},
    // l: movzx edx, byte [rsi]; add rsi, 1; xor eax,[rbx+rdx*4]; sub rcx, 1; jnz l; hlt
    {"table",
     {0x0F, 0xB6, 0x16, 0x48, 0x83, 0xC6, 0x01, 0x33, 0x04, 0x93, 0x48, 0x83, 0xE9, 0x01, 0x75,
      0xF0, 0xF4}},
    // l: mov rdx,[rsi+r8*8-8]; mov [rdi+r8*8+16],rdx; xor [rdi+r8*8+24],rdx; sub r8,3; jns l; hlt
    {"down", {0x4A, 0x8B, 0x54, 0xC6, 0xF8, 0x4A, 0x89, 0x54, 0xC7, 0x10, 0x4A,
              0x31, 0x54, 0xC7, 0x18, 0x49, 0x83, 0xE8, 0x03, 0x79, 0xEB, 0xF4}},
    // l: movzx eax, byte [rsi]; test al,al; jz out; mov [rdi],al; add rsi,1; add rdi,1; cmp rsi,r9;
    // jnz l; out: hlt
    {"string", {0x0F, 0xB6, 0x06, 0x84, 0xC0, 0x74, 0x0F, 0x88, 0x07, 0x48, 0x83, 0xC6,
                0x01, 0x48, 0x83, 0xC7, 0x01, 0x4C, 0x39, 0xCE, 0x75, 0xEA, 0xF4}},
    // l: mov rax,[r10+r11*8]; add [r14+r11*8],rax; lea r15,[r15+rax]; sub qword [rsp+r11*8],1; add
    // r11,1; dec r9; jnz l; hlt
    {"frame", {0x4B, 0x8B, 0x04, 0xDA, 0x4B, 0x01, 0x04, 0xDE, 0x4D, 0x8D, 0x3C, 0x07, 0x4A, 0x83,
               0x2C, 0xDC, 0x01, 0x49, 0x83, 0xC3, 0x01, 0x49, 0xFF, 0xC9, 0x75, 0xE6, 0xF4}},
    // l: mov eax,[rsi]; add eax,[rsi+4]; mov [rsi+8],eax; mov r8,[rsp+8]; add r8,rax; mov
    // [rsp+8],r8; lea rsi,[rsi+24]; cmp rsi,r9; jb l; hlt
    {"fields", {0x8B, 0x06, 0x03, 0x46, 0x04, 0x89, 0x46, 0x08, 0x4C, 0x8B, 0x44,
                0x24, 0x08, 0x49, 0x01, 0xC0, 0x4C, 0x89, 0x44, 0x24, 0x08, 0x48,
                0x8D, 0x76, 0x18, 0x4C, 0x39, 0xCE, 0x72, 0xE2, 0xF4}},
    // l: mov rax,[rsi]; adc rax,[rdi]; mov [rdi],rax; lea rsi,[rsi+8]; lea rdi,[rdi+8]; dec rcx;
    // jnz l; hlt
    {"carry", {0x48, 0x8B, 0x06, 0x48, 0x13, 0x07, 0x48, 0x89, 0x07, 0x48, 0x8D, 0x76,
               0x08, 0x48, 0x8D, 0x7F, 0x08, 0x48, 0xFF, 0xC9, 0x75, 0xEA, 0xF4}},
    // l: fild dword [rsi]; fiadd dword [rbx]; fistp qword [rdi]; add rsi,4; add rdi,8; sub rcx,1;
    // jnz l; hlt
    {"x87", {0xDB, 0x06, 0xDA, 0x03, 0xDF, 0x3F, 0x48, 0x83, 0xC6, 0x04, 0x48,
             0x83, 0xC7, 0x08, 0x48, 0x83, 0xE9, 0x01, 0x75, 0xEC, 0xF4}},
    // l: fild qword [rsi+rax*8]; fstp tbyte [rdi]; add rdi,10; add rax,1; cmp rax,rcx; jne l; hlt
    {"x87 by rax",
     {0xDF, 0x2C, 0xC6, 0xDB, 0x3F, 0x48, 0x83, 0xC7, 0x0A, 0x48, 0x83, 0xC0, 0x01, 0x48, 0x39,
      0xC8, 0x75, 0xEE, 0xF4}},
    // l: lea r11,[r11+1]; sub rcx,1; fld qword [r10+r11*8]; fstp qword [r14+r11*8]; jnz l; hlt
    {"x87 between flags",
     {0x4D, 0x8D, 0x5B, 0x01, 0x48, 0x83, 0xE9, 0x01, 0x43, 0xDD, 0x04, 0xDA, 0x43, 0xDD, 0x1C,
      0xDE, 0x75, 0xEE, 0xF4}},
    // l: lea rax,[rax+1]; fnstsw ax; mov [rdi],rax; add rdi,8; sub rcx,1; jnz l; hlt
    {"x87 status", {0x48, 0x8D, 0x40, 0x01, 0xDF, 0xE0, 0x48, 0x89, 0x07, 0x48,
                    0x83, 0xC7, 0x08, 0x48, 0x83, 0xE9, 0x01, 0x75, 0xED, 0xF4}},
    // l: fld qword [rsi]; fcomip st0,st1; jp n; n: fld1; fstp dword [rdi]; add rsi,8; dec rcx; jnz
    // l; hlt
    {"x87 compare", {0xDD, 0x06, 0xDF, 0xF1, 0x7A, 0x00, 0xD9, 0xE8, 0xD9, 0x1F,
                     0x48, 0x83, 0xC6, 0x08, 0x48, 0xFF, 0xC9, 0x75, 0xED, 0xF4}},
    // o: xor eax,eax; l: add rdx,[rsi+rax*8]; inc rax; cmp rax,200; jne l; add rsi,8; dec rcx; jnz
    // o; hlt
    {"nested", {0x31, 0xC0, 0x48, 0x03, 0x14, 0xC6, 0x48, 0xFF, 0xC0, 0x48, 0x3D, 0xC8, 0x00, 0x00,
                0x00, 0x75, 0xF1, 0x48, 0x83, 0xC6, 0x08, 0x48, 0xFF, 0xC9, 0x75, 0xE6, 0xF4}},
    // l: mov eax,[rsi]; mov edx,eax; shr edx,24; movzx ebp,ah; movzx ebx,al; mov edx,[r12+rdx*8];
    // xor edx,[r12+rbp*8+3]; xor edx,[r12+rbx*8+1]; xor edx,[r12+rbp*8+2]; mov [rdi],edx; add
    // rsi,4; add rdi,4; cmp rsi,r9; jne l; hlt
    {"high", {0x8B, 0x06, 0x89, 0xC2, 0xC1, 0xEA, 0x18, 0x0F, 0xB6, 0xEC, 0x0F, 0xB6,
              0xD8, 0x41, 0x8B, 0x14, 0xD4, 0x41, 0x33, 0x54, 0xEC, 0x03, 0x41, 0x33,
              0x54, 0xDC, 0x01, 0x41, 0x33, 0x54, 0xEC, 0x02, 0x89, 0x17, 0x48, 0x83,
              0xC6, 0x04, 0x48, 0x83, 0xC7, 0x04, 0x4C, 0x39, 0xCE, 0x75, 0xD1, 0xF4}},
};

// REP MOVS and REP STOS, which the host's own do where they can (jit/host/x64/repeat.h).
const Loop kRepeats[] = {
    // l: mov ecx,r11d; and ecx,63; rep movsb; mov ecx,3; rep movsq; lea rsi,[rdi-1]; mov ecx,9; rep
    // movsb; mov ecx,2; rep movsd; lea r11,[r11+1]; dec r8; jnz l; hlt
    {"moves",
     {0x44, 0x89, 0xD9, 0x83, 0xE1, 0x3F, 0xF3, 0xA4, 0xB9, 0x03, 0x00, 0x00, 0x00, 0xF3, 0x48,
      0xA5, 0x48, 0x8D, 0x77, 0xFF, 0xB9, 0x09, 0x00, 0x00, 0x00, 0xF3, 0xA4, 0xB9, 0x02, 0x00,
      0x00, 0x00, 0xF3, 0xA5, 0x4D, 0x8D, 0x5B, 0x01, 0x49, 0xFF, 0xC8, 0x75, 0xD5, 0xF4}},
    // l: lea eax,[r11+1]; mov ecx,r11d; and ecx,127; rep stosb; mov ecx,5; rep stosd; mov ecx,3;
    // rep stosq; mov ecx,2; rep stosw; lea r11,[r11+1]; dec r8; jnz l; hlt
    {"stores",
     {0x41, 0x8D, 0x43, 0x01, 0x44, 0x89, 0xD9, 0x83, 0xE1, 0x7F, 0xF3, 0xAA, 0xB9, 0x05, 0x00,
      0x00, 0x00, 0xF3, 0xAB, 0xB9, 0x03, 0x00, 0x00, 0x00, 0xF3, 0x48, 0xAB, 0xB9, 0x02, 0x00,
      0x00, 0x00, 0x66, 0xF3, 0xAB, 0x4D, 0x8D, 0x5B, 0x01, 0x49, 0xFF, 0xC8, 0x75, 0xD4, 0xF4}},
    // l: std; mov ecx,5; rep movsw; cld; mov ecx,700; rep movsb; dec r8; jnz l; hlt
    {"down and long", {0xFD, 0xB9, 0x05, 0x00, 0x00, 0x00, 0x66, 0xF3, 0xA5, 0xFC, 0xB9, 0xBC,
                       0x02, 0x00, 0x00, 0xF3, 0xA4, 0x49, 0xFF, 0xC8, 0x75, 0xEA, 0xF4}},
};

struct Case : Machine {
    std::unique_ptr<jit::Translator> translator;

    Case(const Loop& loop, bool translated) {
        long64();
        u64 at = kCodeAt;
        for (const int b : loop.code) put(at++, static_cast<u64>(b), 1);
        put(kPages + 0x2000 + 2 * 8, kTable | 7, 8);
        cpu.cr0 |= kCr0Wp;
        cpu.cr4 |= kCr4Osfxsr;
        for (unsigned n = 0; n < kDataPages; ++n)
            put(kTable + n * 8, (kFrames + (kDataPages - n) * 0x1000) | 7, 8);
        u64 x = 88172645463325252;
        for (u64 n = 0; n < (kDataPages + 1) * 0x1000; n += 8) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            put(kFrames + n, x | 0x0101010101010101, 8);
        }
        cpu.mmu.flush_all();
        cpu.update_mode();
        if (!translated) return;
        auto t = jit::Translator::create(
            cpu, {.code_bytes = 1 << 20, .hot = 1, .samples = 0, .trial = 64});
        REQUIRE(t.has_value());
        translator = std::move(*t);
    }
    void page(unsigned n, u64 flags) {
        put(kTable + n * 8, (kFrames + (kDataPages - n) * 0x1000) | flags, 8);
        cpu.mmu.flush_all();
    }
    // Every register of the loops at something that fits; from data + offset on.
    void begin(u64 offset, u64 runs) {
        const u64 from = kData + 0x1000 + offset, to = kData + 0x9000 + offset;
        u64* const r = cpu.gpr;
        r[kRax] = 0, r[kRdx] = 0;
        r[kRcx] = runs & ~u64{15};
        r[kRsi] = from, r[kRdi] = to;
        r[kRbx] = kData + 0x11C00 + offset, r[kRsp] = kData + 0x14000 + offset;
        r[8] = 3 * runs, r[9] = from + (runs & ~u64{3}) * 6;
        r[10] = from, r[11] = 0, r[12] = kData + 0x12E00 + offset;
        r[14] = to, r[15] = 1;
        cpu.fpu.fcw = 0x37F;
        cpu.fpu.fsw = 0;
        cpu.fpu.ftw = 0xFFFF;
        cpu.activity = Activity::kActive;
        cpu.rip = kCodeAt;
    }
};

// Both of them at the same place after the same steps; how many steps.
unsigned compare(Case& a, Case& b, u64 slice) {
    unsigned steps = 0;
    while (steps < 4000) {
        ++steps;
        const u64 begin = a.cpu.ticks();
        (void)a.run(slice);
        (void)b.run(slice);
        REQUIRE(a.cpu.ticks() == b.cpu.ticks());
        REQUIRE(a.cpu.rip == b.cpu.rip);
        REQUIRE(std::equal(a.cpu.gpr, a.cpu.gpr + 16, b.cpu.gpr));
        if (a.cpu.activity != Activity::kActive || a.cpu.ticks() == begin) break;
    }
    CHECK(a.cpu.rflags() == b.cpu.rflags());
    CHECK(!std::memcmp(a.cpu.fpu.xmm, b.cpu.fpu.xmm, sizeof a.cpu.fpu.xmm));
    CHECK(!std::memcmp(a.cpu.fpu.st, b.cpu.fpu.st, sizeof a.cpu.fpu.st));
    CHECK(a.cpu.fpu.fsw == b.cpu.fpu.fsw);
    CHECK(a.cpu.fpu.ftw == b.cpu.fpu.ftw);
    CHECK(a.cpu.fpu.fip == b.cpu.fpu.fip);
    CHECK(a.cpu.fpu.fdp == b.cpu.fpu.fdp);
    CHECK(a.cpu.fpu.fop == b.cpu.fpu.fop);
    CHECK(!std::memcmp(a.ram->host(), b.ram->host(), a.ram->size()));  // A and D bits, too
    return steps;
}

}  // namespace

TEST_CASE("loops on pages that lie apart, interrupted anywhere") {
    // A table on a page border is checked access by access from then on: other offsets come anew.
    const std::vector<u64> kOffsets[] = {{0, 16}, {0x450, 0x7F0, 0xFE0, 0xFF8, 0xFFD}};
    for (const Loop& loop : kLoops) {
        CAPTURE(loop.name);
        u64 copies = 0;
        for (const auto& offsets : kOffsets) {
            Case plain(loop, false), translated(loop, true);
            for (const u64 offset : offsets)
                for (const u64 slice : {1'000'000u, 4099u, 1009u, 541u}) {
                    CAPTURE(offset);
                    CAPTURE(slice);
                    plain.begin(offset, 2000);
                    translated.begin(offset, 2000);
                    compare(plain, translated, slice);
                }
            copies += translated.translator->statistics().copies;
        }
        CHECK((copies > 0) == (loop.name != "carry"));
    }
}

TEST_CASE("repeated moves and stores, interrupted anywhere") {
    for (const Loop& loop : kRepeats) {
        CAPTURE(loop.name);
        Case plain(loop, false), translated(loop, true);
        for (const u64 offset : {0u, 5u, 0xFE0u, 0xFFDu})
            for (const u64 slice : {1'000'000u, 4099u, 1009u, 541u, 97u}) {
                CAPTURE(offset);
                CAPTURE(slice);
                plain.begin(offset, 40);
                translated.begin(offset, 40);
                const u64 before = translated.translator->statistics().calls;
                const unsigned steps = compare(plain, translated, slice);
                // Two of eight kilobytes are on other pages, and a few of "down" are refused.
                const u64 calls = translated.translator->statistics().calls - before;
                if (slice == 1'000'000u) CHECK(calls < (loop.name == "down and long" ? 260u : 60u));
                CHECK(steps < 4000);
            }
    }
}

TEST_CASE("a page in the middle that is not there, or may not be written") {
    std::vector<Loop> loops(std::begin(kLoops), std::end(kLoops));
    loops.insert(loops.end(), std::begin(kRepeats), std::end(kRepeats));
    for (const Loop& loop : loops) {
        const u64 runs = &loop < &loops[std::size(kLoops)] ? 2000 : 80;
        Case plain(loop, false), translated(loop, true);
        for (const unsigned page : {2u, 3u, 10u, 11u, 18u, 20u})
            for (const u64 flags : {0u, 5u, 0x27u}) {
                CAPTURE(loop.name);
                CAPTURE(page);
                CAPTURE(flags);
                for (Case* c : {&plain, &translated}) c->begin(0, runs);
                compare(plain, translated, 100'000);  // until it is translated
                for (Case* c : {&plain, &translated}) {
                    c->page(page, flags);
                    c->begin(32, runs);
                }
                compare(plain, translated, 100'000);
                CHECK(plain.cpu.cr2 == translated.cpu.cr2);
                for (Case* c : {&plain, &translated}) c->page(page, 7);
            }
    }
}

TEST_CASE("a loop that writes to its own page, and to its own code in the end") {
    // MOV [RDI], AL; ADD RBX, 1; ADD RDI, 1; CMP RDI, RCX; JNE; HLT. The last bytes that it stores
    // are the first ADD's immediate.
    const Loop loop{"own code",
                    {0x88, 0x07, 0x48, 0x83, 0xC3, 0x01, 0x48, 0x83, 0xC7, 0x01, 0x48, 0x39, 0xCF,
                     0x75, 0xF1, 0xF4}};
    constexpr u64 kLoop = kCodeAt + 0x900;
    Case plain(loop, false), translated(loop, true);
    for (const u64 end : {kLoop - 64, kLoop + 6, kLoop + 6, kLoop - 5, kLoop + 6}) {
        for (Case* c : {&plain, &translated}) {
            c->begin(0, 0);
            c->cpu.gpr[kRax] = 5;
            c->cpu.gpr[kRdi] = end - 1900;
            c->cpu.gpr[kRcx] = end;
            c->cpu.rip = kLoop;
            for (u64 n = 0; n < loop.code.size(); ++n)
                c->put(kLoop + n, static_cast<u64>(loop.code[n]), 1);
        }
        compare(plain, translated, 100'000);
    }
}
