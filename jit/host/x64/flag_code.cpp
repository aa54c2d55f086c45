// Flags computed late, by host code: the operation that made them once more, from operands where
// the recipe says they are. Recipes whose flags the host leaves undefined are the runtime's
// (FlagRecipes::flags).
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;

namespace {
bool is_logic(Code c) { return c == Code::and_ || c == Code::or_ || c == Code::xor_; }
bool is_sum(Code c) { return c == Code::add || c == Code::sub; }
bool is_bit(Code c) { return c == Code::bit_of || c == Code::set_carry; }
// The flags that the host makes as alu.h defines them; logic clears AF there.
Cc exact_flags(Code c) {
    if (is_bit(c)) return cpu::kCcCf;
    return is_sum(c) ? cpu::kCcAll : is_logic(c) ? cpu::kCcAll & ~cpu::kCcAf : Cc{0};
}
}  // namespace

bool Emitter::can_compute(const FlagRecipe& r) const {
    if (r.before && !can_compute(context_.recipes[r.before])) return false;
    if (r.c.kind != Source::kNone) return false;
    const bool a = r.a.kind != Source::kNone, b = r.b.kind != Source::kNone,
               result = r.result.kind != Source::kNone;
    if (is_bit(r.code)) return !(r.writes & ~cpu::kCcCf) && a && (r.code == Code::set_carry || b);
    if (is_logic(r.code)) return result || (a && b);
    return is_sum(r.code) && a + b + result >= 2;
}

void Emitter::load_source(const Reg64& to, const Source& s) {
    switch (s.kind) {
        case Source::kConstant: mov(to, s.value); break;
        case Source::kRegister: {
            const int host = host_of(s.number >> 3);
            if (s.number & 7)
                load_high_byte(to, static_cast<unsigned>(host));
            else if (host >= 0)
                mov(to, Reg64(host));
            else
                mov(to, sized(gpr_home(s.number >> 3), 3));
            break;
        }
        default:
            // Its second byte is AH's; the bytes behind are never looked at.
            mov(to, sized(state(&cpu_.translated.flag_slots[s.number]), 3));
            if (s.value) shr(to, 8);
    }
}

// The flags of `r` but for what it keeps, to the host's. Uses r11 and r12.
void Emitter::compute_host_flags(const FlagRecipe& r) {
    const Reg x = sized_reg(r12, r.size), y = sized_reg(r11, r.size);
    const bool a = r.a.kind != Source::kNone, b = r.b.kind != Source::kNone;
    if (r.code == Code::set_carry) {
        load_source(r12, r.a);
        cmp(r12b, 1);
        cmc();
        return;
    }
    if (r.code == Code::bit_of) {
        load_source(r12, r.a);
        load_source(r11, r.b);
        and_(r11d, (8u << r.size) - 1);
        bt(r12, r11);
        return;
    }
    if (is_logic(r.code)) {
        if (r.result.kind != Source::kNone) {
            load_source(r12, r.result);
            test(x, x);
            return;
        }
        load_source(r12, r.a);
        load_source(r11, r.b);
        r.code == Code::and_ ? and_(x, y) : r.code == Code::or_ ? or_(x, y) : xor_(x, y);
        return;
    }
    const bool sum = r.code == Code::add;
    if (a && b) {
        load_source(r12, r.a);
        load_source(r11, r.b);
        sum ? add(x, y) : cmp(x, y);
    } else if (a && !sum) {  // b = a - result
        load_source(r11, r.a);
        mov(r12, r11);
        push(r11);
        pushed_ += 8;
        load_source(r11, r.result);
        pushed_ -= 8;
        sub(x, y);
        pop(r11);
        cmp(y, x);
    } else {  // the operand that is missing from the other one
        load_source(r12, r.result);
        load_source(r11, a ? r.a : r.b);
        sum ? sub(x, y) : add(x, y);
        sum ? add(x, y) : cmp(x, y);
    }
}

// The same to CpuState::cc, with what they keep. Returns which of them the host's flags are, too.
Cc Emitter::compute_flags(const FlagRecipe& r) {
    if (r.before) (void)compute_flags(context_.recipes[r.before]);
    compute_host_flags(r);
    Cc left = exact_flags(r.code);
    const Address cc = word[state(&cpu_.cc)];
    mov(r11, rax);
    lahf();
    seto(al);
    if (r.keeps) {
        const u32 taken = static_cast<u32>(r.writes & exact_flags(r.code));
        and_(eax, taken);
        movzx(r12d, cc);
        and_(r12d, ~static_cast<u32>(r.writes) & 0xFFFF);
        or_(eax, r12d);
        left = 0;
    } else if (left != cpu::kCcAll) {
        and_(eax, static_cast<u32>(left | cpu::kCcFixed));
        left = 0;
    }
    mov(cc, ax);
    mov(rax, r11);
    return left;
}

std::size_t Emitter::emit_resolver(const FlagRecipe& r, void* memory, std::size_t bytes) {
    if (!can_compute(r)) return 0;
    start(memory, bytes);
    pushed_ = 8;  // the return address
    (void)compute_flags(r);
    pushed_ = 0;
    mov(sized(state(&cpu_.translated.flag_recipe), 2), 0);
    ret();
    return getSize();
}

// Brings CpuState::cc up to date with TranslatorState::flag_recipe, which is not 0.
void Emitter::call_resolver() {
    mov(r11, reinterpret_cast<u64>(context_.thunks.resolvers));
    call(qword[r11 + r12 * 8]);
}

}  // namespace rm::jit::x64
