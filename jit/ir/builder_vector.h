// The builder engine for vector instructions: Builder plus the members that the bodies of
// cpu/semantics/sse.h use (its twin: cpu/interpreter/value_engine_vector.h). An operation is a type
// whose `kId` is its number (cpu::VecOp); nothing is computed here.
// MMX registers (their state is the x87 unit's) and masked stores set `unsupported`.
// Floating point assumes that all exceptions are masked: the runtime does not enter translated code
// while the guest's MXCSR unmasks one.
#pragma once
#include "cpu/semantics/vec.h"
#include "jit/ir/builder.h"

namespace rm::jit::ir {

struct VecVal {
    Value id = kNoValue;
};

struct VectorBuilder : Builder {
    using Vec = VecVal;

    VecVal vector(const Op& op) { return {append(op)}; }
    static constexpr u64 packed(cpu::VecOp op, unsigned imm = 0) {
        return static_cast<u64>(op) | u64{imm} << 16;
    }
    template <class T>
    T not_native(T result = {}) {
        unsupported = true;
        return result;
    }

    // --- registers ---
    VecVal xmm(unsigned n) {
        return vector({.code = Code::get_xmm, .size = 4, .n = static_cast<u8>(n)});
    }
    void set_xmm(unsigned n, VecVal v) {
        append({.code = Code::put_xmm, .size = 4, .n = static_cast<u8>(n), .a = v.id});
    }
    VecVal mm(unsigned) { return not_native<VecVal>(); }
    void set_mm(unsigned, VecVal) { unsupported = true; }
    Step mmx_ready() { return not_native(Step::kNext); }
    void mmx_enter() { unsupported = true; }

    // --- memory operands ---
    template <unsigned Bytes, cpu::Align A>
    Sure<VecVal> xmm_source(const Insn& i) {
        switch (i.kind(1)) {
            case OperandKind::kReg: return {xmm(i.reg[1])};
            case OperandKind::kImm: return {vec_of(Val<u64>(i.imm & 0xFF))};
            default: break;
        }
        const Value a = address_of(i);
        return {vector(
            {.code = Code::load_vec, .size = log2_of(Bytes), .n = static_cast<u8>(A), .a = a})};
    }
    template <unsigned Bytes>
    Sure<VecVal> mm_source(const Insn& i) {
        return xmm_source<Bytes, cpu::Align::kAny>(i);
    }
    template <unsigned Bytes, cpu::Align A>
    bool store_operand(const Insn& i, VecVal v) {
        append({.code = Code::store_vec,
                .size = log2_of(Bytes),
                .n = static_cast<u8>(A),
                .a = written_address_of(i),
                .b = v.id});
        return true;
    }

    // --- operations ---
    template <class O>
    VecVal vec(VecVal a, VecVal b, unsigned imm = 0) {
        return vector(
            {.code = Code::vec, .size = 4, .a = a.id, .b = b.id, .imm = packed(O::kId, imm)});
    }
    template <class O>
    VecVal vec3(VecVal a, VecVal b, VecVal mask) {
        return vector(
            {.code = Code::blend, .size = 4, .n = O::kLane, .a = a.id, .b = b.id, .c = mask.id});
    }
    template <class O, unsigned Part>
    VecVal vec_by_field(VecVal a, VecVal b, VecVal control) {
        return vector({.code = Code::vec_field,
                       .size = 4,
                       .n = Part,
                       .a = a.id,
                       .b = b.id,
                       .c = control.id,
                       .imm = packed(O::kId)});
    }
    template <class O>
    Sure<VecVal> fp(VecVal a, VecVal b, unsigned imm = 0) {
        return {vector(
            {.code = Code::vec_fp, .size = 4, .a = a.id, .b = b.id, .imm = packed(O::kId, imm)})};
    }
    // T = Cc: a comparison, else a conversion to a general register.
    template <class T, class O>
    auto fp_to(VecVal a, VecVal b) {
        if constexpr (std::is_same_v<T, Cc>)
            return Sure<FlagsVal>{{append({.code = Code::fp_compare,
                                           .size = 4,
                                           .a = a.id,
                                           .b = b.id,
                                           .imm = packed(O::kId)})}};
        else
            return Sure<Val<T>>{value<T>(
                {.code = Code::fp_to_int, .size = kSize<T>, .a = b.id, .imm = packed(O::kId)})};
    }
    template <class T, class O>
    Sure<VecVal> fp_from(VecVal a, Val<T> v) {
        const Value b = use(v);
        return {vector({.code = Code::int_to_fp,
                        .size = 4,
                        .n = kSize<T>,
                        .a = a.id,
                        .b = b,
                        .imm = packed(O::kId)})};
    }
    FlagsVal test_vec(VecVal a, VecVal b) {
        return {append({.code = Code::test_vec, .size = 4, .a = a.id, .b = b.id})};
    }

    // --- between vectors and general registers ---
    template <class T>
    VecVal vec_of(Val<T> v) {
        const Value a = use(v);
        return vector({.code = Code::vec_of, .size = kSize<T>, .a = a});
    }
    template <class T>
    Val<T> low_of(VecVal v) {
        return value<T>({.code = Code::low_of, .size = kSize<T>, .a = v.id});
    }
    template <class Lane>
    Val<Lane> lane(VecVal v, unsigned n) {
        return value<Lane>(
            {.code = Code::lane, .size = kSize<Lane>, .n = static_cast<u8>(n), .a = v.id});
    }
    template <class Lane>
    VecVal set_lane(VecVal v, unsigned n, Val<Lane> x) {
        const Value b = use(x);
        return vector({.code = Code::set_lane,
                       .size = kSize<Lane>,
                       .n = static_cast<u8>(n),
                       .a = v.id,
                       .b = b});
    }
    template <class Lane>
    Val<u32> sign_mask(VecVal v) {
        return value<u32>({.code = Code::sign_mask, .size = 2, .n = kSize<Lane>, .a = v.id});
    }
    template <class S>
    Val<u32> crc32(Val<u32> crc, Val<S> v) {
        const Value a = use(crc), b = use(v);
        return value<u32>({.code = Code::crc32, .size = 2, .n = kSize<S>, .a = a, .b = b});
    }

    // XMM0 or ECX, and all flags.
    template <class T, bool Explicit, bool Mask>
    void string_compare(VecVal a, VecVal b, unsigned imm) {
        const Value v = append({.code = Mask ? Code::string_mask : Code::string_index,
                                .size = Mask ? u8{4} : u8{2},
                                .n = Explicit ? kSize<T> : u8{0},
                                .a = a.id,
                                .b = b.id,
                                .imm = imm});
        if constexpr (Mask)
            set_xmm(0, {v});
        else
            set_gpr<u32>(cpu::kRcx, Val<u32>::of(v));
        set_flags({v});
    }

    // --- the interpreter's ---
    template <unsigned Size>
    Step store_selected(const Insn&, VecVal, Val<u32>) {
        return not_native(Step::kNext);
    }

private:
    static constexpr u8 log2_of(unsigned bytes) { return static_cast<u8>(std::countr_zero(bytes)); }
};

}  // namespace rm::jit::ir
