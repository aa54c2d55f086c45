#include "native/compare.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/bits.h"
#include "cpu/state/event.h"
#include "cpu/state/flags.h"
#include "native/host_cpu.h"
#include "native/intel.h"

namespace rm::native {

namespace {

constexpr const char* kGprNames[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                       "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
constexpr u64 kComparedFlags =
    cpu::kFlagsArith | cpu::kFlagTf | cpu::kFlagDf | cpu::kFlagNt | cpu::kFlagAc | cpu::kFlagId;

std::string format(const char* text, ...) {
    char line[256];
    va_list args;
    va_start(args, text);
    std::vsnprintf(line, sizeof line, text, args);
    va_end(args);
    return line;
}

std::string hex(const u8* bytes, unsigned n) {  // as a number: last byte first
    std::string s;
    while (n--) s += format("%02x", bytes[n]);
    return s;
}

struct Undefined {
    ZydisMnemonic mnemonic;
    const char* always;
    const char* nonzero;
    const char* above_one;
    const char* above_width;
};
struct UndefinedCodes {
    ZydisMnemonic mnemonic;
    const char* always;
    const char* invalid;
};
enum LooseKind : u8 {
    kMemoryOnFault = 1,
    kRegistersOnFault = 2,
    kWhichFault = 4,
    kWhichAddress = 8,
    kMemory = 16
};
struct Loose {
    ZydisMnemonic mnemonic;
    unsigned what;
};
#define RM_UNDEFINED(m, always, nonzero, above_one, above_width)
#define RM_LOOSE(m, what)
#define RM_CODES(m, always, invalid)

constexpr Undefined kUndefined[] = {
#undef RM_UNDEFINED
#define RM_UNDEFINED(m, always, nonzero, above_one, above_width) \
    {ZYDIS_MNEMONIC_##m, always, nonzero, above_one, above_width},
#include "native/undefined.def"
#undef RM_UNDEFINED
#define RM_UNDEFINED(m, always, nonzero, above_one, above_width)
};
constexpr Loose kLoose[] = {
#undef RM_LOOSE
#define RM_LOOSE(m, what) {ZYDIS_MNEMONIC_##m, what},
#include "native/undefined.def"
#undef RM_LOOSE
#define RM_LOOSE(m, what)
};
constexpr UndefinedCodes kUndefinedCodes[] = {
#undef RM_CODES
#define RM_CODES(m, always, invalid) {ZYDIS_MNEMONIC_##m, always, invalid},
#include "native/undefined.def"
};
#undef RM_UNDEFINED
#undef RM_LOOSE
#undef RM_CODES

unsigned loose(ZydisMnemonic mnemonic) {
    for (const Loose& l : kLoose)
        if (l.mnemonic == mnemonic) return l.what;
    return 0;
}

bool is_far(const Comparison& x) {
    return cpu::instruction_rows()[x.insn.row].variant == cpu::Variant::kFar;
}
// Far transfers look at the descriptor, the stack and the target in an order of the processor's
// own.
unsigned freedom_of(const Comparison& x) {
    return loose(x.z.mnemonic) | (is_far(x) ? kWhichFault | kMemoryOnFault : 0);
}

// Bits of FSW not to compare.
u16 undefined_codes(ZydisMnemonic mnemonic, u16 fsw) {
    constexpr u16 kCode[4] = {0x100, 0x200, 0x400, 0x4000}, kInvalid = 1;
    u16 bits = 0;
    for (const UndefinedCodes& u : kUndefinedCodes) {
        if (u.mnemonic != mnemonic) continue;
        for (const char* c = u.always; *c; ++c) bits |= kCode[*c - '0'];
        for (const char* c = u.invalid; *c && (fsw & kInvalid); ++c) bits |= kCode[*c - '0'];
    }
    return bits;
}

u64 flags_of(const char* letters) {
    u64 flags = 0;
    for (; *letters; ++letters) switch (*letters) {
            case 'c': flags |= cpu::kFlagCf; break;
            case 'p': flags |= cpu::kFlagPf; break;
            case 'a': flags |= cpu::kFlagAf; break;
            case 'z': flags |= cpu::kFlagZf; break;
            case 's': flags |= cpu::kFlagSf; break;
            case 'o': flags |= cpu::kFlagOf; break;
            default: break;
        }
    return flags;
}

// The masked count of a shift or rotate; the immediate is the last visible operand.
unsigned shift_count(const Case& c, const ZydisDecodedInstruction& z, const cpu::Insn& insn) {
    unsigned count = 1;
    const unsigned operand =
        z.mnemonic == ZYDIS_MNEMONIC_SHLD || z.mnemonic == ZYDIS_MNEMONIC_SHRD ? 2 : 1;
    if (insn.kind(operand) == cpu::OperandKind::kImm)
        count = static_cast<u8>(insn.imm);
    else if (insn.kind(operand) == cpu::OperandKind::kReg)
        count = static_cast<u8>(c.in.gpr[1]);
    return count & (z.operand_width == 64 ? 63 : 31);
}

bool is_double_shift(const ZydisDecodedInstruction& z) {
    return z.mnemonic == ZYDIS_MNEMONIC_SHLD || z.mnemonic == ZYDIS_MNEMONIC_SHRD;
}

// 16-bit SHLD and SHRD by more than 16: result and flags are undefined.
bool undefined_result(const Comparison& x) {
    return is_double_shift(x.z) && shift_count(x.c, x.z, x.insn) > x.z.operand_width;
}

void compare_fx(const FxImage& h, const FxImage& e, u16 fsw_mask, std::vector<std::string>& out) {
    if (h.fcw != e.fcw) out.push_back(format("FCW host %04x emulated %04x", h.fcw, e.fcw));
    if ((h.fsw ^ e.fsw) & fsw_mask)
        out.push_back(format("FSW host %04x emulated %04x", h.fsw, e.fsw));
    if (h.tags != e.tags) out.push_back(format("tags host %02x emulated %02x", h.tags, e.tags));
    if (h.mxcsr != e.mxcsr)
        out.push_back(format("MXCSR host %04x emulated %04x", h.mxcsr, e.mxcsr));
    for (unsigned n = 0; n < 8; ++n)
        if (std::memcmp(h.st[n], e.st[n], 10))
            out.push_back(format("ST%u host %s emulated %s", n, hex(h.st[n], 10).c_str(),
                                 hex(e.st[n], 10).c_str()));
    for (unsigned n = 0; n < 16; ++n)
        if (std::memcmp(h.xmm[n], e.xmm[n], 16))
            out.push_back(format("XMM%u host %s emulated %s", n, hex(h.xmm[n], 16).c_str(),
                                 hex(e.xmm[n], 16).c_str()));
}

// A null selector loaded into FS or GS: AMD's processors before Zen 2 keep the base, later ones and
// Intel's clear it (CPUID 80000021H EAX bit 6).
bool null_load(const Comparison& x, u16 selector) {
    switch (x.z.mnemonic) {
        case ZYDIS_MNEMONIC_MOV:
        case ZYDIS_MNEMONIC_POP:
        case ZYDIS_MNEMONIC_LFS:
        case ZYDIS_MNEMONIC_LGS: return selector < 4;
        default: return false;
    }
}

void compare_segments(const Comparison& x, std::vector<std::string>& out) {
    const State &h = x.host.state, &e = x.emulated.state;
    constexpr const char* kNames[6] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    for (unsigned n = 0; n < 6; ++n)
        if (h.selectors[n] != e.selectors[n])
            out.push_back(
                format("%s host %x emulated %x", kNames[n], h.selectors[n], e.selectors[n]));
    const auto base = [&](unsigned n, u64 host, u64 emulated, u64 before) {
        if (host == emulated) return;
        if (null_load(x, h.selectors[n]) && host == 0 && emulated == before) return;
        out.push_back(format("%s base host %llx emulated %llx", kNames[n],
                             static_cast<unsigned long long>(host),
                             static_cast<unsigned long long>(emulated)));
    };
    base(kFsAt, h.fs_base, e.fs_base, x.c.in.fs_base);
    base(kGsAt, h.gs_base, e.gs_base, x.c.in.gs_base);
}

// A misaligned operand outside the stack segment: #GP(0) and #SS(0) are of one priority (SDM 3A
// table 6-2, "faults on executing an instruction").
bool misaligned_outside(const Comparison& x) {
    const auto either = [](const Outcome& o) {
        return (o.vector == cpu::kGp || o.vector == cpu::kSs12) && o.error == 0;
    };
    const unsigned size = x.insn.mem_size_log2;
    const u64 alignment = size == 4 ? 16 : size > 4 ? 64 : 1;
    return x.c.operand % alignment != 0 && either(x.host) && either(x.emulated);
}

void compare_fault(const Comparison& x, std::vector<std::string>& out) {
    const Outcome &h = x.host, &e = x.emulated;
    const unsigned free = freedom_of(x);
    if ((free & kWhichFault) && memory_fault(h) && memory_fault(e)) return;
    if (h.vector != e.vector && misaligned_outside(x)) return;
    if (h.vector != e.vector) {
        out.push_back(format("vector host %d emulated %d", h.vector == kNoFault ? -1 : h.vector,
                             e.vector == kNoFault ? -1 : e.vector));
        return;
    }
    if (h.vector == cpu::kPf) {
        const bool any_address = (free & kWhichAddress) && x.c.operand - h.cr2 - 1 > ~u64{4096};
        // Linux reports kernel addresses as present to user code, whatever they are. An operand may
        // reach into an absent and into a read-only page.
        const u32 mask = h.cr2 >= 0x7FFF'FFFF'F000 || (any_address && h.cr2 != e.cr2) ? 0x1E : 0x1F;
        if ((h.error ^ e.error) & mask)
            out.push_back(format("#PF error host %x emulated %x", h.error, e.error));
        if (h.cr2 != e.cr2 && !any_address)
            out.push_back(format("CR2 host %llx emulated %llx",
                                 static_cast<unsigned long long>(h.cr2),
                                 static_cast<unsigned long long>(e.cr2)));
    } else if (h.vector != kNoFault && h.error != e.error) {
        out.push_back(format("error code host %x emulated %x", h.error, e.error));
    }
}

std::vector<std::string> found(const Comparison& x) {
    std::vector<std::string> out;
    compare_fault(x, out);
    const State &h = x.host.state, &e = x.emulated.state;
    const bool fault = x.host.vector != kNoFault;
    const bool any_result = !fault && undefined_result(x);
    const unsigned freedom = fault ? freedom_of(x) : 0;
    // LAR may give bits 19:16 of the limit (SDM 2, LAR: "00FxFF00H").
    const u64 loose_bits = x.z.mnemonic == ZYDIS_MNEMONIC_LAR ? 0xF0000 : 0;
    // Legacy code has no upper halves, also after a far transfer to it (SDM 1 3.4.1.1).
    const bool legacy = x.c.legacy() || h.selectors[kCsAt] != kUserCs;
    const u64 gpr_mask = (legacy ? 0xFFFFFFFF : ~u64{0}) & ~loose_bits;
    // AMD lets the addition of RET's operand carry out of a 16-bit stack pointer.
    const bool short_sp = is_far(x) && x.z.mnemonic == ZYDIS_MNEMONIC_RET && x.c.code == Code::k16;
    for (unsigned n = 0; n < 16 && !any_result; ++n)
        if (((h.gpr[n] ^ e.gpr[n]) & (short_sp && n == 4 ? 0xFFFF : gpr_mask)) &&
            !((freedom & kRegistersOnFault) && n != 4))
            out.push_back(format("%s host %llx emulated %llx", kGprNames[n],
                                 static_cast<unsigned long long>(h.gpr[n]),
                                 static_cast<unsigned long long>(e.gpr[n])));
    if (h.rip != e.rip)
        out.push_back(format("RIP host %llx emulated %llx", static_cast<unsigned long long>(h.rip),
                             static_cast<unsigned long long>(e.rip)));
    const u64 flags = kComparedFlags & ~(fault ? 0 : undefined_flags(x.c, x.z, x.insn)) &
                      ~(x.c.steps ? cpu::kFlagTf : 0);
    if ((h.rflags ^ e.rflags) & flags)
        out.push_back(format("RFLAGS host %llx emulated %llx (differ in %llx)",
                             static_cast<unsigned long long>(h.rflags),
                             static_cast<unsigned long long>(e.rflags),
                             static_cast<unsigned long long>((h.rflags ^ e.rflags) & flags)));
    compare_segments(x, out);
    compare_fx(h.fx, e.fx, static_cast<u16>(~undefined_codes(x.z.mnemonic, h.fx.fsw)), out);
    const unsigned free_memory = fault ? kMemoryOnFault : kMemory;
    if (any_result || (freedom_of(x) & free_memory)) return out;
    if (!std::memcmp(x.host_memory, x.emulated_memory, kScratchBytes)) return out;
    for (unsigned n = 0; n < kScratchBytes; ++n)
        if (x.host_memory[n] != x.emulated_memory[n]) {
            out.push_back(format("memory at scratch+%x host %s emulated %s (and maybe more)", n,
                                 hex(x.host_memory + (n & ~15u), 16).c_str(),
                                 hex(x.emulated_memory + (n & ~15u), 16).c_str()));
            break;
        }
    return out;
}

}  // namespace

bool memory_fault(const Outcome& o) {
    return o.vector == cpu::kNp || o.vector == cpu::kSs12 || o.vector == cpu::kGp ||
           o.vector == cpu::kPf || o.vector == cpu::kAc;
}

u64 undefined_flags(const Case& c, const ZydisDecodedInstruction& z, const cpu::Insn& insn) {
    for (const Undefined& u : kUndefined) {
        if (u.mnemonic != z.mnemonic) continue;
        u64 flags = flags_of(u.always);
        if (!*u.nonzero && !*u.above_one && !*u.above_width) return flags;
        const unsigned count = shift_count(c, z, insn);
        if (count != 0) flags |= flags_of(u.nonzero);
        if (count > 1) flags |= flags_of(u.above_one);
        if (count >= z.operand_width) flags |= flags_of(u.above_width);
        if (is_double_shift(z) && count > z.operand_width) flags = cpu::kFlagsArith;
        return flags;
    }
    return 0;
}

std::vector<std::string> differences(const Comparison& x) {
    static const bool amd = HostCpu::is_amd();
    if (amd) return found(x);
    const Alternative a = intel_alternative(x);
    const u8* const memory = a.memory.empty() ? x.emulated_memory : a.memory.data();
    return found({x.c, x.z, x.insn, x.host, a.outcome, x.host_memory, memory});
}

std::string describe(const Comparison& x) {
    std::string s = "    bytes ";
    for (unsigned n = 0; n < x.c.length; ++n) s += format("%02x ", x.c.bytes[n]);
    s += format(x.c.code == Code::k16 ? "(16-bit code)\n"
                : x.c.legacy()        ? "(32-bit code)\n"
                                      : "\n");
    const auto line = [&](const char* title, const State& t, const Outcome* o) {
        s += format("    %s: RIP %llx RFLAGS %llx", title, static_cast<unsigned long long>(t.rip),
                    static_cast<unsigned long long>(t.rflags));
        if (o && o->vector != kNoFault)
            s += format(" vector %u error %x CR2 %llx", o->vector, o->error,
                        static_cast<unsigned long long>(o->cr2));
        for (unsigned n = 0; n < (x.c.legacy() ? 8 : 16); ++n)
            s += format("%s%s %llx", n % 8 ? " " : "\n      ", kGprNames[n],
                        static_cast<unsigned long long>(t.gpr[n]));
        s += "\n";
    };
    line("in", x.c.in, nullptr);
    line("host", x.host.state, &x.host);
    line("emulated", x.emulated.state, &x.emulated);
    const FxImage& fx = x.c.in.fx;
    s += format("    in: FCW %04x FSW %04x tags %02x MXCSR %04x\n", fx.fcw, fx.fsw, fx.tags,
                fx.mxcsr);
    for (unsigned n = 0; n < 8; ++n)
        s += format("%s ST%u %s", n % 4 ? "" : "     ", n, hex(fx.st[n], 10).c_str()) +
             (n % 4 == 3 ? "\n" : "");
    for (unsigned n = 0; n < (x.c.legacy() ? 8 : 16); ++n)
        s += format("%s XMM%u %s", n % 2 ? "" : "     ", n, hex(fx.xmm[n], 16).c_str()) +
             (n % 2 ? "\n" : "");
    if (x.c.operand) {
        s += format("    memory operand at %llx", static_cast<unsigned long long>(x.c.operand));
        for (u64 base : {kScratch, kHighScratch})
            if (x.c.operand - base <= kScratchBytes - 16)
                s += " = .." + hex(x.c.memory + (x.c.operand - base), 16);
        s += "\n";
    }
    for (const std::string& d : differences(x)) s += "    * " + d + "\n";
    return s;
}

}  // namespace rm::native
