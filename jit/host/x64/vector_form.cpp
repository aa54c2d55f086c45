#include "jit/host/x64/vector_form.h"

#include "cpu/state/cpu_state.h"

#include "jit/host/x64/host_vectors.h"

namespace rm::jit::x64 {

namespace {

using ir::Code;
using ir::Op;
using ir::Value;
using Form = std::optional<VectorForm>;
using Source = std::optional<VectorSource>;

cpu::VecOp operation(const Op& op) { return static_cast<cpu::VecOp>(op.imm & 0xFFFF); }
unsigned immediate(const Op& op) { return static_cast<unsigned>(op.imm >> 16); }

class Matcher {
public:
    Matcher(const ir::Block& block, Value first, Value end)
        : block_(block), first_(first), end_(end) {}

    Form match() {
        const Value root = find_root();
        if (root == ir::kNoValue) return {};
        const Form form = from_root(root);
        if (!form || !all_effects_seen()) return {};
        return form;
    }

private:
    // An operation of this instruction that the form accounts for.
    const Op& see(Value v) {
        static const Op kNone{.code = Code::kCount};
        if (v < first_ || v >= end_) return kNone;
        seen_ |= u64{1} << (v - first_);
        return block_[v];
    }

    // The only operation that writes something the guest sees.
    Value find_root() const {
        if (end_ - first_ > 64) return ir::kNoValue;
        Value root = ir::kNoValue;
        for (Value v = first_; v < end_; ++v) {
            const Code c = block_[v].code;
            const bool writes = c == Code::put_xmm || c == Code::put || c == Code::store_vec ||
                                c == Code::store || c == Code::fp_compare || c == Code::test_vec;
            if (!writes) continue;
            if (root != ir::kNoValue) return ir::kNoValue;
            root = v;
        }
        return root;
    }
    bool all_effects_seen() const {
        for (Value v = first_; v < end_; ++v) {
            const ir::Effect e = ir::info(block_[v].code).effect;
            const bool matters = e != ir::Effect::kPure && e != ir::Effect::kReads;
            if (matters && !((seen_ >> (v - first_)) & 1)) return false;
        }
        return true;
    }

    Form from_root(Value root) {
        const Op& op = see(root);
        switch (op.code) {
            case Code::put_xmm: return to_xmm(op);
            case Code::put: return to_gpr(op);
            case Code::store_vec: return store_vec(op);
            case Code::store: return store_lane(op);
            case Code::fp_compare:
                return flags(
                    VectorForm::kCompare, root,
                    operation(op) == cpu::VecOp::comiss || operation(op) == cpu::VecOp::ucomiss
                        ? 2
                        : 3);
            case Code::test_vec:
                if (!host_has(HostFeature::kSse4_1)) return {};
                return flags(VectorForm::kTest, root, 4);
            default: return {};
        }
    }

    // PCMPxSTRx. With 64-bit lengths there is no encoder for it.
    Form string(VectorForm::Kind kind, Value id) {
        const Op& op = see(id);
        const Op& x = see(op.a);
        const Source s = vector_source(op.b, 4);
        if (!s || x.code != Code::get_xmm || op.n == 3 || !host_has(HostFeature::kSse4_2))
            return {};
        return VectorForm{.kind = kind,
                          .dst = x.n,
                          .imm = static_cast<unsigned>(op.imm),
                          .source = *s,
                          .explicit_lengths = op.n != 0,
                          .flags = id};
    }

    // --- operands ---
    bool is_xmm(Value v, unsigned n) {
        const Op& op = see(v);
        return op.code == Code::get_xmm && op.n == n;
    }
    // `size`: what the instruction reads of memory.
    Source vector_source(Value v, unsigned size) {
        const Op& op = see(v);
        if (op.code == Code::get_xmm) return VectorSource{VectorSource::kXmm, op.n};
        if (op.code == Code::load_vec && op.size == size)
            return VectorSource{VectorSource::kMemory, 0, op.size, static_cast<cpu::Align>(op.n),
                                op.a};
        return {};
    }
    Source integer_source(Value v, unsigned size) {
        const Op& op = see(v);
        if (op.size != size) return {};
        if (op.code == Code::load)
            return VectorSource{VectorSource::kMemory, 0, op.size, cpu::Align::kAny, op.a};
        if (op.code == Code::get && (op.n & 7) == 0)  // not AH, CH, DH, BH
            return VectorSource{VectorSource::kGpr, op.n, op.size};
        return {};
    }
    Source count(Value v) {
        const Op& op = see(v);
        if (op.code != Code::vec_of) return {};
        const Op& c = see(op.a);
        if (c.code != Code::constant) return {};
        return VectorSource{VectorSource::kCount, static_cast<u8>(c.imm)};
    }
    // The lower half of a vector, as instructions with a 64-bit source read it anyway.
    Value lower_half(Value v) {
        const Op& op = see(v);
        return op.code == Code::vec && operation(op) == cpu::VecOp::zero_high64 && op.a == op.b
                   ? op.b
                   : v;
    }

    // --- XMM destinations ---
    Form to_xmm(const Op& put) {
        VectorForm f{.dst = put.n};
        const Op& v = see(put.a);
        switch (v.code) {
            case Code::get_xmm:
            case Code::load_vec: return load(f, put.a, v.size);
            case Code::vec: return operate(f, v, put.a);
            case Code::vec_fp: return operate(f, v, put.a);
            case Code::blend: return blend(f, v);
            case Code::string_mask:
                return put.n == 0 ? string(VectorForm::kStringMask, put.a) : Form();
            case Code::vec_of: return from_gpr(f, v);
            case Code::set_lane: return insert(f, v);
            case Code::int_to_fp: return from_int(f, v);
            default: return {};
        }
    }
    Form load(VectorForm f, Value v, unsigned size) {
        const Source s = vector_source(v, size);
        if (!s || (s->kind == VectorSource::kMemory && s->size < 2)) return {};
        f.kind = VectorForm::kMove;
        f.source = *s;
        return f;
    }
    Form operate(VectorForm f, const Op& v, Value id) {
        f.op = operation(v);
        f.imm = immediate(v);
        // MOVQ and MOVD from memory: the load has cleared the upper half already.
        if (const Value low = lower_half(id); low != id) {
            const Op& from = see(low);
            if (from.code == Code::load_vec && from.size <= 3) return load(f, low, from.size);
            if (!(from.code == Code::get_xmm)) return {};
            f.source = {VectorSource::kXmm, from.n};
            return f;
        }
        const HostVector& host = host_vector(f.op);
        if (!host.available || !is_xmm(v.a, f.dst)) return {};
        if (const Source s = count(v.b)) {
            f.source = *s;
            return host.shift ? Form(f) : Form();
        }
        if (!host.emit) return {};
        const Value b = host.bytes == 8 && v.code == Code::vec_fp ? lower_half(v.b) : v.b;
        const Source s =
            vector_source(b, host.bytes ? static_cast<unsigned>(std::countr_zero(host.bytes)) : 9);
        if (!s) return {};
        f.source = *s;
        return f;
    }
    Form blend(VectorForm f, const Op& v) {
        if (!host_has(HostFeature::kSse4_1) || !is_xmm(v.a, f.dst) || !is_xmm(v.c, 0)) return {};
        const Source s = vector_source(v.b, 4);
        if (!s) return {};
        f.kind = VectorForm::kBlend;
        f.lane_size = v.n;
        f.source = *s;
        return f;
    }
    Form from_gpr(VectorForm f, const Op& v) {
        if (v.size < 2) return {};
        const Source s = integer_source(v.a, v.size);
        if (!s || s->kind != VectorSource::kGpr) return {};
        f.kind = VectorForm::kMove;
        f.source = *s;
        return f;
    }
    Form insert(VectorForm f, const Op& v) {
        if (v.size != 1 && !host_has(HostFeature::kSse4_1)) return {};
        const Source s = integer_source(v.b, v.size);
        if (!s || !is_xmm(v.a, f.dst)) return {};
        f.kind = VectorForm::kInsert;
        f.lane = v.n;
        f.lane_size = v.size;
        f.source = *s;
        return f;
    }
    Form from_int(VectorForm f, const Op& v) {
        const Source s = integer_source(v.b, v.n);
        if (!s || !is_xmm(v.a, f.dst)) return {};
        f.kind = VectorForm::kFromInt;
        f.op = operation(v);
        f.source = *s;
        return f;
    }

    // --- memory destinations ---
    Form store_vec(const Op& store) {
        VectorForm f{.kind = VectorForm::kStore};
        f.source = {VectorSource::kMemory, 0, store.size, static_cast<cpu::Align>(store.n),
                    store.a};
        const Op* v = &see(store.b);
        if (v->code == Code::vec && v->a == v->b && store.size == 3) {
            if (operation(*v) == cpu::VecOp::punpckhqdq)
                f.kind = VectorForm::kStoreHigh;
            else if (operation(*v) != cpu::VecOp::move)
                return {};
            v = &see(v->b);
        }
        if (v->code != Code::get_xmm || store.size < 2) return {};
        f.dst = v->n;
        return f;
    }
    Form store_lane(const Op& store) {
        const Op& v = see(store.b);
        if (v.code != Code::lane || v.size != store.size || !host_has(HostFeature::kSse4_1))
            return {};
        const Op& x = see(v.a);
        if (x.code != Code::get_xmm) return {};
        VectorForm f{.kind = VectorForm::kStoreLane, .dst = x.n, .lane = v.n, .lane_size = v.size};
        f.source = {VectorSource::kMemory, 0, store.size, cpu::Align::kAny, store.a};
        return f;
    }

    // --- general destinations ---
    Form to_gpr(const Op& put) {
        if ((put.n & 7) != 0 || put.size < 2) return {};
        VectorForm f{.dst = put.n, .size = put.size};
        const Op* v = &see(put.a);
        if (v->code == Code::zero_extend && v->size == put.size) {
            v = &see(v->a);
            if (v->code != Code::lane) return {};
        }
        switch (v->code) {
            case Code::low_of: f.kind = VectorForm::kToGpr; break;
            case Code::lane: return extract(f, *v);
            case Code::string_index:
                if (put.n != 8 * cpu::kRcx || put.size != 2) return {};
                return string(VectorForm::kStringIndex, put.a);
            case Code::sign_mask:
                f.kind = VectorForm::kSignMask;
                f.lane_size = v->n;
                break;
            case Code::fp_to_int: return to_int(f, *v);
            case Code::crc32: return crc32(f, *v);
            default: return {};
        }
        if (v->size != put.size) return {};
        const Op& x = see(v->a);
        if (x.code != Code::get_xmm) return {};
        f.source = {VectorSource::kXmm, x.n};
        return f;
    }
    Form extract(VectorForm f, const Op& v) {
        const Op& x = see(v.a);
        if (x.code != Code::get_xmm || (v.size != 1 && !host_has(HostFeature::kSse4_1))) return {};
        f.kind = VectorForm::kExtract;
        f.lane = v.n;
        f.lane_size = v.size;
        f.source = {VectorSource::kXmm, x.n};
        return f;
    }
    Form to_int(VectorForm f, const Op& v) {
        const cpu::VecOp op = operation(v);
        const bool single = op == cpu::VecOp::cvtss2si || op == cpu::VecOp::cvttss2si;
        const Source s = vector_source(v.a, single ? 2 : 3);
        if (!s || v.size != f.size) return {};
        f.kind = VectorForm::kToInt;
        f.op = op;
        f.source = *s;
        return f;
    }
    Form crc32(VectorForm f, const Op& v) {
        const Op& crc = see(v.a);
        const Source s = integer_source(v.b, v.n);
        if (!s || f.size != 2 || crc.code != Code::get || crc.size != 2 || crc.n != f.dst ||
            !host_has(HostFeature::kSse4_2))
            return {};
        f.kind = VectorForm::kCrc32;
        f.source = *s;
        return f;
    }

    Form flags(VectorForm::Kind kind, Value root, unsigned size) {
        const Op& op = block_[root];
        const Op& x = see(op.a);
        const Source s = vector_source(op.b, size);
        if (!s || x.code != Code::get_xmm) return {};
        VectorForm f{.kind = kind, .dst = x.n, .source = *s, .flags = root};
        if (kind == VectorForm::kCompare) f.op = operation(op);
        return f;
    }

    const ir::Block& block_;
    const Value first_, end_;
    u64 seen_ = 0;
};

}  // namespace

std::optional<VectorForm> vector_form(const ir::Block& block, ir::Value first, ir::Value end) {
    return Matcher(block, first, end).match();
}

}  // namespace rm::jit::x64
