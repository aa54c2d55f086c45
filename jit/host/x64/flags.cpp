// The guest's flags: where they are at each point of a block, and making them real when somebody
// looks.
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Value;

void Emitter::store_slot(unsigned slot, const Reg64& from) {
    mov(sized(state(&cpu_.translated.flag_slots[slot]), 3), from);
}

// Where v can be found later as it is now: a guest register (before_write() moves it when it is
// overwritten), a constant, or the slot it is stored to here.
Source Emitter::keep(Value v, unsigned size, unsigned slot) {
    const Loc l = loc_[v];
    switch (l.kind) {
        case Loc::kConstant: return {Source::kConstant, 0, l.imm};
        case Loc::kGpr: return {Source::kRegister, l.n, 0};
        case Loc::kCondition: not_native();
        default:
            store_slot(slot, in_register(v, size));
            return {Source::kSlot, static_cast<u8>(slot), 0};
    }
}

// Called before an operation that sets flags is emitted: decides what becomes of the flags before.
// May use the scratch registers and the host's flags if those have to be computed.
void Emitter::begin_recipe(Value v, FlagRecipe& r) {
    const ir::Op& o = op(v);
    r.code = o.code;
    r.size = o.size;
    r.writes = o.writes;
    const bool full = ir::flags_replaced(ir_, o) == cpu::kCcAll;
    if (full || !needed_after(v)) {
        // Nobody can look at the old ones any more: their operands need no care.
        flags_ = {Flags::kMemory, {}, false, {}, 0};
        return;
    }
    r.keeps = true;
    if (flags_.kind == Flags::kInherited) {
        resolve_to_memory();
    } else if (flags_.kind == Flags::kRecipe && flags_.recipe.keeps &&
               (flags_.recipe.writes & ~ir::flags_replaced(ir_, o))) {
        resolve_to_memory();
    }
}

// The flags are those of v from here on; `exact` of them are right in the host's flags.
void Emitter::set_recipe(const FlagRecipe& recipe, Value v, Cc exact) {
    Flags f;
    f.kind = Flags::kRecipe;
    f.recipe = recipe;
    f.slots = static_cast<u8>(next_pair_);
    if (recipe.keeps && flags_.kind == Flags::kRecipe) {
        f.has_before = true;
        if (flags_.recipe.keeps) {
            f.has_before = flags_.has_before;
            f.before = flags_.before;
        } else {
            f.before = flags_.recipe;
        }
    }
    if (!needed_after(v)) {
        f.recipe = {};
        f.has_before = false;
    }
    next_pair_ = f.has_before ? next_pair_ : 1 - next_pair_;
    flags_ = f;
    host_flags_ = exact;
}

u32 Emitter::recipe_number(const Flags& f) {
    if (f.kind == Flags::kInherited) return kRecipeInMemory;
    if (f.kind == Flags::kMemory) return 0;
    FlagRecipe r = f.recipe;
    if (r.keeps && f.has_before) r.before = context_.recipes.number_of(f.before);
    return context_.recipes.number_of(r);
}

void Emitter::before_write(unsigned guest) {
    upper_clear_ &= static_cast<u16>(~(1u << guest));
    if (flags_.kind != Flags::kRecipe) return;
    auto save = [&](Source& s, unsigned slot) {
        if (s.kind != Source::kRegister || (s.number >> 3) != guest) return;
        const int host = host_of(guest);
        if (host >= 0) {
            store_slot(slot, Reg64(host));
        } else {
            // Both scratch registers may be in use: through one of them, kept in memory meanwhile.
            mov(sized(state(&cpu_.translated.spill[3]), 3), r12);
            mov(r12, sized(gpr_home(guest), 3));
            store_slot(slot, r12);
            mov(r12, sized(state(&cpu_.translated.spill[3]), 3));
        }
        s = {Source::kSlot, static_cast<u8>(slot), u64{s.number} & 7};
    };
    auto all = [&](FlagRecipe& r, unsigned pair) {
        // The result and the first operand are never both registers that change: one slot is
        // enough.
        if (r.c.kind == Source::kRegister && (r.c.number >> 3) == guest) return false;
        const bool both = r.a.kind != Source::kNone && r.result.kind != Source::kNone &&
                          r.b.kind != Source::kNone;
        if (both && r.result.kind == Source::kRegister && (r.result.number >> 3) == guest)
            return false;
        save(r.a, 2 * pair);
        save(r.b, 2 * pair + 1);
        save(r.result, 2 * pair);
        return true;
    };
    bool good = all(flags_.recipe, flags_.slots);
    if (flags_.has_before) good = all(flags_.before, 1u - flags_.slots) && good;
    if (good || store_host_flags()) return;
    // Three operands to keep: compute the flags now.
    if (scratch_[0] != kNoValue || scratch_[1] != kNoValue) not_native();
    resolve_to_memory();
}

// Flags that are all still in the host's: to memory by LAHF and SETO. The host's stay as they are,
// but where AF has to be cleared.
bool Emitter::store_host_flags() {
    if (flags_.kind != Flags::kRecipe || flags_.recipe.keeps) return false;
    const Cc missing = cpu::kCcAll & ~host_flags_;
    bool no_af = false;
    switch (flags_.recipe.code) {
        case Code::and_:
        case Code::or_:
        case Code::xor_:
        case Code::shl:
        case Code::shr:
        case Code::sar: no_af = true; break;
        default: break;
    }
    if (missing & ~(no_af ? cpu::kCcAf : Cc{0})) return false;
    const int n = scratch_[1] == kNoValue ? 1 : scratch_[0] == kNoValue ? 0 : -1;
    const auto spilled = sized(state(&cpu_.translated.spill[3]), 3);
    if (n >= 0)
        mov(scratch_reg(static_cast<unsigned>(n)), rax);
    else
        mov(spilled, rax);
    lahf();
    seto(al);
    if (missing) {
        and_(eax, static_cast<u32>(cpu::kCcAll & ~cpu::kCcAf) | cpu::kCcFixed);
        clobber_flags();
    }
    mov(word[state(&cpu_.cc)], ax);
    mov(sized(state(&cpu_.translated.flag_recipe), 2), 0);
    if (n >= 0)
        mov(rax, scratch_reg(static_cast<unsigned>(n)));
    else
        mov(rax, spilled);
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    return true;
}

void Emitter::resolve_to_memory() {
    if (flags_.kind == Flags::kMemory || store_host_flags()) return;
    for (unsigned n : {0u, 1u})
        if (scratch_[n] != kNoValue) spill(n);
    Cc left = 0;
    if (flags_.kind == Flags::kInherited) {
        mov(r12d, sized(state(&cpu_.translated.flag_recipe), 2));
        test(r12d, r12d);
        const Jump right = skip_if(kEqual);
        call_resolver();
        land(right);
    } else {
        FlagRecipe r = flags_.recipe;
        if (r.keeps && flags_.has_before) r.before = context_.recipes.number_of(flags_.before);
        if (can_compute(r)) {
            left = compute_flags(r);
            mov(sized(state(&cpu_.translated.flag_recipe), 2), 0);
        } else {
            mov(r12d, context_.recipes.number_of(r));
            call_thunk(context_.thunks.resolve);
        }
    }
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    host_flags_ = left;
}

// Before a shift by CL: with a count of zero the flags stay, so they must be in memory; else nobody
// will look at them.
void Emitter::resolve_if_count_is_zero(unsigned size) {
    if (flags_.kind == Flags::kMemory) return;
    const u32 recipe = current_recipe();
    test(cl, size == 3 ? 63 : 31);
    const Jump zero = jump_if(kEqual);
    resolves_.push_back({zero, position(), recipe});
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    clobber_flags();
}

void Emitter::emit_cold_resolve(const ColdResolve& c) {
    land(c.from);
    if (c.recipe == kRecipeInMemory) {
        mov(r12d, sized(state(&cpu_.translated.flag_recipe), 2));
        test(r12d, r12d);
        jump_to_if(kEqual, c.back);
        call_resolver();
    } else {
        mov(r12d, c.recipe);
        call_thunk(context_.thunks.resolve);
    }
    jump_to(c.back);
}

void Emitter::flags_in_memory() {
    mov(sized(state(&cpu_.translated.flag_recipe), 2), 0);
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    clobber_flags();
}

void Emitter::load_flags_from_memory() {
    const unsigned n = take_scratch(now_);
    const Reg64 t = scratch_reg(n);
    mov(t, rax);
    movzx(eax, word[state(&cpu_.cc)]);
    add(al, 0x7F);  // OF
    sahf();
    mov(rax, t);
    release(n);
    host_flags_ = cpu::kCcAll;
}

// Sets the host's flags again by the operation that made them, from operands still in registers.
bool Emitter::again(const FlagRecipe& r, Cc mask) {
    if (r.keeps || (mask & ~r.writes)) return false;
    const bool logic = r.code == Code::and_ || r.code == Code::or_ || r.code == Code::xor_;
    auto reg = [&](const Source& s) {
        return s.kind == Source::kRegister && !(s.number & 7) && host_of(s.number >> 3) >= 0;
    };
    auto host = [&](const Source& s) { return sized_reg(Reg64(host_of(s.number >> 3)), r.size); };
    if (logic && reg(r.result) && !(mask & cpu::kCcAf)) {
        test(host(r.result), static_cast<const Reg&>(host(r.result)));
        host_flags_ = cpu::kCcAll & ~cpu::kCcAf;
        return true;
    }
    if ((r.code == Code::sub || r.code == Code::and_) && reg(r.a) &&
        r.result.kind == Source::kNone) {
        const bool sub = r.code == Code::sub;
        const Reg a = host(r.a);
        if (reg(r.b))
            sub ? cmp(a, host(r.b)) : test(a, static_cast<const Reg&>(host(r.b)));
        else if (r.b.kind == Source::kConstant && (r.size < 3 || fits32(r.b.value)))
            sub ? cmp(a, static_cast<u32>(r.b.value)) : test(a, static_cast<u32>(r.b.value));
        else if (r.b.kind == Source::kSlot && sub)
            cmp(a,
                sized(state(&cpu_.translated.flag_slots[r.b.number]) + static_cast<int>(r.b.value),
                      r.size));
        else
            return false;
        host_flags_ = sub ? cpu::kCcAll : cpu::kCcAll & ~cpu::kCcAf;
        return true;
    }
    // Sign and zero of a result.
    if ((r.code == Code::add || r.code == Code::sub) && reg(r.result) &&
        !(mask & ~(cpu::kCcZf | cpu::kCcSf | cpu::kCcPf))) {
        test(host(r.result), static_cast<const Reg&>(host(r.result)));
        host_flags_ = cpu::kCcZf | cpu::kCcSf | cpu::kCcPf;
        return true;
    }
    return false;
}

void Emitter::need_host_flags(Cc mask) {
    if (!(mask & ~host_flags_)) return;
    if (flags_.kind == Flags::kRecipe && again(flags_.recipe, mask)) return;
    resolve_to_memory();
    if (mask == cpu::kCcCf) {
        bt(sized(state(&cpu_.cc), 1), 8);
        host_flags_ = cpu::kCcCf;
        return;
    }
    load_flags_from_memory();
}

// The host's flags but CF to those in memory, whose CF stays. Uses r11 and r12.
void Emitter::store_step_flags() {
    mov(r11, rax);
    lahf();
    seto(al);
    and_(eax, 0xFE01);
    movzx(r12d, word[state(&cpu_.cc)]);
    and_(r12d, cpu::kCcCf);
    or_(eax, r12d);
    mov(word[state(&cpu_.cc)], ax);
    mov(rax, r11);
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    clobber_flags();
}

// Before leaving to code that may want the flags: puts what is in registers that may be overwritten
// before into the slots, and the recipe's number into memory. Leaves the scratch registers' values
// only if all operands are mapped.
void Emitter::save_flags_at_exit(u16 overwritten) {
    if (flags_.kind != Flags::kRecipe) return;
    const auto stays = [&](const Source& s) {
        return s.kind != Source::kRegister || !((overwritten >> (s.number >> 3)) & 1);
    };
    auto save = [&](Source& s, unsigned slot) {
        if (stays(s)) return;
        const unsigned guest = s.number >> 3;
        if (host_of(guest) >= 0) {
            store_slot(slot, Reg64(host_of(guest)));
        } else {
            mov(r12, sized(gpr_home(guest), 3));
            store_slot(slot, r12);
        }
        s = {Source::kSlot, static_cast<u8>(slot), u64{s.number} & 7};
    };
    auto three = [&](const FlagRecipe& r) {
        return (r.a.kind != Source::kNone && r.b.kind != Source::kNone && !stays(r.result)) ||
               !stays(r.c);
    };
    if (three(flags_.recipe) || (flags_.has_before && three(flags_.before)))
        return resolve_to_memory();
    const FlagRecipe& r = flags_.recipe;
    // INC and DEC over flags in memory, made and still at hand: merging is shorter than resolving
    // later.
    if (r.keeps && !flags_.has_before && r.writes == (cpu::kCcAll & ~cpu::kCcCf) &&
        !(r.writes & ~host_flags_)) {
        return store_step_flags();
    }
    auto all = [&](FlagRecipe& recipe, unsigned pair) {
        save(recipe.a, 2 * pair);
        save(recipe.b, 2 * pair + 1);
        save(recipe.result, 2 * pair);
    };
    all(flags_.recipe, flags_.slots);
    if (flags_.has_before) all(flags_.before, 1u - flags_.slots);
    mov(sized(state(&cpu_.translated.flag_recipe), 2), current_recipe());
    flags_ = {Flags::kInherited, {}, false, {}, 0};
}

}  // namespace rm::jit::x64
