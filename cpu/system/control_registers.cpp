// CR0, CR3, CR4, CR8, EFER, XCR0: what may be written, and what follows from it (mode word, paging
// context, TLB, PDPTE registers, LMA). The soft TLB holds finished permissions, so a change of WP,
// SMEP, SMAP or NXE drops it although hardware would not have to.
// Source: SDM 3A 2.5, 2.6, 4.1, 4.4.1, 4.10.4; SDM 2 MOV (control registers); APM2 3.1, 5.
#include "cpu/system/system.h"

namespace rm::cpu {

namespace {

struct FeatureBits {
    Feature feature;
    u64 bits;
};

constexpr FeatureBits kCr4Features[] = {
    {Feature::k_vme, kCr4Vme | kCr4Pvi},
    {Feature::k_tsc, kCr4Tsd},
    {Feature::k_de, kCr4De},
    {Feature::k_pse, kCr4Pse},
    {Feature::k_pae, kCr4Pae},
    {Feature::k_mce, kCr4Mce},
    {Feature::k_pge, kCr4Pge},
    {Feature::kAlways, kCr4Pce},
    {Feature::k_fxsr, kCr4Osfxsr},
    {Feature::k_sse, kCr4Osxmmexcpt},
    {Feature::k_umip, kCr4Umip},
    {Feature::k_vmx, kCr4Vmxe},
    {Feature::k_fsgsbase, kCr4Fsgsbase},
    {Feature::k_pcid, kCr4Pcide},
    {Feature::k_xsave, kCr4Osxsave},
    {Feature::k_smep, kCr4Smep},
    {Feature::k_smap, kCr4Smap},
};

constexpr FeatureBits kEferFeatures[] = {
    {Feature::k_syscall, kEferSce}, {Feature::k_lm, kEferLme | kEferLma}, {Feature::k_nx, kEferNxe},
    {Feature::k_svm, kEferSvme},    {Feature::k_fxsr_opt, kEferFfxsr},
};

constexpr u64 kCr0Defined = kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts | kCr0Et | kCr0Ne | kCr0Wp | kCr0Am |
                            kCr0Nw | kCr0Cd | kCr0Pg;

template <std::size_t N>
u64 allowed_bits(const Model& model, const FeatureBits (&rows)[N]) {
    u64 bits = 0;
    for (const FeatureBits& row : rows)
        if (model.features.has(row.feature)) bits |= row.bits;
    return bits;
}

// VMX operation fixes bits of CR0 and CR4 (SDM 3C 23.8).
bool fixed_ok(Cpu& cpu, unsigned cr, u64 value) {
    if (!cpu.vt) return true;
    u64 ones = 0, may = ~u64{0};
    cpu.vt->cr_fixed(cpu, cr, ones, may);
    return (value & ones) == ones && !(value & ~may);
}

// Drops the current processor's translations of the running guest (or host), global ones too.
void flush_own(Cpu& cpu) { cpu.mmu.flush({.asid = cpu.asid, .linear_only = true}); }

bool cr0_legal(Cpu& cpu, u64 value) {
    if ((value & kCr0Pg) && !(value & kCr0Pe)) return false;
    if ((value & kCr0Nw) && !(value & kCr0Cd)) return false;
    const bool pg_was = cpu.cr0 & kCr0Pg, pg_now = value & kCr0Pg;
    if (pg_now && !pg_was && (cpu.efer & kEferLme)) {
        if (!(cpu.cr4 & kCr4Pae) || cpu.seg[kCs].l()) return false;
    }
    if (!pg_now && pg_was && (cpu.code64() || (cpu.cr4 & kCr4Pcide))) return false;
    return fixed_ok(cpu, 0, value);
}

}  // namespace

u64 cr4_allowed(const Model& model) { return allowed_bits(model, kCr4Features); }
u64 efer_allowed(const Model& model) { return allowed_bits(model, kEferFeatures); }

bool load_pdptes(Cpu& cpu, u64 cr3) {
    const u64 table = cr3 & 0xFFFFFFE0;
    const u64 reserved = 0x1E6 | ~low_mask(cpu.model.physical_bits);
    u64 loaded[4];
    for (unsigned n = 0; n < 4; ++n) {
        PhysAddr at = (table + n * 8) & cpu.a20_mask;
        if (cpu.second_stage.kind != memory::SecondStage::Kind::kNone) {
            memory::PagingContext context = cpu.mmu.context();
            context.second = cpu.second_stage;
            const auto t =
                memory::walk_second(cpu.memory, context, at, memory::Access::kRead, false);
            if (!t) {
                cpu.mmu.set_fault(t.error());
                cpu.raised.kind = Raised::Kind::kSecondStage;
                return false;
            }
            at = t->machine;
        }
        loaded[n] = cpu.memory.load(at, 8);
        if ((loaded[n] & 1) && (loaded[n] & reserved)) return cpu.fail(kGp, 0);
    }
    for (unsigned n = 0; n < 4; ++n) cpu.pdpte[n] = loaded[n];
    return true;
}

Step write_cr0(Cpu& cpu, u64 value) {
    if (value >> 32) return cpu.raise_gp(0);
    value = (value & kCr0Defined) | kCr0Et;
    if (!cr0_legal(cpu, value)) return cpu.raise_gp(0);
    const u64 changed = cpu.cr0 ^ value;
    if (!(changed & ~(kCr0Ts | kCr0Mp | kCr0Em | kCr0Ne))) {
        cpu.cr0 = value;
        cpu.update_mode();
        return Step::kEnd;
    }
    const bool pae = (cpu.cr4 & kCr4Pae) && !(cpu.efer & kEferLme);
    if ((value & kCr0Pg) && pae && (changed & (kCr0Pg | kCr0Cd | kCr0Nw)) && !cpu.npt_guest_pdpte)
        RM_TRY(load_pdptes(cpu, cpu.cr3));
    cpu.cr0 = value;
    if (changed & kCr0Pg) {
        if ((value & kCr0Pg) && (cpu.efer & kEferLme))
            cpu.efer |= kEferLma;
        else
            cpu.efer &= ~kEferLma;
    }
    if (changed & kCr0Pe)
        for (u8 s = 0; s < kSegRegs; ++s) cpu.update_segment(static_cast<SegReg>(s));
    cpu.update_mode();
    cpu.update_paging();
    if (changed & (kCr0Pg | kCr0Wp | kCr0Pe)) flush_own(cpu);
    return Step::kEnd;
}

Step write_cr3(Cpu& cpu, u64 value) {
    bool keep = false;
    if (cpu.long_mode()) {
        if (cpu.cr4 & kCr4Pcide) {
            keep = value >> 63;
            value &= ~bit(63);
        }
        if (value & ~low_mask(cpu.model.physical_bits)) return cpu.raise_gp(0);
    } else {
        value &= 0xFFFFFFFF;
        if ((cpu.cr0 & kCr0Pg) && (cpu.cr4 & kCr4Pae) && !cpu.npt_guest_pdpte)
            RM_TRY(load_pdptes(cpu, value));
    }
    cpu.cr3 = value;
    cpu.update_paging();
    if (!keep) {
        memory::FlushFilter filter{.asid = cpu.asid, .keep_global = true, .linear_only = true};
        if (cpu.cr4 & kCr4Pcide) filter.pcid = value & 0xFFF;
        cpu.mmu.flush(filter);
    }
    return Step::kEnd;
}

Step write_cr4(Cpu& cpu, u64 value) {
    const u64 changed = cpu.cr4 ^ value;
    if (value & ~cr4_allowed(cpu.model)) return cpu.raise_gp(0);
    if (cpu.long_mode() && !(value & kCr4Pae)) return cpu.raise_gp(0);
    if ((changed & value & kCr4Pcide) && (!cpu.long_mode() || (cpu.cr3 & 0xFFF)))
        return cpu.raise_gp(0);
    if (!fixed_ok(cpu, 4, value)) return cpu.raise_gp(0);
    constexpr u64 kPdpteInputs = kCr4Pae | kCr4Pge | kCr4Pse | kCr4Smep;
    if ((cpu.cr0 & kCr0Pg) && !cpu.long_mode() && (value & kCr4Pae) && (changed & kPdpteInputs) &&
        !cpu.npt_guest_pdpte)
        RM_TRY(load_pdptes(cpu, cpu.cr3));
    cpu.cr4 = value;
    if (changed & (kCr4Osfxsr | kCr4Osxsave | kCr4Smap)) cpu.update_mode();
    constexpr u64 kPagingInputs = kCr4Pae | kCr4Pge | kCr4Pse | kCr4Smep | kCr4Smap | kCr4Pcide;
    if (changed & kPagingInputs) {
        cpu.update_paging();
        flush_own(cpu);
    }
    return Step::kEnd;
}

Step write_cr8(Cpu& cpu, u64 value) {
    if (value > 15) return cpu.raise_gp(0);
    cpu.lapic.set_tpr(static_cast<u8>(value << 4));
    return Step::kEnd;
}

bool write_efer(Cpu& cpu, u64 value) {
    if (value & ~efer_allowed(cpu.model)) return false;
    const u64 changed = cpu.efer ^ value;
    if ((changed & kEferLme) && (cpu.cr0 & kCr0Pg)) return false;
    // LMA is read-only: it follows LME and CR0.PG.
    cpu.efer = (value & ~kEferLma) | (cpu.efer & kEferLma);
    if (changed & kEferNxe) {
        cpu.update_paging();
        flush_own(cpu);
    }
    return true;
}

Step write_xcr0(Cpu& cpu, u32 index, u64 value) {
    constexpr u64 kX87 = 1, kSse = 2;
    if (index != 0 || !(value & kX87) || (value & ~(kX87 | kSse))) return cpu.raise_gp(0);
    cpu.xcr0 = value;
    return Step::kEnd;
}

void invalidate_page(Cpu& cpu, LinearAddr va) {
    if (cpu.long_mode() && sign_extend(va, 48) != va) return;
    // Global entries go in every PCID (SDM 3A 4.10.4.1): all PCIDs is the simple superset.
    cpu.mmu.flush({.asid = cpu.asid, .va = va, .linear_only = true});
}

}  // namespace rm::cpu
