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
// Bytes of a group: more seldom fit on the page.
constexpr i64 kMaxSpan = 512, kMaxTable = 2560;
// As many accesses a group must have to be worth that.
constexpr unsigned kFewest = 2, kFewestOfTable = 4;
constexpr unsigned kSlots = Frame::kPageAddendCount;
}  // namespace

void PageUses::access(const ir::Block& block, Value v, bool write, Grouping grouping) {
    const Value at = block[v].a;
    const Op& a = block[at];
    PageUse& use = uses_[at];
    use.bytes = static_cast<u8>(1u << block[v].size);
    use.write = write;
    if (a.size != 3 || a.m == cpu::kFs || a.m == cpu::kGs || a.c != kNoValue) return;
    const auto [base, index, scale, first, reach] = sums_.of_address(a);
    if (!base.known() || !index.known()) return;
    // `first` and `behind` are of small operands that are zero, and a register holds the whole sum.
    if ((base.reach && base.constant) || (index.reach && index.constant)) return;
    const bool table = reach != 0;
    if (base.unknown == Sum::kZero && index.unknown == Sum::kZero && !table) return;
    const bool frame = a.a != kNoValue && block[a.a].code == Code::get &&
                       block[a.a].n == cpu::kRbp * 8 && static_cast<i64>(a.imm) < 0;
    use.stack = a.b == kNoValue && (sums_.is_stack(base.unknown) || frame);
    if (table && (grouping != kTables || sums_.is_stack(base.unknown))) return;
    const i64 end = first + reach + use.bytes;
    if (end - first > kMaxTable) return;
    use.small_base = base.reach != 0;
    use.small_index = index.reach != 0;
    for (const u32 n : open_) {
        Group& g = groups_[n];
        if (g.base != base.unknown || g.index != index.unknown || g.scale != scale ||
            g.table != table)
            continue;
        if (std::max(end, g.end) - std::min(first, g.first) > (table ? kMaxTable : kMaxSpan))
            continue;
        g.first = std::min(first, g.first);
        g.end = std::max(end, g.end);
        g.to = v;
        g.write |= write;
        ++g.members;
        members_.push_back({at, n, first});
        return;
    }
    Group g{base.unknown, index.unknown, scale, write, use.stack, table, first, end, 1, v, v};
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
        if (g.members < (g.table ? kFewestOfTable : kFewest)) continue;
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

void PageUses::find(const ir::Block& block, Grouping grouping) {
    const std::size_t n = block.ops.size();
    uses_.assign(n, {});
    groups_.clear();
    members_.clear();
    open_.clear();
    sums_.begin(block);
    for (std::size_t i = 0; i < n; ++i) {
        const Value v = static_cast<Value>(i);
        sums_.step(v);
        if (sums_.all_forgotten()) open_.clear();
        switch (block[v].code) {
            case Code::load:
            case Code::load_vec: access(block, v, false, grouping); break;
            case Code::store:
            case Code::store_vec:
            case Code::rmw: access(block, v, true, grouping); break;
            default: break;
        }
    }
    if (grouping == kNoGroups) return;
    assign_slots();
    for (const Member& m : members_) {
        Group& g = groups_[m.group];
        if (slots_[m.group] == kNoSlot) continue;
        PageUse& use = uses_[m.address];
        use.slot = slots_[m.group];
        use.role = m.address == block[g.from].a ? PageUse::kFirst : PageUse::kLater;
        use.stack = g.stack;
        use.table = g.table;
        if (use.role == PageUse::kFirst) g.offset = m.offset;
        use.behind = static_cast<i16>(m.offset - g.offset);
        // What can be written can be read, and the stack page can always be written.
        use.ahead = use.role == PageUse::kFirst && !g.stack && g.write && !use.write;
        use.first = static_cast<i16>(g.first - m.offset);
        use.span = static_cast<u16>(g.end - g.first);
    }
}

}  // namespace rm::jit::x64
