// The architectural state of one processor, and nothing else: plain data, copied and compared.
// Names are the manual's. Segment attributes have the layout of the VMCS access-rights field
// (SDM 3C 24.4.1): type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16.
#pragma once
#include <array>

#include "base/bits.h"
#include "base/types.h"
#include "cpu/state/flags.h"

namespace rm::cpu {

enum Gpr : u8 {
    kRax,
    kRcx,
    kRdx,
    kRbx,
    kRsp,
    kRbp,
    kRsi,
    kRdi,
    kR8,
    kR9,
    kR10,
    kR11,
    kR12,
    kR13,
    kR14,
    kR15,
    kZeroReg
};  // kZeroReg: always 0, the absent base or index
enum SegReg : u8 { kEs, kCs, kSs, kDs, kFs, kGs, kSegRegs };

struct Segment {
    u16 selector = 0;
    u32 attr = 0;
    u32 limit = 0;  // in bytes, granularity applied
    u64 base = 0;

    static constexpr u32 kTypeMask = 0xF, kS = 1 << 4, kP = 1 << 7, kAvl = 1 << 12, kL = 1 << 13,
                         kDb = 1 << 14, kG = 1 << 15, kUnusable = 1 << 16;
    u32 type() const { return attr & 0xF; }
    u32 dpl() const { return (attr >> 5) & 3; }
    bool s() const { return attr & kS; }
    bool present() const { return attr & kP; }
    bool l() const { return attr & kL; }
    bool db() const { return attr & kDb; }
    bool unusable() const { return attr & kUnusable; }
    bool operator==(const Segment&) const = default;
};

struct TableRegister {  // GDTR, IDTR
    u64 base = 0;
    u16 limit = 0;
    bool operator==(const TableRegister&) const = default;
};

// CR0, CR4, EFER bits (SDM 3A 2.5, 2.2.1; APM2 3.1).
inline constexpr u64 kCr0Pe = bit(0), kCr0Mp = bit(1), kCr0Em = bit(2), kCr0Ts = bit(3),
                     kCr0Et = bit(4), kCr0Ne = bit(5), kCr0Wp = bit(16), kCr0Am = bit(18),
                     kCr0Nw = bit(29), kCr0Cd = bit(30), kCr0Pg = bit(31);
inline constexpr u64 kCr4Vme = bit(0), kCr4Pvi = bit(1), kCr4Tsd = bit(2), kCr4De = bit(3),
                     kCr4Pse = bit(4), kCr4Pae = bit(5), kCr4Mce = bit(6), kCr4Pge = bit(7),
                     kCr4Pce = bit(8), kCr4Osfxsr = bit(9), kCr4Osxmmexcpt = bit(10),
                     kCr4Umip = bit(11), kCr4Vmxe = bit(13), kCr4Smxe = bit(14),
                     kCr4Fsgsbase = bit(16), kCr4Pcide = bit(17), kCr4Osxsave = bit(18),
                     kCr4Smep = bit(20), kCr4Smap = bit(21);
inline constexpr u64 kEferSce = bit(0), kEferLme = bit(8), kEferLma = bit(10), kEferNxe = bit(11),
                     kEferSvme = bit(12), kEferLmsle = bit(13), kEferFfxsr = bit(14);

// x87, MMX and SSE state. x87 registers are stored physically (R0-R7); ST(i) is
// st[(top + i) & 7], top = fsw 13:11. MMn is the low 64 bits of st[n] (SDM 1 9.2.1).
struct alignas(16) FpuState {
    struct alignas(16) Reg80 {
        u64 mantissa = 0;
        u16 sign_exponent = 0;
    };
    union alignas(16) Xmm {
        u8 b[16];
        u16 w[8];
        u32 d[4];
        u64 q[2];
        float f[4];
        double lf[2];
    };
    Xmm xmm[16] = {};
    Reg80 st[8] = {};
    u16 fcw = 0x37F, fsw = 0;
    u16 ftw = 0xFFFF;  // tag word, two bits a register, 3 = empty; the rest is computed when stored
    u16 fop = 0, fcs = 0, fds = 0;
    u64 fip = 0, fdp = 0;
    u32 mxcsr = 0x1F80;
    unsigned top() const { return (fsw >> 11) & 7; }
};

enum class Activity : u8 { kActive, kHlt, kShutdown, kWaitForSipi, kMwait };

// Blocking of events after certain instructions (SDM 3A 6.8.3; VMCS interruptibility bits 0-3).
inline constexpr u8 kShadowSti = 1, kShadowMovSs = 2;

enum class VtMode : u8 { kOff, kVmxRoot, kVmxGuest, kSvmGuest };  // SVM host = kOff

// Model-specific registers with plain storage. Which exist, who may write which bits, and what a
// write does: cpu/system/msr.def.
struct Msrs {
    u64 star = 0, lstar = 0, cstar = 0, sfmask = 0, kernel_gs_base = 0;
    u64 sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
    u64 pat = 0x0007040600070406, tsc_aux = 0, debugctl = 0;
    u64 misc_enable = 0, mtrr_def_type = 0, mtrr_fixed[11] = {}, mtrr_base[8] = {},
        mtrr_mask[8] = {};
    u64 tsc_adjust = 0;
    u64 mcg_status = 0, mc_ctl[8] = {};
    u64 pkg_cst_config = 0, power_ctl = 0;  // Nehalem and later: idle states and power; kept only
    // AMD only (BKDG of families 0FH and 10H): registers that firmware and systems set and read
    // back; none of them changes what this machine does.
    u64 syscfg = 0, hwcr = 0, iorr[4] = {}, top_mem = 0, top_mem2 = 0, nb_cfg = 0, int_pending = 0,
        mmio_conf_base = 0, cu_cfg[16] = {}, perf_ctl[4] = {}, perf_ctr[4] = {};
    u64 tsc_offset = 0;  // added to the machine's TSC; WRMSR(TSC) changes it
};

struct CpuState {
    u64 gpr[17] = {};
    u64 rip = 0;  // offset in CS; exact only outside a running block (Cpu::rip_of)
    Cc cc = kCcFixed;
    u64 flags_other = 0;  // RFLAGS without the arithmetic flags and without bit 1
    Segment seg[kSegRegs];
    Segment ldtr, tr;
    TableRegister gdtr, idtr;
    u64 cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, efer = 0, xcr0 = 1;
    u64 dr[4] = {}, dr6 = 0xFFFF0FF0, dr7 = 0x400;
    u64 pdpte[4] = {};
    u8 cpl = 0;
    Activity activity = Activity::kActive;
    u8 shadow = 0;  // kShadowSti | kShadowMovSs: holds for one instruction boundary
    bool nmi_blocked = false;
    bool smm = false;
    u32 smbase = 0x30000;
    VtMode vt_mode = VtMode::kOff;
    u32 vt_profile = 0;     // interned intercept profile while in a guest
    u64 vt_tsc_offset = 0;  // VMCS/VMCB TSC offset while in a guest
    Msrs msr;
    FpuState fpu;

    u64 rflags() const { return flags_other | cc_to_flags(cc) | 2; }
    void set_rflags(u64 v) {
        cc = flags_to_cc(v);
        flags_other = v & ~(kFlagsArith | 2);
    }
    bool flag(u64 f) const { return flags_other & f; }  // not for arithmetic flags
    bool in_guest() const { return vt_mode == VtMode::kVmxGuest || vt_mode == VtMode::kSvmGuest; }
    bool protected_mode() const { return cr0 & kCr0Pe; }
    bool v86() const { return flags_other & kFlagVm; }
    bool real_or_v86() const { return !protected_mode() || v86(); }
    bool long_mode() const { return efer & kEferLma; }
    bool code64() const { return long_mode() && seg[kCs].l(); }
    unsigned iopl() const { return (flags_other >> 12) & 3; }
};

}  // namespace rm::cpu
