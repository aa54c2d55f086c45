// Multiplication and division, in the accumulator pair as the guest has it.
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

// Both halves in the accumulator pair, or the low one alone.
void Emitter::emit_multiply(Value v) {
    const Op& o = op(v);
    Value high = kNoValue;
    for (Value j = v + 1; j < ir_.ops.size() && op(j).code != Code::insn; ++j)
        if (op(j).code == Code::high && op(j).a == v) high = j;
    FlagRecipe r;
    const bool flags = o.writes != 0, needed = flags && needed_after(v);
    if (flags) begin_recipe(v, r);
    const bool wide = high != kNoValue && uses_[high] > 0;
    if (wide) {
        if (!is_gpr(o.a, cpu::kRax)) not_native();
        if (needed) {
            store_slot(slot_a(), rax);
            r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
            const bool high_byte = loc_[o.b].kind == Loc::kGpr && (loc_[o.b].n & 7);
            store_slot(slot_a() + 1,
                       high_byte ? Reg64(host_of(loc_[o.b].n >> 3)) : in_register(o.b, o.size));
            r.b = {Source::kSlot, static_cast<u8>(slot_a() + 1), high_byte};
        }
        before_write(cpu::kRax);
        if (o.size) before_write(cpu::kRdx);
        with_source(
            o.b, o.size, [&](const Operand& s) { o.code == Code::mul ? mul(s) : imul(s); }, {},
            true);
        loc_[v] = {Loc::kGpr, 0, 1};
        loc_[high] = {Loc::kGpr, static_cast<u8>(o.size ? 16 : 1), 1};
    } else {
        if (o.size == 0) not_native();
        Value put = kNoValue;
        const int target = put_target(v, put);
        if (needed) {
            r.a = keep(o.a, o.size, slot_a());
            r.b = keep(o.b, o.size, slot_a() + 1);
            for (auto [source, value, slot] :
                 {std::tuple{&r.a, o.a, 0u}, std::tuple{&r.b, o.b, 1u}})
                if (source->kind == Source::kRegister && target >= 0 &&
                    source->number >> 3 == target) {
                    store_slot(slot_a() + slot, in_register(value, o.size));
                    *source = {Source::kSlot, static_cast<u8>(slot_a() + slot), 0};
                }
        }
        if (loc_[o.b].kind == Loc::kConstant &&
            fits32(loc_[o.b].imm |
                   (o.size == 2 && (loc_[o.b].imm >> 31 & 1) ? 0xFFFFFFFF00000000 : 0))) {
            const i32 c = static_cast<i32>(loc_[o.b].imm);
            const Destination d = destination(v, {o.a});
            if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
            with_operand(o.a, o.size,
                         [&](const Operand& s) { imul(sized_reg(d.reg, o.size), s, c); });
            finish(v, d);
        } else {
            Value a = o.a, b = o.b;
            if (target >= 0 && is_gpr(b, static_cast<unsigned>(target))) std::swap(a, b);
            const Destination d = destination(v, {a, b});
            if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
            const bool there = (d.guest >= 0 && is_gpr(a, static_cast<unsigned>(d.guest))) ||
                               (loc_[a].kind == Loc::kScratch && loc_[a].n == d.scratch);
            if (!there) {
                if (loc_[b].kind == Loc::kPlace && d.scratch == 0) not_native();
                if (d.guest >= 0 && is_gpr(b, static_cast<unsigned>(d.guest))) not_native();
                move_to(d.reg, a, o.size);
            }
            with_operand(b, o.size, [&](const Operand& s) { imul(sized_reg(d.reg, o.size), s); });
            finish(v, d);
        }
    }
    if (flags)
        set_recipe(r, v, cpu::kCcCf | cpu::kCcOf);
    else
        clobber_flags();
}

// The host's divide where it cannot fail; what it might refuse, the interpreter divides.
void Emitter::emit_divide(Value v) {
    const Op& o = op(v);
    if (!is_gpr(o.a, o.size ? cpu::kRdx : cpu::kRax) || !is_gpr(o.b, cpu::kRax)) not_native();
    Value high = kNoValue;
    for (Value j = v + 1; j < ir_.ops.size() && op(j).code != Code::insn; ++j)
        if (op(j).code == Code::high && op(j).a == v) high = j;
    if (high == kNoValue) not_native();
    if (o.size == 0) return divide_byte(v, high);
    clobber_flags();
    if (loc_[o.c].kind == Loc::kPlace) materialize_place();
    const Reg64 divisor = in_register(o.c, o.size);
    const Reg d = sized_reg(divisor, o.size), dx = sized_reg(rdx, o.size),
              ax = sized_reg(rax, o.size);
    if (o.code == Code::div) {
        cmp(dx, d);
        interpret_if(kAboveOrEqual);
    } else {
        const unsigned n = take_scratch(v, loc_[o.c].kind == Loc::kScratch ? loc_[o.c].n : -1);
        const Reg t = sized_reg(scratch_reg(n), o.size);
        lea(t, ptr[divisor + 1]);
        cmp(t, 1);
        interpret_if(kBelowOrEqual);  // 0 and -1
        mov(t, ax);
        sar(t, static_cast<int>(8u << o.size) - 1);
        cmp(t, dx);
        interpret_if(kNotEqual);
        release(n);
    }
    before_write(cpu::kRax);
    before_write(cpu::kRdx);
    o.code == Code::div ? div(d) : idiv(d);
    loc_[v] = {Loc::kGpr, 0, 1};
    loc_[high] = {Loc::kGpr, 16, 1};
}

// AX / r/m8: quotient in AL, remainder in AH.
void Emitter::divide_byte(Value v, Value high) {
    const Op& o = op(v);
    clobber_flags();
    const Reg64 divisor = in_register(o.c, 0);
    const unsigned n = take_scratch(v, loc_[o.c].kind == Loc::kScratch ? loc_[o.c].n : -1);
    const Reg64 t = scratch_reg(n);
    if (o.code == Code::div) {
        movzx(t.cvt32(), ax);
        shr(t.cvt32(), 8);
        cmp(t.cvt8(), divisor.cvt8());
        interpret_if(kAboveOrEqual);
    } else {
        lea(t.cvt32(), ptr[divisor + 1]);
        cmp(t.cvt8(), 1);
        interpret_if(kBelowOrEqual);  // 0 and -1
        movsx(t.cvt16(), al);
        cmp(t.cvt16(), ax);
        interpret_if(kNotEqual);
    }
    release(n);
    before_write(cpu::kRax);
    o.code == Code::div ? div(divisor.cvt8()) : idiv(divisor.cvt8());
    loc_[v] = {Loc::kGpr, 0, 1};
    loc_[high] = {Loc::kGpr, 1, 1};
}

}  // namespace rm::jit::x64
