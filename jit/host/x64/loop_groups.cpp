#include "jit/host/x64/loop_groups.h"

#include <algorithm>
#include <cstdlib>

#include "jit/host/x64/emitter.h"
#include "jit/host/x64/vector_form.h"
#include "jit/host/x64/x87.h"

namespace rm::jit::x64 {

using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

bool LoopGroups::moves(int guest, i64& by) const {
    by = 0;
    if (guest < 0) return true;
    const Sum& s = sums_.of_register(static_cast<unsigned>(guest));
    by = s.constant;
    return s.register_at_begin() == guest;
}

bool LoopGroups::find(const ir::Block& block, Value back) {
    groups_.clear();
    accesses_.clear();
    leaves_.clear();
    uses_.assign(block.ops.size(), {});
    sums_.begin(block);
    for (Value v = 0; v <= back; ++v) {
        const Op& o = block[v];
        sums_.step(v);
        if (o.code == Code::interp) return false;
        if (ir::info(o.code).effect == ir::Effect::kLeaves) {
            Leave l{v, {}};
            for (unsigned g = 0; g < Sum::kRegisterCount; ++g)
                l.registers[g] = sums_.of_register(g);
            leaves_.push_back(l);
        }
        const bool vector = o.code == Code::load_vec || o.code == Code::store_vec;
        const bool write =
            o.code == Code::store || o.code == Code::store_vec || o.code == Code::rmw;
        const bool x87 = o.code == Code::x87 && o.a != kNoValue;
        if (!vector && !write && !x87 && o.code != Code::load) continue;
        const Op& a = block[o.a];
        if (a.size != 3 || a.c != kNoValue || Emitter::has_base(a)) return false;
        const unsigned alignment =
            vector ? alignment_bits(o.size, static_cast<cpu::Align>(o.n)) : 0;
        const unsigned bytes = x87 ? x87_bytes(o.size) : 1u << o.size;
        accesses_.push_back(
            {o.a, bytes, alignment, write || x87_writes_memory(o), sums_.of_address(a)});
    }
    for (const Access& a : accesses_)
        if (!place(block, a)) return false;
    return find_counter(block);
}

bool LoopGroups::place(const ir::Block& block, const Access& access) {
    const Op& a = block[access.address];
    // What there is of an operand but a constant: a register as it is when a run begins, or a small
    // number.
    const auto is_zero = [](const Sum& s) { return s.unknown == Sum::kZero; };
    const AddressSum& s = access.sum;
    const int base = s.base.register_at_begin(), index = s.index.register_at_begin();
    if ((base < 0 && !is_zero(s.base)) || (index < 0 && !is_zero(s.index))) return false;
    i64 base_moves = 0, index_moves = 0;
    if (!moves(base, base_moves) || !moves(index, index_moves)) return false;
    const i64 stride = base_moves + (index_moves << a.n);
    const i64 first = s.offset, end = first + s.reach + access.bytes;
    if (std::abs(stride) > kMostStride || end - first > kMostSpan) return false;
    if (access.alignment && (s.reach || (stride & access.alignment))) return false;

    Use use;
    use.behind = static_cast<i64>(a.imm);
    use.base = s.base.reach || base_moves;
    if (!use.base) use.behind += s.base.constant;
    use.index = s.index.reach || index_moves;
    if (!use.index) use.behind += static_cast<i64>(static_cast<u64>(s.index.constant) << a.n);
    if (use.behind != static_cast<i32>(use.behind) || first != static_cast<i32>(first))
        return false;
    for (Group& g : groups_) {
        if (g.base != base || g.index != index || g.scale != s.scale) continue;
        if (std::max(end, g.end) - std::min(first, g.first) > kMostSpan) continue;
        if (access.alignment && g.alignment &&
            ((first - g.aligned) & static_cast<i64>(access.alignment)))
            return false;
        if (access.alignment) {
            g.alignment = access.alignment;
            g.aligned = first;
        }
        g.first = std::min(first, g.first);
        g.end = std::max(end, g.end);
        g.write |= access.write;
        use.group = static_cast<i8>(&g - groups_.data());
        uses_[access.address] = use;
        return true;
    }
    if (groups_.size() == kMost) return false;
    use.group = static_cast<i8>(groups_.size());
    uses_[access.address] = use;
    groups_.push_back({static_cast<i8>(base), static_cast<i8>(index), s.scale, access.write, first,
                       end, stride, access.alignment, first});
    return true;
}

bool LoopGroups::find_counter(const ir::Block& block) {
    int best = -1;
    for (unsigned g = 0; g < Sum::kRegisterCount; ++g) {
        i64 by = 0;
        if (!moves(static_cast<int>(g), by) || by == 0 || std::abs(by) > kMostStride) continue;
        const auto known = [g](const Leave& l) {
            return l.registers[g].register_at_begin() == static_cast<int>(g);
        };
        if (!std::all_of(leaves_.begin(), leaves_.end(), known)) continue;
        if (best >= 0 && Emitter::host_of(g) < 0) continue;
        best = static_cast<int>(g);
        step_ = by;
        if (Emitter::host_of(g) >= 0) break;
    }
    if (best < 0) return false;
    counter_ = static_cast<unsigned>(best);
    counted_.assign(block.ops.size(), 0);
    for (const Leave& l : leaves_) counted_[l.at] = l.registers[counter_].constant;
    return true;
}

}  // namespace rm::jit::x64
