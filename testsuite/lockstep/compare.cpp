#include "lockstep/compare.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "cpu/decode/decoder.h"
#include "cpu/decode/instruction_text.h"
#include "jit/ir/print.h"
#include "jit/ir/verify.h"
#include "jit/translate/build_ir.h"

namespace rm::lockstep {

using namespace cpu;

namespace {

[[gnu::format(printf, 1, 2)]] std::string format(const char* text, ...) {
    char line[256];
    va_list args;
    va_start(args, text);
    std::vsnprintf(line, sizeof line, text, args);
    va_end(args);
    return line;
}
unsigned long long ull(u64 v) { return v; }

constexpr const char* kGprNames[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                       "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};

// Collects "name a, but b" where two values differ.
class Differences {
public:
    void value(const std::string& name, u64 a, u64 b) {
        if (a != b) lines.push_back(format("%s %llx, but %llx", name.c_str(), ull(a), ull(b)));
    }
    void bytes(const std::string& name, const void* a, const void* b, unsigned n) {
        if (std::memcmp(a, b, n)) lines.push_back(name + " " + hex(a, n) + ", but " + hex(b, n));
    }
    static std::string hex(const void* p, unsigned n) {
        std::string s;
        while (n--) s += format("%02x", static_cast<const u8*>(p)[n]);
        return s;
    }
    std::vector<std::string> lines;
};

void compare_fpu(Differences& d, const FpuState& a, const FpuState& b) {
    for (unsigned n = 0; n < 16; ++n)
        d.bytes("XMM" + std::to_string(n), a.xmm[n].b, b.xmm[n].b, 16);
    for (unsigned n = 0; n < 8; ++n) {
        d.value("R" + std::to_string(n) + " mantissa", a.st[n].mantissa, b.st[n].mantissa);
        d.value("R" + std::to_string(n) + " exponent", a.st[n].sign_exponent,
                b.st[n].sign_exponent);
    }
    d.value("MXCSR", a.mxcsr, b.mxcsr);
    d.value("FCW", a.fcw, b.fcw);
    d.value("FSW", a.fsw, b.fsw);
    d.value("FTW", a.ftw, b.ftw);
    d.value("FOP", a.fop, b.fop);
    d.value("FIP", a.fip, b.fip);
    d.value("FDP", a.fdp, b.fdp);
    d.value("FCS", a.fcs, b.fcs);
    d.value("FDS", a.fds, b.fds);
}

void compare_memory(Differences& d, const Result& a, const Result& b) {
    for (unsigned at = 0; at < kRamBytes; at += 16)
        if (std::memcmp(a.memory.data() + at, b.memory.data() + at, 16)) {
            d.bytes(format("memory at %llx (and maybe more)", ull(kBase + at)),
                    a.memory.data() + at, b.memory.data() + at, 16);
            return;
        }
}

std::string text_of(const Happening& h) {
    return format("tick %llu rip %llx: %llx (%llx)", ull(h.tick), ull(h.rip), ull(h.what),
                  ull(h.value));
}

void compare_happenings(Differences& d, const Result& a, const Result& b) {
    if (a.happenings == b.happenings) return;
    std::size_t n = 0;
    while (n < a.happenings.size() && n < b.happenings.size() && a.happenings[n] == b.happenings[n])
        ++n;
    const auto one = [&](const Result& r) {
        return n < r.happenings.size() ? text_of(r.happenings[n]) : std::string("nothing");
    };
    d.lines.push_back("event or device access " + std::to_string(n) + ": " + one(a) + ", but " +
                      one(b));
}

std::vector<Insn> decode(const Sequence& s) {
    static const Model model = Machine::model(s.vendor);
    static Decoder decoder(model);
    std::vector<Insn> out;
    const u8* code = s.memory.data() + kCodePage * kPageSize;
    for (const auto& place : s.insns) {
        Insn i;
        (void)decoder.decode({code + place.offset, 15}, Machine::mode(s.kind), kCode, place.offset,
                             nullptr, i);
        out.push_back(i);
    }
    return out;
}

}  // namespace

std::vector<std::string> differences(const Result& a, const Result& b) {
    Differences d;
    const CpuState &x = a.state, &y = b.state;
    d.value("stop", static_cast<u64>(a.stop), static_cast<u64>(b.stop));
    d.value("ticks", a.ticks, b.ticks);
    d.value("RIP", x.rip, y.rip);
    for (unsigned n = 0; n < 16; ++n) d.value(kGprNames[n], x.gpr[n], y.gpr[n]);
    d.value("RFLAGS", x.rflags(), y.rflags());
    d.value("CPL", x.cpl, y.cpl);
    d.value("activity", static_cast<u64>(x.activity), static_cast<u64>(y.activity));
    d.value("shadow", x.shadow, y.shadow);
    d.value("CR0", x.cr0, y.cr0);
    d.value("CR2", x.cr2, y.cr2);
    d.value("DR6", x.dr6, y.dr6);
    for (unsigned n = 0; n < kSegRegs; ++n)
        if (!(x.seg[n] == y.seg[n]))
            d.value("segment " + std::to_string(n), x.seg[n].selector | x.seg[n].base << 16,
                    y.seg[n].selector | y.seg[n].base << 16);
    compare_fpu(d, x.fpu, y.fpu);
    compare_happenings(d, a, b);
    compare_memory(d, a, b);
    return std::move(d.lines);
}

std::string listing(const Sequence& s) {
    InstructionText text;
    std::string out;
    const u8* code = s.memory.data() + kCodePage * kPageSize;
    for (const auto& place : s.insns) {
        const u64 rip = kCode + place.offset;
        const auto& line = text.of({code + place.offset, 15}, s.kind == Kind::k64 ? 3 : 2, rip);
        std::string bytes;
        for (unsigned n = 0; n < place.length; ++n)
            bytes += format("%02x ", code[place.offset + n]);
        out += format("    %llx: %-36s %s\n", ull(rip), bytes.c_str(), line.text.c_str());
    }
    return out;
}

std::string intermediate(const Sequence& s) {
    std::string out;
    const auto insns = decode(s);
    for (const Insn& i : insns) {
        jit::ir::Block block;
        jit::build_ir(block, {&i, 1}, {.mode = Machine::mode(s.kind), .block_rip = kCode});
        out += jit::ir::print(block, {&i, 1}, kCode);
        if (const auto offence = jit::ir::verify(block)) out += "  offence: " + *offence + "\n";
    }
    return out;
}

std::string inputs(const Sequence& s) {
    constexpr const char* kKindNames[kKinds] = {"64-bit", "32-bit under long mode",
                                                "32-bit without paging"};
    std::string out =
        format("    %s code at CPL %u, %s\n", kKindNames[static_cast<unsigned>(s.kind)], s.cpl,
               s.vendor == Vendor::kIntel ? "Intel" : "AMD");
    out += format("    RIP %llx RFLAGS %llx FS %llx GS %llx MXCSR %x DR7 %llx DR0 %llx stops",
                  ull(s.rip), ull(s.rflags), ull(s.fs_base), ull(s.gs_base), s.fpu.mxcsr,
                  ull(s.dr7), ull(s.dr0));
    for (u64 stop : s.stops) out += format(" %llu", ull(stop));
    for (const auto& p : s.pokes)
        out += format(" poke %llx %u %llx", ull(p.at), p.size, ull(p.value));
    for (unsigned n = 0; n < 16; ++n)
        out += format("%s%s %llx", n % 4 ? " " : "\n      ", kGprNames[n], ull(s.gpr[n]));
    return out + "\n";
}

std::string outcome(const Result& r) {
    std::string out = format("    stop %u ticks %llu RIP %llx RFLAGS %llx CR2 %llx",
                             static_cast<unsigned>(r.stop), ull(r.ticks), ull(r.state.rip),
                             ull(r.state.rflags()), ull(r.state.cr2));
    for (unsigned n = 0; n < 16; ++n)
        out += format("%s%s %llx", n % 4 ? " " : "\n      ", kGprNames[n], ull(r.state.gpr[n]));
    constexpr std::size_t kShown = 12;
    for (std::size_t n = 0; n < r.happenings.size() && n < kShown; ++n)
        out += "\n      " + text_of(r.happenings[n]);
    if (r.happenings.size() > kShown) out += "\n      ...";
    return out + "\n";
}

}  // namespace rm::lockstep
