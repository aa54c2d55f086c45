// Control and status words, MXCSR, FXSAVE/FXRSTOR and the XSAVE family (x87 and SSE components in
// the standard format). Source: SDM 1 8.1, 10.5, 13.4-13.9; SDM 2 for each; FFXSR: APM2 11.4.4.
#include "cpu/semantics/fpstate.h"

#include "cpu/semantics/expand.h"
#include "cpu/semantics/sse_host.h"

namespace rm::cpu {

namespace {

using namespace x87;
using namespace fpstate;
using memory::Access;
using Memory = ValueEngine<kM, kN>;

// --- control and status words ---
Step fnstcw(Cpu& cpu, const Insn& i) {
    RM_TRY(Memory{cpu}.store<u16>(i, cpu.fpu.fcw));
    return Step::kNext;
}
Step fldcw(Cpu& cpu, const Insn& i) {
    if (const Step s = ready(cpu); s != Step::kNext) return s;
    RM_LET(v, Memory{cpu}.load<u16>(i));
    cpu.fpu.fcw = static_cast<u16>((v & kFcwImplemented) | kFcwFixed);
    update_summary(cpu.fpu);
    drop_ferr(cpu);
    return Step::kNext;
}
Step fnstsw(Cpu& cpu, const Insn& i) {
    if (i.kind(0) == OperandKind::kReg)
        Memory{cpu}.set_gpr<u16>(kRax, cpu.fpu.fsw);
    else
        RM_TRY(Memory{cpu}.store<u16>(i, cpu.fpu.fsw));
    return Step::kNext;
}
Step fnclex(Cpu& cpu, const Insn&) {
    cpu.fpu.fsw &= static_cast<u16>(~(kExceptions | kSf | kSummary | kBusy));
    drop_ferr(cpu);
    return Step::kNext;
}
Step fninit(Cpu& cpu, const Insn&) {
    init(cpu.fpu);
    drop_ferr(cpu);
    return Step::kNext;
}
Step emms(Cpu& cpu, const Insn&) {
    if (const Step s = ready(cpu); s != Step::kNext) return s;
    set_top(cpu.fpu, 0);
    cpu.fpu.ftw = 0xFFFF;
    return Step::kNext;
}

// --- MXCSR ---
Step ldmxcsr(Cpu& cpu, const Insn& i) {
    RM_LET(v, Memory{cpu}.load<u32>(i));
    if (v & ~mxcsr_mask(cpu)) return cpu.raise_gp(0);
    cpu.fpu.mxcsr = v;
    return Step::kNext;
}
Step stmxcsr(Cpu& cpu, const Insn& i) {
    RM_TRY(Memory{cpu}.store<u32>(i, cpu.fpu.mxcsr));
    return Step::kNext;
}

// --- the legacy region of FXSAVE and XSAVE (SDM 1 table 10-2) ---
constexpr unsigned kFxBytes = 512, kMxcsrAt = 24, kStAt = 32, kXmmAt = 160, kHeaderAt = 512,
                   kXsaveBytes = 576;
// Wide: 64-bit instruction and data pointers (REX.W).
template <unsigned Size>
void put_x87(const FpuState& f, bool wide, Image<Size>& m) {
    m.template put<u16>(0, f.fcw);
    m.template put<u16>(2, f.fsw);
    m.template put<u16>(4, abridged_tags(f));
    m.template put<u16>(6, f.fop);
    m.put(8, f.fip);
    m.put(16, f.fdp);
    if (!wide) {
        m.template put<u32>(12, f.fcs);
        m.template put<u32>(20, f.fds);
    }
    for (unsigned n = 0; n < 8; ++n) {
        m.put_st(kStAt + 16 * n, st(f, n));
        m.template put<u16>(kStAt + 16 * n + 10, 0);
        m.template put<u32>(kStAt + 16 * n + 12, 0);
    }
}
template <unsigned Size>
void get_x87(FpuState& f, bool wide, const Image<Size>& m) {
    f.fcw = static_cast<u16>((m.template get<u16>(0) & kFcwImplemented) | kFcwFixed);
    f.fsw = m.template get<u16>(2);
    f.ftw = tags_from_abridged(m.template get<u8>(4));
    f.fop = m.template get<u16>(6) & 0x7FF;
    if (wide) {
        f.fip = m.template get<u64>(8);
        f.fdp = m.template get<u64>(16);
        f.fcs = f.fds = 0;
    } else {
        f.fip = m.template get<u32>(8);
        f.fcs = m.template get<u16>(12);
        f.fdp = m.template get<u32>(16);
        f.fds = m.template get<u16>(20);
    }
    for (unsigned n = 0; n < 8; ++n) st(f, n) = m.get_st(kStAt + 16 * n);
    update_summary(f);
}
unsigned xmm_count(const Cpu& cpu) { return cpu.mode.code64() ? 16 : 8; }
template <unsigned Size>
void put_xmm(const Cpu& cpu, Image<Size>& m) {
    std::memcpy(&m.bytes[kXmmAt], cpu.fpu.xmm, 16 * xmm_count(cpu));
}
template <unsigned Size>
void get_xmm(Cpu& cpu, const Image<Size>& m) {
    std::memcpy(static_cast<void*>(cpu.fpu.xmm), &m.bytes[kXmmAt], 16 * xmm_count(cpu));
}
template <unsigned Size>
void put_mxcsr(const Cpu& cpu, Image<Size>& m) {
    m.put(kMxcsrAt, cpu.fpu.mxcsr);
    m.put(kMxcsrAt + 4, mxcsr_mask(cpu));
}

// FXSAVE and FXRSTOR check alignment as #AC first where that is on; XSAVE and XRSTOR only know #GP.
template <Access A>
bool fx_address(Cpu& cpu, const Insn& i, LinearAddr& va) {
    if (!address_of<kFxBytes, A>(cpu, i, va, 16)) return false;
    return va % 16 == 0 || misaligned(cpu, i, va);
}
template <Access A>
bool xsave_address(Cpu& cpu, const Insn& i, LinearAddr& va) {
    if (!Memory{cpu}.linear_unchecked<kXsaveBytes, A>(i, va)) return false;
    if (va % 64) return cpu.fail(kGp, 0);
    return !cpu.mem_checks || cpu.check_access(va, kXsaveBytes, A);
}

// AMD's fast FXSAVE leaves the XMM registers out in 64-bit supervisor code.
bool fast_fxsave(const Cpu& cpu) {
    return (cpu.efer & kEferFfxsr) && cpu.mode.code64() && cpu.cpl == 0;
}
bool with_sse(const Cpu& cpu) { return cpu.cr4 & kCr4Osfxsr; }

template <bool Wide>
Step fxsave(Cpu& cpu, const Insn& i) {
    LinearAddr va;
    RM_TRY(fx_address<Access::kWrite>(cpu, i, va));
    Image<kFxBytes> m;
    RM_TRY(probe_store(cpu, i, va, kFxBytes));
    // What is not saved keeps its old contents; bytes 464-511 are software's.
    RM_TRY(load_bytes(cpu, i, va, m.bytes.data(), kFxBytes));
    put_x87(cpu.fpu, Wide, m);
    if (with_sse(cpu)) {
        put_mxcsr(cpu, m);
        if (!fast_fxsave(cpu)) put_xmm(cpu, m);
    }
    RM_TRY(store_bytes(cpu, i, va, m.bytes.data(), kFxBytes));
    return Step::kNext;
}

template <bool Wide>
Step fxrstor(Cpu& cpu, const Insn& i) {
    LinearAddr va;
    RM_TRY(fx_address<Access::kRead>(cpu, i, va));
    Image<kFxBytes> m;
    RM_TRY(load_bytes(cpu, i, va, m.bytes.data(), kFxBytes));
    const u32 mxcsr = m.get<u32>(kMxcsrAt);
    if (with_sse(cpu) && (mxcsr & ~mxcsr_mask(cpu))) return cpu.raise_gp(0);
    get_x87(cpu.fpu, Wide, m);
    drop_ferr(cpu);
    if (with_sse(cpu)) {
        cpu.fpu.mxcsr = mxcsr;
        if (!fast_fxsave(cpu)) get_xmm(cpu, m);
    }
    return Step::kNext;
}

// --- XSAVE, XSAVEOPT, XRSTOR. Both components always count as in use and as modified, which
// SDM 1 13.6 allows, so XSAVEOPT saves what XSAVE saves. ---
constexpr u64 kX87State = 1, kSseState = 2;

u64 requested_components(const Cpu& cpu) {
    const u64 mask = (cpu.gpr[kRdx] << 32) | static_cast<u32>(cpu.gpr[kRax]);
    return mask & cpu.xcr0;
}

template <bool Wide>
Step xsave(Cpu& cpu, const Insn& i) {
    LinearAddr va;
    RM_TRY(xsave_address<Access::kWrite>(cpu, i, va));
    Image<kXsaveBytes> m;
    RM_TRY(probe_store(cpu, i, va, kXsaveBytes));
    RM_TRY(load_bytes(cpu, i, va, m.bytes.data(), kXsaveBytes));
    const u64 rfbm = requested_components(cpu);
    if (rfbm & kX87State) put_x87(cpu.fpu, Wide, m);
    if (rfbm & kSseState) {
        put_mxcsr(cpu, m);
        put_xmm(cpu, m);
    }
    m.put(kHeaderAt, m.get<u64>(kHeaderAt) | rfbm);
    RM_TRY(store_bytes(cpu, i, va, m.bytes.data(), kXsaveBytes));
    return Step::kNext;
}

template <bool Wide>
Step xrstor(Cpu& cpu, const Insn& i) {
    LinearAddr va;
    RM_TRY(xsave_address<Access::kRead>(cpu, i, va));
    Image<kXsaveBytes> m;
    RM_TRY(load_bytes(cpu, i, va, m.bytes.data(), kXsaveBytes));
    // Header (SDM 1 13.4.2, 13.8.1): XSTATE_BV within XCR0, XCOMP_BV and the next 8 bytes zero.
    const u64 present = m.get<u64>(kHeaderAt);
    if ((present & ~cpu.xcr0) || m.get<u64>(kHeaderAt + 8) || m.get<u64>(kHeaderAt + 16))
        return cpu.raise_gp(0);
    const u64 rfbm = requested_components(cpu);
    const u32 mxcsr = m.get<u32>(kMxcsrAt);
    if ((rfbm & kSseState) && (mxcsr & ~mxcsr_mask(cpu))) return cpu.raise_gp(0);
    if (rfbm & kX87State) {
        if (present & kX87State) {
            get_x87(cpu.fpu, Wide, m);
        } else {
            init(cpu.fpu);
            for (auto& r : cpu.fpu.st) r = {};
        }
        drop_ferr(cpu);
    }
    if (rfbm & kSseState) {
        cpu.fpu.mxcsr = mxcsr;
        if (present & kSseState)
            get_xmm(cpu, m);
        else
            std::memset(static_cast<void*>(cpu.fpu.xmm), 0, 16 * xmm_count(cpu));
    }
    return Step::kNext;
}

}  // namespace

std::span<const Row> fpstate_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/fpstate.def"
    };
    return kRows;
}

}  // namespace rm::cpu
