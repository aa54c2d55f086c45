// Rows of cpu/instructions/sse4.def, with the bodies of SSE4.2's string comparison and CRC32.
// Source: SDM 2 for each instruction; CRC32: polynomial 11EDC6F41H, bit-reflected.
#include "cpu/semantics/sse_string.h"
#include "cpu/semantics/vector_expand.h"

namespace rm::cpu {

namespace semantics {

// The comparison is a helper for every engine: e.string_compare gives the result and sets the flags.
// Explicit lengths are EAX and EDX, RAX and RDX with REX.W.
template <bool Explicit, bool Mask>
struct StringCompare {
    static constexpr bool kSized = true;
    template <class T, class E>
    static Step run(E& e, const Insn& i) {
        RM_LET(b, e.template xmm_source<16, Align::kAny>(i));
        const auto a = e.xmm(i.reg[0]);
        const unsigned imm = imm8(i);
        sse_string::Result r;
        if constexpr (Explicit) {
            using S = std::make_signed_t<T>;
            const S la = static_cast<S>(e.template gpr<T>(kRax));
            const S lb = static_cast<S>(e.template gpr<T>(kRdx));
            r = sse_string::compare(a, sse_string::explicit_length(la, imm), b,
                                    sse_string::explicit_length(lb, imm), imm);
        } else {
            r = sse_string::compare(a, sse_string::implicit_length(a, imm), b,
                                    sse_string::implicit_length(b, imm), imm);
        }
        if constexpr (Mask)
            e.set_xmm(0, sse_string::mask_of(r, imm));
        else
            e.template set_gpr<u32>(kRcx, sse_string::index_of(r, imm));
        e.set_flags(r.flags);
        return Step::kNext;
    }
};

// CRC-32C of one byte more, by table.
struct Crc32Table {
    u32 of[256];
};
constexpr Crc32Table make_crc32_table() {
    Crc32Table t{};
    for (u32 n = 0; n < 256; ++n) {
        u32 v = n;
        for (unsigned k = 0; k < 8; ++k) v = (v >> 1) ^ (v & 1 ? 0x82F63B78 : 0);
        t.of[n] = v;
    }
    return t;
}
constexpr Crc32Table kCrc32 = make_crc32_table();

// The source's size is Insn::mem_size_log2; the 32-bit result zero-extends.
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
        u32 crc = e.template get_at<u32>(i.reg[0]);
        for (unsigned n = 0; n < sizeof(S); ++n)
            crc = (crc >> 8) ^ kCrc32.of[(crc ^ static_cast<u32>(u64{s} >> (8 * n))) & 0xFF];
        e.template set_at<u32>(i.reg[0], crc);
        return Step::kNext;
    }
};

}  // namespace semantics

using namespace semantics;

std::span<const Row> sse4_family() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/sse4.def"
    };
    return kRows;
}

}  // namespace rm::cpu
