#include "jit/host/x64/register_sums.h"

#include "jit/host/x64/x87.h"

namespace rm::jit::x64 {

using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

void RegisterSums::begin(const ir::Block& block) {
    block_ = &block;
    sums_.assign(block.ops.size(), {});
    stack_bases_.clear();
    unknowns_ = Sum::kZero;
    forget_registers();
    static_assert(Sum::kRegisters == Sum::kZero + 1);
}

void RegisterSums::forget_registers() {
    for (Sum& r : registers_) r = {++unknowns_, 0, 0};
    stack_bases_.resize(unknowns_ + 1);
    stack_bases_[registers_[cpu::kRsp].unknown] = true;
    all_forgotten_ = true;
}

// 64-bit sums of a register and constants, and values that are certainly small; anything else is
// an unknown of its own.
Sum RegisterSums::sum(Value v) const {
    const ir::Block& block = *block_;
    const Op& o = block[v];
    const auto small = [](u64 reach) {
        return reach <= kMostReach ? Sum{Sum::kZero, static_cast<u32>(reach), 0} : Sum{};
    };
    switch (o.code) {
        case Code::get:
            if (o.size == 3 && !(o.n & 7)) return registers_[o.n >> 3];
            break;
        case Code::add:
        case Code::sub:
            if (o.size == 3 && block[o.b].code == Code::constant && sums_[o.a].known()) {
                Sum s = sums_[o.a];
                const i64 c = static_cast<i64>(block[o.b].imm);
                s.constant += o.code == Code::add ? c : -c;
                return s;
            }
            break;
        case Code::offset: {
            const Op& a = block[o.a];
            if (o.size == 3 && a.size == 3 && a.a != kNoValue && a.b == kNoValue &&
                a.c == kNoValue && sums_[a.a].known()) {
                Sum s = sums_[a.a];
                s.constant += static_cast<i64>(a.imm);
                return s;
            }
            break;
        }
        case Code::zero_extend:
            if (o.n == 0) return small(0xFF);
            break;
        case Code::and_:
            if (block[o.b].code == Code::constant) return small(block[o.b].imm);
            break;
        case Code::shr:
            if (block[o.b].code == Code::constant && o.size >= 2) {
                const u64 count = block[o.b].imm & (o.size == 3 ? 63 : 31);
                return small((o.size == 3 ? ~u64{0} : u64{0xFFFFFFFF}) >> count);
            }
            break;
        default: break;
    }
    return {};
}

AddressSum RegisterSums::of_address(const Op& address) const {
    const Sum zero{Sum::kZero, 0, 0};
    AddressSum s;
    s.base = address.a == kNoValue ? zero : sums_[address.a];
    s.index = address.b == kNoValue ? zero : sums_[address.b];
    if (s.index.unknown != Sum::kZero) s.scale = address.n;
    s.offset = static_cast<i64>(static_cast<u64>(s.base.constant) + address.imm +
                                (static_cast<u64>(s.index.constant) << address.n));
    s.reach = static_cast<i64>(s.base.reach) + (static_cast<i64>(s.index.reach) << address.n);
    return s;
}

void RegisterSums::put(unsigned guest, Sum s) {
    if (!s.known()) s = {++unknowns_, 0, 0};
    if (unknowns_ >= stack_bases_.size()) stack_bases_.resize(unknowns_ + 1);
    if (guest == cpu::kRsp && s.unknown != Sum::kZero) stack_bases_[s.unknown] = true;
    registers_[guest] = s;
}

void RegisterSums::step(Value v) {
    const Op& o = (*block_)[v];
    all_forgotten_ = false;
    sums_[v] = sum(v);
    switch (o.code) {
        case Code::put: {
            // 32 bits are the whole register, if there was nothing but zeros above.
            const Sum& s = sums_[o.a];
            const bool whole =
                o.size == 3 || (o.size == 2 && s.unknown == Sum::kZero && s.constant == 0);
            put(o.n >> 3, whole && !(o.n & 7) ? s : Sum{});
            break;
        }
        case Code::put_if: put(o.n >> 3, {}); break;
        case Code::x87:
            if (x87_writes_ax(o)) put(cpu::kRax, {});
            break;
        case Code::interp: forget_registers(); break;
        default: break;
    }
}

}  // namespace rm::jit::x64
