// System management mode: entry, the state save map, RSM. Models with long mode use the AMD64 map
// (revision 20064H), others the 32-bit one (20000H); firmware tells them apart by the revision.
// Fields that only emulators need (descriptor caches of the 32-bit map) lie in its reserved area.
// Source: SDM 3C 34.3-34.11, table 34-1; APM2 10.2, table 10-1.
#include "cpu/system/segments.h"
#include "cpu/system/system.h"

namespace rm::cpu {

namespace {

constexpr u32 kMapBase = 0x8000;  // offsets below are relative to SMBASE + 8000H
constexpr u32 kRevision64 = 0x20064, kRevision32 = 0x20000;
constexpr u32 kRelocatable = 1 << 17;

// Save-map access by physical address.
struct Map {
    Cpu& cpu;
    u64 base;
    u64 get(u32 offset, unsigned size) const {
        return cpu.memory.load((base + offset) & cpu.a20_mask, size);
    }
    void put(u32 offset, u64 v, unsigned size) const {
        cpu.memory.store((base + offset) & cpu.a20_mask, size, v);
    }
};

struct Field {
    u32 offset;
    u8 size;
    u64 CpuState::*member;
};

// AMD64 map: plain registers.
constexpr Field kRegisters64[] = {
    {0x7ED0, 8, &CpuState::efer}, {0x7F48, 8, &CpuState::cr4}, {0x7F50, 8, &CpuState::cr3},
    {0x7F58, 8, &CpuState::cr0},  {0x7F60, 8, &CpuState::dr7}, {0x7F68, 8, &CpuState::dr6},
    {0x7F78, 8, &CpuState::rip},
};
constexpr u32 kRflags64 = 0x7F70, kRevisionAt64 = 0x7EFC, kSmbaseAt64 = 0x7F00,
              kHaltRestart64 = 0x7EC9, kNmiMask64 = 0x7ECA;
// GPRs descend from RAX at FFF8H to R15 at FF80H in the order RAX RCX RDX RBX RSP RBP RSI RDI R8...
constexpr u32 gpr_offset64(unsigned r) { return 0x7FF8 - 8 * r; }

constexpr Field kRegisters32[] = {
    {0x7FFC, 4, &CpuState::cr0},  {0x7FF8, 4, &CpuState::cr3}, {0x7FF0, 4, &CpuState::rip},
    {0x7FCC, 4, &CpuState::dr6},  {0x7FC8, 4, &CpuState::dr7}, {0x7F14, 4, &CpuState::cr4},
    {0x7F18, 4, &CpuState::efer},
};
constexpr u32 kEflags32 = 0x7FF4, kRevisionAt32 = 0x7EFC, kSmbaseAt32 = 0x7EF8,
              kHaltRestart32 = 0x7F02, kNmiMask32 = 0x7F10;
constexpr u32 gpr_offset32(unsigned r) {
    constexpr u32 kAt[8] = {0x7FD0, 0x7FD4, 0x7FD8, 0x7FDC, 0x7FE0, 0x7FE4, 0x7FE8, 0x7FEC};
    return kAt[r];
}

bool long_map(const Cpu& cpu) { return cpu.model.features.has(Feature::k_lm); }

// Segment descriptor in the AMD64 map: selector, 12-bit attributes (and one of ours for
// "unusable"), limit, base.
void put_segment64(const Map& m, u32 at, const Segment& s) {
    m.put(at, s.selector, 2);
    m.put(at + 2, (s.attr & 0xFF) | ((s.attr >> 4) & 0xF00) | (s.unusable() ? 0x8000 : 0), 2);
    m.put(at + 4, s.limit, 4);
    m.put(at + 8, s.base, 8);
}
Segment get_segment64(const Map& m, u32 at) {
    Segment s;
    const u32 a = static_cast<u32>(m.get(at + 2, 2));
    s.selector = static_cast<u16>(m.get(at, 2));
    s.attr = (a & 0xFF) | (a & 0xF00) << 4 | (a & 0x8000 ? Segment::kUnusable : 0);
    s.limit = static_cast<u32>(m.get(at + 4, 4));
    s.base = m.get(at + 8, 8);
    return s;
}
// 32-bit map: selector where the manual has it, cache (attributes, limit, base) at `cache`.
void put_segment32(const Map& m, u32 at, u32 cache, const Segment& s) {
    m.put(at, s.selector, 4);
    m.put(cache, s.attr, 4);
    m.put(cache + 4, s.limit, 4);
    m.put(cache + 8, s.base, 4);
}
Segment get_segment32(const Map& m, u32 at, u32 cache) {
    Segment s;
    s.selector = static_cast<u16>(m.get(at, 4));
    s.attr = static_cast<u32>(m.get(cache, 4)) & (0xF0FF | Segment::kUnusable);
    s.limit = static_cast<u32>(m.get(cache + 4, 4));
    s.base = m.get(cache + 8, 4);
    return s;
}

// ES CS SS DS FS GS at 7FA8H ..., LDTR 7FC0H, TR 7FC4H; caches from 7F20H, 12 bytes each.
constexpr u32 segment_at32(unsigned s) { return 0x7FA8 + 4 * s; }
constexpr u32 cache_at32(unsigned s) { return 0x7F20 + 12 * s; }
constexpr unsigned kLdtrSlot = 6, kTrSlot = 7;
constexpr u32 kGdtr32 = 0x7F80, kIdtr32 = 0x7F88;

void save64(Cpu& cpu, const Map& m, bool halted) {
    for (unsigned s = 0; s < kSegRegs; ++s) put_segment64(m, 0x7E00 + 16 * s, cpu.seg[s]);
    m.put(0x7E64, cpu.gdtr.limit, 2);
    m.put(0x7E68, cpu.gdtr.base, 8);
    put_segment64(m, 0x7E70, cpu.ldtr);
    m.put(0x7E84, cpu.idtr.limit, 2);
    m.put(0x7E88, cpu.idtr.base, 8);
    put_segment64(m, 0x7E90, cpu.tr);
    for (const Field& f : kRegisters64) m.put(f.offset, cpu.*f.member, f.size);
    m.put(kRflags64, cpu.rflags(), 8);
    for (unsigned r = 0; r < 16; ++r) m.put(gpr_offset64(r), cpu.gpr[r], 8);
    m.put(kHaltRestart64, halted, 1);
    m.put(kNmiMask64, cpu.nmi_blocked, 1);
    m.put(kRevisionAt64, kRevision64 | kRelocatable, 4);
    m.put(kSmbaseAt64, cpu.smbase, 4);
}

void save32(Cpu& cpu, const Map& m, bool halted) {
    for (unsigned s = 0; s < kSegRegs; ++s)
        put_segment32(m, segment_at32(s), cache_at32(s), cpu.seg[s]);
    put_segment32(m, segment_at32(kLdtrSlot), cache_at32(kLdtrSlot), cpu.ldtr);
    put_segment32(m, segment_at32(kTrSlot), cache_at32(kTrSlot), cpu.tr);
    m.put(kGdtr32, cpu.gdtr.base, 4);
    m.put(kGdtr32 + 4, cpu.gdtr.limit, 2);
    m.put(kIdtr32, cpu.idtr.base, 4);
    m.put(kIdtr32 + 4, cpu.idtr.limit, 2);
    for (const Field& f : kRegisters32) m.put(f.offset, cpu.*f.member, f.size);
    m.put(kEflags32, cpu.rflags(), 4);
    for (unsigned r = 0; r < 8; ++r) m.put(gpr_offset32(r), cpu.gpr[r], 4);
    m.put(kHaltRestart32, halted, 2);
    m.put(kNmiMask32, cpu.nmi_blocked, 1);
    m.put(kRevisionAt32, kRevision32 | kRelocatable, 4);
    m.put(kSmbaseAt32, cpu.smbase, 4);
}

struct Restored {
    u64 rflags = 2;
    bool halt_restart = false, nmi_blocked = false;
    u32 smbase = 0;
};

Restored restore64(Cpu& cpu, const Map& m) {
    for (unsigned s = 0; s < kSegRegs; ++s) cpu.seg[s] = get_segment64(m, 0x7E00 + 16 * s);
    cpu.gdtr = {m.get(0x7E68, 8), static_cast<u16>(m.get(0x7E64, 2))};
    cpu.ldtr = get_segment64(m, 0x7E70);
    cpu.idtr = {m.get(0x7E88, 8), static_cast<u16>(m.get(0x7E84, 2))};
    cpu.tr = get_segment64(m, 0x7E90);
    for (const Field& f : kRegisters64) cpu.*f.member = m.get(f.offset, f.size);
    for (unsigned r = 0; r < 16; ++r) cpu.gpr[r] = m.get(gpr_offset64(r), 8);
    return {m.get(kRflags64, 8), m.get(kHaltRestart64, 1) & 1 ? true : false,
            m.get(kNmiMask64, 1) & 1 ? true : false, static_cast<u32>(m.get(kSmbaseAt64, 4))};
}

Restored restore32(Cpu& cpu, const Map& m) {
    for (unsigned s = 0; s < kSegRegs; ++s)
        cpu.seg[s] = get_segment32(m, segment_at32(s), cache_at32(s));
    cpu.ldtr = get_segment32(m, segment_at32(kLdtrSlot), cache_at32(kLdtrSlot));
    cpu.tr = get_segment32(m, segment_at32(kTrSlot), cache_at32(kTrSlot));
    cpu.gdtr = {m.get(kGdtr32, 4), static_cast<u16>(m.get(kGdtr32 + 4, 2))};
    cpu.idtr = {m.get(kIdtr32, 4), static_cast<u16>(m.get(kIdtr32 + 4, 2))};
    for (const Field& f : kRegisters32) cpu.*f.member = m.get(f.offset, f.size);
    for (unsigned r = 0; r < 8; ++r) cpu.gpr[r] = m.get(gpr_offset32(r), 4);
    return {m.get(kEflags32, 4), m.get(kHaltRestart32, 2) & 1 ? true : false,
            m.get(kNmiMask32, 1) & 1 ? true : false, static_cast<u32>(m.get(kSmbaseAt32, 4))};
}

// State at the first instruction of the handler (SDM 3C 34.5.1).
void load_handler_state(Cpu& cpu) {
    constexpr u32 kFlat = 0x8093, kFlatCode = 0x809B;
    for (Segment& s : cpu.seg) s = {0, kFlat, 0xFFFFFFFF, 0};
    cpu.seg[kCs] = {static_cast<u16>(cpu.smbase >> 4), kFlatCode, 0xFFFFFFFF, cpu.smbase};
    cpu.cr0 &= ~(kCr0Pe | kCr0Em | kCr0Ts | kCr0Pg);
    cpu.cr4 = 0;
    cpu.efer = 0;
    cpu.dr7 = 0x400;
    cpu.cpl = 0;
    cpu.rip = kMapBase;
}

void update_all(Cpu& cpu) {
    for (u8 s = 0; s < kSegRegs; ++s) cpu.update_segment(static_cast<SegReg>(s));
    cpu.update_mode();
    cpu.update_paging();
    cpu.mmu.flush_all();
}

// What makes RSM shut the processor down (SDM 3C 34.4.3).
bool restorable(const Cpu& cpu) {
    if (cpu.cr4 & ~cr4_allowed(cpu.model)) return false;
    if ((cpu.cr0 & kCr0Pg) && !(cpu.cr0 & kCr0Pe)) return false;
    if ((cpu.cr0 & kCr0Nw) && !(cpu.cr0 & kCr0Cd)) return false;
    if (cpu.efer & ~efer_allowed(cpu.model)) return false;
    return true;
}

}  // namespace

void enter_smm(Cpu& cpu) {
    const bool halted = cpu.activity == Activity::kHlt;
    if (cpu.on_smm_change) cpu.on_smm_change(true);
    if (cpu.vt) cpu.vt->smm_enter(cpu);
    const Map m{cpu, u64{cpu.smbase} + kMapBase};
    if (long_map(cpu))
        save64(cpu, m, halted);
    else
        save32(cpu, m, halted);
    cpu.smm = true;
    cpu.nmi_blocked = true;
    cpu.shadow = 0;
    cpu.activity = Activity::kActive;
    load_handler_state(cpu);
    set_flags_register(cpu, 2);
    update_all(cpu);
}

Step leave_smm(Cpu& cpu, const Insn&) {
    if (!cpu.smm) return cpu.raise_ud();
    const Map m{cpu, u64{cpu.smbase} + kMapBase};
    const Restored r = long_map(cpu) ? restore64(cpu, m) : restore32(cpu, m);
    cpu.smm = false;
    cpu.smbase = r.smbase;
    if (!restorable(cpu)) {
        cpu.cr4 &= cr4_allowed(cpu.model);
        cpu.efer &= efer_allowed(cpu.model);
        if (!(cpu.cr0 & kCr0Pe)) cpu.cr0 &= ~kCr0Pg;
        cpu.activity = Activity::kShutdown;
        cpu.triple_faulted = true;
        cpu.last_triple_fault = {cpu.seg[kCs].selector, cpu.rip, {}};
        cpu.request(kAttnStop);
    }
    set_flags_register(cpu, r.rflags);
    // CPL: SS.DPL in protected mode (SDM 3C 24.4.1), 3 in virtual-8086 mode.
    cpu.cpl = !cpu.protected_mode() ? 0 : cpu.v86() ? 3 : static_cast<u8>(cpu.seg[kSs].dpl());
    cpu.nmi_blocked = r.nmi_blocked;
    if (cpu.vt) cpu.vt->smm_leave(cpu);
    if (cpu.on_smm_change) cpu.on_smm_change(false);
    // PDPTE registers are not in the map: they come from memory again.
    if ((cpu.cr0 & kCr0Pg) && (cpu.cr4 & kCr4Pae) && !cpu.long_mode() && !cpu.in_guest())
        (void)load_pdptes(cpu, cpu.cr3);
    update_all(cpu);
    if (r.halt_restart && cpu.activity == Activity::kActive) cpu.activity = Activity::kHlt;
    cpu.recheck_events();
    return Step::kJump;
}

}  // namespace rm::cpu
