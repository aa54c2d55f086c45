// Whole instructions that have a host instruction of their own, found by the shape of their IR.
// What does not match is emitted operation by operation.
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

bool Emitter::emit_pattern(Value first, Value end) {
    const bool leaving = op(end - 1).code == Code::jump_to;  // the block's last instruction
    const Value last = static_cast<Value>(end - (leaving ? 1 : 0));
    if (first >= last) return false;
    if (!match_memory_operation(first, last) && !match_exchange(first, last) &&
        !match_exchange_add(first, last) && !match_compare_exchange(first, last) &&
        !match_compare_exchange_register(first, last) && !match_bit_test(first, last) &&
        !match_loop(first, last))
        return false;
    if (leaving) {
        scratch_[0] = scratch_[1] = kNoValue;
        now_ = last;
        emit(last);
    }
    return true;
}

namespace {
// The operations of [first, end) by code, in order, without constants and register reads.
struct Shape {
    static constexpr unsigned kMost = 9;  // longer ones have no pattern
    Value at[kMost] = {};
    unsigned size = 0;
    Shape(const ir::Block& block, Value first, Value end) {
        for (Value v = first; v < end; ++v) {
            if (block[v].code == Code::get || block[v].code == Code::constant) continue;
            if (size < kMost) at[size] = v;
            ++size;
        }
    }
    bool is(const ir::Block& block, std::initializer_list<Code> codes) const {
        if (codes.size() != size) return false;
        const Value* v = at;
        for (Code c : codes)
            if (block[*v++].code != c) return false;
        return true;
    }
};
}  // namespace

// ADD, OR, ADC, SBB, AND, SUB, XOR, INC, DEC [m], r or immediate.
bool Emitter::match_memory_operation(Value first, Value end) {
    const Shape s(ir_, first, end);
    if (s.size != 4 || op(s.at[0]).code != Code::address || op(s.at[1]).code != Code::rmw ||
        op(s.at[3]).code != Code::commit)
        return false;
    const Op &rmw = op(s.at[1]), &o = op(s.at[2]);
    const Value v = s.at[2];
    const bool carry = o.code == Code::adc || o.code == Code::sbb;
    const bool logic = o.code == Code::and_ || o.code == Code::or_ || o.code == Code::xor_;
    if (!carry && !logic && o.code != Code::add && o.code != Code::sub) return false;
    if (o.a != s.at[1] || op(s.at[3]).b != v || !o.writes) return false;
    if (op(o.b).code != Code::get && op(o.b).code != Code::constant) return false;
    // With other processors at work, the result in memory may be another's when it is looked at
    // again: flags are stored at once.
    const bool needed = needed_after(v), step = !(o.writes & cpu::kCcCf);
    const bool store_now = needed && (carry || cpu_.threads);
    if (store_now && step) resolve_to_memory();
    for (Value w = first; w < end; ++w)
        if (op(w).code == Code::get || op(w).code == Code::constant) emit(w);
    now_ = s.at[1];
    const Address to = sized(checked(rmw.a, 1u << rmw.size, true), rmw.size);
    // The source, if it is not where the instruction can take it: in r12.
    const Loc l = loc_[o.b];
    const bool constant = l.kind == Loc::kConstant && (o.size < 3 || fits32(l.imm));
    Reg64 source = r12;
    if (carry) need_host_flags(cpu::kCcCf);
    if (!constant) {
        const int host = l.kind == Loc::kGpr ? host_of(l.n >> 3) : -1;
        if (l.kind == Loc::kConstant)
            mov(r12, l.imm);
        else if (l.n & 7)
            load_high_byte(r12, static_cast<unsigned>(host));
        else if (host >= 0)
            source = Reg64(host);
        else
            mov(r12, sized(gpr_home(l.n >> 3), 3));
    }
    FlagRecipe r;
    begin_recipe(v, r);
    if (rmw.n && cpu_.threads) lock();
    if (constant)
        operate(o.code, to, static_cast<u32>(extended(l.imm, o.size)), step);
    else
        operate(o.code, to, sized_reg(source, o.size));
    if (needed && !store_now) {
        if (!logic) r.b = keep(o.b, o.size, slot_a() + 1);
        mov(sized_reg(r12, o.size), to);
        store_slot(slot_a(), r12);
        r.result = {Source::kSlot, static_cast<u8>(slot_a()), 0};
    }
    const Cc exact = logic  ? cpu::kCcAll & ~cpu::kCcAf
                     : step ? cpu::kCcAll & ~cpu::kCcCf
                            : Cc{cpu::kCcAll};
    if (store_now && step) {
        store_step_flags();
        return true;
    }
    set_recipe(r, v, exact);
    if (store_now && !store_host_flags()) not_native();
    return true;
}

// XCHG [m], r while other processors are at work: the host's, which locks as well.
bool Emitter::match_exchange(Value first, Value end) {
    const Shape s(ir_, first, end);
    if (!cpu_.threads || !s.is(ir_, {Code::address, Code::rmw, Code::put, Code::commit}))
        return false;
    const Op &rmw = op(s.at[1]), &put = op(s.at[2]), &commit = op(s.at[3]);
    const Op& source = op(commit.b);
    if (!rmw.n || put.a != s.at[1] || source.code != Code::get || source.n != put.n || put.n & 7)
        return false;
    const unsigned guest = put.n >> 3;
    now_ = s.at[1];
    for (Value v = first; v < s.at[1]; ++v) emit(v);
    before_write(guest);  // first: it may call for the flags, and r11 is the place from here on
    const Address to = sized(checked(rmw.a, 1u << rmw.size, true), rmw.size);
    if (host_of(guest) >= 0) {
        xchg(to, sized_reg(Reg64(host_of(guest)), rmw.size));
        return true;
    }
    mov(r12, sized(gpr_home(guest), 3));
    xchg(to, sized_reg(r12, rmw.size));
    mov(sized(gpr_home(guest), 3), r12);
    return true;
}

// XADD [m], r.
bool Emitter::match_exchange_add(Value first, Value end) {
    const Shape s(ir_, first, end);
    if (!s.is(ir_, {Code::address, Code::rmw, Code::add, Code::put, Code::commit})) return false;
    const Op &rmw = op(s.at[1]), &sum = op(s.at[2]), &put = op(s.at[3]), &commit = op(s.at[4]);
    if (sum.a != s.at[1] || op(sum.b).code != Code::get || put.a != s.at[1] ||
        commit.b != s.at[2] || op(sum.b).n != put.n || put.n & 7)
        return false;
    const int reg = host_of(put.n >> 3);
    if (reg < 0) return false;
    for (Value v = first; v <= s.at[1]; ++v) {
        now_ = v;
        emit(v);
    }
    FlagRecipe r;
    begin_recipe(s.at[2], r);
    if (needed_after(s.at[2])) {
        store_slot(slot_a() + 1, Reg64(reg));
        r.b = {Source::kSlot, static_cast<u8>(slot_a() + 1), 0};
    }
    before_write(put.n >> 3);
    if (rmw.n) lock();
    xadd(sized(place_, rmw.size), sized_reg(Reg64(reg), rmw.size));
    if (needed_after(s.at[2])) r.a = {Source::kRegister, put.n, 0};
    set_recipe(r, s.at[2], cpu::kCcAll);
    return true;
}

// CMPXCHG [m], r.
bool Emitter::match_compare_exchange(Value first, Value end) {
    const Shape s(ir_, first, end);
    if (!s.is(ir_, {Code::address, Code::rmw, Code::sub, Code::equal, Code::select, Code::commit,
                    Code::not_bool, Code::put_if}))
        return false;
    const Op &rmw = op(s.at[1]), &difference = op(s.at[2]), &choice = op(s.at[4]);
    const Op& put = op(s.at[7]);
    if (difference.b != s.at[1] || op(difference.a).code != Code::get || op(difference.a).n != 0 ||
        op(choice.b).code != Code::get || (op(choice.b).n & 7) || put.n != 0)
        return false;
    const int reg = host_of(op(choice.b).n >> 3);
    for (Value v = first; v <= s.at[1]; ++v) {
        now_ = v;
        emit(v);
    }
    Reg64 source = r12;
    if (reg >= 0)
        source = Reg64(reg);
    else
        mov(r12, sized(gpr_home(op(choice.b).n >> 3), 3));
    scratch_[1] = reg >= 0 ? kNoValue : s.at[4];
    loc_[s.at[4]] = {Loc::kScratch, 1, 0};
    FlagRecipe r;
    begin_recipe(s.at[2], r);
    if (needed_after(s.at[2])) {
        store_slot(slot_a(), rax);
        r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
    }
    before_write(cpu::kRax);
    if (rmw.n) lock();
    // In either case rax ends as what memory held.
    cmpxchg(sized(place_, rmw.size), sized_reg(source, rmw.size));
    if (needed_after(s.at[2])) r.b = {Source::kRegister, 0, 0};
    set_recipe(r, s.at[2], cpu::kCcAll);
    return true;
}

// CMPXCHG r, r. The register that is not exchanged keeps its upper half, which the host's own
// instruction does not promise.
bool Emitter::match_compare_exchange_register(Value first, Value end) {
    const Shape s(ir_, first, end);
    if (!s.is(ir_, {Code::sub, Code::equal, Code::put_if, Code::not_bool, Code::put_if}))
        return false;
    const Op &difference = op(s.at[0]), &put = op(s.at[2]);
    if (op(difference.a).n != 0 || op(difference.b).n != put.n || op(s.at[4]).n != 0 ||
        op(put.b).code != Code::get || ((put.n | op(put.b).n) & 7))
        return false;
    const unsigned to = put.n >> 3, from = op(put.b).n >> 3, size = put.size;
    FlagRecipe r;
    begin_recipe(s.at[0], r);
    const Reg64 old = register_or(r11, to), source = register_or(r12, from);
    if (needed_after(s.at[0])) {
        store_slot(slot_a(), rax);
        store_slot(slot_a() + 1, old);
        r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
        r.b = {Source::kSlot, static_cast<u8>(slot_a() + 1), 0};
    }
    upper_clear_ &= static_cast<u16>(~(1u << to));
    cmp(sized_reg(rax, size), sized_reg(old, size));
    const Jump other = skip_if(kNotEqual);
    if (host_of(to) >= 0) {
        mov(sized_reg(old, size), sized_reg(source, size));
    } else if (size == 2) {
        mov(r12d, source.cvt32());
        mov(sized(gpr_home(to), 3), r12);
    } else {
        mov(sized(gpr_home(to), size), sized_reg(source, size));
    }
    const Jump done = skip();
    land(other);
    mov(sized_reg(rax, size), sized_reg(old, size));
    land(done);
    set_recipe(r, s.at[0], cpu::kCcAll);
    return true;
}

// BT, BTS, BTR, BTC: the host's. In memory, with an index in a register, on the word that the index
// leads to.
bool Emitter::match_bit_test(Value first, Value end) {
    const Value carry = static_cast<Value>(end - 1);
    if (op(carry).code != Code::set_carry || op(op(carry).a).code != Code::bit_of) return false;
    const Op& bit = op(op(carry).a);
    const Value value = bit.a;
    const bool constant = op(bit.b).code == Code::constant;
    if (!constant && (op(bit.b).code != Code::and_ || op(op(bit.b).a).code != Code::get))
        return false;
    Code change = Code::bit_of;
    for (Value v = value; v < op(carry).a; ++v)
        if (op(v).a == value &&
            (op(v).code == Code::or_ || op(v).code == Code::and_ || op(v).code == Code::xor_))
            change = op(v).code;
    for (Value v = first; v < end; ++v)
        if (op(v).code == Code::get || op(v).code == Code::constant) emit(v);

    const unsigned size = bit.size;
    const u8 number = static_cast<u8>(constant ? op(bit.b).imm : 0);
    auto act = [&](const Operand& to, const Reg& index) {
        switch (change) {
            case Code::or_: constant ? bts(to, number) : bts(to, index); break;
            case Code::and_: constant ? btr(to, number) : btr(to, index); break;
            case Code::xor_: constant ? btc(to, number) : btc(to, index); break;
            default: constant ? bt(to, number) : bt(to, index); break;
        }
    };
    // The index where it is, or in r12.
    const unsigned index_guest = constant ? 0 : op(op(bit.b).a).n >> 3;
    const bool index_home = !constant && host_of(index_guest) < 0;
    auto index = [&] {
        if (index_home) mov(r12, sized(gpr_home(index_guest), 3));
        return sized_reg(constant || index_home ? r12 : Reg64(host_of(index_guest)), size);
    };
    FlagRecipe r;
    if (op(value).code == Code::get) {
        const unsigned guest = op(value).n >> 3;
        begin_recipe(carry, r);
        const bool home = host_of(guest) < 0;
        if (change != Code::bit_of) before_write(guest);
        if (home) mov(r11, sized(gpr_home(guest), 3));
        const Reg64 to = home ? r11 : Reg64(host_of(guest));
        act(sized_reg(to, size), index());
        if (change != Code::bit_of && home) mov(sized(gpr_home(guest), size == 1 ? 1 : 3), to);
        if (change == Code::bit_of && needed_after(carry)) {
            r.code = Code::bit_of;
            r.size = static_cast<u8>(size);
            r.a = {Source::kRegister, op(value).n, 0};
            r.b = constant ? Source{Source::kConstant, 0, number}
                           : Source{Source::kRegister, static_cast<u8>(index_guest * 8), 0};
            set_recipe(r, carry, cpu::kCcCf);
            return true;
        }
    } else {
        now_ = value;
        place_ = checked(op(value).a, 1u << size, op(value).code == Code::rmw);
        begin_recipe(carry, r);
        const Address to = sized(place_, size);
        const bool locked = op(value).code == Code::rmw && op(value).n;
        if (constant) {
            if (locked) lock();
            act(to, r12);
        } else if (change == Code::bit_of) {
            mov(sized_reg(r11, size), to);
            act(sized_reg(r11, size), index());
        } else if (locked || index_home) {
            (void)index();
            if (!index_home) mov(r12, Reg64(host_of(index_guest)));
            and_(r12d, (8u << size) - 1);
            if (locked) lock();
            act(to, sized_reg(r12, size));
        } else {
            mov(sized_reg(r12, size), to);
            act(sized_reg(r12, size), index());
            mov(to, sized_reg(r12, size));
        }
    }
    if (needed_after(carry)) {
        setb(byte[state(&cpu_.translated.flag_slots[slot_a()])]);
        r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
    }
    set_recipe(r, carry, cpu::kCcCf);
    return true;
}

// LOOP, LOOPE, LOOPNE: counted without a change of the flags.
bool Emitter::match_loop(Value first, Value end) {
    const Shape s(ir_, first, end);
    const bool plain = s.is(ir_, {Code::sub, Code::equal, Code::not_bool, Code::select,
                                  Code::check_target, Code::put, Code::jump_if});
    if (!plain &&
        !s.is(ir_, {Code::sub, Code::equal, Code::not_bool, Code::condition, Code::and_bool,
                    Code::select, Code::check_target, Code::put, Code::jump_if}))
        return false;
    const unsigned size = op(s.at[0]).size;
    if (size < 2 || op(op(s.at[0]).a).n != cpu::kRcx * 8) return false;
    before_write(cpu::kRcx);
    const unsigned condition = plain ? 0 : op(s.at[3]).n;
    if (!plain) need_host_flags(ir::condition_flags(condition));
    lea(sized_reg(rcx, size), ptr[rcx - 1]);
    const Jump over = skip_if_rcx_zero();
    const Jump taken = plain ? jump() : jump_if(condition);
    land(over);
    jump_later(taken, op(s.at[s.size - 1]).imm, s.at[s.size - 1]);
    return true;
}

}  // namespace rm::jit::x64
