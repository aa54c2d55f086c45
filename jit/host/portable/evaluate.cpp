#include "jit/host/portable/evaluate.h"

#include <cstring>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "cpu/interpreter/value_engine.h"
#include "jit/host/portable/vector.h"

namespace rm::jit::portable {

namespace {

using namespace ir;
using cpu::Cc;
using cpu::Cpu;
using memory::Access;
namespace alu = cpu::alu;

// The result of an operation.
struct Slot {
    u64 value = 0;       // also: a condition; an address as a linear one
    u64 high = 0;        // second result; of an address: the offset in its segment
    u8* host = nullptr;  // of rmw: where to write
    V128 vector{};
};

template <unsigned... C>
bool condition_of(Cc cc, unsigned c, std::integer_sequence<unsigned, C...>) {
    bool r = false;
    ((c == C ? void(r = alu::condition<C>(cc)) : void()), ...);
    return r;
}

// Calls f with a zero of the unsigned type of 1 << size_log2 bytes.
template <class F>
auto sized(u8 size_log2, F&& f) {
    switch (size_log2) {
        case 0: return f(u8{});
        case 1: return f(u16{});
        case 2: return f(u32{});
        default: return f(u64{});
    }
}

u64 sign_extended(u64 v, u8 from_log2) {
    return sized(from_log2, [&](auto t) {
        using S = std::make_signed_t<decltype(t)>;
        return static_cast<u64>(static_cast<i64>(static_cast<S>(v)));
    });
}
u64 cut(u64 v, u8 size_log2) { return size_log2 >= 3 ? v : v & low_mask(8u << size_log2); }

bool canonical(u64 v) { return sign_extend(v, 48) == v; }

class Evaluation {
public:
    Evaluation(Cpu& cpu, const Block& block, std::span<const cpu::Insn> insns)
        : cpu_(cpu), insns_(insns), slots_(block.ops.size()) {}

    // False: the interpreter must run the instruction.
    bool run(const Op& op, Slot& r) {
        switch (info(op.code).result) {
            case Kind::A: return address(op, r), true;
            case Kind::B: return condition(op, r), true;
            case Kind::X: return vector(op, r);
            case Kind::F: return flags(op);
            case Kind::V: return value(op, r);
            default: return effect(op);
        }
    }
    void begin(u64 insn) { at_ = insn; }
    const Slot& slot(Value v) const { return slots_[v]; }
    Slot& result(Value v) { return slots_[v]; }

private:
    u64 v(Value id) const { return slots_[id].value; }
    V128 x(Value id) const { return slots_[id].vector; }

    void set_flags(const Op& op, Cc f) {
        if (op.writes) cpu_.cc = static_cast<Cc>((cpu_.cc & ~op.writes) | (f & op.writes));
    }
    u8* gpr_at(const Op& op) { return reinterpret_cast<u8*>(cpu_.gpr) + op.n; }
    u64 get(const Op& op) {
        return sized(op.size, [&](auto t) {
            std::memcpy(&t, gpr_at(op), sizeof t);
            return u64{t};
        });
    }
    void put(const Op& op, u64 value) {
        std::memcpy(gpr_at(op), &value, op.size == 2 ? 8 : 1u << op.size);
    }

    // --- addresses and memory ---
    void address(const Op& op, Slot& r) {
        u64 offset = op.imm;
        if (op.a != kNoValue) offset += v(op.a);
        if (op.b != kNoValue) offset += v(op.b) << op.n;
        if (op.c != kNoValue) offset += v(op.c);
        r.high = cut(offset, op.size);
        r.value = cpu_.mode.code64() ? r.high + cpu_.seg_base64[op.m]
                                     : (r.high + cpu_.seg[op.m].base) & 0xFFFFFFFF;
    }
    // True if an access of T at va is a TLB hit, if need be after a walk.
    template <class F>
    bool hit(LinearAddr va, unsigned size, Access access, F&& try_hit) {
        if (cpu_.mem_checks) return false;
        if (try_hit()) return true;
        // What never gets as far as the page tables: addresses that are not canonical, and in
        // legacy code what lies beyond the segment's limit of 4 GiB.
        const LinearAddr last = va + size - 1;
        if (cpu_.mode.code64() ? !canonical(va) || !canonical(last) : last > 0xFFFFFFFF)
            return false;
        return cpu_.mmu.probe(cpu_.mmu.data_class(), va, size, access) && try_hit();
    }
    template <class T>
    bool load(LinearAddr va, T& out) {
        return hit(va, sizeof(T), Access::kRead, [&] { return cpu_.mmu.load_hit(va, out); });
    }
    template <class T>
    bool store(LinearAddr va, T value) {
        return hit(va, sizeof(T), Access::kWrite, [&] { return cpu_.mmu.store_hit(va, value); });
    }
    template <class T>
    bool rmw(LinearAddr va, u8*& host, T& old) {
        return hit(va, sizeof(T), Access::kWrite, [&] { return cpu_.mmu.rmw_hit(va, host, old); });
    }
    bool aligned(const Op& op) {
        if (op.size != 4 || !(v(op.a) & 15)) return true;
        const auto align = static_cast<cpu::Align>(op.n);
        return align == cpu::Align::kAny || (align == cpu::Align::kOperand &&
                                             op.code == Code::load_vec && misaligned_allowed(cpu_));
    }

    // --- operations without a result ---
    bool effect(const Op& op) {
        switch (op.code) {
            case Code::put: return put(op, v(op.a)), true;
            case Code::put_if:
                if (v(op.a)) put(op, v(op.b));
                return true;
            case Code::set_direction:
                cpu_.flags_other =
                    op.imm ? cpu_.flags_other | cpu::kFlagDf : cpu_.flags_other & ~cpu::kFlagDf;
                return true;
            case Code::mask_interrupts: return engine_.mask_interrupts(), true;
            case Code::allow_interrupts: return engine_.allow_interrupts();
            case Code::swap_gs_base: return engine_.swap_gs_base(), true;
            case Code::store:
                return sized(op.size, [&](auto t) {
                    t = static_cast<decltype(t)>(v(op.b));
                    return store(v(op.a), t);
                });
            case Code::commit: {
                const u64 value = v(op.b);
                std::memcpy(slots_[op.a].host, &value, 1u << op.size);
                return true;
            }
            case Code::set_carry: return set_flags(op, v(op.a) ? cpu::kCcCf : Cc{0}), true;
            case Code::check_target: return !cpu_.mode.code64() || canonical(v(op.a));
            case Code::put_xmm: {
                const V128 value = x(op.a);
                std::memcpy(&cpu_.fpu.xmm[op.n], &value, 16);
                return true;
            }
            case Code::store_vec: {
                if (!aligned(op)) return false;
                const V128 value = x(op.b);
                if (op.size == 4) return store(v(op.a), value);
                return sized(op.size, [&](auto t) {
                    t = static_cast<decltype(t)>(cpu::vec_low(value));
                    return store(v(op.a), t);
                });
            }
            default: return true;
        }
    }
    bool flags(const Op& op) {
        if (op.code == Code::test_vec)
            return set_flags(op, vector_test(cpu_, x(op.a), x(op.b))), true;
        if (!all_masked(cpu_)) return false;
        return set_flags(op, fp_compare(cpu_, op.imm & 0xFFFF, x(op.a), x(op.b))), true;
    }

    // --- conditions ---
    void condition(const Op& op, Slot& r) {
        switch (op.code) {
            case Code::condition:
                r.value = condition_of(cpu_.cc, op.n, std::make_integer_sequence<unsigned, 16>{});
                break;
            case Code::equal: r.value = v(op.a) == v(op.b); break;
            case Code::bit_of: r.value = (v(op.a) >> v(op.b)) & 1; break;
            case Code::not_bool: r.value = !v(op.a); break;
            default: r.value = v(op.a) && v(op.b); break;  // and_bool
        }
    }

    // --- values ---
    bool value(const Op& op, Slot& r) {
        switch (op.code) {
            case Code::constant: return r.value = cut(op.imm, op.size), true;
            case Code::immediate: return r.value = cut(insns_[op.imm].imm, op.size), true;
            case Code::get: return r.value = get(op), true;
            case Code::tsc: return tsc(r);
            case Code::flags_image: return r.value = engine_.flags_image(), true;
            case Code::offset: return r.value = slots_[op.a].high, true;
            case Code::high: return r.value = slots_[op.a].high, true;
            case Code::load:
            case Code::rmw: return read_memory(op, r);
            case Code::zero_extend:
            case Code::truncate: return r.value = cut(v(op.a), op.size), true;
            case Code::sign_extend:
                return r.value = cut(sign_extended(v(op.a), op.n), op.size), true;
            case Code::select: return r.value = v(op.a) ? v(op.b) : v(op.c), true;
            case Code::bit_mask: return r.value = cut(u64{1} << v(op.a), op.size), true;
            case Code::bit_offset: return r.value = bit_offset(op), true;
            case Code::crc32:
                return r.value = crc32(op.n, static_cast<u32>(v(op.a)), v(op.b)), true;
            case Code::fp_to_int:
            case Code::low_of:
            case Code::lane:
            case Code::string_index:
            case Code::sign_mask: return value_of_vector(op, r);
            default: break;
        }
        return sized(op.size, [&](auto t) { return arithmetic(op, r, t); });
    }
    bool tsc(Slot& r) {
        if (cpu_.tsc_forbidden()) return false;
        // The time is that of the instruction.
        cpu_.block_first = insns_.data();
        cpu_.ip = &insns_[at_];
        r.value = cpu_.seen_tsc();
        cpu_.ip = nullptr;
        return true;
    }
    bool read_memory(const Op& op, Slot& r) {
        return sized(op.size, [&](auto t) {
            if (op.code == Code::load ? !load(v(op.a), t) : !rmw(v(op.a), r.host, t)) return false;
            r.value = t;
            return true;
        });
    }
    // The byte offset of the word that holds bit a of a bit string.
    u64 bit_offset(const Op& op) {
        const i64 index = static_cast<i64>(sign_extended(v(op.a), op.n));
        return static_cast<u64>((index >> (3 + op.n)) * (i64{1} << op.n));
    }
    bool value_of_vector(const Op& op, Slot& r) {
        const V128 a = x(op.a);
        if (op.code == Code::string_index) {
            const StringResult s = string_compare(cpu_, a, x(op.b), op.n, op.imm & 0xFF);
            r.value = s.index;
            set_flags(op, s.flags);
            return true;
        }
        if (op.code == Code::fp_to_int) {
            if (!all_masked(cpu_)) return false;
            r.value = fp_to_int(cpu_, op.imm & 0xFFFF, op.size, a);
            return true;
        }
        u8 bytes[16];
        std::memcpy(bytes, &a, 16);
        const unsigned lane = 1u << (op.code == Code::sign_mask ? op.n : op.size);
        r.value = 0;
        if (op.code == Code::sign_mask)
            for (unsigned n = 0; n < 16 / lane; ++n)
                r.value |= u64{bytes[n * lane + lane - 1]} >> 7 << n;
        else
            std::memcpy(&r.value, bytes + (op.code == Code::lane ? op.n * lane : 0), lane);
        return true;
    }

    template <class T>
    bool arithmetic(const Op& op, Slot& r, T) {
        const T a = static_cast<T>(v(op.a)), b = op.b == kNoValue ? T{} : static_cast<T>(v(op.b));
        const u8 count = op.b == kNoValue ? u8{} : static_cast<u8>(v(op.b));
        const Cc old = cpu_.cc;
        const bool carry = old & cpu::kCcCf;
        auto set = [&](cpu::Alu<T> result) {
            r.value = result.value;
            set_flags(op, result.flags);
            return true;
        };
        auto set_wide = [&](cpu::AluWide<T> result) {
            r.high = result.high;
            return set({result.low, result.flags});
        };
        switch (op.code) {
            case Code::add: return set(alu::add(a, b));
            case Code::sub: return set(alu::sub(a, b));
            case Code::adc: return set(alu::adc(a, b, carry));
            case Code::sbb: return set(alu::sbb(a, b, carry));
            case Code::and_: return set(alu::logic<T>(a & b));
            case Code::or_: return set(alu::logic<T>(a | b));
            case Code::xor_: return set(alu::logic<T>(a ^ b));
            case Code::not_: return r.value = static_cast<T>(~a), true;
            case Code::shl: return set(alu::shl(a, count, old));
            case Code::shr: return set(alu::shr(a, count, old));
            case Code::sar: return set(alu::sar(a, count, old));
            case Code::rol: return set(alu::rol(a, count, old));
            case Code::ror: return set(alu::ror(a, count, old));
            case Code::rcl: return set(alu::rcl(a, count, old));
            case Code::rcr: return set(alu::rcr(a, count, old));
            case Code::shld: return set(alu::shld(a, b, static_cast<u8>(v(op.c)), old));
            case Code::shrd: return set(alu::shrd(a, b, static_cast<u8>(v(op.c)), old));
            case Code::mul: return set_wide(alu::mul(a, b));
            case Code::imul: return set_wide(alu::imul(a, b));
            case Code::div:
            case Code::idiv: return divide(op, r, a, b, static_cast<T>(v(op.c)));
            case Code::bsf: return set(alu::bsf(a, b));
            case Code::bsr: return set(alu::bsr(a, b));
            case Code::popcnt: return set(alu::popcnt(a));
            case Code::lzcnt: return set(alu::lzcnt(a));
            default: return r.value = alu::bswap(a), true;
        }
    }
    template <class T>
    bool divide(const Op& op, Slot& r, T high, T low, T divisor) {
        cpu::Division<T> d{};
        const bool good = op.code == Code::div ? alu::div(high, low, divisor, d)
                                               : alu::idiv(high, low, divisor, d);
        r.value = d.quotient;
        r.high = d.remainder;
        return good;
    }

    // --- vectors ---
    bool vector(const Op& op, Slot& r) {
        const unsigned number = op.imm & 0xFFFF, imm = static_cast<unsigned>(op.imm >> 16);
        switch (op.code) {
            case Code::get_xmm: r.vector = cpu::load_vec(&cpu_.fpu.xmm[op.n]); return true;
            case Code::load_vec:
                if (!aligned(op)) return false;
                if (op.size == 4) return load(v(op.a), r.vector);
                return sized(op.size, [&](auto t) {
                    if (!load(v(op.a), t)) return false;
                    r.vector = cpu::vec_u64(t);
                    return true;
                });
            case Code::vec: r.vector = vector_operation(number, x(op.a), x(op.b), imm); return true;
            case Code::vec_field: {
                const V128 control = x(op.c);
                const u64 field = (op.n ? cpu::vec_high(control) : cpu::vec_low(control)) & 0x3F3F;
                r.vector = vector_operation(number, x(op.a), x(op.b), static_cast<unsigned>(field));
                return true;
            }
            case Code::blend: r.vector = vector_blend(op.n, x(op.a), x(op.b), x(op.c)); return true;
            case Code::string_mask: {
                const StringResult s = string_compare(cpu_, x(op.a), x(op.b), op.n, op.imm & 0xFF);
                r.vector = s.mask;
                set_flags(op, s.flags);
                return true;
            }
            case Code::vec_of: r.vector = cpu::vec_u64(v(op.a)); return true;
            case Code::set_lane: {
                r.vector = x(op.a);
                const u64 lane = v(op.b);
                std::memcpy(reinterpret_cast<u8*>(&r.vector) + (op.n << op.size), &lane,
                            1u << op.size);
                return true;
            }
            case Code::vec_fp:
                if (!all_masked(cpu_)) return false;
                r.vector = vector_fp(cpu_, number, x(op.a), x(op.b), imm);
                return true;
            default:  // int_to_fp
                if (!all_masked(cpu_)) return false;
                r.vector = int_to_fp(cpu_, number, op.n, x(op.a), v(op.b));
                return true;
        }
    }

    Cpu& cpu_;
    cpu::ValueEngine<cpu::kN, cpu::kN> engine_{cpu_};
    const std::span<const cpu::Insn> insns_;
    u64 at_ = 0;  // index of the running instruction
    std::vector<Slot> slots_;
};

}  // namespace

Outcome evaluate(Cpu& cpu, const Block& block, std::span<const cpu::Insn> insns, u64 block_rip,
                 u64 limit) {
    using What = Outcome::What;
    Evaluation e(cpu, block, insns);
    u64 begun = 0, rip = block_rip;
    for (Value at = 0; at < block.ops.size(); ++at) {
        const Op& op = block[at];
        switch (op.code) {
            case Code::insn:
                rip = (block_rip + insns[op.imm].offset) & cpu.ip_mask;
                if (begun == limit) return {What::kLeft, begun, rip};
                ++begun;
                e.begin(op.imm);
                break;
            case Code::x87:
            case Code::interp: return {What::kInterpret, begun - 1, rip};
            case Code::jump: return {What::kLeft, begun, e.slot(op.a).value};
            case Code::jump_to: return {What::kLeft, begun, op.imm};
            case Code::jump_if:
                if (e.slot(op.a).value) return {What::kLeft, begun, op.imm};
                break;
            default:
                if (!e.run(op, e.result(at))) return {What::kInterpret, begun - 1, rip};
        }
    }
    return {What::kInterpret, begun, rip};  // not a verified block
}

}  // namespace rm::jit::portable
