#include "jit/host/x64/host_vectors.h"

#include <xbyak/xbyak_util.h>

#include <array>

namespace rm::jit::x64 {

namespace {

using Table = std::array<HostVector, static_cast<std::size_t>(cpu::VecOp::kCount)>;

Table make_table() {
    Table t{};
    using C = Xbyak::CodeGenerator;
    using X = Xbyak::Xmm;
    using O = Xbyak::Operand;
#define RM_ROW(op) t[static_cast<std::size_t>(cpu::VecOp::op)]
#define RM_EMIT(...)                                                                   \
    [](C& c, const X& d, [[maybe_unused]] const O& s, [[maybe_unused]] unsigned imm) { \
        __VA_ARGS__;                                                                   \
    }
#define RM_OP_AS(op, bytes, feature, ...) \
    RM_ROW(op) = {bytes, RM_EMIT(__VA_ARGS__), nullptr, host_has(HostFeature::feature)};
#define RM_OP(op, bytes, feature) RM_OP_AS(op, bytes, feature, c.op(d, s))
#define RM_OP_IMM(op, bytes, feature, mask) \
    RM_OP_AS(op, bytes, feature, c.op(d, s, static_cast<u8>(imm & mask)))
#define RM_SHIFT(op)                                                   \
    RM_ROW(op) = {0, nullptr, RM_EMIT(c.op(d, static_cast<int>(imm))), \
                  host_has(HostFeature::kSse2)};
#define RM_OP_SHIFT(op, bytes, feature) \
    RM_OP(op, bytes, feature) RM_ROW(op).shift = RM_EMIT(c.op(d, static_cast<int>(imm)));
#include "jit/host/x64/vectors.def"
#undef RM_ROW
#undef RM_EMIT
#undef RM_OP_AS
#undef RM_OP
#undef RM_OP_IMM
#undef RM_SHIFT
#undef RM_OP_SHIFT
    return t;
}

}  // namespace

bool host_has(HostFeature f) {
    static const Xbyak::util::Cpu kHost;
    using Xbyak::util::Cpu;
    switch (f) {
        case HostFeature::kSse2: return kHost.has(Cpu::tSSE2);
        case HostFeature::kSse3: return kHost.has(Cpu::tSSE3);
        case HostFeature::kSsse3: return kHost.has(Cpu::tSSSE3);
        case HostFeature::kSse4_1: return kHost.has(Cpu::tSSE41);
        case HostFeature::kSse4_2: return kHost.has(Cpu::tSSE42);
        case HostFeature::kAes: return kHost.has(Cpu::tAESNI);
        case HostFeature::kPclmul: return kHost.has(Cpu::tPCLMULQDQ);
    }
    return false;
}

const HostVector& host_vector(cpu::VecOp op) {
    static const Table kTable = make_table();
    return kTable[static_cast<std::size_t>(op)];
}

namespace {

using namespace Xbyak;

Address address(const Operand& memory) { return memory.getAddress(); }

void load(CodeGenerator& c, const VectorForm& f, const Xmm& d, const Operand& s) {
    const unsigned size = f.source.size;
    switch (f.source.kind) {
        case VectorSource::kXmm:
            if (s.getIdx() != d.getIdx()) c.movaps(d, s);
            return;
        case VectorSource::kGpr:
            if (size == 2)
                s.isMEM() ? c.movd(d, address(s)) : c.movd(d, Reg32(s.getIdx()));
            else
                s.isMEM() ? c.movq(d, s) : c.movq(d, Reg64(s.getIdx()));
            return;
        default: break;
    }
    if (size == 2)
        c.movss(d, s);
    else if (size == 3)
        c.movsd(d, s);
    else if (f.source.align == cpu::Align::kAny)
        c.movups(d, s);
    else
        c.movaps(d, s);
}

void store(CodeGenerator& c, const VectorForm& f, const Address& to, const Xmm& x) {
    if (f.kind == VectorForm::kStoreHigh)
        c.movhps(to, x);
    else if (f.source.size == 2)
        c.movss(to, x);
    else if (f.source.size == 3)
        c.movlps(to, x);
    else if (f.source.align == cpu::Align::kAny)
        c.movups(to, x);
    else
        c.movaps(to, x);
}

void extract(CodeGenerator& c, const VectorForm& f, const Operand& to, const Xmm& x) {
    switch (f.lane_size) {
        case 0: return c.pextrb(to, x, f.lane);
        case 1: return c.pextrw(to, x, f.lane);
        case 2: return c.pextrd(to, x, f.lane);
        default: return c.pextrq(to, x, f.lane);
    }
}

// Small lanes come from any part of a 32-bit register.
void insert(CodeGenerator& c, const VectorForm& f, const Xmm& d, const Operand& s) {
    const Reg32 r(s.isMEM() ? 0 : s.getIdx());
    const Operand& small = s.isMEM() ? s : r;
    switch (f.lane_size) {
        case 0: return c.pinsrb(d, small, f.lane);
        case 1: return c.pinsrw(d, small, f.lane);
        case 2: return c.pinsrd(d, s, f.lane);
        default: return c.pinsrq(d, s, f.lane);
    }
}

void blend(CodeGenerator& c, const VectorForm& f, const Xmm& d, const Operand& s) {
    switch (f.lane_size) {
        case 0: return c.pblendvb(d, s);
        case 2: return c.blendvps(d, s);
        default: return c.blendvpd(d, s);
    }
}

// Xbyak has no 64-bit memory form of these.
void from_int(CodeGenerator& c, const VectorForm& f, const Xmm& d, const Operand& s,
              const Reg64& scratch) {
    const bool through = s.isMEM() && f.source.size == 3;
    if (through) c.mov(scratch, address(s));
    const Operand& from = through ? scratch : s;
    f.op == cpu::VecOp::cvtsi2ss ? c.cvtsi2ss(d, from) : c.cvtsi2sd(d, from);
}

void to_int(CodeGenerator& c, cpu::VecOp op, const Reg& d, const Operand& s) {
    switch (op) {
        case cpu::VecOp::cvtss2si: return c.cvtss2si(d, s);
        case cpu::VecOp::cvttss2si: return c.cvttss2si(d, s);
        case cpu::VecOp::cvtsd2si: return c.cvtsd2si(d, s);
        default: return c.cvttsd2si(d, s);
    }
}

void sign_mask(CodeGenerator& c, const VectorForm& f, const Reg32& d, const Xmm& x) {
    switch (f.lane_size) {
        case 0: return c.pmovmskb(d, x);
        case 2: return c.movmskps(d, x);
        default: return c.movmskpd(d, x);
    }
}

void string(CodeGenerator& c, const VectorForm& f, const Xmm& x, const Operand& s) {
    const u8 imm = static_cast<u8>(f.imm);
    if (f.kind == VectorForm::kStringIndex)
        f.explicit_lengths ? c.pcmpestri(x, s, imm) : c.pcmpistri(x, s, imm);
    else
        f.explicit_lengths ? c.pcmpestrm(x, s, imm) : c.pcmpistrm(x, s, imm);
}

void compare(CodeGenerator& c, cpu::VecOp op, const Xmm& a, const Operand& s) {
    switch (op) {
        case cpu::VecOp::comiss: return c.comiss(a, s);
        case cpu::VecOp::comisd: return c.comisd(a, s);
        case cpu::VecOp::ucomiss: return c.ucomiss(a, s);
        default: return c.ucomisd(a, s);
    }
}

}  // namespace

void emit_host_vector(CodeGenerator& c, const VectorForm& f, const Operand& source,
                      const Reg64& dst, const Reg64& scratch) {
    const Xmm x(f.dst & 15);  // unless the destination is a general register
    const Xmm from(source.getIdx() & 15);
    switch (f.kind) {
        case VectorForm::kOperation: {
            const HostVector& host = host_vector(f.op);
            if (f.source.kind == VectorSource::kCount) return host.shift(c, x, source, f.source.n);
            return host.emit(c, x, source, f.imm);
        }
        case VectorForm::kBlend: return blend(c, f, x, source);
        case VectorForm::kMove: return load(c, f, x, source);
        case VectorForm::kInsert: return insert(c, f, x, source);
        case VectorForm::kFromInt: return from_int(c, f, x, source, scratch);
        case VectorForm::kStore:
        case VectorForm::kStoreHigh: return store(c, f, address(source), x);
        case VectorForm::kStoreLane: return extract(c, f, source, x);
        case VectorForm::kToGpr: return f.size == 2 ? c.movd(dst.cvt32(), from) : c.movq(dst, from);
        case VectorForm::kExtract:
            if (f.lane_size == 3) return extract(c, f, dst, from);
            return extract(c, f, dst.cvt32(), from);
        case VectorForm::kSignMask: return sign_mask(c, f, dst.cvt32(), from);
        case VectorForm::kToInt:
            if (f.size == 3) return to_int(c, f.op, dst, source);
            return to_int(c, f.op, dst.cvt32(), source);
        case VectorForm::kCrc32:
            if (f.source.size == 3) return c.crc32(dst, source);
            return c.crc32(dst.cvt32(), source);
        case VectorForm::kStringIndex:
        case VectorForm::kStringMask: return string(c, f, x, source);
        case VectorForm::kCompare: return compare(c, f.op, x, source);
        case VectorForm::kTest: return c.ptest(x, source);
    }
}

}  // namespace rm::jit::x64
