// The value engine for vector instructions: ValueEngine plus 128-bit values, XMM and MMX registers,
// memory operands of 1 to 16 bytes with the alignment rule of legacy SSE, and floating-point
// operations under the guest's MXCSR. An operation is a type with `static Vec run(a, b, imm)`, from
// the tables cpu/instructions/vec_int.def and vec_fp.def; `Op::kId` names it for the translator.
// MMX operands are vectors whose upper half is zero; results are cut to 64 bits.
// Source: SDM 1 9.5, 10.2, 11.5; SDM 3A 2.5; APM1 4.
#pragma once
#include "cpu/interpreter/value_engine.h"
#include "cpu/semantics/crc32.h"
#include "cpu/semantics/sse_host.h"
#include "cpu/semantics/sse_string.h"
#include "cpu/semantics/sse_unmasked.h"
#include "cpu/semantics/x87_state.h"

namespace rm::cpu {

namespace semantics {
Step store_selected(Cpu& cpu, const Insn& i, const u8* bytes, u32 selected, unsigned size);
}

template <OperandKind K0, OperandKind K1>
struct VectorEngine : ValueEngine<K0, K1> {
    using Base = ValueEngine<K0, K1>;
    using Base::cpu;
    using Vec = V128;

    // --- registers ---
    Vec xmm(unsigned n) const { return load_vec(&cpu.fpu.xmm[n]); }
    void set_xmm(unsigned n, Vec v) { std::memcpy(&cpu.fpu.xmm[n], &v, 16); }
    Vec mm(unsigned n) const { return vec_u64(cpu.fpu.st[n].mantissa); }
    void set_mm(unsigned n, Vec v) {
        cpu.fpu.st[n].mantissa = vec_low(v);
        cpu.fpu.st[n].sign_exponent = 0xFFFF;
    }
    // Every MMX instruction first answers for earlier x87 errors (SDM 1 9.6.2) ...
    [[gnu::always_inline]] Step mmx_ready() { return x87::ready(cpu); }
    // ... and, when nothing can fault any more, makes the x87 stack the MMX register file.
    void mmx_enter() {
        cpu.fpu.fsw &= static_cast<u16>(~x87::kTopMask);
        cpu.fpu.ftw = 0;
    }

    // --- memory operands: Bytes from memory, zero-extended ---
    template <unsigned Bytes, Align A>
    [[gnu::always_inline]] Maybe<Vec> load_operand(const Insn& i) {
        if constexpr (Bytes == 16) {
            LinearAddr va;
            Vec v{};
            if (!linear16<A, memory::Access::kRead>(i, va, !misaligned_allowed())) [[unlikely]]
                return {v, false};
            if (!cpu.mmu.load(va, v)) [[unlikely]]
                return {v, cpu.access_failed(static_cast<SegReg>(i.seg))};
            return {v, true};
        } else {
            auto m = Base::template load<UnsignedOf<std::countr_zero(Bytes)>>(i);
            return {vec_u64(m.value), m.ok()};
        }
    }
    template <unsigned Bytes, Align A>
    [[gnu::always_inline]] bool store_operand(const Insn& i, Vec v) {
        if constexpr (Bytes == 16) {
            LinearAddr va;
            if (!linear16<A, memory::Access::kWrite>(i, va, true)) [[unlikely]]
                return false;
            return cpu.mmu.store(va, v) || cpu.access_failed(static_cast<SegReg>(i.seg));
        } else {
            using T = UnsignedOf<std::countr_zero(Bytes)>;
            return Base::template store<T>(i, static_cast<T>(vec_low(v)));
        }
    }
    // Address of a 16-byte operand; #GP(0) for misalignment comes before #AC.
    template <Align A, memory::Access Kind>
    [[gnu::always_inline]] bool linear16(const Insn& i, LinearAddr& va, bool operands_aligned) {
        if (!Base::template linear_unchecked<16, Kind>(i, va)) [[unlikely]]
            return false;
        if (A != Align::kAny && (va & 15) && (A == Align::kAlways || operands_aligned)) [[unlikely]]
            return cpu.fail(kGp, 0);
        if (cpu.mem_checks) [[unlikely]]
            return cpu.check_access(va, 16, Kind);
        return true;
    }
    // AMD's MXCSR.MM lets loads that are part of an operation be misaligned (APM1 4.3.2).
    bool misaligned_allowed() const { return cpu.fpu.mxcsr & kMxcsrMm; }

    // Operand 1 as a vector: a register (whole), Bytes of memory, or an immediate shift count.
    template <unsigned Bytes, Align A>
    [[gnu::always_inline]] Maybe<Vec> xmm_source(const Insn& i) {
        if constexpr (K1 == OperandKind::kReg) return {xmm(i.reg[1]), true};
        if constexpr (K1 == OperandKind::kImm) return {vec_u64(i.imm & 0xFF), true};
        if constexpr (K1 == OperandKind::kMem) return load_operand<Bytes, A>(i);
        return {Vec{}, false};
    }
    template <unsigned Bytes>
    [[gnu::always_inline]] Maybe<Vec> mm_source(const Insn& i) {
        if constexpr (K1 == OperandKind::kReg) return {mm(i.reg[1]), true};
        if constexpr (K1 == OperandKind::kImm) return {vec_u64(i.imm & 0xFF), true};
        if constexpr (K1 == OperandKind::kMem) return load_operand<Bytes, Align::kAny>(i);
        return {Vec{}, false};
    }

    // --- operations ---
    template <class Op>
    [[gnu::always_inline]] Vec vec(Vec a, Vec b, unsigned imm = 0) {
        return Op::run(a, b, imm);
    }
    template <class Op>
    Vec vec3(Vec a, Vec b, Vec c) {
        return Op::run(a, b, c);
    }
    Vec vec_of(u64 low) { return vec_u64(low); }
    template <class T>
    T low_of(Vec v) {
        return static_cast<T>(vec_low(v));
    }
    template <class Lane>
    Lane lane(Vec v, unsigned n) {
        return Lanes<Lane>(v)[n];
    }
    template <class Lane>
    Vec set_lane(Vec v, unsigned n, Lane value) {
        Lanes<Lane> out(v);
        out[n] = value;
        return out;
    }
    // The lanes' sign bits as a number.
    template <class Lane>
    u32 sign_mask(Vec v) {
        const Lanes<Lane> in(v);
        u32 r = 0;
        for (unsigned n = 0; n < Lanes<Lane>::kCount; ++n)
            r |= static_cast<u32>((in[n] >> (8 * sizeof(Lane) - 1)) & 1) << n;
        return r;
    }
    // PTEST: ZF = (a AND b) is zero, CF = (NOT a AND b) is zero (SDM 2).
    Cc test_vec(Vec a, Vec b) {
        const Vec both = a & b, only = ~a & b;
        return static_cast<Cc>(kCcFixed | ((vec_low(both) | vec_high(both)) == 0 ? kCcZf : 0) |
                               ((vec_low(only) | vec_high(only)) == 0 ? kCcCf : 0));
    }
    template <class T, bool Explicit, bool Mask>
    void string_compare(Vec a, Vec b, unsigned imm) {
        namespace ss = sse_string;
        using S = std::make_signed_t<T>;
        unsigned la, lb;
        if constexpr (Explicit) {
            la = ss::explicit_length(static_cast<S>(Base::template gpr<T>(kRax)), imm);
            lb = ss::explicit_length(static_cast<S>(Base::template gpr<T>(kRdx)), imm);
        } else {
            la = ss::implicit_length(a, imm);
            lb = ss::implicit_length(b, imm);
        }
        const ss::Result r = ss::compare(a, la, b, lb, imm);
        if constexpr (Mask)
            set_xmm(0, ss::mask_of(r, imm));
        else
            Base::template set_gpr<u32>(kRcx, ss::index_of(r, imm));
        Base::set_flags(r.flags);
    }
    template <class S>
    u32 crc32(u32 crc, S value) {
        return crc32c<S>(crc, value);
    }
    // MASKMOVQ, MASKMOVDQU: the chosen ones of the first Size bytes of v to [seg:rDI].
    template <unsigned Size>
    Step store_selected(const Insn& i, Vec v, u32 selected) {
        const Lanes<u8> bytes(v);
        return semantics::store_selected(cpu, i, bytes.v, selected, Size);
    }
    // An SSE4a field described by quadword Part of `control`: length 5:0, position 13:8.
    template <class Op, unsigned Part>
    Vec vec_by_field(Vec a, Vec b, Vec control) {
        return Op::run(a, b, static_cast<unsigned>(Lanes<u64>(control)[Part] & 0x3F3F));
    }
    // A floating-point operation. Not ok: #XM (or #UD) is raised, MXCSR tells why (SDM 1 11.5).
    // With all exceptions masked (the usual case) the host's sticky flags are the guest's, so that
    // nothing is cleared between operations.
    template <class Op>
    [[gnu::always_inline]] Maybe<Vec> fp(Vec a, Vec b, unsigned imm = 0) {
        if (all_masked()) [[likely]] {
            sse_host::enter(cpu.fpu.mxcsr & 0xFFFF);
            const Vec r = Op::run(a, b, imm);
            cpu.fpu.mxcsr |= sse_host::flags();
            return {r, true};
        }
        const auto r = sse_unmasked<Op>(cpu.fpu.mxcsr, a, b, imm);
        return {r.value, sse_finish_unmasked(cpu, r.raised)};
    }
    // Conversions to a general register and compares: T or Cc out.
    template <class T, class Op>
    [[gnu::always_inline]] Maybe<T> fp_to(Vec a, Vec b) {
        T r{};
        const bool good = with_mxcsr([&] { r = Op::template run<T>(a, b); });
        return {r, good};
    }
    template <class T, class Op>
    [[gnu::always_inline]] Maybe<Vec> fp_from(Vec a, T value) {
        Vec r;
        const bool good = with_mxcsr([&] { r = Op::run(a, value); });
        return {r, good};
    }

private:
    bool all_masked() const { return (cpu.fpu.mxcsr & kMxcsrMasks) == kMxcsrMasks; }
    // Runs f, whose result cannot overflow or underflow, with the guest's MXCSR in the host's.
    template <class F>
    [[gnu::always_inline]] bool with_mxcsr(F&& f) {
        u32& guest = cpu.fpu.mxcsr;
        if (all_masked()) [[likely]] {
            sse_host::enter(guest & 0xFFFF);
            f();
            guest |= sse_host::flags();
            return true;
        }
        sse_host::enter((guest & 0xFFFF & ~kMxcsrFlags) | kMxcsrMasks);
        f();
        return sse_finish_unmasked(cpu, hide_results(guest, sse_host::flags()));
    }
};

// --- shapes: a body is instantiated for the operand kinds of its Forms, once for 32-bit and, if
// the body says so by kSized, once for 64-bit operand size (REX.W) ---
template <class Body, class T, OperandKind A, OperandKind B>
Step vector_handler(Cpu& cpu, const Insn& i) {
    VectorEngine<A, B> e{{cpu}};
    return Body::template run<T>(e, i);
}

template <class... Forms>
struct VectorShape {
    using Table = std::array<Handler, 32>;
    template <class Body, OperandKind A, OperandKind B>
    static constexpr void put(Table& t, Form<A, B>) {
        const unsigned at = static_cast<unsigned>(A) * 4 + static_cast<unsigned>(B);
        t[at] = &vector_handler<Body, u32, A, B>;
        if constexpr (requires { Body::kSized; })
            t[16 + at] = &vector_handler<Body, u64, A, B>;
        else
            t[16 + at] = t[at];
    }
    template <class Body>
    static constexpr Table make() {
        Table t{};
        (put<Body>(t, Forms{}), ...);
        return t;
    }
};

template <class Body, class S>
Handler select_vector(const Insn& i) {
    static constexpr auto kTable = S::template make<Body>();
    return kTable[(i.size_log2 == 3 ? 16 : 0) + static_cast<unsigned>(i.kind(0)) * 4 +
                  static_cast<unsigned>(i.kind(1))];
}

}  // namespace rm::cpu
