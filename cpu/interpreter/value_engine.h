// The value engine: instruction bodies computed at once. A body is
//
//     struct Add {
//         template <class T, class E> static Step run(E& e, const Insn& i) {
//             RM_LET(d, e.template rmw<T, 0>(i));      // operand 0, to be written back
//             RM_LET(s, e.template read<T, 1>(i));
//             auto r = e.add(d.value, s);
//             e.commit(d, r.value);
//             e.set_flags(r.flags);
//             return Step::kNext;
//         }
//     };
//
// Every engine offers the same members (the other one is jit/ir/builder.h, the translator's front
// half). T is the operand type u8..u64; values are e.g. `typename E::template V<T>`.
// Decode-time facts may use `if`; run-time choices go through select() and jump_if(). No
// guest-visible write may precede an operation that can fault. This engine is specialised on the
// kinds of operands 0 and 1, so register forms have no branches.
//
// Two of them run each instruction. The fast one (Fast = true) knows only what is common: TLB hits,
// limits that hold, targets that exist. Whatever else comes up it returns kFault with nothing
// changed and nothing raised, and the handler starts over with the complete one. So the common path
// has no calls and hardly a stack frame (value_handler below). Memory operands outside 64-bit
// addressing are the complete engine's.
#pragma once
#include "cpu/cpu.h"
#include "cpu/instructions/row.h"
#include "cpu/interpreter/alu.h"

namespace rm::cpu {

template <OperandKind K0, OperandKind K1, bool Fast = false>
struct ValueEngine {
    Cpu& cpu;

    template <class T>
    using V = T;
    using Bool = bool;
    template <class T>
    struct Place {  // a destination whose write cannot fault any more
        T value;
        memory::RmwPlace memory;
        u8 reg;
        bool in_memory;
    };

    template <unsigned N>
    static constexpr OperandKind static_kind() {
        return N == 0 ? K0 : K1;
    }

    // --- registers by number or by operand ---
    template <class T>
    [[gnu::always_inline]] T get_at(u8 offset) const {
        return *reinterpret_cast<const T*>(reinterpret_cast<const u8*>(cpu.gpr) + offset);
    }
    template <class T>
    [[gnu::always_inline]] void set_at(u8 offset, T v) {
        if constexpr (sizeof(T) == 4)  // 32-bit results zero-extend (SDM 1 3.4.1.1)
            *reinterpret_cast<u64*>(reinterpret_cast<u8*>(cpu.gpr) + offset) = v;
        else
            *reinterpret_cast<T*>(reinterpret_cast<u8*>(cpu.gpr) + offset) = v;
    }
    template <class T>
    T gpr(unsigned r) const {
        return get_at<T>(static_cast<u8>(r * 8));
    }
    template <class T>
    void set_gpr(unsigned r, T v) {
        set_at<T>(static_cast<u8>(r * 8), v);
    }

    // --- effective addresses ---
    [[gnu::always_inline]] u64 offset_of(const Insn& i) const {
        return cpu.gpr[i.base] + (cpu.gpr[i.index] << i.scale) + i.disp;
    }
    // The value LEA gives: the offset truncated to the address size.
    u64 effective_address(const Insn& i) const {
        const u64 off = offset_of(i);
        return i.addr == AddrMode::k64         ? off
               : i.addr == AddrMode::kLegacy16 ? (off & 0xFFFF)
                                               : (off & 0xFFFFFFFF);
    }
    // extra: added to the offset before truncation (bit strings, multi-part operands).
    template <unsigned Size, memory::Access A>
    [[gnu::always_inline]] bool linear_of(const Insn& i, LinearAddr& va, u64 extra = 0) {
        if (!linear_unchecked<Size, A>(i, va, extra)) [[unlikely]]
            return false;
        if (cpu.mem_checks) [[unlikely]]
            return !Fast && cpu.check_access(va, Size, A);
        return true;
    }
    // Without #AC and data breakpoints; the caller asks cpu.check_access() itself.
    template <unsigned Size, memory::Access A>
    [[gnu::always_inline]] bool linear_unchecked(const Insn& i, LinearAddr& va, u64 extra = 0) {
        const u64 off = offset_of(i) + extra;
        if (i.addr == AddrMode::k64) [[likely]]
            va = off + cpu.seg_base64[i.seg];
        else if (Fast || !linear_legacy(i, off, Size, A, va)) [[unlikely]]
            return false;
        return true;
    }
    [[gnu::always_inline]] bool linear_legacy(const Insn& i, u64 off, unsigned size,
                                              memory::Access access, LinearAddr& va) {
        if (i.addr == AddrMode::k64In32) {
            va = (off & 0xFFFFFFFF) + cpu.seg_base64[i.seg];
            return true;
        }
        off &= i.addr == AddrMode::kLegacy16 ? 0xFFFF : 0xFFFFFFFF;
        const SegReg s = static_cast<SegReg>(i.seg);
        const auto& r = access == memory::Access::kWrite ? cpu.write_range[s] : cpu.read_range[s];
        if (off < r.lo || off + size - 1 > r.hi) [[unlikely]]
            return refuse(s == kSs ? kSs12 : kGp);
        va = (cpu.seg[s].base + off) & 0xFFFFFFFF;
        return true;
    }

    // Failure with error code 0, or without one; the fast engine leaves it to the complete one.
    bool refuse(u8 vector, bool has_error = true) {
        if constexpr (!Fast) (void)(has_error ? cpu.raise_error(vector, 0) : cpu.raise(vector));
        return false;
    }
    // Mmu accesses: on a TLB hit here, else (complete engine only) through the Mmu's slow path.
    template <class T>
    [[gnu::always_inline]] bool mmu_load(LinearAddr va, T& v, SegReg s) {
        if constexpr (Fast)
            return cpu.mmu.load_hit(va, v);
        else
            return cpu.mmu.load(va, v) || cpu.access_failed(s);
    }
    template <class T>
    [[gnu::always_inline]] bool mmu_store(LinearAddr va, T v, SegReg s) {
        if constexpr (Fast)
            return cpu.mmu.store_hit(va, v);
        else
            return cpu.mmu.store(va, v) || cpu.access_failed(s);
    }

    // --- memory operand ---
    template <class T>
    [[gnu::always_inline]] Maybe<T> load(const Insn& i, u64 extra = 0) {
        LinearAddr va;
        T v{};
        if (!linear_of<sizeof(T), memory::Access::kRead>(i, va, extra)) [[unlikely]]
            return {v, false};
        const bool good = mmu_load(va, v, static_cast<SegReg>(i.seg));
        return {v, good};
    }
    template <class T>
    [[gnu::always_inline]] bool store(const Insn& i, T v, u64 extra = 0) {
        LinearAddr va;
        if (!linear_of<sizeof(T), memory::Access::kWrite>(i, va, extra)) [[unlikely]]
            return false;
        return mmu_store(va, v, static_cast<SegReg>(i.seg));
    }

    // --- operands ---
    template <class T, unsigned N>
    [[gnu::always_inline]] Maybe<T> read(const Insn& i) {
        static_assert(N < 2);
        if constexpr (static_kind<N>() == OperandKind::kReg)
            return {get_at<T>(i.reg[N]), true};
        else if constexpr (static_kind<N>() == OperandKind::kImm)
            return {static_cast<T>(i.imm), true};
        else
            return load<T>(i);
    }
    template <class T, unsigned N>
    [[gnu::always_inline]] bool write(const Insn& i, T v) {
        if constexpr (static_kind<N>() == OperandKind::kReg) {
            set_at<T>(i.reg[N], v);
            return true;
        } else {
            return store<T>(i, v);
        }
    }
    template <class T, unsigned N>
    [[gnu::always_inline]] Maybe<Place<T>> rmw(const Insn& i) {
        if constexpr (static_kind<N>() == OperandKind::kReg)
            return {{get_at<T>(i.reg[N]), {}, i.reg[N], false}, true};
        else
            return rmw_memory<T>(i);
    }
    template <class T>
    [[gnu::always_inline]] Maybe<Place<T>> rmw_memory(const Insn& i, u64 extra = 0) {
        Maybe<Place<T>> p{{T{}, {}, 0, true}, true};
        LinearAddr va;
        if (!linear_of<sizeof(T), memory::Access::kWrite>(i, va, extra)) [[unlikely]] {
            p.good = false;
        } else if constexpr (Fast) {
            p.good = cpu.mmu.rmw_hit(va, p.value.memory.host, p.value.value);
        } else if (!cpu.mmu.rmw_begin(va, p.value.memory, p.value.value)) [[unlikely]] {
            p.good = cpu.access_failed(static_cast<SegReg>(i.seg));
        }
        return p;
    }
    template <class T>
    [[gnu::always_inline]] void commit(const Place<T>& p, T v) {
        if (!p.in_memory)
            set_at<T>(p.reg, v);
        else if constexpr (Fast)
            std::memcpy(p.memory.host, &v, sizeof(T));
        else
            cpu.mmu.rmw_end(p.memory, v);
    }
    template <class T>
    void set_at_if(bool c, u8 offset, T v) {
        if (c) set_at<T>(offset, v);
    }
    // The immediate as a plain number: decode-time, the same in every engine.
    static u64 imm(const Insn& i) { return i.imm; }

    // --- arithmetic: (value, flags); see alu.h ---
    template <class T>
    Alu<T> add(T a, T b) {
        return alu::add(a, b);
    }
    template <class T>
    Alu<T> sub(T a, T b) {
        return alu::sub(a, b);
    }
    template <class T>
    Alu<T> adc(T a, T b) {
        return alu::adc(a, b, carry());
    }
    template <class T>
    Alu<T> sbb(T a, T b) {
        return alu::sbb(a, b, carry());
    }
    template <class T>
    Alu<T> and_(T a, T b) {
        return alu::logic<T>(a & b);
    }
    template <class T>
    Alu<T> or_(T a, T b) {
        return alu::logic<T>(a | b);
    }
    template <class T>
    Alu<T> xor_(T a, T b) {
        return alu::logic<T>(a ^ b);
    }
    template <class T>
    T not_(T a) {
        return static_cast<T>(~a);
    }
    // Shifts and rotates take the flags before, because a count of zero keeps them.
    template <class T>
    Alu<T> shl(T a, u8 n) {
        return alu::shl(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> shr(T a, u8 n) {
        return alu::shr(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> sar(T a, u8 n) {
        return alu::sar(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> rol(T a, u8 n) {
        return alu::rol(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> ror(T a, u8 n) {
        return alu::ror(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> rcl(T a, u8 n) {
        return alu::rcl(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> rcr(T a, u8 n) {
        return alu::rcr(a, n, cpu.cc);
    }
    template <class T>
    Alu<T> shld(T a, T b, u8 n) {
        return alu::shld(a, b, n, cpu.cc);
    }
    template <class T>
    Alu<T> shrd(T a, T b, u8 n) {
        return alu::shrd(a, b, n, cpu.cc);
    }
    template <class T>
    AluWide<T> mul(T a, T b) {
        return alu::mul(a, b);
    }
    template <class T>
    AluWide<T> imul(T a, T b) {
        return alu::imul(a, b);
    }
    // Quotient and remainder of high:low / divisor. Not ok: #DE is raised.
    template <class T>
    Maybe<Division<T>> div(T high, T low, T divisor) {
        Division<T> d{};
        if (alu::div(high, low, divisor, d)) [[likely]]
            return {d, true};
        return {d, refuse(kDe, false)};
    }
    template <class T>
    Maybe<Division<T>> idiv(T high, T low, T divisor) {
        Division<T> d{};
        if (alu::idiv(high, low, divisor, d)) [[likely]]
            return {d, true};
        return {d, refuse(kDe, false)};
    }
    template <class T>
    Alu<T> bsf(T a, T old) {
        return alu::bsf(a, old);
    }
    template <class T>
    Alu<T> bsr(T a, T old) {
        return alu::bsr(a, old);
    }
    template <class T>
    Alu<T> popcnt(T a) {
        return alu::popcnt(a);
    }
    template <class T>
    Alu<T> lzcnt(T a) {
        return alu::lzcnt(a);
    }
    template <class T>
    T bswap(T a) {
        return alu::bswap(a);
    }
    // Bits by run-time position (already reduced modulo the operand size).
    template <class T>
    T low_bits(T v, unsigned mask) {
        return static_cast<T>(v & mask);
    }
    template <class T>
    bool bit_of(T v, T position) {
        return (v >> position) & 1;
    }
    template <class T>
    T bit_mask(T position) {
        return static_cast<T>(T{1} << position);
    }
    // Byte offset of the T-sized word that holds bit `index` (signed) of a bit string.
    template <class T>
    u64 bit_string_offset(T index) {
        const i64 n = static_cast<std::make_signed_t<T>>(index);
        constexpr unsigned kShift = sizeof(T) == 2 ? 4 : sizeof(T) == 4 ? 5 : 6;
        return static_cast<u64>((n >> kShift) * static_cast<i64>(sizeof(T)));
    }
    void set_carry(bool c) { cpu.cc = static_cast<Cc>((cpu.cc & ~kCcCf) | (c ? kCcCf : 0)); }
    // Decode-time constants as values.
    template <class T>
    T constant(T v) {
        return v;
    }
    u8 constant8(u8 v) { return v; }
    u64 constant64(u64 v) { return v; }
    // Widening and narrowing of values.
    template <class To, class From>
    To zero_extend(From v) {
        return static_cast<To>(v);
    }
    template <class To, class From>
    To sign_extend(From v) {
        return static_cast<To>(
            static_cast<std::make_signed_t<To>>(static_cast<std::make_signed_t<From>>(v)));
    }
    template <class To, class From>
    To truncate(From v) {
        return static_cast<To>(v);
    }

    // --- flags ---
    bool carry() const { return cpu.cc & kCcCf; }
    void set_flags(Cc f) { cpu.cc = f; }
    // Replaces the flags in `mask`, keeps the others.
    void set_flags(Cc f, Cc mask) { cpu.cc = static_cast<Cc>((cpu.cc & ~mask) | (f & mask)); }
    Cc flags() const { return cpu.cc; }
    // Condition code 0..15 as in the opcode of Jcc (SDM 2 appendix B.1.4.7).
    template <unsigned C>
    [[gnu::always_inline]] bool condition() const {
        return alu::condition<C>(cpu.cc);
    }

    // --- choice ---
    template <class T>
    T select(bool c, T a, T b) {
        return c ? a : b;
    }
    template <class T>
    bool equal(T a, T b) {
        return a == b;
    }
    bool not_bool(bool c) { return !c; }
    bool and_bool(bool a, bool b) { return a && b; }
    bool constant_bool(bool c) { return c; }
    // A conditional register write; a false condition leaves even the upper half alone.
    template <class T>
    void set_gpr_if(bool c, unsigned r, T v) {
        if (c) set_gpr<T>(r, v);
    }

    void set_direction(bool d) {
        cpu.flags_other = d ? cpu.flags_other | kFlagDf : cpu.flags_other & ~kFlagDf;
    }
    u8 flags_low() const { return static_cast<u8>(cpu.cc >> 8); }
    void set_flags_low(u8 v) {
        cpu.cc = static_cast<Cc>((cpu.cc & kCcOf) | ((v & 0xD5) << 8) | kCcFixed);
    }

    // --- system ---
    Mode mode() const { return cpu.mode; }
    // May the hypervisor want to know? Known when a block is decoded.
    bool asks(Intercept id) const {
        return cpu.in_guest() && cpu.vt->answer(cpu.vt_profile, id) != InterceptAnswer::kNever;
    }
    // The rest of the body, which only this engine has.
    Step procedure(const Insn& i, Handler f) { return Fast ? Step::kFault : f(cpu, i); }
    Maybe<u64> tsc() {
        if (cpu.tsc_forbidden()) [[unlikely]]
            return {0, refuse(kGp)};
        return {cpu.seen_tsc(), true};
    }
    u64 flags_image() const { return cpu.rflags() & ~(kFlagRf | kFlagVm); }  // as PUSHF has it
    void mask_interrupts() { cpu.flags_other &= ~kFlagIf; }
    bool allow_interrupts() {
        // Only a change of IF delays interrupts by an instruction (SDM 2 STI).
        if (cpu.flag(kFlagIf)) return true;
        cpu.shadow |= kShadowSti;
        cpu.flags_other |= kFlagIf;
        cpu.recheck_events();
        return true;
    }
    void swap_gs_base() {
        std::swap(cpu.seg[kGs].base, cpu.msr.kernel_gs_base);
        cpu.update_segment(kGs);
    }

    // --- control: near transfers check the target before anything is written (SDM 2, JMP) ---
    [[gnu::always_inline]] bool target_ok(u64 target) {
        if (cpu.mode.code64()) [[likely]] {
            if (static_cast<u64>(static_cast<i64>(target << 16) >> 16) == target) [[likely]]
                return true;
        } else if (target <= cpu.seg[kCs].limit) [[likely]] {
            return true;
        }
        return refuse(kGp);
    }
    u64 next_rip(const Insn& i) const { return cpu.next_rip(i); }
    Step undefined_opcode() { return cpu.raise_ud(); }
    [[gnu::always_inline]] Step jump(u64 target) {
        cpu.rip = target;
        return Step::kJump;
    }
    [[gnu::always_inline]] Step jump_if(bool c, u64 target) {
        if (!c) return Step::kNext;
        if (!target_ok(target)) [[unlikely]]
            return Step::kFault;
        cpu.rip = target;
        return Step::kJump;
    }

    // --- stack ---
    template <class T>
    [[gnu::always_inline]] bool push(T v) {
        const u64 mask = cpu.stack_mask;
        const u64 sp = (cpu.gpr[kRsp] - sizeof(T)) & mask;
        LinearAddr va;
        if (!stack_linear<sizeof(T), memory::Access::kWrite>(sp, va)) [[unlikely]]
            return false;
        if (!mmu_store(va, v, kSs)) [[unlikely]]
            return false;
        set_sp(sp);
        return true;
    }
    // Reads the top of stack; the caller adds pop_done<T>() once nothing can fault any more.
    template <class T>
    [[gnu::always_inline]] Maybe<T> top(u64 extra = 0) {
        LinearAddr va;
        T v{};
        const u64 sp = (cpu.gpr[kRsp] + extra) & cpu.stack_mask;
        if (!stack_linear<sizeof(T), memory::Access::kRead>(sp, va)) [[unlikely]]
            return {v, false};
        const bool good = mmu_load(va, v, kSs);
        return {v, good};
    }
    // The value at stack offset `sp` (LEAVE).
    template <class T>
    Maybe<T> top_at(u64 sp) {
        return top<T>(sp - cpu.gpr[kRsp]);
    }
    void move_stack(u64 sp, u64 bytes) { set_sp((sp + bytes) & cpu.stack_mask); }
    [[gnu::always_inline]] void drop(u64 bytes) {
        set_sp((cpu.gpr[kRsp] + bytes) & cpu.stack_mask);
    }
    [[gnu::always_inline]] void set_sp(u64 sp) {
        if (cpu.stack_mask == 0xFFFF) [[unlikely]]
            cpu.gpr[kRsp] = (cpu.gpr[kRsp] & ~u64{0xFFFF}) | sp;
        else
            cpu.gpr[kRsp] = sp;  // 32-bit stacks: the upper half is not visible
    }
    template <unsigned Size, memory::Access A>
    [[gnu::always_inline]] bool stack_linear(u64 sp, LinearAddr& va) {
        if (cpu.mode.code64()) [[likely]] {
            va = sp;
        } else {
            const auto& r =
                A == memory::Access::kWrite ? cpu.write_range[kSs] : cpu.read_range[kSs];
            if (sp < r.lo || sp + Size - 1 > r.hi) [[unlikely]]
                return refuse(kSs12);
            va = (cpu.seg[kSs].base + sp) & 0xFFFFFFFF;
        }
        if (cpu.mem_checks) [[unlikely]]
            return !Fast && cpu.check_access(va, Size, A);
        return true;
    }
};

// --- shapes: which operand forms and sizes a body is instantiated for ---
template <OperandKind A, OperandKind B>
struct Form {};

template <unsigned Size>
using UnsignedOf =
    std::conditional_t<Size == 0, u8,
                       std::conditional_t<Size == 1, u16, std::conditional_t<Size == 2, u32, u64>>>;

template <class Body, class T, OperandKind A, OperandKind B>
[[gnu::noinline, gnu::cold]] Step complete_handler(Cpu& cpu, const Insn& i) {
    ValueEngine<A, B> e{cpu};
    return Body::template run<T>(e, i);
}
template <class Body, class T, OperandKind A, OperandKind B>
Step value_handler(Cpu& cpu, const Insn& i) {
    ValueEngine<A, B, true> e{cpu};
    const Step step = Body::template run<T>(e, i);
    if (step == Step::kFault) [[unlikely]]
        return complete_handler<Body, T, A, B>(cpu, i);
    return step;
}

// For bodies that say `Lockable`, with a LOCK prefix (cpu/interpreter/locked.h).
template <class Body, class T, OperandKind A, OperandKind B>
Step locked_handler(Cpu& cpu, const Insn& i);

// SizeMask: bit n allows operand size 1 << n bytes.
template <unsigned SizeMask, class... Forms>
struct Shape {
    using Table = std::array<Handler, 64>;
    template <class Body, bool Locked, unsigned Size, OperandKind A, OperandKind B>
    static constexpr void put(Table& t, Form<A, B>) {
        constexpr auto kAt = Size * 16 + static_cast<unsigned>(A) * 4 + static_cast<unsigned>(B);
        if constexpr (!(SizeMask & (1u << Size)))
            return;
        else if constexpr (Locked && (A == OperandKind::kMem || B == OperandKind::kMem))
            t[kAt] = &locked_handler<Body, UnsignedOf<Size>, A, B>;
        else
            t[kAt] = &value_handler<Body, UnsignedOf<Size>, A, B>;
    }
    template <class Body, bool Locked>
    static constexpr Table make() {
        Table t{};
        (put<Body, Locked, 0>(t, Forms{}), ...);
        (put<Body, Locked, 1>(t, Forms{}), ...);
        (put<Body, Locked, 2>(t, Forms{}), ...);
        (put<Body, Locked, 3>(t, Forms{}), ...);
        return t;
    }
};

template <class Body, class S>
Handler select_shape(const Insn& i) {
    const unsigned at =
        i.size_log2 * 16u + static_cast<unsigned>(i.kind(0)) * 4 + static_cast<unsigned>(i.kind(1));
    if constexpr (requires { typename Body::Lockable; }) {
        static constexpr auto kLocked = S::template make<Body, true>();
        if (i.prefixes & kPrefixLock) return kLocked[at];
    }
    static constexpr auto kTable = S::template make<Body, false>();
    return kTable[at];
}

inline constexpr auto kN = OperandKind::kNone, kR = OperandKind::kReg, kM = OperandKind::kMem,
                      kI = OperandKind::kImm;
inline constexpr unsigned kSizeB = 1, kSizesWdq = 14, kSizesAll = 15, kSizesDq = 12;

}  // namespace rm::cpu
