// FNSTENV, FLDENV, FNSAVE, FRSTOR: the x87 environment in its four layouts (SDM 1 8.1.10, figures
// 8-9 to 8-12: 32- and 16-bit, protected and real-address mode) and the registers behind it.
#include "cpu/semantics/fpstate.h"

namespace rm::cpu::fpstate {

using namespace x87;

namespace {

constexpr unsigned kEnv16 = 14, kEnv32 = 28, kRegisters = 80;
using EnvImage = Image<kEnv32 + kRegisters>;

struct Layout {
    bool wide, real;
    explicit Layout(const Cpu& cpu, const Insn& i)
        : wide(i.size_log2 != 1), real(cpu.mode.real_or_v86()) {}
    unsigned size() const { return wide ? kEnv32 : kEnv16; }
};

// Real-address layouts hold 20-bit (wide: 32-bit) linear addresses.
u32 real_address(u16 selector, u64 offset) {
    return static_cast<u32>((u32{selector} << 4) + offset);
}

void put_environment(const FpuState& f, Layout layout, EnvImage& m) {
    const u32 ip = layout.real ? real_address(f.fcs, f.fip) : static_cast<u32>(f.fip);
    const u32 dp = layout.real ? real_address(f.fds, f.fdp) : static_cast<u32>(f.fdp);
    const u16 tags = full_tag_word(f);
    if (layout.wide) {
        constexpr u32 kReserved = 0xFFFF'0000;  // what processors store in reserved halves
        m.put<u32>(0, kReserved | f.fcw);
        m.put<u32>(4, kReserved | f.fsw);
        m.put<u32>(8, kReserved | tags);
        if (layout.real) {
            m.put<u32>(12, kReserved | (ip & 0xFFFF));
            m.put<u32>(16, (ip >> 16) << 12 | f.fop);
            m.put<u32>(20, kReserved | (dp & 0xFFFF));
            m.put<u32>(24, (dp >> 16) << 12);
        } else {
            m.put<u32>(12, ip);
            m.put<u32>(16, u32{f.fop} << 16 | f.fcs);
            m.put<u32>(20, dp);
            m.put<u32>(24, kReserved | f.fds);
        }
    } else {
        m.put<u16>(0, f.fcw);
        m.put<u16>(2, f.fsw);
        m.put<u16>(4, tags);
        m.put<u16>(6, static_cast<u16>(ip));
        m.put<u16>(8, layout.real ? static_cast<u16>((ip >> 16) << 12 | f.fop) : f.fcs);
        m.put<u16>(10, static_cast<u16>(dp));
        m.put<u16>(12, layout.real ? static_cast<u16>((dp >> 16) << 12) : f.fds);
    }
}

void get_environment(FpuState& f, Layout layout, const EnvImage& m) {
    const unsigned step = layout.wide ? 4 : 2;
    f.fcw = static_cast<u16>((m.get<u16>(0) & kFcwImplemented) | kFcwFixed);
    f.fsw = m.get<u16>(step);
    f.ftw = m.get<u16>(2 * step);
    f.ftw = tags_from_abridged(abridged_tags(f));  // only "empty" is believed
    const u32 ip = layout.wide ? m.get<u32>(12) : m.get<u16>(6);
    const u32 ip2 = layout.wide ? m.get<u32>(16) : m.get<u16>(8);
    const u32 dp = layout.wide ? m.get<u32>(20) : m.get<u16>(10);
    const u32 dp2 = layout.wide ? m.get<u32>(24) : m.get<u16>(12);
    if (layout.real) {
        f.fip = (ip & 0xFFFF) | (ip2 >> 12) << 16;
        f.fdp = (dp & 0xFFFF) | (dp2 >> 12) << 16;
        f.fcs = f.fds = 0;
        f.fop = ip2 & 0x7FF;
    } else {
        f.fip = ip;
        f.fcs = static_cast<u16>(ip2);
        f.fdp = dp;
        f.fds = static_cast<u16>(dp2);
        if (layout.wide) f.fop = (ip2 >> 16) & 0x7FF;
    }
    update_summary(f);
}

// These align as their fields do (SDM 3A table 6-7).
template <memory::Access A>
bool env_address(Cpu& cpu, const Insn& i, bool registers, LinearAddr& va) {
    const bool wide = i.size_log2 != 1;
    if (registers)
        return wide ? address_of<kEnv32 + kRegisters, A>(cpu, i, va, 4)
                    : address_of<kEnv16 + kRegisters, A>(cpu, i, va, 2);
    return wide ? address_of<kEnv32, A>(cpu, i, va, 4) : address_of<kEnv16, A>(cpu, i, va, 2);
}

}  // namespace

// Neither waits for pending exceptions. FNSTENV masks all exceptions afterwards (SDM 2).
Step fnstenv(Cpu& cpu, const Insn& i) {
    const Layout layout(cpu, i);
    EnvImage m;
    put_environment(cpu.fpu, layout, m);
    LinearAddr va;
    RM_TRY(env_address<memory::Access::kWrite>(cpu, i, false, va));
    RM_TRY(store_bytes(cpu, i, va, m.bytes.data(), layout.size()));
    cpu.fpu.fcw |= kExceptions;
    update_summary(cpu.fpu);
    drop_ferr(cpu);
    return Step::kNext;
}

Step fnsave(Cpu& cpu, const Insn& i) {
    const Layout layout(cpu, i);
    EnvImage m;
    put_environment(cpu.fpu, layout, m);
    for (unsigned n = 0; n < 8; ++n) m.put_st(layout.size() + 10 * n, st(cpu.fpu, n));
    LinearAddr va;
    RM_TRY(env_address<memory::Access::kWrite>(cpu, i, true, va));
    RM_TRY(store_bytes(cpu, i, va, m.bytes.data(), layout.size() + kRegisters));
    init(cpu.fpu);
    drop_ferr(cpu);
    return Step::kNext;
}

Step fldenv(Cpu& cpu, const Insn& i) {
    if (const Step s = ready(cpu); s != Step::kNext) return s;
    const Layout layout(cpu, i);
    EnvImage m;
    LinearAddr va;
    RM_TRY(env_address<memory::Access::kRead>(cpu, i, false, va));
    RM_TRY(load_bytes(cpu, i, va, m.bytes.data(), layout.size()));
    get_environment(cpu.fpu, layout, m);
    drop_ferr(cpu);
    return Step::kNext;
}

Step frstor(Cpu& cpu, const Insn& i) {
    if (const Step s = ready(cpu); s != Step::kNext) return s;
    const Layout layout(cpu, i);
    EnvImage m;
    LinearAddr va;
    RM_TRY(env_address<memory::Access::kRead>(cpu, i, true, va));
    RM_TRY(load_bytes(cpu, i, va, m.bytes.data(), layout.size() + kRegisters));
    get_environment(cpu.fpu, layout, m);
    drop_ferr(cpu);
    for (unsigned n = 0; n < 8; ++n) st(cpu.fpu, n) = m.get_st(layout.size() + 10 * n);
    return Step::kNext;
}

}  // namespace rm::cpu::fpstate
