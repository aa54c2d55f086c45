// Bodies of the vector instructions by operand pattern; the operation is a template argument (a
// type of cpu/semantics/vec_ops.h or sse_host.h). Templates over an engine with the members of
// cpu/interpreter/value_engine_vector.h, so that the translator can emit the operation itself.
// Source: SDM 2 for each instruction; alignment and exceptions: SDM 2 2.4, SDM 1 11.5.
#pragma once
#include "cpu/semantics/vec.h"
#include "cpu/state/cpu_state.h"
#include "cpu/state/insn.h"

// A pending x87 exception comes first: the body ends with #MF, or waits for FERR#'s interrupt.
#define RM_READY(e)                                                        \
    do {                                                                   \
        if (const Step s = (e).mmx_ready(); s != Step::kNext) [[unlikely]] \
            return s;                                                      \
    } while (0)

namespace rm::cpu::semantics {

constexpr unsigned imm8(const Insn& i) { return static_cast<unsigned>(i.imm & 0xFF); }

// --- XMM, integer and bitwise: dst = op(dst, src, imm8). Bytes: size of a memory source ---
template <class Op, unsigned Bytes = 16, Align A = Align::kOperand>
struct Xmm {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<Bytes, A>(i));
        e.set_xmm(i.reg[0], e.template vec<Op>(e.xmm(i.reg[0]), s, imm8(i)));
        return Step::kNext;
    }
};
// With XMM0 as a third operand.
template <class Op>
struct XmmBlend {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<16, Align::kOperand>(i));
        e.set_xmm(i.reg[0], e.template vec3<Op>(e.xmm(i.reg[0]), s, e.xmm(0)));
        return Step::kNext;
    }
};

// A memory source of INSERTPS has one lane only.
template <class Op>
struct XmmInsertFloat {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<4, Align::kAny>(i));
        const unsigned imm = i.kind(1) == OperandKind::kMem ? imm8(i) & 0x3F : imm8(i);
        e.set_xmm(i.reg[0], e.template vec<Op>(e.xmm(i.reg[0]), s, imm));
        return Step::kNext;
    }
};

// --- XMM, floating point ---
template <class Op, unsigned Bytes = 16>
struct XmmFp {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<Bytes, Align::kOperand>(i));
        RM_LET(r, e.template fp<Op>(e.xmm(i.reg[0]), s, imm8(i)));
        e.set_xmm(i.reg[0], r);
        return Step::kNext;
    }
};
// Packed conversions with a 64-bit source: lanes above it must not raise anything.
template <class Op, class ZeroHigh>
struct XmmFpHalf {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<8, Align::kAny>(i));
        RM_LET(r, e.template fp<Op>(e.xmm(i.reg[0]), e.template vec<ZeroHigh>(s, s)));
        e.set_xmm(i.reg[0], r);
        return Step::kNext;
    }
};
template <class Op, unsigned Bytes>
struct FpCompare {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<Bytes, Align::kOperand>(i));
        RM_LET(flags, e.template fp_to<Cc, Op>(e.xmm(i.reg[0]), s));
        e.set_flags(flags);
        return Step::kNext;
    }
};
// CVTSS2SI and kin: XMM or memory to r32/r64.
template <class Op, unsigned Bytes>
struct FpToGpr {
    static constexpr bool kSized = true;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<Bytes, Align::kOperand>(i));
        RM_LET(r, e.template fp_to<T, Op>(s, s));
        e.template set_at<T>(i.reg[0], r);
        return Step::kNext;
    }
};
template <class Op>
struct GprToFp {
    static constexpr bool kSized = true;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template read<T, 1>(i));
        RM_LET(r, e.template fp_from<T, Op>(e.xmm(i.reg[0]), s));
        e.set_xmm(i.reg[0], r);
        return Step::kNext;
    }
};
// Between MMX and XMM. A pending x87 exception comes before a SIMD one (SDM 2 table 23-4 ff).
template <class Op, unsigned Bytes, class ZeroHigh>
struct FpToMmx {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_READY(e);
        RM_LET(s, e.template xmm_source<Bytes, Align::kOperand>(i));
        const auto in = Bytes == 8 ? e.template vec<ZeroHigh>(s, s) : s;
        e.mmx_enter();  // even if the conversion raises #XM
        RM_LET(r, e.template fp<Op>(in, in));
        e.set_mm(i.reg[0], r);
        return Step::kNext;
    }
};
// Merge: how the converted lanes enter the destination. With a memory operand the x87 state stays
// alone: SDM 2 says so of CVTPI2PD and excepts nothing of CVTPI2PS's transition, but processors of
// both vendors (family 6 model 207 of Intel's) treat the two alike.
template <class Op, class Merge>
struct MmxToFp {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        const bool mmx = i.kind(1) == OperandKind::kReg;
        if (mmx) RM_READY(e);
        RM_LET(s, e.template mm_source<8>(i));
        if (mmx) e.mmx_enter();  // even if the conversion raises #XM
        RM_LET(r, e.template fp<Op>(s, s));
        e.set_xmm(i.reg[0], e.template vec<Merge>(e.xmm(i.reg[0]), r));
        return Step::kNext;
    }
};

// --- moves ---
template <unsigned Bytes, Align A>
struct MoveXmm {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (i.kind(0) == OperandKind::kMem) {
            RM_TRY((e.template store_operand<Bytes, A>(i, e.xmm(i.reg[1]))));
            return Step::kNext;
        }
        RM_LET(s, e.template xmm_source<Bytes, A>(i));
        e.set_xmm(i.reg[0], s);
        return Step::kNext;
    }
};
// MOVSS, MOVSD: between registers only the low lane moves; a load clears the rest.
template <class Merge, unsigned Bytes>
struct MoveScalar {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (i.kind(0) == OperandKind::kMem) {
            RM_TRY((e.template store_operand<Bytes, Align::kAny>(i, e.xmm(i.reg[1]))));
            return Step::kNext;
        }
        RM_LET(s, e.template xmm_source<Bytes, Align::kAny>(i));
        e.set_xmm(i.reg[0],
                  i.kind(1) == OperandKind::kMem ? s : e.template vec<Merge>(e.xmm(i.reg[0]), s));
        return Step::kNext;
    }
};
// MOVLPS, MOVHPS and kin: Merge puts the quadword in, Take brings the stored one to the bottom.
template <class Merge, class Take>
struct MoveHalf {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (i.kind(0) == OperandKind::kMem) {
            const auto v = e.xmm(i.reg[1]);
            RM_TRY((e.template store_operand<8, Align::kAny>(i, e.template vec<Take>(v, v))));
            return Step::kNext;
        }
        RM_LET(s, e.template xmm_source<8, Align::kAny>(i));
        e.set_xmm(i.reg[0], e.template vec<Merge>(e.xmm(i.reg[0]), s));
        return Step::kNext;
    }
};
// MOVD and MOVQ with XMM. The decoder says in imm which operand is a general register (bit 0:
// operand 0, bit 1: operand 1). U: u32 or u64.
template <class U, class ZeroHigh>
struct MoveXmmGpr {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if (i.kind(0) == OperandKind::kMem) {
            RM_TRY((e.template store_operand<sizeof(U), Align::kAny>(i, e.xmm(i.reg[1]))));
        } else if (i.imm & 1) {
            e.template set_at<U>(i.reg[0], e.template low_of<U>(e.xmm(i.reg[1])));
        } else if (i.imm & 2) {
            e.set_xmm(i.reg[0], e.vec_of(e.template get_at<U>(i.reg[1])));
        } else {
            RM_LET(s, e.template xmm_source<sizeof(U), Align::kAny>(i));
            e.set_xmm(i.reg[0], e.template vec<ZeroHigh>(s, s));
        }
        return Step::kNext;
    }
};
template <class U>
struct MoveMmxGpr {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_READY(e);
        if (i.kind(0) == OperandKind::kMem) {
            RM_TRY((e.template store_operand<sizeof(U), Align::kAny>(i, e.mm(i.reg[1]))));
            e.mmx_enter();
        } else if (i.imm & 1) {
            e.mmx_enter();
            e.template set_at<U>(i.reg[0], e.template low_of<U>(e.mm(i.reg[1])));
        } else if (i.imm & 2) {
            e.mmx_enter();
            e.set_mm(i.reg[0], e.vec_of(e.template get_at<U>(i.reg[1])));
        } else {
            RM_LET(s, e.template mm_source<sizeof(U)>(i));
            e.mmx_enter();
            e.set_mm(i.reg[0], s);
        }
        return Step::kNext;
    }
};
struct MoveMmxToXmm {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_READY(e);
        e.mmx_enter();
        e.set_xmm(i.reg[0], e.mm(i.reg[1]));
        return Step::kNext;
    }
};
struct MoveXmmToMmx {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_READY(e);
        e.mmx_enter();
        e.set_mm(i.reg[0], e.xmm(i.reg[1]));
        return Step::kNext;
    }
};

// MOVNTI: an ordinary store of a general register.
struct StoreGpr {
    static constexpr bool kSized = true;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_TRY(e.template store<T>(i, e.template get_at<T>(i.reg[1])));
        return Step::kNext;
    }
};

// --- MMX: dst = op(dst, src, imm8) ---
template <class Op, unsigned Bytes = 8>
struct Mmx {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_READY(e);
        RM_LET(s, e.template mm_source<Bytes>(i));
        e.mmx_enter();
        e.set_mm(i.reg[0], e.template vec<Op>(e.mm(i.reg[0]), s, imm8(i)));
        return Step::kNext;
    }
};

// --- lanes to and from general registers and memory ---
// File: which register file operand 1 (0 for Insert) is in.
enum class VecFile : u8 { kXmm, kMmx };

template <VecFile File, class E>
auto file_get(E& e, unsigned n) {
    if constexpr (File == VecFile::kMmx)
        return e.mm(n);
    else
        return e.xmm(n);
}
template <class Lane, VecFile File>
constexpr unsigned lane_mask() {
    return (File == VecFile::kMmx ? 8 : 16) / sizeof(Lane) - 1;
}

// PEXTRx, EXTRACTPS: to a general register (zero-extended) or to memory.
template <class Lane, VecFile File>
struct Extract {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if constexpr (File == VecFile::kMmx) RM_READY(e);
        const auto v =
            e.template lane<Lane>(file_get<File>(e, i.reg[1]), imm8(i) & lane_mask<Lane, File>());
        if (i.kind(0) == OperandKind::kMem)
            RM_TRY(e.template store<Lane>(i, v));
        else
            e.template set_at<u64>(i.reg[0], e.template zero_extend<u64>(v));
        if constexpr (File == VecFile::kMmx) e.mmx_enter();
        return Step::kNext;
    }
};
// PINSRx.
template <class Lane, VecFile File>
struct Insert {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if constexpr (File == VecFile::kMmx) RM_READY(e);
        RM_LET(s, e.template read<Lane, 1>(i));
        const unsigned at = imm8(i) & lane_mask<Lane, File>();
        if constexpr (File == VecFile::kMmx) {
            e.mmx_enter();
            e.set_mm(i.reg[0], e.template set_lane<Lane>(e.mm(i.reg[0]), at, s));
        } else {
            e.set_xmm(i.reg[0], e.template set_lane<Lane>(e.xmm(i.reg[0]), at, s));
        }
        return Step::kNext;
    }
};
// PMOVMSKB, MOVMSKPS, MOVMSKPD.
template <class Lane, VecFile File>
struct MoveMask {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        if constexpr (File == VecFile::kMmx) {
            RM_READY(e);
            e.mmx_enter();
        }
        e.template set_at<u32>(i.reg[0], e.template sign_mask<Lane>(file_get<File>(e, i.reg[1])));
        return Step::kNext;
    }
};
struct Ptest {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(s, e.template xmm_source<16, Align::kOperand>(i));
        e.set_flags(e.test_vec(e.xmm(i.reg[0]), s));
        return Step::kNext;
    }
};

// --- SSE4.2 ---
// PCMPxSTRx: the engine compares, writes XMM0 or ECX and the flags. Explicit lengths are EAX and
// EDX, with REX.W RAX and RDX. The memory operand may be misaligned.
template <bool Explicit, bool Mask>
struct StringCompare {
    static constexpr bool kSized = true;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(b, e.template xmm_source<16, Align::kAny>(i));
        e.template string_compare<T, Explicit, Mask>(e.xmm(i.reg[0]), b, imm8(i));
        return Step::kNext;
    }
};
// CRC32: the source's size is Insn::mem_size_log2; the 32-bit result zero-extends.
struct Crc32 {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        switch (i.mem_size_log2) {
            case 0: return of<u8>(e, i);
            case 1: return of<u16>(e, i);
            case 2: return of<u32>(e, i);
            default: return of<u64>(e, i);
        }
    }
    template <class S, class E>
    static Step of(E& e, const Insn& i) {
        RM_LET(s, e.template read<S, 1>(i));
        e.template set_at<u32>(i.reg[0], e.template crc32<S>(e.template get_at<u32>(i.reg[0]), s));
        return Step::kNext;
    }
};

// --- SSE4a: length and position from two immediates or from a register ---
constexpr unsigned field_imm(const Insn& i) {
    return static_cast<unsigned>((i.imm & 0x3F) | ((i.imm >> 32) & 0x3F) << 8);
}
template <class Op>
struct Extrq {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        const auto a = e.xmm(i.reg[0]);
        if (i.kind(1) == OperandKind::kImm)
            e.set_xmm(i.reg[0], e.template vec<Op>(a, a, field_imm(i)));
        else
            e.set_xmm(i.reg[0], e.template vec_by_field<Op, 0>(a, a, e.xmm(i.reg[1])));
        return Step::kNext;
    }
};
template <class Op>
struct Insertq {
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        const auto a = e.xmm(i.reg[0]), b = e.xmm(i.reg[1]);
        if (i.kind(2) == OperandKind::kImm)
            e.set_xmm(i.reg[0], e.template vec<Op>(a, b, field_imm(i)));
        else
            e.set_xmm(i.reg[0], e.template vec_by_field<Op, 1>(a, b, b));
        return Step::kNext;
    }
};

}  // namespace rm::cpu::semantics
