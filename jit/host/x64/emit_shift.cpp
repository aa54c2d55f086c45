// Shifts, double shifts and rotates: the host's own, on the guest's registers where they are. What
// the manuals leave undefined of their flags is alu.h's business: such flags come from a recipe
// only.
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

void Emitter::emit_shift(Value v) {
    const Op& o = op(v);
    const bool constant = loc_[o.b].kind == Loc::kConstant;
    const unsigned count = static_cast<unsigned>(loc_[o.b].imm & (o.size == 3 ? 63 : 31));
    const bool flags = o.writes != 0;
    const bool rotate = o.code == Code::rol || o.code == Code::ror;
    if (constant && count == 0) {
        const Destination d = destination(v, {o.a});
        if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
        // Even to itself: a 32-bit result clears the upper half of its register.
        if (o.size == 2)
            with_source(o.a, 2, [&](const Operand& s) { mov(d.reg.cvt32(), s); });
        else
            move_to(d.reg, o.a, o.size);
        return finish(v, d);
    }
    if (!constant && !is_gpr(o.b, cpu::kRcx)) not_native();
    FlagRecipe r;
    const bool needed = flags && needed_after(v);
    if (flags) begin_recipe(v, r);
    Value put = kNoValue;
    const int target = put_target(v, put);
    if (needed) {
        r.b = constant ? Source{Source::kConstant, 0, count} : Source{Source::kRegister, 8, 0};
        r.a = keep(o.a, o.size, slot_a());
        if (r.a.kind == Source::kRegister && target >= 0 && (r.a.number >> 3) == target) {
            store_slot(slot_a(), in_register(o.a, o.size));
            r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
        }
        if (!constant && target == cpu::kRcx) {
            mov(sized(state(&cpu_.translated.flag_slots[slot_a() + 1]), 3), rcx);
            r.b = {Source::kSlot, static_cast<u8>(slot_a() + 1), 0};
        }
    }
    auto shift = [&](const Operand& x) {
        const int n = static_cast<int>(count);
        switch (o.code) {
            case Code::shl: constant ? shl(x, n) : shl(x, cl); break;
            case Code::shr: constant ? shr(x, n) : shr(x, cl); break;
            case Code::sar: constant ? sar(x, n) : sar(x, cl); break;
            case Code::rol: constant ? rol(x, n) : rol(x, cl); break;
            default: constant ? ror(x, n) : ror(x, cl); break;
        }
    };
    if (in_home(target, o.a, o.size)) {
        shift(write_in_home(v, static_cast<unsigned>(target)));
    } else {
        // The count is in rcx, which a shift of rcx by itself only reads first.
        const Destination d = destination(v, {o.a});
        if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
        const bool there =
            (d.guest >= 0 && is_gpr(o.a, static_cast<unsigned>(d.guest)) && !(loc_[o.a].n & 7)) ||
            (loc_[o.a].kind == Loc::kScratch && loc_[o.a].n == d.scratch);
        if (!there) {
            if (d.guest == cpu::kRcx && !constant) not_native();
            move_to(d.reg, o.a, o.size);
        }
        shift(sized_reg(d.reg, o.size));
        finish(v, d);
    }
    if (!flags) return clobber_flags();
    // Undefined or conditional flags are alu.h's business.
    Cc exact = 0;
    if (constant && rotate)
        exact = count == 1 ? cpu::kCcCf | cpu::kCcOf : cpu::kCcCf;
    else if (constant && count < (8u << o.size))
        exact = cpu::kCcSf | cpu::kCcZf | cpu::kCcPf | cpu::kCcCf | (count == 1 ? cpu::kCcOf : 0);
    set_recipe(r, v, exact);
}

void Emitter::emit_double_shift(Value v) {
    const Op& o = op(v);
    const bool constant = loc_[o.c].kind == Loc::kConstant;
    const unsigned count = static_cast<unsigned>(loc_[o.c].imm & (o.size == 3 ? 63 : 31));
    if ((constant && count == 0) || (!constant && !is_gpr(o.c, cpu::kRcx)) || !o.writes)
        not_native();
    // Beyond 16, the host may do anything.
    if (o.size == 1 && (!constant || count > 16)) not_native();
    FlagRecipe r;
    const bool needed = needed_after(v);
    Value put = kNoValue;
    if (!constant && put_target(v, put) == cpu::kRcx && needed) not_native();
    begin_recipe(v, r);
    const Destination d = destination(v, {o.a, o.b});
    const Reg64 second = in_register(o.b, o.size);  // if there is a scratch register left
    if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
    const bool there = (d.guest >= 0 && is_gpr(o.a, static_cast<unsigned>(d.guest))) ||
                       (loc_[o.a].kind == Loc::kScratch && loc_[o.a].n == d.scratch);
    if (!there) {
        if (d.guest == cpu::kRcx && !constant) not_native();
        move_to(d.reg, o.a, o.size);
    }
    if (needed) {
        store_slot(slot_a(), d.reg);
        store_slot(slot_a() + 1, second);
        r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
        r.b = {Source::kSlot, static_cast<u8>(slot_a() + 1), 0};
        r.c = constant ? Source{Source::kConstant, 0, count}
                       : Source{Source::kRegister, cpu::kRcx * 8, 0};
    }
    const Reg x = sized_reg(d.reg, o.size), y = sized_reg(second, o.size);
    if (o.code == Code::shld)
        constant ? shld(x, y, static_cast<u8>(count)) : shld(x, y, cl);
    else
        constant ? shrd(x, y, static_cast<u8>(count)) : shrd(x, y, cl);
    finish(v, d);
    const Cc exact =
        cpu::kCcSf | cpu::kCcZf | cpu::kCcPf | cpu::kCcCf | (count == 1 ? cpu::kCcOf : Cc{0});
    set_recipe(r, v, constant ? exact : Cc{0});
}

// RCL, RCR. What they put into CF is kept by itself; OF follows from it and the result.
void Emitter::emit_rotate_carry(Value v) {
    const Op& o = op(v);
    if (loc_[o.b].kind != Loc::kConstant) not_native();
    const unsigned count = static_cast<unsigned>(loc_[o.b].imm & (o.size == 3 ? 63 : 31));
    if (count == 0 || (o.size < 2 && count % ((8u << o.size) + 1) == 0) || !o.writes) not_native();
    Value put = kNoValue;
    if (const int target = put_target(v, put); target >= 0)
        before_write(static_cast<unsigned>(target));
    need_host_flags(cpu::kCcCf);
    constexpr Cc kCfOf = cpu::kCcCf | cpu::kCcOf;
    const Cc others = host_flags_ & ~kCfOf;
    const bool needed = needed_after(v);
    FlagRecipe r;
    begin_recipe(v, r);
    const Destination d = destination(v, {o.a});
    const bool there =
        (d.guest >= 0 && is_gpr(o.a, static_cast<unsigned>(d.guest)) && !(loc_[o.a].n & 7)) ||
        (loc_[o.a].kind == Loc::kScratch && loc_[o.a].n == d.scratch);
    if (!there) move_to(d.reg, o.a, o.size);
    const Reg x = sized_reg(d.reg, o.size);
    o.code == Code::rcl ? rcl(x, static_cast<int>(count)) : rcr(x, static_cast<int>(count));
    finish(v, d);
    if (needed) {
        setb(byte[state(&cpu_.translated.flag_slots[slot_a() + 1])]);
        r.b = {Source::kSlot, static_cast<u8>(slot_a() + 1), 0};
        r.result = keep(v, o.size, slot_a());
    }
    set_recipe(r, v, others | (count == 1 ? kCfOf : cpu::kCcCf));
}

}  // namespace rm::jit::x64
