// Descriptors and segment registers: descriptor format, table look-up, real-mode loads, and the
// checks of MOV/POP/LxS to a data or stack segment register.
// Source: SDM 3A 3.4, 5.6-5.7, SDM 2 MOV; APM2 4.8 for null selectors in 64-bit mode.
#include "cpu/system/segments.h"

#include "cpu/state/segments.h"
#include "cpu/system/system.h"

namespace rm::cpu {

Segment segment_from_descriptor(u16 selector, u64 d) {
    Segment s;
    s.selector = selector;
    s.attr = static_cast<u32>((d >> 40) & 0xF0FF);
    s.base = ((d >> 16) & 0xFFFFFF) | (d >> 56 << 24);
    s.limit = static_cast<u32>((d & 0xFFFF) | ((d >> 32) & 0xF0000));
    if (s.attr & Segment::kG) s.limit = s.limit << 12 | 0xFFF;
    return s;
}

Segment null_segment(u16 selector) { return {selector, Segment::kUnusable, 0, 0}; }

void set_real_segment(Cpu& cpu, SegReg r, u16 selector) {
    Segment& s = cpu.seg[r];
    s.selector = selector;
    s.base = u32{selector} << 4;
    if (cpu.v86()) {
        s.limit = 0xFFFF;
        s.attr = 0xF3;
    } else if (s.unusable() || !s.present() || !s.s()) {
        // A null segment left over from protected mode becomes an ordinary one. In all other cases
        // real mode keeps limit and attributes (SDM 3A 9.9.2): "unreal" segments, and CS stays
        // executable between setting CR0.PE and the first far transfer.
        s.limit = 0xFFFF;
        s.attr = r == kCs ? 0x9B : 0x93;
    }
    cpu.update_segment(r);
}

bool descriptor_address(const Cpu& cpu, u16 selector, unsigned size, LinearAddr& at) {
    const u32 offset = selector & ~7u;
    if (selector & 4) {
        at = cpu.ldtr.base + offset;
        if (cpu.ldtr.unusable() || offset + size - 1 > cpu.ldtr.limit) return false;
    } else {
        at = cpu.gdtr.base + offset;
        if (offset + size - 1 > cpu.gdtr.limit) return false;
    }
    if (!cpu.long_mode()) at &= 0xFFFFFFFF;
    return true;
}

bool read_descriptor(Cpu& cpu, u16 selector, u64& descriptor, LinearAddr& at, u8 vector) {
    if (!descriptor_address(cpu, selector, 8, at))
        return cpu.fail(vector, selector_error(cpu, selector));
    return cpu.read_system(at, descriptor);
}

bool read_system_descriptor(Cpu& cpu, u16 selector, Segment& out, LinearAddr& at, u8 vector,
                            unsigned& type) {
    u64 low = 0, high = 0;
    if (!read_descriptor(cpu, selector, low, at, vector)) return false;
    out = segment_from_descriptor(selector, low);
    type = out.s() ? 0x10 | out.type() : out.type();
    if (!cpu.long_mode() || out.s()) return true;
    // 16-byte descriptors (SDM 3A 3.5.2).
    LinearAddr unused;
    if (!descriptor_address(cpu, selector, 16, unused))
        return cpu.fail(vector, selector_error(cpu, selector));
    if (!cpu.read_system(at + 8, high)) return false;
    out.base |= high << 32;
    if ((high >> 40) & 0x1F) return cpu.fail(vector, selector_error(cpu, selector));
    return true;
}

bool mark_accessed(Cpu& cpu, LinearAddr at, Segment& s) {
    if (s.type() & 1) return true;
    s.attr |= 1;
    return cpu.write_system(at + 5, static_cast<u8>(s.attr));
}

void set_cpl(Cpu& cpu, u8 cpl) {
    cpu.cpl = cpl;
    cpu.update_mode();
}

bool check_stack_segment(Cpu& cpu, u16 selector, unsigned level, u8 vector, Segment& out) {
    u64 d;
    LinearAddr at;
    if (!read_descriptor(cpu, selector, d, at, vector)) return false;
    out = segment_from_descriptor(selector, d);
    const bool writable_data = out.s() && (out.type() & 0xA) == 2;
    if ((selector & 3u) != level || !writable_data || out.dpl() != level)
        return cpu.fail(vector, selector_error(cpu, selector));
    if (!out.present()) return cpu.fail(kSs12, selector_error(cpu, selector));
    return mark_accessed(cpu, at, out);
}

bool check_data_segment(Cpu& cpu, u16 selector, u8 vector, Segment& out) {
    u64 d;
    LinearAddr at;
    if (!read_descriptor(cpu, selector, d, at, vector)) return false;
    out = segment_from_descriptor(selector, d);
    const bool code = out.type() & 8, readable = !code || (out.type() & 2);
    const bool conforming = code && (out.type() & 4);
    const unsigned rpl = selector & 3;
    if (!out.s() || !readable || (!conforming && (rpl > out.dpl() || cpu.cpl > out.dpl())))
        return cpu.fail(vector, selector_error(cpu, selector));
    if (!out.present()) return cpu.fail(kNp, selector_error(cpu, selector));
    return mark_accessed(cpu, at, out);
}

Step load_segment(Cpu& cpu, SegReg r, u16 selector) {
    if (cpu.real_or_v86()) {
        set_real_segment(cpu, r, selector);
        return Step::kNext;
    }
    Segment s;
    if (!(selector & ~3u)) {
        s = null_segment(selector);
        if (r == kSs) {
            // Only 64-bit code below CPL 3 may run on a null stack segment.
            if (!cpu.code64() || cpu.cpl == 3 || (selector & 3u) != cpu.cpl) return cpu.raise_gp(0);
            s.attr |= u32{cpu.cpl} << 5;
        } else if (cpu.model.vendor == Vendor::kAmd) {
            // AMD leaves base and limit as they were (APM2 4.5.3).
            s.base = cpu.seg[r].base;
            s.limit = cpu.seg[r].limit;
        }
    } else if (r == kSs) {
        RM_TRY(check_stack_segment(cpu, selector, cpu.cpl, kGp, s));
    } else {
        RM_TRY(check_data_segment(cpu, selector, kGp, s));
    }
    set_segment(cpu, r, s);
    if (r == kSs) cpu.update_mode();
    return Step::kNext;
}

void drop_inaccessible_segments(Cpu& cpu) {
    for (SegReg r : {kEs, kDs, kFs, kGs}) {
        const Segment& s = cpu.seg[r];
        const bool conforming = (s.type() & 0xC) == 0xC;
        const bool null = s.unusable() || !(s.selector & ~3u);
        if (!null && (conforming || s.dpl() >= cpu.cpl)) continue;
        Segment dead = null_segment(0);
        // The base behind a null FS or GS is an MSR of its own and survives.
        if (null) dead.base = s.base;
        set_segment(cpu, r, dead);
    }
}

void set_flags_register(Cpu& cpu, u64 rflags) {
    const u64 changed = rflags ^ cpu.rflags();
    cpu.set_rflags(rflags);
    if (changed & kFlagVm)
        for (u8 s = 0; s < kSegRegs; ++s) cpu.update_segment(static_cast<SegReg>(s));
    if (changed & (kFlagVm | kFlagAc)) cpu.update_mode();
    if ((changed & kFlagIf) && (rflags & kFlagIf)) cpu.recheck_events();
}

}  // namespace rm::cpu
