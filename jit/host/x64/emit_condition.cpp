// Conditions and what hangs on them: comparisons with a constant, bit tests, the carry flag,
// CMOVcc, SETcc and conditional writes of a register.
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

void Emitter::emit_equal(Value v) {
    const Op& o = op(v);
    // What a scan or comparison just before has told already.
    if (v > 0 &&
        (op(v - 1).code == Code::bsf || op(v - 1).code == Code::bsr ||
         op(v - 2).code == Code::bsf || op(v - 2).code == Code::bsr) &&
        (host_flags_ & cpu::kCcZf) && loc_[o.b].kind == Loc::kConstant && loc_[o.b].imm == 0) {
        loc_[v] = {Loc::kCondition, 4, 0};
        return;
    }
    const Loc b = loc_[o.b];
    if (b.kind != Loc::kConstant || !(o.size < 3 || fits32(b.imm))) not_native();
    with_operand(o.a, o.size, [&](const Operand& a) {
        if (b.imm == 0 && a.isREG())
            test(a, static_cast<const Reg&>(a));
        else
            cmp(a, static_cast<u32>(b.imm));
    });
    clobber_flags();
    loc_[v] = {Loc::kCondition, 4,
               1};  // imm 1: of the host's flags as they are now, not the guest's
}

void Emitter::emit_bit_of(Value v) {
    const Op& o = op(v);
    // BT: the carry it makes becomes the guest's by set_carry right behind, or after the store.
    if (o.size == 0) not_native();
    const Loc b = loc_[o.b];
    const Value index = o.b;
    if (b.kind == Loc::kConstant) {
        with_source(o.a, o.size, [&](const Operand& a) {
            if (a.isREG())
                bt(a, static_cast<u8>(b.imm));
            else
                bt(sized_reg(in_register(o.a, o.size), o.size), static_cast<u8>(b.imm));
        });
    } else {
        const Reg64 a = in_register(o.a, o.size);
        const Reg64 i = in_register(index, o.size);
        bt(sized_reg(a, o.size), static_cast<const Reg&>(sized_reg(i, o.size)));
    }
    clobber_flags();
    loc_[v] = {Loc::kCondition, 2, 1};
}

// CF alone; the other flags stay where they are. emit_instruction() has seen to it that
// begin_recipe() has nothing to compute here.
void Emitter::emit_set_carry(Value v) {
    const Op& o = op(v);
    const Loc a = loc_[o.a];
    FlagRecipe r;
    if (a.kind == Loc::kConstant) {
        begin_recipe(v, r);
        r.a = {Source::kConstant, 0, a.imm};
        const Cc kept = host_flags_ & ~cpu::kCcCf;
        a.imm ? stc() : clc();
        return set_recipe(r, v, kept | cpu::kCcCf);
    }
    if (a.kind != Loc::kCondition || (a.n & ~1) != 2) not_native();
    if (!a.imm) need_host_flags(cpu::kCcCf);
    const Cc kept = host_flags_ & ~cpu::kCcCf;
    begin_recipe(v, r);
    if (needed_after(v)) {
        const Address slot = byte[state(&cpu_.translated.flag_slots[slot_a()])];
        a.n == 2 ? setb(slot) : setae(slot);
        r.a = {Source::kSlot, static_cast<u8>(slot_a()), 0};
    }
    if (a.n == 3) cmc();
    set_recipe(r, v, kept | cpu::kCcCf);
}

void Emitter::emit_select(Value v) {
    const Op& o = op(v);
    const Loc c = loc_[o.a];
    if (c.kind != Loc::kCondition) not_native();
    // Before the flags are fetched: what needs the register's old content may have to be computed.
    Value put = kNoValue;
    int target = put_target(v, put);
    if (target < 0) target = high_target(v);
    if (target >= 0 && !c.imm) before_write(static_cast<unsigned>(target));
    if (!c.imm) need_host_flags(ir::condition_flags(c.n));
    auto cmov = [&](unsigned cc, const Reg& d, const Operand& s) {
        const Reg32e& r = static_cast<const Reg32e&>(d);
        switch (cc) {
            case 0: cmovo(r, s); break;
            case 1: cmovno(r, s); break;
            case 2: cmovb(r, s); break;
            case 3: cmovae(r, s); break;
            case 4: cmove(r, s); break;
            case 5: cmovne(r, s); break;
            case 6: cmovbe(r, s); break;
            case 7: cmova(r, s); break;
            case 8: cmovs(r, s); break;
            case 9: cmovns(r, s); break;
            case 10: cmovp(r, s); break;
            case 11: cmovnp(r, s); break;
            case 12: cmovl(r, s); break;
            case 13: cmovge(r, s); break;
            case 14: cmovle(r, s); break;
            default: cmovg(r, s); break;
        }
    };
    auto set = [&](unsigned cc, const Operand& d) {
        switch (cc) {
            case 0: seto(d); break;
            case 1: setno(d); break;
            case 2: setb(d); break;
            case 3: setae(d); break;
            case 4: sete(d); break;
            case 5: setne(d); break;
            case 6: setbe(d); break;
            case 7: seta(d); break;
            case 8: sets(d); break;
            case 9: setns(d); break;
            case 10: setp(d); break;
            case 11: setnp(d); break;
            case 12: setl(d); break;
            case 13: setge(d); break;
            case 14: setle(d); break;
            default: setg(d); break;
        }
    };
    const Loc x = loc_[o.b], y = loc_[o.c];
    if (o.size == 0 && x.kind == Loc::kConstant && y.kind == Loc::kConstant && x.imm == 1 &&
        y.imm == 0) {
        if (const int high = high_target(v); high >= 0) {
            set(c.n, Reg8(high + 4));
            loc_[v] = {Loc::kGpr, static_cast<u8>(high * 8 + 1), 1};
            return;
        }
        const Destination d = destination(v, {});
        if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
        set(c.n, d.reg.cvt8());
        return finish(v, d);
    }
    if (o.size == 0 || x.kind == Loc::kConstant) not_native();
    // CMOV needs its second choice in the destination first; moves leave the flags alone.
    const Destination d = destination(v, {o.c, o.b});
    if (d.guest >= 0) before_write(static_cast<unsigned>(d.guest));
    const bool there = (d.guest >= 0 && is_gpr(o.c, static_cast<unsigned>(d.guest))) ||
                       (loc_[o.c].kind == Loc::kScratch && loc_[o.c].n == d.scratch);
    if (!there) {
        if (loc_[o.b].kind == Loc::kPlace && d.scratch == 0) not_native();
        if (y.kind == Loc::kConstant) not_native();
        move_to(d.reg, o.c, o.size);
    }
    with_operand(o.b, o.size, [&](const Operand& s) { cmov(c.n, sized_reg(d.reg, o.size), s); });
    finish(v, d);
}

// The guest register whose second byte (AH..BH) is all that v is for, or -1: v can be made there if
// nothing of that register is looked at meanwhile.
int Emitter::high_target(Value v) const {
    if (op(v).size != 0 || uses_[v] != 1) return -1;
    const Op& put = op(static_cast<Value>(last_[v]));
    if (put.code != Code::put || !(put.n & 7)) return -1;
    const int guest = put.n >> 3;
    for (Value w = v + 1; w < last_[v]; ++w)
        if (op(w).code != Code::constant) return -1;
    for (Value w = v; w-- > 0 && op(w).code != Code::insn;)
        if (is_gpr(w, static_cast<unsigned>(guest)) && last_[w] > static_cast<int>(v)) return -1;
    return guest;
}

void Emitter::emit_put_if(Value v) {
    const Op& o = op(v);
    const Loc c = loc_[o.a];
    const unsigned guest = o.n >> 3;
    if (c.kind != Loc::kCondition || (o.n & 7)) not_native();
    if (!c.imm) {
        before_write(guest);
        need_host_flags(ir::condition_flags(c.n));
    }
    const Reg64 value = in_register(o.b, o.size);
    if ((c.n & ~1) != kEqual) not_native();
    const Jump skip = skip_if(c.n ^ 1u);
    write_gpr(o.n, o.size, value);
    land(skip);
}

}  // namespace rm::jit::x64
