#include "jit/host/x64/page_uses.h"

#include <algorithm>

#include "cpu/state/cpu_state.h"
#include "jit/host/x64/thunks.h"

namespace rm::jit::x64 {

using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

namespace {
constexpr i64 kMaxSpan = 512;
constexpr unsigned kSlots = Frame::kPageAddendCount;
}  // namespace

void PageUses::forget_registers() {
    for (Sum& r : registers_) r = {++unknowns_, 0};
    stack_bases_.resize(unknowns_ + 1);
    stack_bases_[registers_[cpu::kRsp].unknown] = true;
    open_.clear();
}

// 64-bit sums of a register and constants; anything else is an unknown of its own.
PageUses::Sum PageUses::sum(const ir::Block& block, Value v) const {
    const Op& o = block[v];
    switch (o.code) {
        case Code::get:
            if (o.size == 3 && !(o.n & 7)) return registers_[o.n >> 3];
            break;
        case Code::add:
        case Code::sub:
            if (o.size == 3 && block[o.b].code == Code::constant && sums_[o.a].unknown) {
                const i64 c = static_cast<i64>(block[o.b].imm);
                const i64 to = sums_[o.a].constant + (o.code == Code::add ? c : -c);
                return {sums_[o.a].unknown, to};
            }
            break;
        case Code::offset: {
            const Op& a = block[o.a];
            if (o.size == 3 && a.size == 3 && a.a != kNoValue && a.b == kNoValue &&
                a.c == kNoValue && sums_[a.a].unknown)
                return {sums_[a.a].unknown, sums_[a.a].constant + static_cast<i64>(a.imm)};
            break;
        }
        default: break;
    }
    return {};
}

void PageUses::access(const ir::Block& block, Value v, bool write) {
    const Value at = block[v].a;
    const Op& a = block[at];
    PageUse& use = uses_[at];
    use.bytes = static_cast<u8>(1u << block[v].size);
    use.write = write;
    if (a.size != 3 || a.m == cpu::kFs || a.m == cpu::kGs || a.a == kNoValue || a.c != kNoValue)
        return;
    const Sum base = sums_[a.a];
    const Sum index = a.b == kNoValue ? Sum{} : sums_[a.b];
    if (!base.unknown || (a.b != kNoValue && !index.unknown)) return;
    const bool frame = block[a.a].code == Code::get && block[a.a].n == cpu::kRbp * 8 &&
                       static_cast<i64>(a.imm) < 0;
    use.stack = a.b == kNoValue && (stack_bases_[base.unknown] || frame);
    const u8 scale = a.b == kNoValue ? 0 : a.n;
    const i64 first = static_cast<i64>(static_cast<u64>(base.constant) + a.imm +
                                       (static_cast<u64>(index.constant) << scale));
    const i64 end = first + use.bytes;
    for (const u32 n : open_) {
        Group& g = groups_[n];
        if (g.base != base.unknown || g.index != index.unknown || g.scale != scale) continue;
        if (std::max(end, g.end) - std::min(first, g.first) > kMaxSpan) continue;
        g.first = std::min(first, g.first);
        g.end = std::max(end, g.end);
        g.to = v;
        g.write |= write;
        ++g.members;
        members_.push_back({at, n, first});
        return;
    }
    Group g{base.unknown, index.unknown, scale, write, use.stack, first, end, 1, v, v};
    open_.insert(open_.begin(), static_cast<u32>(groups_.size()));
    members_.push_back({at, static_cast<u32>(groups_.size()), first});
    groups_.push_back(g);
}

// A place for the addend of each group from its first to its last access.
void PageUses::assign_slots() {
    Value busy_until[kSlots] = {};
    slots_.assign(groups_.size(), kNoSlot);
    for (std::size_t n = 0; n < groups_.size(); ++n) {
        const Group& g = groups_[n];
        if (g.members < 2) continue;
        // The stack page's own addend serves as long as nobody else looks for another one.
        const bool undisturbed =
            g.stack && std::none_of(groups_.begin(), groups_.end(), [&](const Group& o) {
                return o.stack && o.from > g.from && o.from < g.to;
            });
        if (undisturbed) {
            slots_[n] = PageUse::kStackSlot;
            continue;
        }
        for (unsigned s = 0; s < kSlots; ++s)
            if (busy_until[s] <= g.from) {
                busy_until[s] = g.to;
                slots_[n] = static_cast<u8>(s);
                break;
            }
    }
}

void PageUses::find(const ir::Block& block, bool groups) {
    const std::size_t n = block.ops.size();
    uses_.assign(n, {});
    sums_.assign(n, {});
    groups_.clear();
    members_.clear();
    stack_bases_.clear();
    unknowns_ = 0;
    forget_registers();
    auto put = [&](unsigned guest, Sum s) {
        if (!s.unknown) s = {++unknowns_, 0};
        if (unknowns_ >= stack_bases_.size()) stack_bases_.resize(unknowns_ + 1);
        if (guest == cpu::kRsp) stack_bases_[s.unknown] = true;
        registers_[guest] = s;
    };
    for (std::size_t i = 0; i < n; ++i) {
        const Value v = static_cast<Value>(i);
        const Op& o = block[v];
        sums_[v] = sum(block, v);
        switch (o.code) {
            case Code::load:
            case Code::load_vec: access(block, v, false); break;
            case Code::store:
            case Code::store_vec:
            case Code::rmw: access(block, v, true); break;
            case Code::put: put(o.n >> 3, o.size == 3 && !(o.n & 7) ? sums_[o.a] : Sum{}); break;
            case Code::put_if: put(o.n >> 3, {}); break;
            case Code::x87: put(cpu::kRax, {}); break;  // FNSTSW AX
            case Code::interp: forget_registers(); break;
            default: break;
        }
    }
    if (!groups) return;
    assign_slots();
    for (const Member& m : members_) {
        Group& g = groups_[m.group];
        if (slots_[m.group] == kNoSlot) continue;
        PageUse& use = uses_[m.address];
        use.slot = slots_[m.group];
        use.role = m.address == block[g.from].a ? PageUse::kFirst : PageUse::kLater;
        use.stack = g.stack;
        if (use.role == PageUse::kFirst) g.offset = m.offset;
        use.behind = static_cast<i16>(m.offset - g.offset);
        // What can be written can be read, and the stack page can always be written.
        use.ahead = use.role == PageUse::kFirst && !g.stack && g.write && !use.write;
        use.first = static_cast<i16>(g.first - m.offset);
        use.span = static_cast<u16>(g.end - g.first);
    }
}

}  // namespace rm::jit::x64
