#include "jit/run/flag_recipe.h"

#include "cpu/interpreter/alu.h"

namespace rm::jit {

namespace {

using cpu::Cc;
using ir::Code;

u64 hash_of(const FlagRecipe& r) {
    u64 h = static_cast<u64>(r.code) | u64{r.size} << 8 | u64{r.writes} << 16 | u64{r.before} << 32;
    for (const Source& s : {r.a, r.b, r.c, r.result})
        h = (h ^ (s.kind + (u64{s.number} << 8) + s.value * 0x9E3779B97F4A7C15u)) * 0x100000001B3u;
    return h ^ h >> 32;
}

u64 read(const cpu::Cpu& cpu, const Source& s) {
    switch (s.kind) {
        case Source::kRegister: {
            u64 v = 0;  // the bytes behind are never part of the operand: it is cut to its size
            const u8* at = reinterpret_cast<const u8*>(cpu.gpr) + s.number;
            std::memcpy(&v, at, sizeof v);
            return v;
        }
        case Source::kConstant: return s.value;
        case Source::kSlot: return cpu.translated.flag_slots[s.number] >> (8 * s.value);
        default: return 0;
    }
}

template <class T>
Cc compute(const FlagRecipe& r, u64 a64, u64 b64, u64 c64, u64 r64, Cc old) {
    namespace alu = cpu::alu;
    T a = static_cast<T>(a64), b = static_cast<T>(b64);
    const T result = static_cast<T>(r64);
    const bool have_result = r.result.kind != Source::kNone;
    const bool have_a = r.a.kind != Source::kNone, have_b = r.b.kind != Source::kNone;
    const u8 count = static_cast<u8>(b64);
    switch (r.code) {
        case Code::add:
            if (!have_a) a = static_cast<T>(result - b);
            if (!have_b) b = static_cast<T>(result - a);
            return alu::add(a, b).flags;
        case Code::sub:
            if (!have_a) a = static_cast<T>(result + b);
            if (!have_b) b = static_cast<T>(a - result);
            return alu::sub(a, b).flags;
        case Code::adc: return alu::adc(a, b, static_cast<T>(result - a - b) & 1).flags;
        case Code::sbb: return alu::sbb(a, b, static_cast<T>(a - b - result) & 1).flags;
        case Code::and_: return alu::logic<T>(have_result ? result : static_cast<T>(a & b)).flags;
        case Code::or_: return alu::logic<T>(have_result ? result : static_cast<T>(a | b)).flags;
        case Code::xor_: return alu::logic<T>(have_result ? result : static_cast<T>(a ^ b)).flags;
        case Code::shl: return alu::shl(a, count, old).flags;
        case Code::shr: return alu::shr(a, count, old).flags;
        case Code::sar: return alu::sar(a, count, old).flags;
        case Code::rol: return alu::rol(a, count, old).flags;
        case Code::ror: return alu::ror(a, count, old).flags;
        // b: the CF they leave.
        case Code::rcl: return alu::with_cf_of(old, b & 1, alu::msb(result) != bool(b & 1));
        case Code::rcr:
            return alu::with_cf_of(old, b & 1,
                                   alu::msb(result) != alu::msb(static_cast<T>(result << 1)));
        case Code::shld: return alu::shld(a, b, static_cast<u8>(c64), old).flags;
        case Code::shrd: return alu::shrd(a, b, static_cast<u8>(c64), old).flags;
        case Code::mul: return alu::mul(a, b).flags;
        case Code::imul: return alu::imul(a, b).flags;
        case Code::bsf: return alu::bsf(a, b).flags;
        case Code::bsr: return alu::bsr(a, b).flags;
        case Code::popcnt: return alu::popcnt(a).flags;
        case Code::lzcnt: return alu::lzcnt(a).flags;
        case Code::bit_of:
            return static_cast<Cc>(((a >> (b & (sizeof(T) * 8 - 1))) & 1) ? cpu::kCcCf : 0);
        case Code::set_carry: return static_cast<Cc>(a ? cpu::kCcCf : 0);
        default: return old;
    }
}

}  // namespace

u32 FlagRecipes::number_of(const FlagRecipe& recipe) {
    std::size_t at = hash_of(recipe) & (index_.size() - 1);
    for (; index_[at]; at = (at + 1) & (index_.size() - 1))
        if (all_[index_[at]] == recipe) return index_[at];
    const u32 number = static_cast<u32>(all_.size());
    all_.push_back(recipe);
    index_[at] = number;
    if (all_.size() * 2 > index_.size()) grow();
    return number;
}

void FlagRecipes::grow() {
    index_.assign(index_.size() * 2, 0);
    for (u32 number = 1; number < all_.size(); ++number) {
        std::size_t at = hash_of(all_[number]) & (index_.size() - 1);
        while (index_[at]) at = (at + 1) & (index_.size() - 1);
        index_[at] = number;
    }
}

Cc FlagRecipes::flags(const cpu::Cpu& cpu, u32 number) const {
    if (number == 0) return cpu.cc;
    const FlagRecipe& r = all_[number];
    const Cc old = r.keeps ? flags(cpu, r.before) : cpu::kCcFixed;
    const u64 a = read(cpu, r.a), b = read(cpu, r.b), c = read(cpu, r.c), d = read(cpu, r.result);
    Cc f = 0;
    switch (r.size) {
        case 0: f = compute<u8>(r, a, b, c, d, old); break;
        case 1: f = compute<u16>(r, a, b, c, d, old); break;
        case 2: f = compute<u32>(r, a, b, c, d, old); break;
        default: f = compute<u64>(r, a, b, c, d, old); break;
    }
    return static_cast<Cc>(((old & ~r.writes) | (f & r.writes)) | cpu::kCcFixed);
}

}  // namespace rm::jit
