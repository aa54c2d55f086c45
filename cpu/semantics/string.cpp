// String instructions. A REP instruction is executed in bounded pieces: as many iterations as the
// tick budget allows, then Step::kAgain; each iteration is one tick and a fault leaves the
// registers at an iteration's border (SDM 1 7.3.9.2). Runs inside one page of plain RAM go in bulk.
// Source: SDM 2, MOVS CMPS SCAS LODS STOS INS OUTS, REP.
#include <algorithm>
#include <cstring>

#include "cpu/semantics/expand.h"
#include "cpu/system/system.h"

namespace rm::cpu {

namespace {

using memory::Access;

// The registers of a string instruction under its address size.
struct Pointers {
    Cpu& cpu;
    const Insn& insn;
    u64 mask;

    Pointers(Cpu& c, const Insn& i)
        : cpu(c),
          insn(i),
          mask(i.addr == AddrMode::k64         ? ~u64{0}
               : i.addr == AddrMode::kLegacy16 ? 0xFFFF
                                               : 0xFFFFFFFF) {}
    u64 get(Gpr r) const { return cpu.gpr[r] & mask; }
    void set(Gpr r, u64 v) {
        // A 32-bit address size zero-extends, a 16-bit one keeps the upper part.
        if (mask == 0xFFFF)
            cpu.gpr[r] = (cpu.gpr[r] & ~mask) | (v & mask);
        else
            cpu.gpr[r] = v & mask;
    }
    bool repeated() const { return insn.prefixes & (kPrefixRep | kPrefixRepne); }
    i64 step(unsigned size) const {
        return cpu.flags_other & kFlagDf ? -static_cast<i64>(size) : static_cast<i64>(size);
    }
};

bool string_linear(Cpu& cpu, SegReg s, u64 offset, unsigned size, Access access, LinearAddr& va) {
    if (!cpu.mode.code64()) return cpu.linear(s, offset, size, access, va);
    va = offset + cpu.seg_base64[s];
    return !cpu.mem_checks || cpu.check_access(va, size, access);
}

template <class T>
bool load_string(Cpu& cpu, SegReg s, u64 offset, T& v) {
    LinearAddr va;
    return string_linear(cpu, s, offset, sizeof(T), Access::kRead, va) &&
           (cpu.mmu.load(va, v) || cpu.access_failed(s));
}
template <class T>
bool store_string(Cpu& cpu, SegReg s, u64 offset, T v) {
    LinearAddr va;
    return string_linear(cpu, s, offset, sizeof(T), Access::kWrite, va) &&
           (cpu.mmu.store(va, v) || cpu.access_failed(s));
}

// Runs `element` (false = fault) once, or under a repeat prefix as often as rCX and the budget
// allow. `bulk` may do several iterations at once and says how many (0 = none). `more` is asked
// after each element (REPE, REPNE).
template <class Element, class Bulk, class More>
Step repeat(Pointers& p, Element element, Bulk bulk, More more) {
    Cpu& cpu = p.cpu;
    if (!p.repeated()) return element() ? Step::kNext : Step::kFault;
    u64 left = p.get(kRcx);
    if (left == 0) return Step::kNext;
    const bool one_by_one = (cpu.flags_other & kFlagTf) || (cpu.dr7 & 0xFF);
    bool first = true, stop = false;
    while (!stop) {
        const u64 room = cpu.budget();
        if (!first && (room == 0 || cpu.attention || one_by_one)) return Step::kAgain;
        first = false;
        u64 n = one_by_one ? 0 : bulk(std::min(left, room));
        if (n == 0) {
            if (!element()) return Step::kFault;
            n = 1;
        }
        left -= n;
        cpu.tick_base += n;  // each iteration is a tick, seen by devices at once
        p.set(kRcx, left);
        stop = left == 0 || !more();
    }
    --cpu.tick_base;  // the run loop counts the instruction itself
    return Step::kRepeated;
}

// Iterations of `size` bytes that [offset, ...) allows in 64-bit addressing going up, with the host
// pointer; 0 when bulk work is not possible there.
u64 bulk_span(const Pointers& p, SegReg s, u64 offset, unsigned size, Access access, u64 wanted,
              u8*& host) {
    Cpu& cpu = p.cpu;
    if (p.insn.addr != AddrMode::k64 || (cpu.flags_other & kFlagDf) || cpu.mem_checks) return 0;
    u64 bytes = kPageSize;
    host = cpu.mmu.span(offset + cpu.seg_base64[s], access, &bytes);
    if (!host) return 0;
    return std::min(wanted, bytes / size);
}

constexpr u64 kBulkMin = 4;  // below this the span look-ups cost more than they save

template <class T>
Step movs(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    const SegReg source = static_cast<SegReg>(i.seg);
    auto element = [&] {
        T v;
        if (!load_string(cpu, source, p.get(kRsi), v) || !store_string(cpu, kEs, p.get(kRdi), v))
            return false;
        p.set(kRsi, p.get(kRsi) + p.step(sizeof(T)));
        p.set(kRdi, p.get(kRdi) + p.step(sizeof(T)));
        return true;
    };
    auto bulk = [&](u64 wanted) -> u64 {
        if (wanted < kBulkMin) return 0;
        u8 *from, *to;
        u64 n = bulk_span(p, source, p.get(kRsi), sizeof(T), Access::kRead, wanted, from);
        if (n) n = bulk_span(p, kEs, p.get(kRdi), sizeof(T), Access::kWrite, n, to);
        if (!n) return 0;
        // A destination just above the source repeats what was copied: element order matters.
        if (to > from && to < from + n * sizeof(T)) {
            for (u64 k = 0; k < n; ++k)
                std::memmove(to + k * sizeof(T), from + k * sizeof(T), sizeof(T));
        } else {
            std::memmove(to, from, n * sizeof(T));
        }
        p.set(kRsi, p.get(kRsi) + n * sizeof(T));
        p.set(kRdi, p.get(kRdi) + n * sizeof(T));
        return n;
    };
    return repeat(p, element, bulk, [] { return true; });
}

template <class T>
Step stos(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    const T v = static_cast<T>(cpu.gpr[kRax]);
    auto element = [&] {
        if (!store_string(cpu, kEs, p.get(kRdi), v)) return false;
        p.set(kRdi, p.get(kRdi) + p.step(sizeof(T)));
        return true;
    };
    auto bulk = [&](u64 wanted) -> u64 {
        if (wanted < kBulkMin) return 0;
        u8* to;
        const u64 n = bulk_span(p, kEs, p.get(kRdi), sizeof(T), Access::kWrite, wanted, to);
        if (!n) return 0;
        if constexpr (sizeof(T) == 1) {
            std::memset(to, v, n);
        } else {
            for (u64 k = 0; k < n; ++k) std::memcpy(to + k * sizeof(T), &v, sizeof(T));
        }
        p.set(kRdi, p.get(kRdi) + n * sizeof(T));
        return n;
    };
    return repeat(p, element, bulk, [] { return true; });
}

template <class T>
Step lods(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    auto element = [&] {
        T v;
        if (!load_string(cpu, static_cast<SegReg>(i.seg), p.get(kRsi), v)) return false;
        ValueEngine<kN, kN>{cpu}.template set_gpr<T>(kRax, v);
        p.set(kRsi, p.get(kRsi) + p.step(sizeof(T)));
        return true;
    };
    return repeat(
        p, element, [](u64) -> u64 { return 0; }, [] { return true; });
}

// CMPS and SCAS on Intel's processors: a fault of a later element gives the flags back that were
// there before the instruction (SDM 2, REP); AMD's keep those of the last element. The instruction
// has not begun anew where it only goes on after a piece.
template <class Run>
Step with_flags_restored(const Pointers& p, Run run) {
    Cpu& cpu = p.cpu;
    if (cpu.model.vendor != Vendor::kIntel || !p.repeated()) return run();
    auto& piece = cpu.string_piece;
    const bool goes_on = piece.ticks == cpu.ticks() && piece.rip == cpu.current_rip();
    const Cc before = goes_on ? piece.flags_before : cpu.cc;
    const Step step = run();
    if (step == Step::kFault) cpu.cc = before;
    if (step == Step::kAgain) piece = {cpu.ticks(), cpu.current_rip(), before};
    return step;
}

// REPE goes on while ZF is set, REPNE while it is clear.
auto while_flag(Cpu& cpu, const Insn& i) {
    const bool wanted = i.prefixes & kPrefixRep;
    return [&cpu, wanted] { return ((cpu.cc & kCcZf) != 0) == wanted; };
}

template <class T>
Step cmps(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    const SegReg source = static_cast<SegReg>(i.seg);
    auto element = [&] {
        T a, b;
        if (!load_string(cpu, source, p.get(kRsi), a) || !load_string(cpu, kEs, p.get(kRdi), b))
            return false;
        cpu.cc = alu::sub(a, b).flags;
        p.set(kRsi, p.get(kRsi) + p.step(sizeof(T)));
        p.set(kRdi, p.get(kRdi) + p.step(sizeof(T)));
        return true;
    };
    // In bulk: the equal (or, under REPNE, the unequal) run before the last element looked at.
    auto bulk = [&](u64 wanted) -> u64 {
        if (wanted < kBulkMin) return 0;
        u8 *from, *to;
        u64 n = bulk_span(p, source, p.get(kRsi), sizeof(T), Access::kRead, wanted, from);
        if (n) n = bulk_span(p, kEs, p.get(kRdi), sizeof(T), Access::kRead, n, to);
        if (n < kBulkMin) return 0;
        const bool stop_at_unequal = i.prefixes & kPrefixRep;
        T a{}, b{};
        u64 k = 0;
        while (k < n) {
            std::memcpy(&a, from + k * sizeof(T), sizeof(T));
            std::memcpy(&b, to + k * sizeof(T), sizeof(T));
            ++k;
            if ((a == b) != stop_at_unequal) break;
        }
        cpu.cc = alu::sub(a, b).flags;
        p.set(kRsi, p.get(kRsi) + k * sizeof(T));
        p.set(kRdi, p.get(kRdi) + k * sizeof(T));
        return k;
    };
    return with_flags_restored(p, [&] { return repeat(p, element, bulk, while_flag(cpu, i)); });
}

template <class T>
Step scas(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    const T a = static_cast<T>(cpu.gpr[kRax]);
    auto element = [&] {
        T b;
        if (!load_string(cpu, kEs, p.get(kRdi), b)) return false;
        cpu.cc = alu::sub(a, b).flags;
        p.set(kRdi, p.get(kRdi) + p.step(sizeof(T)));
        return true;
    };
    auto bulk = [&](u64 wanted) -> u64 {
        if (wanted < kBulkMin) return 0;
        u8* at;
        const u64 n = bulk_span(p, kEs, p.get(kRdi), sizeof(T), Access::kRead, wanted, at);
        if (n < kBulkMin) return 0;
        const bool stop_at_unequal = i.prefixes & kPrefixRep;
        T b{};
        u64 k = 0;
        while (k < n) {
            std::memcpy(&b, at + k * sizeof(T), sizeof(T));
            ++k;
            if ((a == b) != stop_at_unequal) break;
        }
        cpu.cc = alu::sub(a, b).flags;
        p.set(kRdi, p.get(kRdi) + k * sizeof(T));
        return k;
    };
    return with_flags_restored(p, [&] { return repeat(p, element, bulk, while_flag(cpu, i)); });
}

// INS: the destination must be writable before the port is read, so that a fault loses no data.
template <class T>
Step ins(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    const u16 port = static_cast<u16>(cpu.gpr[kRdx]);
    if (!check_io(cpu, port, sizeof(T))) return Step::kFault;
    auto element = [&] {
        LinearAddr va;
        if (!string_linear(cpu, kEs, p.get(kRdi), sizeof(T), Access::kWrite, va)) return false;
        memory::RmwPlace place;
        T old;
        // Another processor may not take the place away while the device is asked.
        const MachineLock::Hold hold(cpu.threads);
        if (!cpu.mmu.rmw_begin(va, place, old)) return cpu.access_failed(kEs);
        cpu.mmu.rmw_end(place, static_cast<T>(cpu.io.read(port, sizeof(T))));
        p.set(kRdi, p.get(kRdi) + p.step(sizeof(T)));
        return true;
    };
    const Step s = repeat(
        p, element, [](u64) -> u64 { return 0; }, [] { return true; });
    return s == Step::kNext || s == Step::kRepeated ? Step::kEnd : s;
}

template <class T>
Step outs(Cpu& cpu, const Insn& i) {
    Pointers p(cpu, i);
    const u16 port = static_cast<u16>(cpu.gpr[kRdx]);
    if (!check_io(cpu, port, sizeof(T))) return Step::kFault;
    auto element = [&] {
        T v;
        if (!load_string(cpu, static_cast<SegReg>(i.seg), p.get(kRsi), v)) return false;
        cpu.io.write(port, sizeof(T), v);
        p.set(kRsi, p.get(kRsi) + p.step(sizeof(T)));
        return true;
    };
    const Step s = repeat(
        p, element, [](u64) -> u64 { return 0; }, [] { return true; });
    return s == Step::kNext || s == Step::kRepeated ? Step::kEnd : s;
}

}  // namespace

std::span<const Row> string_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/string.def"
    };
    return kRows;
}

}  // namespace rm::cpu
