// codegen: what hot guest code is translated to, pinned. Each case is a few guest instructions as
// one block; expected.txt holds how many host instructions they become (on the way through, and
// with the cold parts) and the way through itself, its addresses and constants of this process
// replaced. A change of the emitter shows there in review. Exit code: 0 = as expected, 1 = not, 2 =
// usage.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "cpu/interpreter/block_cache.h"
#include "jit/run/translator.h"
#include "lockstep/machine.h"

namespace rm::codegen {

namespace {

struct Case {
    const char* guest;   // as its disassembly
    const char* bytes;   // hexadecimal; a block that does not end in a jump gets one to the next
    bool sites = false;  // a block that runs often (jit/host/x64/sites.h)
};

constexpr Case kCases[] = {
    {"mov rax, rbx", "4889D8"},
    {"mov rax, [rbx+8]", "488B4308"},
    {"mov [rbx+rcx*4+8], eax", "89448B08"},
    {"mov r10, [r13+8]", "4D8B5508"},
    {"mov byte [rsi], 0", "C60600"},
    {"mov rax, [rbx]; mov rcx, [rbx+8]", "488B03488B4B08"},
    {"add rax, rbx", "4801D8"},
    {"add rax, [rbx]", "480303"},
    {"add [rbx], rax", "480103"},
    {"add r10, r11", "4D01DA"},
    {"mov eax, ebx; mov r14d, eax; ror r14d, 11; xor r14d, eax", "89D84189C641C1CE0B4131C6"},
    {"adc rax, rbx", "4811D8"},
    {"cmp rax, rbx; jz", "4839D87402"},
    {"cmp dword [rbx+4], 7; jb", "837B04077202"},
    {"test eax, eax; jnz", "85C07502"},
    {"dec ecx; jnz", "FFC97502"},
    {"inc rax; cmp rax, rdx; jnz", "48FFC04839D07502"},
    {"and eax, 0xff; xor edx, edx", "25FF00000031D2"},
    {"push rbp; mov rbp, rsp; sub rsp, 32", "554889E54883EC20"},
    {"push rbx; push r12; pop r12; pop rbx", "534154415C5B"},
    {"leave; ret", "C9C3"},
    {"ret", "C3"},
    {"call +2", "E802000000"},
    {"call [rax+8]", "FF5008"},
    {"lea rax, [rbx+rcx*2+4]", "488D444B04"},
    {"movzx eax, byte [rbx]", "0FB603"},
    {"movsxd rcx, eax", "4863C8"},
    {"cmp rax, rbx; cmovl rcx, rdx", "4839D8480F4CCA"},
    {"test al, al; setz cl", "84C00F94C1"},
    {"shl rax, 4; shr ecx, cl", "48C1E004D3E9"},
    {"imul rax, rbx; imul eax, ecx, 10", "480FAFC36BC10A"},
    {"mul rcx; div rbx", "48F7E148F7F3"},
    {"bt [rbx], 5; jb", "0FBA23057202"},
    {"lock bts [rbx], rcx; setb al", "F0480FAB0B0F92C0"},
    {"lock cmpxchg [rbx], rcx; jnz", "F0480FB10B7502"},
    {"lock xadd [rbx], eax", "F00FC103"},
    {"xchg [rbx], rax", "488703"},
    {"shld rax, rdx, 5", "480FA4D005"},
    {"rcr rax, 1", "48D1D8"},
    {"mov rax, gs:[0x10]", "65488B042510000000"},
    {"addsd xmm0, xmm1; mulpd xmm2, [rbx]", "F20F58C1660F5913"},
    {"movups xmm0, [rbx]; movups [rcx], xmm0", "0F10030F1101"},
    {"loop", "E202"},
    {"mov rax, [rbx+8]", "488B4308", true},
    {"mov byte [rsi], 0", "C60600", true},
    {"mov rax, [rbx]; mov rcx, [rbx+8]", "488B03488B4B08", true},
    {"mov eax, [rip+0x100]", "8B0500010000", true},
    {"movaps xmm0, [rbx]; movups [rcx], xmm0", "0F28030F1101", true},
    {"mov rax, fs:[0x28]", "64488B042528000000", true},
};

struct Code {
    unsigned through = 0, total = 0;  // host instructions
    std::vector<std::string> lines;   // those on the way through
    std::string problem;
};

std::vector<u8> bytes_of(const Case& c) {
    std::vector<u8> out;
    for (const char* at = c.bytes; *at; at += 2) {
        unsigned byte = 0;
        std::sscanf(at, "%2x", &byte);
        out.push_back(static_cast<u8>(byte));
    }
    return out;
}

// State of this process out of a host instruction: members of Cpu, numbers of points and recipes,
// targets of jumps.
std::string normalised(const std::string& line) {
    static const std::regex state(R"(\[r13(?: [+-] r12)?(?: [+-] (?:0x)?[0-9a-f]+)?\])"),
        target(R"(^(j[a-z]+|call) 0x[0-9a-f]+$)"), number(R"(^mov r12d, (0x)?[0-9a-f]+$)"),
        site(R"(\[rip \+ 0x[0-9a-f]+\])"), host(R"(^movabs (r1[12]), 0x[0-9a-f]{12}$)");
    std::string out = std::regex_replace(line, state, "[cpu]");
    out = std::regex_replace(out, site, "[site]");
    out = std::regex_replace(out, target, "$1 ...");
    out = std::regex_replace(out, host, "movabs $1, ...");
    return std::regex_replace(out, number, "mov r12d, ...");
}

// The way through ends with the first jump that is not conditional, but for a LOOP's (behind a
// JRCXZ).
Code translated(const Case& c) {
    using namespace lockstep;
    Machine machine(cpu::Vendor::kIntel);
    Sequence s;
    s.memory = Machine::system_memory();
    std::vector<u8> code = bytes_of(c);
    code.insert(code.end(), {0xEB, 0x00});
    std::memcpy(s.memory.data() + kCodePage * kPageSize, code.data(), code.size());
    machine.load(s);
    cpu::Cpu& cpu = machine.cpu();
    auto translator = jit::Translator::create(cpu, {.code_bytes = 1 << 20, .hot = 1});
    Code out;
    if (!translator) {
        out.problem = translator.error().message;
        return out;
    }
    cpu::Block* block = cpu.blocks->find();
    if (!block) {
        out.problem = "no block";
        return out;
    }
    if (c.sites) block->sites = cpu::Block::Sites::kYes;
    std::istringstream text((*translator)->explain(*block));
    bool through = true, loop = false;
    static const std::regex host(R"(^  [0-9a-f]{6,}: (.*)$)");
    std::smatch found;
    for (std::string line; std::getline(text, line);) {
        if (!std::regex_match(line, found, host)) continue;
        const std::string insn = found[1];
        ++out.total;
        if (!through) continue;
        ++out.through;
        out.lines.push_back(normalised(insn));
        if (insn.starts_with("jmp ") && !loop) through = false;
        loop = insn.starts_with("jrcxz");
    }
    if (out.total == 0) out.problem = "not translated";
    if ((*translator)->statistics().interpreted_instructions) out.problem = "interpreted";
    return out;
}

std::string heading(const Case& c, const Code& code) {
    return std::string(c.guest) + (c.sites ? " (by sites)" : "") + ": " +
           std::to_string(code.through) + " of " + std::to_string(code.total);
}

std::string everything() {
    std::string out =
        "# Made by codegen --update. Guest code: host instructions on the way through of all of "
        "them;\n# then the way through. [cpu] is a member of the processor's state.\n";
    for (const Case& c : kCases) {
        const Code code = translated(c);
        out += heading(c, code) + (code.problem.empty() ? "" : " (" + code.problem + ")") + "\n";
        for (const std::string& line : code.lines) out += "    " + line + "\n";
    }
    return out;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
}

// Shows the cases that changed, as they are expected and as they are.
void compare(const std::vector<std::string>& want, const std::vector<std::string>& have) {
    auto cases = [](const std::vector<std::string>& lines) {
        std::vector<std::vector<std::string>> out;
        for (const std::string& line : lines) {
            if (line.starts_with("#")) continue;
            if (!line.starts_with(" ")) out.emplace_back();
            if (!out.empty()) out.back().push_back(line);
        }
        return out;
    };
    const auto a = cases(want), b = cases(have);
    for (std::size_t n = 0; n < std::max(a.size(), b.size()); ++n) {
        if (n < a.size() && n < b.size() && a[n] == b[n]) continue;
        for (const auto& [side, sign] : {std::pair{&a, '-'}, std::pair{&b, '+'}})
            if (n < side->size())
                for (const std::string& line : (*side)[n])
                    std::printf("%c %s\n", sign, line.c_str());
    }
}

int run(int argc, char** argv) {
    const bool update = argc == 3 && !std::strcmp(argv[1], "--update");
    if (argc != (update ? 3 : 2)) {
        std::fprintf(stderr, "usage: codegen [--update] expected.txt\n");
        return 2;
    }
    const char* path = argv[argc - 1];
    const std::string have = everything();
    if (update) {
        std::ofstream(path) << have;
        return 0;
    }
    std::stringstream want;
    want << std::ifstream(path).rdbuf();
    if (want.str() == have) return 0;
    compare(lines_of(want.str()), lines_of(have));
    std::printf("codegen: host code has changed; if that is meant: codegen --update %s\n", path);
    return 1;
}

}  // namespace

}  // namespace rm::codegen

int main(int argc, char** argv) { return rm::codegen::run(argc, argv); }
