// Cpu members that derive, check and raise: mode word, segment ranges, paging context, the
// translation of segment:offset, and faults of memory accesses. Reset, pins and the like:
// reset.cpp. Source: SDM 3A chapters 2, 3, 4.6, 5, 6.15; 3B 17.2.
#include "cpu/cpu.h"

#include "cpu/state/segments.h"

namespace rm::cpu {

using memory::Access;
using memory::PrivClass;

namespace {

constexpr u64 kMask32 = 0xFFFFFFFF;

// DR7: R/W and LEN fields of breakpoint n (SDM 3B 17.2.4).
unsigned break_type(u64 dr7, unsigned n) { return (dr7 >> (16 + 4 * n)) & 3; }
unsigned break_length(u64 dr7, unsigned n) {
    constexpr u8 kLength[] = {1, 2, 8, 4};
    return kLength[(dr7 >> (18 + 4 * n)) & 3];
}
bool break_enabled(u64 dr7, unsigned n) { return (dr7 >> (2 * n)) & 3; }

bool data_breakpoints(u64 dr7) {
    if (!(dr7 & 0xFF)) return false;
    for (unsigned n = 0; n < 4; ++n)
        if (break_enabled(dr7, n) && (break_type(dr7, n) & 1)) return true;
    return false;
}

}  // namespace

// --- derived state ---

void Cpu::update_mode() {
    const bool c64 = code64();
    u32 w = c64 ? Mode::kCode64 : seg[kCs].db() ? Mode::kCode32 : 0;
    if (!c64 && seg[kSs].db()) w |= Mode::kStack32;
    w |= static_cast<u32>(cpl) << Mode::kCplShift;
    if (v86()) w |= Mode::kV86;
    if (cr0 & kCr0Pe) w |= Mode::kPe;
    if (long_mode()) w |= Mode::kLma;
    if (cr0 & kCr0Em) w |= Mode::kEm;
    if (cr0 & kCr0Ts) w |= Mode::kTs;
    if (cr0 & kCr0Mp) w |= Mode::kMp;
    if (cr4 & kCr4Osfxsr) w |= Mode::kOsfxsr;
    if (cr4 & kCr4Osxsave) w |= Mode::kOsxsave;
    if (!c64 && flat_segments()) w |= Mode::kFlat;
    if (in_guest()) w |= Mode::kGuest | vt_profile << Mode::kProfileShift;
    // Entering or leaving VT modes changes who may take what is pending.
    if ((w ^ mode.word) & Mode::kGuest) [[unlikely]]
        recheck_events();
    mode.word = w;
    stack_mask = c64 ? ~u64{0} : seg[kSs].db() ? kMask32 : 0xFFFF;
    ip_mask = c64 ? ~u64{0} : kMask32;

    const bool ac = flags_other & kFlagAc;
    mmu.set_data_class(cpl == 3                 ? PrivClass::kUser
                       : ac && (cr4 & kCr4Smap) ? PrivClass::kSupervisorAc
                                                : PrivClass::kSupervisor);
    mmu.set_code_class(cpl == 3 ? PrivClass::kUser : PrivClass::kSupervisor);
    mem_checks = (ac && cpl == 3 && (cr0 & kCr0Am)) || data_breakpoints(dr7);
}

Cpu::SegRange limit_range(const Segment& s) {
    const bool expand_down = !s.unusable() && s.s() && (s.type() & 0xC) == 4;
    if (!expand_down) return {0, s.limit};
    return {u64{s.limit} + 1, s.db() ? kMask32 : 0xFFFF};
}

Cpu::SegRange segment_range(const Segment& s, Access access, bool real_or_v86) {
    if (real_or_v86) return {0, s.limit};
    const bool code = s.type() & 8, bit1 = s.type() & 2;  // readable code, writable data
    const bool allowed = access == Access::kWrite ? !code && bit1 : !code || bit1;
    if (s.unusable() || !s.present() || !s.s() || !allowed) return {};
    return limit_range(s);
}

// CS, DS, ES and SS all reach from 0 to 4 GiB, readable, the last three writable: protected mode
// only, where a translated address needs no segment.
bool Cpu::flat_segments() const {
    auto flat = [&](SegReg s, const SegRange& r) {
        return seg[s].base == 0 && r.lo == 0 && r.hi == kMask32;
    };
    return !real_or_v86() && seg[kCs].base == 0 && seg[kCs].limit == kMask32 &&
           flat(kCs, read_range[kCs]) && flat(kDs, write_range[kDs]) &&
           flat(kEs, write_range[kEs]) && flat(kSs, write_range[kSs]) &&
           read_range[kDs].hi == kMask32 && read_range[kEs].hi == kMask32 &&
           read_range[kSs].hi == kMask32;
}

void Cpu::update_segment(SegReg s) {
    const bool real = real_or_v86();
    read_range[s] = segment_range(seg[s], Access::kRead, real);
    write_range[s] = segment_range(seg[s], Access::kWrite, real);
    seg_base64[s] = s >= kFs ? seg[s].base : 0;
    if (!mode.code64())
        mode.word = (mode.word & ~Mode::kFlat) | (flat_segments() ? Mode::kFlat : 0);
}

void Cpu::update_paging() {
    memory::PagingContext c;
    c.paging = cr0 & kCr0Pg;
    c.long_mode = long_mode();
    c.pae = cr4 & kCr4Pae;
    c.pse = cr4 & kCr4Pse;
    c.wp = cr0 & kCr0Wp;
    c.nxe = efer & kEferNxe;
    c.smep = cr4 & kCr4Smep;
    c.smap = cr4 & kCr4Smap;
    c.pge = cr4 & kCr4Pge;
    c.pcide = cr4 & kCr4Pcide;
    c.page_1g = model.features.has(Feature::k_pdpe1gb);
    c.cr3 = cr3;
    for (unsigned n = 0; n < 4; ++n) c.pdpte[n] = pdpte[n];
    c.pdpte_from_memory = npt_guest_pdpte;
    c.physical_bits = model.physical_bits;
    c.a20_mask = a20_mask;
    c.second = second_stage;
    memory::SpaceTag tag;
    tag.asid = asid;
    tag.pcid = c.pcide ? cr3 & 0xFFF : 0;
    if (second_stage.kind != memory::SecondStage::Kind::kNone) tag.second_stage = second_stage.root;
    mmu.set_context(c, tag);
}

void Cpu::update_apic_page() {
    constexpr u64 kEnabled = bit(11), kX2apic = bit(10);
    const u64 base = lapic.apic_base();
    const bool page = (base & kEnabled) && !(base & kX2apic);
    mmu.set_special_page(0, page ? base & kPageMask & low_mask(model.physical_bits) : ~u64{0});
}

// --- raising ---

Step Cpu::raise_event(const Event& event) {
    raised.kind = Raised::Kind::kEvent;
    raised.event = event;
    return Step::kFault;
}

Step Cpu::raise(u8 vector) { return raise_event({.vector = vector}); }

Step Cpu::raise_error(u8 vector, u32 error) {
    return raise_event({.vector = vector, .has_error = true, .error = error});
}

bool Cpu::access_failed(SegReg s) {
    const memory::WalkFault& f = mmu.fault();
    switch (f.kind) {
        case memory::WalkFault::Kind::kPageFault:
            (void)raise_event(
                {.vector = kPf, .has_error = true, .error = f.error_code, .payload = f.linear});
            break;
        case memory::WalkFault::Kind::kNonCanonical:
            (void)raise_error(s == kSs ? kSs12 : kGp, ext);
            break;
        case memory::WalkFault::Kind::kSecondViolation:
        case memory::WalkFault::Kind::kEptMisconfig:
            raised.kind = Raised::Kind::kSecondStage;
            break;
    }
    return false;
}

// --- memory by segment and offset ---

bool Cpu::linear(SegReg s, u64 offset, unsigned size, Access access, LinearAddr& out) {
    if (mode.code64()) {
        out = offset + seg_base64[s];
    } else {
        const SegRange& r = access == Access::kWrite ? write_range[s] : read_range[s];
        if (offset < r.lo || offset + size - 1 > r.hi) return fail(s == kSs ? kSs12 : kGp, 0);
        out = (seg[s].base + offset) & kMask32;
    }
    return !mem_checks || check_access(out, size, access);
}

bool Cpu::check_access(LinearAddr va, unsigned size, Access access) {
    // SDM 3A table 6-7: natural alignment; what is not a power of two aligns as 8 bytes.
    const unsigned alignment = size & (size - 1) ? 8 : size < 16 ? size : 16;
    // An address that is not canonical faults as such when the access is made.
    if (long_mode() && (sign_extend(va, model.linear_bits) != va ||
                        sign_extend(va + size - 1, model.linear_bits) != va + size - 1))
        return true;
    if (cpl == 3 && (flags_other & kFlagAc) && (cr0 & kCr0Am) && (va & (alignment - 1)))
        return fail(kAc, 0);
    for (unsigned n = 0; n < 4; ++n) {
        const unsigned type = break_type(dr7, n);
        if (!break_enabled(dr7, n) || !(type & 1)) continue;
        if (type == 1 && access != Access::kWrite) continue;
        const unsigned length = break_length(dr7, n);
        const u64 start = dr[n] & ~u64{length - 1};
        if (va + size - 1 < start || va > start + length - 1) continue;
        pending_db |= bit(n);
        request(kAttnTrap);
    }
    return true;
}

// Accesses to the xAPIC page and to VT's APIC-access page (SDM 3A 11.4.1; SDM 3C 30.4).
memory::Mmu::Owner::Special Cpu::special_page(PhysAddr page, LinearAddr va, Access access,
                                              unsigned size, u64& value) {
    if (in_guest() && vt) {
        bool exited = false;
        const bool mine = vt->apic_page_access(*this, page, va, access, size, value, exited);
        if (exited) return Special::kFault;  // mmu.fault() leads to second_stage_fault()
        if (mine) return Special::kDone;
    }
    const u64 base = lapic.apic_base();
    if ((base & (bit(11) | bit(10))) != bit(11) ||
        ((page ^ base) & kPageMask & low_mask(model.physical_bits)))
        return Special::kNotMine;
    const u64 offset = page & ~kPageMask;
    if (access == Access::kWrite)
        lapic.mmio_write(offset, size, value);
    else
        value = access == Access::kRead ? lapic.mmio_read(offset, size) : ~u64{0};
    return Special::kDone;
}

}  // namespace rm::cpu
