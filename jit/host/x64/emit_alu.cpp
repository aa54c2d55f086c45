// Integer arithmetic: each operation is the host's own instruction on the guest's registers where
// they are. Guest flags it sets stay in the host's; begin_recipe() and keep() see to it that they
// can be made again.
#include <xbyak/xbyak_util.h>

#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

namespace {

bool commutes(Code c) {
    return c == Code::add || c == Code::adc || c == Code::and_ || c == Code::or_ || c == Code::xor_;
}
bool is_logic(Code c) { return c == Code::and_ || c == Code::or_ || c == Code::xor_; }
// Flags for which the host agrees with alu.h.
Cc exact_flags(Code c) { return is_logic(c) ? cpu::kCcAll & ~cpu::kCcAf : cpu::kCcAll; }

}  // namespace

// May AH..BH stand beside this operand? Not if it needs a REX prefix.
bool Emitter::without_rex(Value v) const {
    const Loc& l = loc_[v];
    return l.kind == Loc::kConstant ||
           (l.kind == Loc::kGpr && host_of(l.n >> 3) >= 0 && host_of(l.n >> 3) < 4);
}

void Emitter::emit_compare(Value v) {
    const Op& o = op(v);
    const bool test = o.code == Code::and_;
    FlagRecipe r;
    begin_recipe(v, r);
    // The first operand: register or memory; a constant needs a register.
    auto compare = [&](const Operand& a) {
        with_operand(
            o.b, o.size,
            [&](const Operand& b) {
                if (a.isMEM() && b.isMEM()) {
                    const Reg64 x = in_register(o.b, o.size);
                    test ? this->test(a, sized_reg(x, o.size)) : cmp(a, sized_reg(x, o.size));
                } else if (test && b.isMEM()) {
                    this->test(b, static_cast<const Reg&>(a));
                } else if (test) {
                    this->test(a, static_cast<const Reg&>(b));
                } else {
                    cmp(a, b);
                }
            },
            [&](u64 c) {
                if (test)
                    this->test(a, static_cast<u32>(c));
                else
                    cmp(a, static_cast<u32>(c));
            },
            without_rex(o.a));
    };
    if (needed_after(v) && test && same_register(o.a, o.b)) {
        r.result = keep(o.a, o.size, slot_a());
    } else if (needed_after(v)) {
        r.a = keep(o.a, o.size, slot_a());
        r.b = keep(o.b, o.size, slot_a() + 1);
    }
    if (loc_[o.a].kind == Loc::kConstant)
        compare(sized_reg(in_register(o.a, o.size), o.size));
    else if (loc_[o.a].kind == Loc::kPlace && loc_[o.b].kind == Loc::kGpr &&
             host_of(loc_[o.b].n >> 3) < 0)
        compare(sized_reg(in_register(o.a, o.size), o.size));
    else
        with_operand(o.a, o.size, compare, {}, without_rex(o.b));
    set_recipe(r, v, exact_flags(o.code));
}

void Emitter::operate(Code code, const Operand& to, const Operand& s) {
    switch (code) {
        case Code::add: add(to, s); break;
        case Code::sub: sub(to, s); break;
        case Code::adc: adc(to, s); break;
        case Code::sbb: sbb(to, s); break;
        case Code::and_: and_(to, s); break;
        case Code::or_: or_(to, s); break;
        default: xor_(to, s); break;
    }
}

// step: the constant is 1 and CF stays as it is.
void Emitter::operate(Code code, const Operand& to, u32 k, bool step) {
    switch (code) {
        case Code::add: step ? inc(to) : add(to, k); break;
        case Code::sub: step ? dec(to) : sub(to, k); break;
        case Code::adc: adc(to, k); break;
        case Code::sbb: sbb(to, k); break;
        case Code::and_: and_(to, k); break;
        case Code::or_: or_(to, k); break;
        default: xor_(to, k); break;
    }
}

// Where a op b is computed, with a there already.
Emitter::Destination Emitter::to_destination(Value v, Value a, Value b) {
    const Op& o = op(v);
    // x op x can be made in x.
    const Destination d = same_register(a, b) ? destination(v, {a}) : destination(v, {a, b});
    if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
    const bool a_there = (loc_[a].kind == Loc::kGpr && d.guest >= 0 && !(loc_[a].n & 7) &&
                          is_gpr(a, static_cast<unsigned>(d.guest))) ||
                         (loc_[a].kind == Loc::kScratch && loc_[a].n == d.scratch);
    if (!a_there) {
        // The move must not destroy b.
        if (loc_[b].kind == Loc::kPlace && d.scratch == 0) not_native();
        if (d.guest >= 0 && is_gpr(b, static_cast<unsigned>(d.guest))) not_native();
        if (o.size < 2 && d.guest < 0 && loc_[a].kind != Loc::kConstant && !(loc_[a].n & 7) &&
            loc_[a].kind != Loc::kScratch)
            with_source(a, o.size, [&](const Operand& s) { movzx(d.reg.cvt32(), s); });
        else
            move_to(d.reg, a, o.size);
    }
    return d;
}

// Can the guest register `target`, whose value a is, be changed where it lives in memory? A 32-bit
// result clears the upper half, so that has to be clear.
bool Emitter::in_home(int target, Value a, unsigned size) const {
    if (target < 0 || size < 2) return false;
    const unsigned guest = static_cast<unsigned>(target);
    return host_of(guest) < 0 && is_gpr(a, guest) && (size == 3 || ((upper_clear_ >> guest) & 1));
}

Address Emitter::write_in_home(Value v, unsigned guest) {
    const unsigned size = op(v).size;
    const u16 clear = upper_clear_;
    before_write(guest);
    if (size == 2) upper_clear_ = clear;
    loc_[v] = {Loc::kGpr, static_cast<u8>(guest * 8), 1};
    return sized(gpr_home(guest), size);
}

void Emitter::emit_binary(Value v) {
    const Op& o = op(v);
    if (uses_[v] == 0 && o.writes == cpu::kCcAll && (o.code == Code::sub || o.code == Code::and_))
        return emit_compare(v);
    const bool flags = o.writes != 0;
    const bool carry = o.code == Code::adc || o.code == Code::sbb;
    // Without flags: additions that leave the host's alone.
    if (!flags && (o.code == Code::add || o.code == Code::sub) && o.size >= 2 &&
        loc_[o.b].kind == Loc::kConstant &&
        fits32(o.code == Code::add ? loc_[o.b].imm : 0 - loc_[o.b].imm)) {
        const i32 c = static_cast<i32>(o.code == Code::add ? loc_[o.b].imm : 0 - loc_[o.b].imm);
        const Reg64 a = in_register(o.a, o.size);
        const Destination d = destination(v, {o.a});
        if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
        lea(sized_reg(d.reg, o.size), ptr[a + c]);
        return finish(v, d);
    }
    FlagRecipe r;
    if (carry) need_host_flags(cpu::kCcCf);
    const bool needed = flags && needed_after(v);
    if (flags) {
        const Cc before = host_flags_;
        begin_recipe(v, r);
        if (carry && !(host_flags_ & cpu::kCcCf) && (before & cpu::kCcCf)) not_native();
    }
    Value a = o.a, b = o.b;
    // Negation.
    if (o.code == Code::sub && loc_[a].kind == Loc::kConstant && loc_[a].imm == 0) {
        const Destination d = destination(v, {b});
        const bool in_place = d.guest >= 0 && is_gpr(b, static_cast<unsigned>(d.guest));
        if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
        if (!in_place) move_to(d.reg, b, o.size);
        neg(sized_reg(d.reg, o.size));
        finish(v, d);
        if (needed) {
            r.a = {Source::kConstant, 0, 0};
            r.result = keep(v, o.size, slot_a());
        }
        if (flags)
            set_recipe(r, v, cpu::kCcAll);
        else
            clobber_flags();
        return;
    }
    Value put = kNoValue;
    const int target = put_target(v, put);
    if (target >= 0 && is_gpr(b, static_cast<unsigned>(target)) && !(loc_[b].n & 7) &&
        !is_gpr(a, static_cast<unsigned>(target)) && commutes(o.code))
        std::swap(a, b);
    // x op x: nothing of it can be got back from the result.
    const bool same = same_register(a, b);
    // Where operands and result of ADC and SBB are not all to be found later, the flags are stored
    // at once.
    const bool eager =
        needed && carry && !(target >= 0 && host_of(static_cast<unsigned>(target)) >= 0);
    const bool borrow = same && o.code == Code::sbb;  // SBB r, r: the carry as a mask
    if (needed && borrow) {
        r.a = r.b = {Source::kConstant, 0, 0};
    } else if (needed && !eager && (carry || (same && o.code == Code::add))) {
        r.a = keep(a, o.size, slot_a());
        r.b = same ? r.a : keep(b, o.size, slot_a() + 1);
        if (r.a.kind == Source::kRegister && target >= 0 && (r.a.number >> 3) == target) {
            const Reg64 x = in_register(a, o.size);
            store_slot(slot_a(), x);
            r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
            if (same) r.b = r.a;
        }
    }
    // A source in memory is read once, by the operation: what is kept is the destination before it.
    const bool keeps_a = needed && !carry && !is_logic(o.code) && loc_[b].kind == Loc::kPlace;
    if (keeps_a) {
        r.a = keep(a, o.size, slot_a() + 1);
        if (r.a.kind == Source::kRegister && (target < 0 || (r.a.number >> 3) == target)) {
            store_slot(slot_a() + 1, in_register(a, o.size));
            r.a = {Source::kSlot, static_cast<u8>(slot_a() + 1), 0};
        }
    }
    const bool home = in_home(target, a, o.size);
    const bool step = flags && !(o.writes & cpu::kCcCf);  // INC and DEC keep CF
    Destination d{r12};
    if (home) {
        const Address to = write_in_home(v, static_cast<unsigned>(target));
        const Loc l = loc_[b];
        if (l.kind == Loc::kConstant && (o.size == 2 || fits32(l.imm)))
            operate(o.code, to, static_cast<u32>(l.imm), step);
        else
            operate(o.code, to, sized_reg(in_register(b, o.size), o.size));
    } else {
        d = to_destination(v, a, b);
        const Reg x = sized_reg(d.reg, o.size);
        with_operand(
            b, o.size, [&](const Operand& s) { operate(o.code, x, s); },
            [&](u64 c) { operate(o.code, x, static_cast<u32>(c), step); },
            d.guest >= 0 && d.reg.getIdx() < 4);
        finish(v, d);
    }
    if (!flags) return clobber_flags();
    if (needed) {
        if (is_logic(o.code)) {
            r.result = keep(v, o.size, slot_a());
        } else if (carry) {
            // CF went in: it is what the result has beyond the operands.
            if (d.guest >= 0 && !eager) r.result = keep(v, o.size, slot_a());
        } else if (same && o.code == Code::sub) {
            r.a = r.b = {Source::kConstant, 0, 0};
        } else if (!(same && o.code == Code::add)) {
            r.result = keep(v, o.size, slot_a());
            if (!keeps_a) r.b = keep(b, o.size, slot_a() + 1);
        }
    }
    const bool store = needed && carry && r.result.kind == Source::kNone;
    if (store) r.a = r.b = {};
    // INC and DEC leave the host's CF as it was, which making room for the result may have changed.
    set_recipe(
        r, v,
        step ? (cpu::kCcAll & ~cpu::kCcCf) | (host_flags_ & cpu::kCcCf) : exact_flags(o.code));
    if (store && !store_host_flags()) not_native();
}

// BSF, BSR: the result goes to a scratch register; put_if (on the source not being zero) moves it.
void Emitter::emit_scan(Value v) {
    const Op& o = op(v);
    if (o.size == 0) not_native();
    FlagRecipe r;
    const bool needed = o.writes && needed_after(v);
    if (o.writes) begin_recipe(v, r);
    if (needed) {
        store_slot(slot_a(), in_register(o.a, o.size));
        r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
        r.b = {Source::kConstant, 0, 0};
    }
    const unsigned n = take_scratch(
        v, loc_[o.a].kind == Loc::kScratch || loc_[o.a].kind == Loc::kPlace ? loc_[o.a].n : -1);
    with_source(o.a, o.size, [&](const Operand& s) {
        if (o.code == Code::bsf)
            bsf(sized_reg(scratch_reg(n), o.size), s);
        else
            bsr(sized_reg(scratch_reg(n), o.size), s);
    });
    loc_[v] = {Loc::kScratch, static_cast<u8>(n), 0};
    if (o.writes)
        set_recipe(r, v, cpu::kCcZf);
    else
        clobber_flags();
}

void Emitter::emit_unary(Value v) {
    const Op& o = op(v);
    if (o.code == Code::popcnt || o.code == Code::lzcnt) {
        static const Xbyak::util::Cpu host;
        const bool have = o.code == Code::popcnt ? host.has(Xbyak::util::Cpu::tPOPCNT)
                                                 : host.has(Xbyak::util::Cpu::tLZCNT);
        if (!have || o.size == 0) not_native();
        FlagRecipe r;
        const bool needed = o.writes && needed_after(v);
        if (o.writes) begin_recipe(v, r);
        if (needed) {
            store_slot(slot_a(), in_register(o.a, o.size));
            r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
        }
        const Destination d = destination(v, {o.a});
        if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
        with_source(o.a, o.size, [&](const Operand& s) {
            if (o.code == Code::popcnt)
                popcnt(sized_reg(d.reg, o.size), s);
            else
                lzcnt(sized_reg(d.reg, o.size), s);
        });
        finish(v, d);
        set_recipe(r, v, o.code == Code::popcnt ? cpu::kCcAll : cpu::kCcZf | cpu::kCcCf);
        return;
    }
    Value put = kNoValue;
    const int target = put_target(v, put);
    if (o.code == Code::not_ && in_home(target, o.a, o.size)) {
        not_(write_in_home(v, static_cast<unsigned>(target)));
        return;
    }
    const Destination d = destination(v, {o.a});
    if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
    const bool there =
        (d.guest >= 0 && is_gpr(o.a, static_cast<unsigned>(d.guest)) && !(loc_[o.a].n & 7)) ||
        (loc_[o.a].kind == Loc::kScratch && loc_[o.a].n == d.scratch);
    if (!there) move_to(d.reg, o.a, o.size);
    if (o.code == Code::not_) {
        not_(sized_reg(d.reg, o.size));
    } else if (o.size == 1) {  // MOVBE of 16 bits
        clobber_flags();
        rol(sized_reg(d.reg, 1), 8);
    } else {
        o.size == 3 ? bswap(d.reg) : bswap(d.reg.cvt32());
    }
    finish(v, d);
}

void Emitter::emit_extend(Value v) {
    const Op& o = op(v);
    const unsigned from = o.n;
    const Destination d = destination(v, {o.a});
    if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
    if (loc_[o.a].kind == Loc::kConstant) not_native();
    auto extend = [&](const Operand& s) {
        if (o.code == Code::zero_extend) {
            if (from == 2)
                mov(d.reg.cvt32(), s);
            else if (o.size == 1)
                movzx(d.reg.cvt16(), s);
            else
                movzx(d.reg.cvt32(), s);
        } else if (from == 2) {
            movsxd(d.reg, s);
        } else {
            movsx(sized_reg(d.reg, o.size), s);
        }
    };
    if (const Loc l = loc_[o.a];
        o.size >= 2 && l.kind == Loc::kGpr && !(l.n & 7) && host_of(l.n >> 3) < 0) {
        mov(d.reg.cvt32(), sized(gpr_home(l.n >> 3), 2));  // plain: with_operand()
        extend(sized_reg(d.reg, from));
    } else {
        with_source(o.a, from, extend, {}, d.reg.getIdx() < 8 && o.size < 3);
    }
    finish(v, d);
}

void Emitter::emit_offset(Value v) {
    // LEA: through its truncation to the operand size to the register it is put into.
    const Op& address = op(op(v).a);
    Value put = kNoValue;
    Value result = v;
    if (v + 1u < ir_.ops.size() && op(v + 1).code == Code::truncate && op(v + 1).a == v)
        result = v + 1;
    const int target = put_target(result, put);
    const unsigned size = std::min<unsigned>(op(result).size, address.size);
    if (target >= 0 && host_of(static_cast<unsigned>(target)) >= 0 && op(result).size >= 2) {
        before_write(static_cast<unsigned>(target));
        const Reg64 d(host_of(static_cast<unsigned>(target)));
        Op narrowed = address;
        narrowed.size = static_cast<u8>(size);
        load_address(d, narrowed, 0);
        loc_[v] = {Loc::kGpr, static_cast<u8>(target * 8), 1};
        return;
    }
    if (scratch_[0] != kNoValue || scratch_[1] != kNoValue) not_native();
    load_address(r11, address, 0);
    scratch_[0] = v;
    loc_[v] = {Loc::kScratch, 0, 0};
}

}  // namespace rm::jit::x64
