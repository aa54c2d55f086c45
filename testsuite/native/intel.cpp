#include "native/intel.h"

#include <cstring>

#include "base/bits.h"
#include "cpu/state/cpu_state.h"
#include "cpu/state/event.h"
#include "cpu/state/flags.h"

namespace rm::native {

namespace {

constexpr u16 kErrorSummary = 0x80, kC1 = 0x200, kTop = 0x3800, kBusy = 0x8000;
constexpr u64 kMask32 = 0xFFFFFFFF;

// Where a linear address is in the scratch memory; false: elsewhere.
bool scratch_offset(u64 address, u64 size, u64& offset) {
    for (u64 at : {kScratch, kHighScratch}) {
        offset = address - at;
        if (offset < kScratchBytes && offset + size <= kScratchBytes) return true;
    }
    return false;
}

u8* memory_of(const Comparison& x, Alternative& a) {
    if (a.memory.empty()) a.memory.assign(x.emulated_memory, x.emulated_memory + kScratchBytes);
    return a.memory.data();
}

// A store of an MMX register that faults has begun the transition to MMX state: TOP is 0, the tags
// are as they were. SDM 3A 13.2 has every MMX instruction make the transition and says nothing of
// one that faults; no register changes, and the instruction makes it when it is restarted.
void store_from_mmx(const Comparison& x, Alternative& a) {
    if (!memory_fault(x.host) || !memory_fault(x.emulated) ||
        x.insn.kind(0) != cpu::OperandKind::kMem)
        return;
    const FxImage &host = x.host.state.fx, &in = x.c.in.fx;
    FxImage& fx = a.outcome.state.fx;
    const unsigned top = (in.fsw & kTop) >> 11;
    u8 st[8][16];
    for (unsigned n = 0; n < 8; ++n) std::memcpy(st[n], in.st[(n - top) & 7], 16);
    if (host.fsw != (in.fsw & ~kTop) || fx.fsw != in.fsw) return;
    fx.fsw = host.fsw;
    std::memcpy(fx.st, st, sizeof st);
}

// An x87 store that is not made because of an unmasked exception does not look at its operand
// either. An x87 exception and the faults of memory are of one priority (SDM 3A table 6-2, "faults
// on executing an instruction").
void store_of_x87(const Comparison& x, Alternative& a) {
    if (x.host.vector != kNoFault || !memory_fault(x.emulated) ||
        x.insn.kind(0) != cpu::OperandKind::kMem)
        return;
    const FxImage &host = x.host.state.fx, &in = x.c.in.fx;
    constexpr u16 kNotPrecision = 0x1F;  // a precision exception comes behind the store
    if ((in.fsw & kErrorSummary) || !(host.fsw & kErrorSummary) ||
        !(host.fsw & ~in.fcw & kNotPrecision))
        return;
    constexpr u16 kRaised = 0x7F | kErrorSummary | kBusy | kC1;
    State expected = x.emulated.state;  // as before: the instruction has faulted
    expected.rip = x.c.in.rip + x.c.length;
    expected.rflags = x.c.in.rflags;
    expected.fx.fsw = static_cast<u16>((in.fsw & ~kC1) | (host.fsw & kRaised));
    a.outcome = Outcome{};
    a.outcome.state = expected;
}

// Ten bytes are two accesses, the first of which may have been made when the second faults: SDM 3A
// 6.5 promises that the instruction can be restarted.
void store_of_ten_bytes(const Comparison& x, Alternative& a) {
    constexpr u64 kSize = 10;
    u64 at;
    const bool wide = x.z.opcode == 0xDB || x.z.mnemonic == ZYDIS_MNEMONIC_FBSTP;
    if (!wide || !memory_fault(x.host) || !memory_fault(x.emulated)) return;
    for (u64 n = 0; n < kSize; ++n)
        if (scratch_offset(x.c.operand + n, 1, at)) memory_of(x, a)[at] = x.host_memory[at];
}

// A near CALL writes the return address before it finds that its target is beyond the limit or not
// canonical; the stack pointer stays. The words below it are nobody's.
void call_to_bad_target(const Comparison& x, Alternative& a) {
    const unsigned size = x.z.operand_width / 8;
    if (x.host.vector != cpu::kGp || x.emulated.vector != cpu::kGp) return;
    u64 at = x.c.in.gpr[4] - size;
    if (x.c.code == Code::k32) at &= kMask32;
    if (x.c.code == Code::k16) at = kStack16.base + (at & 0xFFFF);
    u64 offset;
    const u64 next = x.c.in.rip + x.c.length;
    if (!scratch_offset(at, size, offset) || std::memcmp(x.host_memory + offset, &next, size))
        return;
    std::memcpy(memory_of(x, a) + offset, &next, size);
}

// Where an access goes over 4 GiB in a segment of that size, #SS or #GP may come or not (SDM 3A
// 5.3); then it is the turn of #AC and the pages. An access that is misaligned and goes over the
// canonical border has #SS and #AC, which are of one priority (SDM 3A table 6-2, "faults on
// executing an instruction").
void stack_over_the_top(const Comparison& x, Alternative& a) {
    const Outcome& h = x.host;
    constexpr u64 kNear = 64, kCanonicalEnd = u64{1} << 47;
    constexpr u32 kOfUser = 4, kWrite = 2;
    if (x.emulated.vector != cpu::kSs12 || x.emulated.error || x.c.code == Code::k16) return;
    const u64 end = x.c.code == Code::k64 ? kCanonicalEnd : kMask32 + 1;
    const auto near = [&](u64 address) {
        return ((address - end + kNear) & (end - 1)) < 2 * kNear;
    };
    const u64 sp = x.c.in.gpr[4], bp = x.c.in.gpr[5];
    if (!near(sp) && !(x.z.mnemonic == ZYDIS_MNEMONIC_ENTER && near(bp))) return;
    const bool unaligned =
        h.vector == cpu::kAc && h.error == 0 && (x.c.in.rflags & cpu::kFlagAc) && (sp | bp) % 8;
    const bool page = h.vector == cpu::kPf && x.c.code == Code::k32 && h.cr2 <= kMask32 &&
                      near(h.cr2) && (h.error & ~kWrite) == kOfUser;
    if (!unaligned && !page) return;
    a.outcome.vector = h.vector;
    a.outcome.error = h.error;
    a.outcome.cr2 = h.cr2;
}

// BOUND reads the upper bound only if the index is not below the lower one: the processor's choice
// as with other instructions of several accesses (undefined.def, kWhichFault).
void first_bound(const Comparison& x, Alternative& a) {
    const unsigned size = x.z.operand_width / 8;
    u64 at;
    if (x.host.vector != cpu::kBr || !memory_fault(x.emulated) ||
        !scratch_offset(x.c.operand, size, at))
        return;
    const auto number = [size](const void* from) {
        u64 v = 0;
        std::memcpy(&v, from, size);
        return static_cast<i64>(sign_extend(v, 8 * size));
    };
    const u8* const registers = reinterpret_cast<const u8*>(x.c.in.gpr);
    if (number(registers + x.insn.reg[0]) >= number(x.c.memory + at)) return;
    a.outcome.vector = cpu::kBr;
    a.outcome.error = 0;
}

// XSAVE and XRSTOR of no component need not look at the legacy region, which no component is in
// then (SDM 1 13, "Memory accesses by the XSAVE feature set": only what they may access). XRSTOR
// still looks at the header.
void no_component(const Comparison& x, Alternative& a) {
    constexpr u64 kLegacyRegion = 512, kComponents = 3;
    const Outcome& h = x.host;
    if (x.emulated.vector != cpu::kPf || (x.c.in.gpr[0] & kComponents) ||
        x.emulated.cr2 - x.c.operand >= kLegacyRegion)
        return;
    const bool restores =
        x.z.mnemonic == ZYDIS_MNEMONIC_XRSTOR || x.z.mnemonic == ZYDIS_MNEMONIC_XRSTOR64;
    if (h.vector != kNoFault && !(restores && h.vector == cpu::kGp && h.error == 0)) return;
    State expected = x.emulated.state;
    if (h.vector == kNoFault) expected.rip = x.c.in.rip + x.c.length;
    a.outcome = Outcome{};
    a.outcome.vector = h.vector;
    a.outcome.state = expected;
}

// REP MOVS and STOS with 32-bit addresses in 64-bit code: RSI and RDI lose their upper halves even
// if no element is moved. SDM 2, REP, does not tell whether a register that keeps its value is
// written.
void no_element_moved(const Comparison& x, Alternative& a, std::initializer_list<unsigned> used) {
    if (x.insn.addr != cpu::AddrMode::k64In32 || !x.c.repeats) return;
    for (unsigned n : used) {
        const u64 in = x.c.in.gpr[n];
        if (x.emulated.state.gpr[n] == in && x.host.state.gpr[n] == (in & kMask32))
            a.outcome.state.gpr[n] = in & kMask32;
    }
}

// REP MOVS between two mappings of the same bytes, less than 64 bytes apart: in one of its larger
// units (SDM 1 7.3.9.3) an element is not yet what an earlier one has written. Only overlaps of
// linear addresses are looked for.
void moved_to_alias(const Comparison& x, Alternative& a) {
    constexpr u64 kUnit = 64;
    const State &in = x.c.in, &out = x.emulated.state;
    if (x.c.code != Code::k64 || !x.c.repeats) return;
    const u64 mask = x.insn.addr == cpu::AddrMode::k64 ? ~u64{0} : kMask32;
    const u64 base = x.insn.seg == cpu::SegReg::kFs   ? in.fs_base
                     : x.insn.seg == cpu::SegReg::kGs ? in.gs_base
                                                      : 0;
    const u64 from = base + (in.gpr[6] & mask), to = in.gpr[7] & mask;
    const unsigned size = 1u << x.insn.size_log2;
    u64 source, target;
    if (!scratch_offset(from, 1, source) || !scratch_offset(to, 1, target) ||
        from - source == to - target || source - target + kUnit > 2 * kUnit)
        return;
    u64 first = to, end = out.gpr[7] & mask;
    if (in.rflags & cpu::kFlagDf) first = end + size, end = to + size;
    for (u64 n = first, at; n < end; ++n)
        if (scratch_offset(n, 1, at)) memory_of(x, a)[at] = x.host_memory[at];
}

// Ten bytes are read in two accesses: the first one's #AC comes before the second one is looked at.
void load_of_ten_bytes(const Comparison& x, Alternative& a) {
    const bool wide = x.z.opcode == 0xDB || x.z.mnemonic == ZYDIS_MNEMONIC_FBLD;
    if (!wide || x.host.vector != cpu::kAc || !memory_fault(x.emulated) ||
        !(x.c.in.rflags & cpu::kFlagAc) || x.c.operand % 8 == 0)
        return;
    a.outcome.vector = cpu::kAc;
    a.outcome.error = 0;
}

// Which of several NaNs a sum across lanes becomes: "implementation dependent" (SDM 2, DPPS, DPPD).
template <class T>
void any_nan(const Comparison& x, Alternative& a, T quiet) {
    const unsigned reg = x.insn.reg[0] & 15;
    u8* emulated = a.outcome.state.fx.xmm[reg];
    const u8* host = x.host.state.fx.xmm[reg];
    for (unsigned n = 0; n < 16; n += sizeof(T)) {
        T e, h;
        std::memcpy(&e, emulated + n, sizeof e);
        std::memcpy(&h, host + n, sizeof h);
        if ((e & quiet) == quiet && (h & quiet) == quiet) std::memcpy(emulated + n, &h, sizeof h);
    }
}

}  // namespace

Alternative intel_alternative(const Comparison& x) {
    Alternative a{x.emulated, {}};
    switch (x.z.mnemonic) {
        case ZYDIS_MNEMONIC_MOVD:
        case ZYDIS_MNEMONIC_MOVQ:
        case ZYDIS_MNEMONIC_MOVNTQ: store_from_mmx(x, a); break;
        case ZYDIS_MNEMONIC_FSTP:
        case ZYDIS_MNEMONIC_FBSTP: store_of_ten_bytes(x, a); [[fallthrough]];
        case ZYDIS_MNEMONIC_FST:
        case ZYDIS_MNEMONIC_FIST:
        case ZYDIS_MNEMONIC_FISTP:
        case ZYDIS_MNEMONIC_FISTTP: store_of_x87(x, a); break;
        case ZYDIS_MNEMONIC_FLD:
        case ZYDIS_MNEMONIC_FBLD: load_of_ten_bytes(x, a); break;
        case ZYDIS_MNEMONIC_CALL: call_to_bad_target(x, a); break;
        case ZYDIS_MNEMONIC_BOUND: first_bound(x, a); break;
        case ZYDIS_MNEMONIC_XSAVE:
        case ZYDIS_MNEMONIC_XSAVE64:
        case ZYDIS_MNEMONIC_XSAVEOPT:
        case ZYDIS_MNEMONIC_XSAVEOPT64:
        case ZYDIS_MNEMONIC_XRSTOR:
        case ZYDIS_MNEMONIC_XRSTOR64: no_component(x, a); break;
        case ZYDIS_MNEMONIC_ENTER:
        case ZYDIS_MNEMONIC_PUSH:
        case ZYDIS_MNEMONIC_PUSHA:
        case ZYDIS_MNEMONIC_PUSHAD:
        case ZYDIS_MNEMONIC_PUSHF:
        case ZYDIS_MNEMONIC_PUSHFD:
        case ZYDIS_MNEMONIC_PUSHFQ: stack_over_the_top(x, a); break;
        case ZYDIS_MNEMONIC_MOVSB:
        case ZYDIS_MNEMONIC_MOVSW:
        case ZYDIS_MNEMONIC_MOVSD:
        case ZYDIS_MNEMONIC_MOVSQ:
            no_element_moved(x, a, {6, 7});
            moved_to_alias(x, a);
            break;
        case ZYDIS_MNEMONIC_STOSB:
        case ZYDIS_MNEMONIC_STOSW:
        case ZYDIS_MNEMONIC_STOSD:
        case ZYDIS_MNEMONIC_STOSQ: no_element_moved(x, a, {7}); break;
        case ZYDIS_MNEMONIC_DPPS: any_nan<u32>(x, a, 0x7FC00000); break;
        case ZYDIS_MNEMONIC_DPPD: any_nan<u64>(x, a, u64{0x7FF8} << 48); break;
        default: break;
    }
    return a;
}

}  // namespace rm::native
