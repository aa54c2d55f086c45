// The builder engine: the instruction bodies of cpu/semantics run on it and append IR instead of
// computing (cpu/interpreter/value_engine.h is its twin and explains the members). Integer part;
// builder_vector.h adds the vectors.
// What the translator does not do natively (16-bit addressing, segments that are not flat, ...)
// sets `unsupported`: the caller drops what was appended and lets the interpreter run the
// instruction.
#pragma once
#include <type_traits>

#include "cpu/hooks.h"
#include "cpu/state/cpu_state.h"
#include "cpu/state/insn.h"
#include "cpu/state/mode.h"
#include "jit/ir/ir.h"
#include "memory/physical/physical.h"

namespace rm::jit::ir {

using cpu::AddrMode;
using cpu::Cc;
using cpu::Insn;
using cpu::OperandKind;
using cpu::Step;

// A value, or a decode-time constant that becomes an operation when it is used.
template <class T>
struct Val {
    Value id = kNoValue;
    T known{};
    Val() = default;
    Val(T c) : known(c) {}
    static Val of(Value v) {
        Val r;
        r.id = v;
        return r;
    }
    bool constant() const { return id == kNoValue; }
};
struct BoolVal {
    Value id = kNoValue;
    bool known = false;
};
struct FlagsVal {
    Value id = kNoValue;  // the operation that can set them
};
template <class T>
struct AluVal {
    Val<T> value;
    FlagsVal flags;
};
template <class T>
struct WideVal {
    Val<T> low, high;
    FlagsVal flags;
};
template <class T>
struct DivisionVal {
    Val<T> quotient, remainder;
};
// The builder's Maybe: a fault leaves the translated block, it is never a value.
template <class T>
struct Sure {
    T value;
    constexpr bool ok() const { return true; }
};

// What the builder must know besides the instruction.
struct BuildContext {
    cpu::Mode mode;
    u64 block_rip = 0;
    u32 loose = 0;  // bit n: the immediate of instruction n may change (cpu::Block::loose)
    const cpu::Virtualization* vt = nullptr;  // whom `mode` names a profile of
    bool counted_time = false;                // VirtualClock::tick_shift() has an answer
};

struct Builder {
    Block& block;
    const BuildContext& context;
    unsigned index = 0;  // of the instruction in the block
    bool unsupported = false;

    template <class T>
    using V = Val<T>;
    using Bool = BoolVal;
    template <class T>
    using Same = std::type_identity_t<T>;
    template <class T>
    struct Place {
        Val<T> value;
        Value rmw = kNoValue;
        u8 reg = 0;
        bool in_memory = false;
    };
    template <class T>
    static constexpr u8 kSize = static_cast<u8>(std::countr_zero(sizeof(T)));

    // --- appending ---
    Value append(const Op& op) {
        block.ops.push_back(op);
        return static_cast<Value>(block.ops.size() - 1);
    }
    Value constant_value(u64 v, u8 size) {
        return append({.code = Code::constant, .size = size, .imm = v});
    }
    template <class T>
    Value use(const Val<T>& v) {
        return v.constant() ? constant_value(v.known, kSize<T>) : v.id;
    }
    Value use(const BoolVal& v) { return v.id == kNoValue ? constant_value(v.known, 0) : v.id; }
    template <class T>
    Val<T> value(const Op& op) {
        return Val<T>::of(append(op));
    }
    template <class T>
    AluVal<T> alu(Code code, Value a, Value b, Value c = kNoValue) {
        const Value v = append({.code = code, .size = kSize<T>, .a = a, .b = b, .c = c});
        return {Val<T>::of(v), {v}};
    }

    // --- registers ---
    template <class T>
    Val<T> get_at(u8 offset) {
        return value<T>({.code = Code::get, .size = kSize<T>, .n = offset});
    }
    template <class T>
    void set_at(u8 offset, Same<Val<T>> v) {
        const Value a = use(v);
        append({.code = Code::put, .size = kSize<T>, .n = offset, .a = a});
    }
    template <class T>
    Val<T> gpr(unsigned r) {
        return get_at<T>(static_cast<u8>(r * 8));
    }
    template <class T>
    void set_gpr(unsigned r, Same<Val<T>> v) {
        set_at<T>(static_cast<u8>(r * 8), v);
    }
    template <class T>
    void set_at_if(BoolVal c, u8 offset, Same<Val<T>> v) {
        const Value a = use(c), b = use(v);
        append({.code = Code::put_if, .size = kSize<T>, .n = offset, .a = a, .b = b});
    }
    template <class T>
    void set_gpr_if(BoolVal c, unsigned r, Same<Val<T>> v) {
        set_at_if<T>(c, static_cast<u8>(r * 8), v);
    }

    // --- addresses ---
    Val<u64> whole_gpr(unsigned r) { return gpr<u64>(r); }
    // Flat segments only: in 64-bit code the base of FS and GS is added at run time.
    Value address_of(const Insn& i, Val<u64> extra = {}) {
        u8 size = 3;
        switch (i.addr) {
            case AddrMode::k64: break;
            case AddrMode::k64In32: size = 2; break;
            case AddrMode::kLegacy32:
                size = 2;
                if (!context.mode.flat() || i.seg == cpu::kFs || i.seg == cpu::kGs)
                    unsupported = true;
                break;
            case AddrMode::kLegacy16: unsupported = true; break;
        }
        return address(i.base, i.index, i.scale, i.disp, size, i.seg, extra);
    }
    // A legacy code segment cannot be written (SDM 3A 3.4.5.1).
    Value written_address_of(const Insn& i, Val<u64> extra = {}) {
        if (i.seg == cpu::kCs && !context.mode.code64()) unsupported = true;
        return address_of(i, extra);
    }
    Value address(unsigned base, unsigned index, u8 scale, u64 disp, u8 size, u8 seg,
                  Val<u64> extra = {}) {
        const Value a = base == cpu::kZeroReg ? kNoValue : whole_gpr(base).id;
        const Value b = index == cpu::kZeroReg ? kNoValue : whole_gpr(index).id;
        Value c = kNoValue;
        if (extra.constant())
            disp += extra.known;
        else
            c = extra.id;
        return append({.code = Code::address,
                       .size = size,
                       .n = scale,
                       .m = seg,
                       .a = a,
                       .b = b,
                       .c = c,
                       .imm = disp});
    }
    Val<u64> effective_address(const Insn& i) {
        const u8 size = i.addr == AddrMode::k64 ? 3 : i.addr == AddrMode::kLegacy16 ? 1 : 2;
        const Value a = address(i.base, i.index, i.scale, i.disp, size, cpu::kDs);
        return value<u64>({.code = Code::offset, .a = a});
    }

    // --- memory ---
    template <class T>
    Sure<Val<T>> load(const Insn& i, Val<u64> extra = {}) {
        return {load_at<T>(address_of(i, extra))};
    }
    template <class T>
    Val<T> load_at(Value address) {
        return value<T>({.code = Code::load, .size = kSize<T>, .a = address});
    }
    template <class T>
    bool store(const Insn& i, Val<T> v, Val<u64> extra = {}) {
        store_at<T>(written_address_of(i, extra), v);
        return true;
    }
    template <class T>
    void store_at(Value address, Val<T> v) {
        const Value b = use(v);
        append({.code = Code::store, .size = kSize<T>, .a = address, .b = b});
    }

    // --- operands ---
    template <class T, unsigned N>
    Sure<Val<T>> read(const Insn& i) {
        static_assert(N < 2);
        switch (i.kind(N)) {
            case OperandKind::kReg: return {get_at<T>(i.reg[N])};
            case OperandKind::kImm:
                if (!loose()) return {Val<T>(static_cast<T>(i.imm))};
                return {value<T>({.code = Code::immediate, .size = kSize<T>, .imm = index})};
            default: return load<T>(i);
        }
    }
    template <class T, unsigned N>
    bool write(const Insn& i, Same<Val<T>> v) {
        if (i.kind(N) != OperandKind::kReg) return store<T>(i, v);
        set_at<T>(i.reg[N], v);
        return true;
    }
    template <class T, unsigned N>
    Sure<Place<T>> rmw(const Insn& i) {
        if (i.kind(N) == OperandKind::kReg)
            return {{get_at<T>(i.reg[N]), kNoValue, i.reg[N], false}};
        return rmw_memory<T>(i);
    }
    template <class T>
    Sure<Place<T>> rmw_memory(const Insn& i, Val<u64> extra = {}) {
        const Value a = written_address_of(i, extra);
        const u8 locked = i.prefixes & cpu::kPrefixLock;
        const Value v = append({.code = Code::rmw, .size = kSize<T>, .n = locked, .a = a});
        return {{Val<T>::of(v), v, 0, true}};
    }
    template <class T>
    void commit(const Place<T>& p, Same<Val<T>> v) {
        if (!p.in_memory) return set_at<T>(p.reg, v);
        const Value b = use(v);
        append({.code = Code::commit, .size = kSize<T>, .a = p.rmw, .b = b});
    }
    // An immediate that has to be known now.
    u64 imm(const Insn& i) {
        if (loose()) unsupported = true;
        return i.imm;
    }
    bool loose() const { return context.loose >> index & 1; }

    // --- arithmetic ---
#define RM_BUILD2(name)                        \
    template <class T>                         \
    AluVal<T> name(Val<T> a, Same<Val<T>> b) { \
        const Value x = use(a), y = use(b);    \
        return alu<T>(Code::name, x, y);       \
    }
    RM_BUILD2(add);
    RM_BUILD2(sub);
    RM_BUILD2(adc);
    RM_BUILD2(sbb);
    RM_BUILD2(and_);
    RM_BUILD2(or_);
    RM_BUILD2(xor_);
    RM_BUILD2(bsf);
    RM_BUILD2(bsr);
#undef RM_BUILD2
    template <class T>
    AluVal<T> sub(T a, Val<T> b) {
        return sub(Val<T>(a), b);
    }
#define RM_BUILD_SHIFT(name)                \
    template <class T>                      \
    AluVal<T> name(Val<T> a, Val<u8> n) {   \
        const Value x = use(a), y = use(n); \
        return alu<T>(Code::name, x, y);    \
    }
    RM_BUILD_SHIFT(shl);
    RM_BUILD_SHIFT(shr);
    RM_BUILD_SHIFT(sar);
    RM_BUILD_SHIFT(rol);
    RM_BUILD_SHIFT(ror);
    RM_BUILD_SHIFT(rcl);
    RM_BUILD_SHIFT(rcr);
#undef RM_BUILD_SHIFT
    template <class T>
    AluVal<T> shld(Val<T> a, Val<T> b, Val<u8> n) {
        const Value x = use(a), y = use(b), z = use(n);
        return alu<T>(Code::shld, x, y, z);
    }
    template <class T>
    AluVal<T> shrd(Val<T> a, Val<T> b, Val<u8> n) {
        const Value x = use(a), y = use(b), z = use(n);
        return alu<T>(Code::shrd, x, y, z);
    }
    template <class T>
    Val<T> unary(Code code, Val<T> a) {
        const Value x = use(a);
        return value<T>({.code = code, .size = kSize<T>, .a = x});
    }
    template <class T>
    Val<T> not_(Val<T> a) {
        return unary(Code::not_, a);
    }
    template <class T>
    Val<T> bswap(Val<T> a) {
        return unary(Code::bswap, a);
    }
    template <class T>
    AluVal<T> popcnt(Val<T> a) {
        const Val<T> v = unary(Code::popcnt, a);
        return {v, {v.id}};
    }
    template <class T>
    AluVal<T> lzcnt(Val<T> a) {
        const Val<T> v = unary(Code::lzcnt, a);
        return {v, {v.id}};
    }
    template <class T>
    Val<T> high_of(Value first) {
        return value<T>({.code = Code::high, .size = kSize<T>, .a = first});
    }
    template <class T>
    WideVal<T> mul(Val<T> a, Same<Val<T>> b) {
        return wide(Code::mul, a, b);
    }
    template <class T>
    WideVal<T> imul(Val<T> a, Same<Val<T>> b) {
        return wide(Code::imul, a, b);
    }
    template <class T>
    WideVal<T> wide(Code code, Val<T> a, Val<T> b) {
        const Value x = use(a), y = use(b);
        const AluVal<T> low = alu<T>(code, x, y);
        return {low.value, high_of<T>(low.value.id), low.flags};
    }
    template <class T>
    Sure<DivisionVal<T>> div(Val<T> h, Val<T> l, Val<T> d) {
        return divide(Code::div, h, l, d);
    }
    template <class T>
    Sure<DivisionVal<T>> idiv(Val<T> h, Val<T> l, Val<T> d) {
        return divide(Code::idiv, h, l, d);
    }
    template <class T>
    Sure<DivisionVal<T>> divide(Code code, Val<T> h, Val<T> l, Val<T> d) {
        const Value x = use(h), y = use(l), z = use(d);
        const AluVal<T> q = alu<T>(code, x, y, z);
        return {{q.value, high_of<T>(q.value.id)}};
    }
    template <class T>
    Val<T> low_bits(Val<T> v, unsigned mask) {
        if (v.constant()) return Val<T>(static_cast<T>(v.known & mask));
        return and_(v, Val<T>(static_cast<T>(mask))).value;
    }
    template <class T>
    BoolVal bit_of(Val<T> v, Val<T> position) {
        const Value x = use(v), y = use(position);
        return {append({.code = Code::bit_of, .size = kSize<T>, .a = x, .b = y})};
    }
    template <class T>
    Val<T> bit_mask(Val<T> position) {
        if (position.constant()) return Val<T>(static_cast<T>(T{1} << position.known));
        return unary(Code::bit_mask, position);
    }
    template <class T>
    Val<u64> bit_string_offset(Val<T> index) {
        const Value x = use(index);
        return value<u64>({.code = Code::bit_offset, .n = kSize<T>, .a = x});
    }
    template <class T>
    Val<T> constant(T v) {
        return Val<T>(v);
    }
    Val<u8> constant8(u8 v) { return Val<u8>(v); }
    Val<u64> constant64(u64 v) { return Val<u64>(v); }
    // MOVSX and MOVZX have forms that do not extend (66 63, 66 0F B7): as the value engine does.
    template <class To, class From>
    Val<To> convert(Code code, Val<From> v) {
        if constexpr (std::is_same_v<To, From>) return v;
        if (sizeof(To) < sizeof(From)) code = Code::truncate;
        const Value x = use(v);
        return value<To>({.code = code, .size = kSize<To>, .n = kSize<From>, .a = x});
    }
    template <class To, class From>
    Val<To> zero_extend(Val<From> v) {
        return convert<To>(Code::zero_extend, v);
    }
    template <class To, class From>
    Val<To> sign_extend(Val<From> v) {
        return convert<To>(Code::sign_extend, v);
    }
    template <class To, class From>
    Val<To> truncate(Val<From> v) {
        return convert<To>(Code::truncate, v);
    }

    // --- flags ---
    BoolVal condition_number(unsigned c) {
        return {append({.code = Code::condition, .size = 0, .n = static_cast<u8>(c)})};
    }
    template <unsigned C>
    BoolVal condition() {
        return condition_number(C);
    }
    BoolVal carry() { return condition_number(2); }
    void set_flags(FlagsVal f, Cc mask = cpu::kCcAll) {
        Op& op = block.ops[f.id];
        op.writes = static_cast<Cc>(mask & natural_flags(op.code));
    }
    void set_carry(BoolVal c) {
        const Value a = use(c);
        append({.code = Code::set_carry, .size = 0, .writes = cpu::kCcCf, .a = a});
    }
    void set_direction(bool d) { append({.code = Code::set_direction, .imm = d}); }

    // --- choice ---
    template <class T>
    Val<T> select(BoolVal c, Val<T> a, Same<Val<T>> b) {
        const Value x = use(c), y = use(a), z = use(b);
        return value<T>({.code = Code::select, .size = kSize<T>, .a = x, .b = y, .c = z});
    }
    template <class T>
    BoolVal equal(Val<T> a, Same<Val<T>> b) {
        const Value x = use(a), y = use(b);
        return {append({.code = Code::equal, .size = kSize<T>, .a = x, .b = y})};
    }
    BoolVal not_bool(BoolVal c) {
        const Value x = use(c);
        return {append({.code = Code::not_bool, .size = 0, .a = x})};
    }
    BoolVal and_bool(BoolVal a, BoolVal b) {
        const Value x = use(a), y = use(b);
        return {append({.code = Code::and_bool, .size = 0, .a = x, .b = y})};
    }
    BoolVal constant_bool(bool c) { return {kNoValue, c}; }

    // --- control ---
    static bool canonical(u64 target) {
        return static_cast<u64>(static_cast<i64>(target << 16) >> 16) == target;
    }
    // Known targets are judged now; the CS limit of flat legacy code allows any, others are the
    // interpreter's.
    bool target_ok(u64 target) {
        if (context.mode.code64() ? !canonical(target) : !context.mode.flat()) unsupported = true;
        return true;
    }
    template <class T>
    bool target_ok(Val<T> target) {
        if (sizeof(T) == 2 || !(context.mode.code64() || context.mode.flat())) unsupported = true;
        if (target.constant()) return target_ok(u64{target.known});
        append({.code = Code::check_target, .size = kSize<T>, .a = target.id});
        return true;
    }
    u64 next_rip(const Insn& i) const {
        const u64 rip = context.block_rip + i.offset + i.length;
        return context.mode.code64() ? rip : rip & 0xFFFFFFFF;
    }
    Step undefined_opcode() {
        unsupported = true;
        return Step::kFault;
    }
    template <class T>
    Step jump(Val<T> target) {
        if (target.constant())
            append({.code = Code::jump_to, .imm = target.known});
        else
            append({.code = Code::jump, .size = kSize<T>, .a = target.id});
        return Step::kJump;
    }
    Step jump_if(BoolVal c, u64 target) {
        (void)target_ok(target);
        const Value a = use(c);
        append({.code = Code::jump_if, .a = a, .imm = target});
        return Step::kNext;
    }

    // --- system ---
    cpu::Mode mode() const { return context.mode; }
    bool asks(cpu::Intercept id) const {
        return mode().guest() && (!context.vt || context.vt->answer(mode().profile(), id) !=
                                                     cpu::InterceptAnswer::kNever);
    }
    Step procedure(const Insn&, cpu::Handler) {
        unsupported = true;
        return Step::kFault;
    }
    Sure<Val<u64>> tsc() {
        if (!context.counted_time) unsupported = true;
        const u8 guest = mode().guest(), forbidden = mode().cpl() != 0;
        return {value<u64>({.code = Code::tsc, .n = guest, .m = forbidden})};
    }
    Val<u64> flags_image() { return value<u64>({.code = Code::flags_image}); }
    void mask_interrupts() { append({.code = Code::mask_interrupts}); }
    bool allow_interrupts() {
        append({.code = Code::allow_interrupts});
        return true;
    }
    void swap_gs_base() {
        if (!mode().code64()) unsupported = true;
        append({.code = Code::swap_gs_base});
    }

    // --- stack: 64-bit, or 32-bit and flat ---
    u8 stack_size() {
        if (context.mode.code64()) return 3;
        if (!context.mode.flat() || !context.mode.stack32()) unsupported = true;
        return 2;
    }
    Value stack_address(Val<u64> sp, u64 disp) {
        const Value a = use(sp);
        return append(
            {.code = Code::address, .size = stack_size(), .m = cpu::kSs, .a = a, .imm = disp});
    }
    // RSP + n as the stack pointer is computed: 32-bit stacks truncate, which also clears the half
    // of RSP that legacy code cannot see.
    void set_sp(Val<u64> sp, u64 n) {
        if (stack_size() == 3)
            set_gpr<u64>(cpu::kRsp, add(sp, Val<u64>(n)).value);
        else
            set_gpr<u32>(cpu::kRsp, add(truncate<u32>(sp), Val<u32>(static_cast<u32>(n))).value);
    }
    template <class T>
    bool push(Val<T> v) {
        const Val<u64> sp = whole_gpr(cpu::kRsp);
        store_at<T>(stack_address(sp, u64{0} - sizeof(T)), v);
        set_sp(sp, u64{0} - sizeof(T));
        return true;
    }
    template <class T>
    Sure<Val<T>> top(u64 extra = 0) {
        return {load_at<T>(stack_address(whole_gpr(cpu::kRsp), extra))};
    }
    template <class T>
    Sure<Val<T>> top_at(Val<u64> sp) {
        return {load_at<T>(stack_address(sp, 0))};
    }
    void move_stack(Val<u64> sp, u64 bytes) { set_sp(sp, bytes); }
    void drop(u64 bytes) { set_sp(whole_gpr(cpu::kRsp), bytes); }
};

}  // namespace rm::jit::ir
