// See sse_unmasked.h. Lane by lane: which scalar operation a lane is, its own flags, and (on the
// x87 unit, whose exponents cannot run out, with the lane's precision) whether it is inexact.
#include "cpu/semantics/sse_unmasked.h"

#include "cpu/semantics/x87_host.h"

namespace rm::cpu {

bool sse_finish_unmasked(Cpu& cpu, u32 raised) {
    const bool unmasked = raised & ~(cpu.fpu.mxcsr >> 7) & kMxcsrFlags;
    cpu.fpu.mxcsr |= raised;
    if (!unmasked) return true;
    (void)cpu.raise(cpu.cr4 & kCr4Osxmmexcpt ? kXm : kUd);
    return false;
}

namespace {

enum class Scalar : u8 { kAdd, kSub, kMul, kDiv, kNarrow, kOther };

struct LaneOp {
    Scalar op = Scalar::kOther;
    u64 x = 0, y = 0;
};

Scalar scalar_of(VecOp op, unsigned n) {
    switch (op) {
        case VecOp::addss:
        case VecOp::addps:
        case VecOp::addsd:
        case VecOp::addpd:
        case VecOp::haddps:
        case VecOp::haddpd: return Scalar::kAdd;
        case VecOp::subss:
        case VecOp::subps:
        case VecOp::subsd:
        case VecOp::subpd:
        case VecOp::hsubps:
        case VecOp::hsubpd: return Scalar::kSub;
        case VecOp::mulss:
        case VecOp::mulps:
        case VecOp::mulsd:
        case VecOp::mulpd: return Scalar::kMul;
        case VecOp::divss:
        case VecOp::divps:
        case VecOp::divsd:
        case VecOp::divpd: return Scalar::kDiv;
        case VecOp::addsubps:
        case VecOp::addsubpd: return n & 1 ? Scalar::kAdd : Scalar::kSub;
        case VecOp::cvtsd2ss:
        case VecOp::cvtpd2ps: return Scalar::kNarrow;
        default: return Scalar::kOther;
    }
}

bool horizontal(VecOp op) {
    return op == VecOp::haddps || op == VecOp::haddpd || op == VecOp::hsubps || op == VecOp::hsubpd;
}

template <class Lane>
LaneOp lane_of(VecOp op, V128 a, V128 b, unsigned n) {
    const Lanes<Lane> x(a), y(b);
    constexpr unsigned kCount = Lanes<Lane>::kCount;
    const Scalar s = scalar_of(op, n);
    if (s == Scalar::kNarrow) return {s, Lanes<u64>(b)[n & 1], 0};
    if (horizontal(op)) {
        const Lanes<Lane>& from = n < kCount / 2 ? x : y;
        const unsigned at = 2 * (n % (kCount / 2));
        return {s, from[at], from[at + 1]};
    }
    return {s, x[n], y[n]};
}

// The lane's flags when it runs alone, all masked.
template <class Lane>
u32 flags_alone(const LaneOp& lane, u32 mxcsr, V128& result) {
    sse_host::enter(mxcsr);
    const V128 x = vec_u64(lane.x), y = vec_u64(lane.y);
    constexpr bool kWide = sizeof(Lane) == 8;
    switch (lane.op) {
        case Scalar::kAdd:
            result = kWide ? vec::addsd::run(x, y, 0) : vec::addss::run(x, y, 0);
            break;
        case Scalar::kSub:
            result = kWide ? vec::subsd::run(x, y, 0) : vec::subss::run(x, y, 0);
            break;
        case Scalar::kMul:
            result = kWide ? vec::mulsd::run(x, y, 0) : vec::mulss::run(x, y, 0);
            break;
        case Scalar::kDiv:
            result = kWide ? vec::divsd::run(x, y, 0) : vec::divss::run(x, y, 0);
            break;
        default: result = vec::cvtsd2ss::run(x, x, 0); break;
    }
    return sse_host::flags();
}

// Is the result inexact in the lane's precision with an unbounded exponent?
template <class Lane>
bool inexact(const LaneOp& lane) {
    using namespace x87_host;
    constexpr bool kWide = sizeof(Lane) == 8;
    const bool narrow = lane.op == Scalar::kNarrow;
    const u16 fcw = kWide && !narrow ? 0x27F : 0x07F;
    Frame f;
    std::memcpy(f.m, &lane.x, 8);
    (void)(kWide || narrow ? execute<fld_f64>(f, 0x37F, 0) : execute<fld_f32>(f, 0x37F, 0));
    f.a = f.r0;
    constexpr u64 kOne32 = 0x3F80'0000;
    std::memcpy(f.m, narrow ? &kOne32 : &lane.y, 8);
    u16 sw;
    switch (lane.op) {
        case Scalar::kAdd:
            sw = kWide ? execute<fadd_f64>(f, fcw, 0) : execute<fadd_f32>(f, fcw, 0);
            break;
        case Scalar::kSub:
            sw = kWide ? execute<fsub_f64>(f, fcw, 0) : execute<fsub_f32>(f, fcw, 0);
            break;
        case Scalar::kDiv:
            sw = kWide ? execute<fdiv_f64>(f, fcw, 0) : execute<fdiv_f32>(f, fcw, 0);
            break;
        case Scalar::kMul:
            sw = kWide ? execute<fmul_f64>(f, fcw, 0) : execute<fmul_f32>(f, fcw, 0);
            break;
        default: sw = execute<fmul_f32>(f, fcw, 0); break;
    }
    return sw & x87::kPe;
}

bool tiny(u64 v, bool wide) {
    return wide ? !((v >> 52) & 0x7FF) && (v << 12) : !(v & 0x7F800000) && (v & 0x7FFFFF);
}

template <class Lane>
u32 lanes_flags(VecOp op, unsigned count, bool wide_result, u32 guest, V128 a, V128 b) {
    const u32 open = ~(guest >> 7);  // unmasked exceptions
    u32 all = 0;
    for (unsigned n = 0; n < count; ++n) {
        const LaneOp lane = lane_of<Lane>(op, a, b, n);
        V128 r;
        u32 flags = flags_alone<Lane>(lane, masked_mxcsr(guest), r);
        if ((open & kMxcsrUe) && tiny(vec_low(r), wide_result)) flags |= kMxcsrUe;
        if (flags & open & (kMxcsrOe | kMxcsrUe))
            flags = (flags & ~kMxcsrPe) | (inexact<Lane>(lane) ? kMxcsrPe : 0);
        all |= flags;
    }
    return all;
}

}  // namespace

u32 unmasked_flags(VecOp op, Tiny kind, u32 guest, V128 a, V128 b, V128 result, u32 flags) {
    if (kind == Tiny::kNever) return hide_results(guest, flags);
    const u32 open = ~(guest >> 7);
    bool look = flags & open & (kMxcsrOe | kMxcsrUe);
    const bool wide = kind == Tiny::kSd || kind == Tiny::kPd;
    const unsigned count = kind == Tiny::kPs ? 4 : kind == Tiny::kPd ? 2 : 1;
    for (unsigned n = 0; n < count && (open & kMxcsrUe); ++n)
        look |= tiny(wide ? Lanes<u64>(result)[n] : Lanes<u32>(result)[n], wide);
    if (!look) return hide_results(guest, flags);
    // CVTPD2PS has two lanes; its upper half is zero.
    flags = wide ? lanes_flags<u64>(op, count, true, guest, a, b)
                 : lanes_flags<u32>(op, op == VecOp::cvtpd2ps ? 2 : count, false, guest, a, b);
    return hide_results(guest, flags);
}

}  // namespace rm::cpu
