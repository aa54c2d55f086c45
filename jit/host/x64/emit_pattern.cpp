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
    return match_exchange_add(first, end) || match_compare_exchange(first, end);
}

namespace {
// The operations of [first, end) by code, in order, without constants and register reads.
struct Shape {
    std::vector<Value> at;
    Shape(const ir::Block& block, Value first, Value end) {
        for (Value v = first; v < end; ++v)
            if (block[v].code != Code::get && block[v].code != Code::constant) at.push_back(v);
    }
    bool is(const ir::Block& block, std::initializer_list<Code> codes) const {
        if (codes.size() != at.size()) return false;
        auto v = at.begin();
        for (Code c : codes)
            if (block[*v++].code != c) return false;
        return true;
    }
};
}  // namespace

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
    if (put.size == 2) {
        // XADD writes the whole 32-bit register: upper half zero, as the guest's would be.
    }
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

}  // namespace rm::jit::x64
