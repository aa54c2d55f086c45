// Hardware task switches with 16- and 32-bit TSSs. Everything that can fault in the old task's
// context is done first: both TSSs are read and probed whole. After the commit point faults belong
// to the new task: an instruction's are delivered here, an event's are returned to deliver().
// Source: SDM 3A 7.2-7.3, 7.6 (16-bit TSS), table 6-6 (#TS conditions); SDM 3C 25.4.2.
#include <cstring>

#include "cpu/events/events.h"
#include "cpu/system/segments.h"
#include "cpu/system/system.h"
#include "cpu/system/transfer.h"

namespace rm::cpu {

namespace {

// Byte offsets in a TSS (SDM 3A figures 7-2 and 7-10); 0 = not there.
struct TssLayout {
    unsigned size;  // of one register
    unsigned cr3, ip, flags, gpr, segments, ldt, trap;
    unsigned segment_count;
    unsigned saved_end;  // the part the processor writes: [ip, saved_end)
    unsigned minimum;    // bytes
};
constexpr TssLayout kTss16{2, 0, 0x0E, 0x10, 0x12, 0x22, 0x2A, 0, 4, 0x2A, 0x2C};
constexpr TssLayout kTss32{4, 0x1C, 0x20, 0x24, 0x28, 0x48, 0x5C + 4, 0x64, 6, 0x60, 0x68};

struct TaskState {
    u8 bytes[0x68] = {};
    const TssLayout* layout = &kTss32;

    u64 get(unsigned offset, unsigned size) const {
        u64 v = 0;
        std::memcpy(&v, bytes + offset, size);
        return v;
    }
    void put(unsigned offset, u64 v, unsigned size) { std::memcpy(bytes + offset, &v, size); }
    u16 selector(unsigned s) const {
        const TssLayout& l = *layout;
        if (s >= l.segment_count) return 0;
        return static_cast<u16>(get(l.segments + s * l.size, 2));
    }
};

const TssLayout& layout_of(unsigned type) { return type & 8 ? kTss32 : kTss16; }

struct Target {
    Segment tr;
    LinearAddr at = 0;  // of its descriptor
    TaskState state;
};

bool busy_bit(Cpu& cpu, LinearAddr descriptor, bool set) {
    u8 b;
    if (!cpu.read_system(descriptor + 5, b)) return false;
    return cpu.write_system(descriptor + 5, static_cast<u8>(set ? b | 2 : b & ~2));
}

// SDM 3A 7.3 steps 1-4: the new TSS and its descriptor.
bool read_target(Cpu& cpu, u16 selector, TaskSwitchSource source, Target& to) {
    const u8 vector = source == TaskSwitchSource::kIret ? kTs : kGp;
    const u32 error = selector_error(cpu, selector);
    if ((selector & 4) || !(selector & ~3u)) return cpu.fail(vector, error);
    u64 d;
    if (!read_descriptor(cpu, selector, d, to.at, vector)) return false;
    to.tr = segment_from_descriptor(selector, d);
    const unsigned wanted = source == TaskSwitchSource::kIret ? 3 : 1;
    if (to.tr.s() || (to.tr.type() & 7) != wanted) return cpu.fail(vector, error);
    if (!to.tr.present()) return cpu.fail(kNp, error);
    to.state.layout = &layout_of(to.tr.type());
    return to.tr.limit >= to.state.layout->minimum - 1 || cpu.fail(kTs, error);
}

bool load_state(Cpu& cpu, LinearAddr base, TaskState& state) {
    return cpu.mmu.load_bytes(memory::PrivClass::kSupervisor, base, state.bytes,
                              state.layout->minimum) ||
           cpu.access_failed(kDs);
}

bool probe_write(Cpu& cpu, LinearAddr at, unsigned size) {
    return cpu.mmu.probe(memory::PrivClass::kSupervisor, at, size, memory::Access::kWrite) ||
           cpu.access_failed(kDs);
}

// The outgoing task's registers into its TSS.
bool save_state(Cpu& cpu, u64 return_rip, u64 flags) {
    TaskState old;
    const TssLayout& l = *(old.layout = &layout_of(cpu.tr.type()));
    old.put(l.ip, return_rip, l.size);
    old.put(l.flags, flags, l.size);
    for (unsigned r = 0; r < 8; ++r) old.put(l.gpr + r * l.size, cpu.gpr[r], l.size);
    for (unsigned s = 0; s < l.segment_count; ++s)
        old.put(l.segments + s * l.size, cpu.seg[s].selector, l.size);
    return cpu.mmu.store_bytes(memory::PrivClass::kSupervisor, cpu.tr.base + l.ip, old.bytes + l.ip,
                               l.saved_end - l.ip) ||
           cpu.access_failed(kDs);
}

bool load_ldtr(Cpu& cpu, u16 selector) {
    cpu.ldtr = null_segment(selector);
    if (!(selector & ~3u)) return true;
    Segment s;
    LinearAddr at;
    u64 d;
    if (selector & 4) return cpu.fail(kTs, selector_error(cpu, selector));
    if (!read_descriptor(cpu, selector, d, at, kTs)) return false;
    s = segment_from_descriptor(selector, d);
    if (s.s() || s.type() != 2 || !s.present()) return cpu.fail(kTs, selector_error(cpu, selector));
    cpu.ldtr = s;
    return true;
}

bool load_task_code(Cpu& cpu, u16 selector) {
    const u32 error = selector_error(cpu, selector);
    u64 d;
    LinearAddr at;
    if (!(selector & ~3u)) return cpu.fail(kTs, error);
    if (!read_descriptor(cpu, selector, d, at, kTs)) return false;
    Segment cs = segment_from_descriptor(selector, d);
    const bool code = cs.s() && (cs.type() & 8), conforming = cs.type() & 4;
    const unsigned rpl = selector & 3;
    if (!code || (conforming ? cs.dpl() > rpl : cs.dpl() != rpl)) return cpu.fail(kTs, error);
    if (!cs.present()) return cpu.fail(kNp, error);
    if (!mark_accessed(cpu, at, cs)) return false;
    set_segment(cpu, kCs, cs);
    return true;
}

// Segment registers of the new task; their selectors are in place already.
bool load_task_segments(Cpu& cpu) {
    const u16 cs = cpu.seg[kCs].selector, ss = cpu.seg[kSs].selector;
    cpu.cpl = cs & 3;
    if (!load_task_code(cpu, cs)) return false;
    cpu.update_mode();
    Segment s;
    if (!(ss & ~3u)) return cpu.fail(kTs, selector_error(cpu, ss));
    if (!check_stack_segment(cpu, ss, cpu.cpl, kTs, s)) return false;
    set_segment(cpu, kSs, s);
    cpu.update_mode();
    for (SegReg r : {kEs, kDs, kFs, kGs}) {
        const u16 selector = cpu.seg[r].selector;
        if (!(selector & ~3u)) continue;
        if (!check_data_segment(cpu, selector, kTs, s)) return false;
        set_segment(cpu, r, s);
    }
    return check_entry_point(cpu, cpu.seg[kCs], cpu.rip);
}

// Commit: registers of the new task, without anything that can fault.
void load_registers(Cpu& cpu, const TaskState& state, u64 flags) {
    const TssLayout& l = *state.layout;
    for (unsigned r = 0; r < 8; ++r) cpu.gpr[r] = state.get(l.gpr + r * l.size, l.size);
    cpu.rip = state.get(l.ip, l.size);
    cpu.cr0 |= kCr0Ts;
    cpu.dr7 &= ~u64{0x155};  // L0-L3 and LE (SDM 3A 7.3)
    const bool v86 = flags & kFlagVm;
    cpu.cpl = v86 ? 3 : state.selector(kCs) & 3;  // also for faults before CS is loaded
    set_flags_register(cpu, flags);
    for (unsigned s = 0; s < kSegRegs; ++s) {
        if (v86)
            set_real_segment(cpu, static_cast<SegReg>(s), state.selector(s));
        else
            set_segment(cpu, static_cast<SegReg>(s), null_segment(state.selector(s)));
    }
    // Until the real ones are loaded, the code and stack sizes are those of the TSS.
    if (!v86 && l.size == 4) cpu.seg[kCs].attr |= Segment::kDb, cpu.seg[kSs].attr |= Segment::kDb;
    cpu.update_mode();
}

// Steps after the commit point; false: cpu.raised belongs to the new task.
bool finish_in_new_task(Cpu& cpu, const TaskState& state, bool v86) {
    if (!load_ldtr(cpu, static_cast<u16>(state.get(state.layout->ldt, 2)))) return false;
    return v86 || load_task_segments(cpu);
}

}  // namespace

Step task_switch(Cpu& cpu, u16 selector, TaskSwitchSource source, u64 return_rip, bool has_error,
                 u32 error) {
    const bool nested = source == TaskSwitchSource::kCall || source == TaskSwitchSource::kGate;
    const bool from_iret = source == TaskSwitchSource::kIret;
    Target to;
    RM_TRY(read_target(cpu, selector, source, to));
    if (cpu.in_guest() &&
        cpu.vt->task_switch(cpu, selector, source, cpu.delivering, has_error, error))
        return Step::kVmExit;

    RM_TRY(load_state(cpu, to.tr.base, to.state));
    const TssLayout& old_layout = layout_of(cpu.tr.type());
    if (cpu.tr.limit < old_layout.minimum - 1)
        return cpu.raise_error(kTs, selector_error(cpu, cpu.tr.selector));
    RM_TRY(probe_write(cpu, cpu.tr.base + old_layout.ip, old_layout.saved_end - old_layout.ip));
    if (nested) RM_TRY(probe_write(cpu, to.tr.base, 2));
    RM_TRY(probe_write(cpu, to.at + 5, 1));
    LinearAddr old_descriptor;
    if (!descriptor_address(cpu, cpu.tr.selector, 8, old_descriptor))
        return cpu.raise_error(kTs, selector_error(cpu, cpu.tr.selector));
    const u64 new_cr3 = to.state.get(to.state.layout->cr3, 4);
    const bool load_cr3 = to.state.layout->cr3 && (cpu.cr0 & kCr0Pg);

    // Nothing from here to the new registers fails: all of it has been probed.
    RM_TRY(save_state(cpu, return_rip, cpu.rflags() & ~(from_iret ? kFlagNt : 0)));
    if (!nested) RM_TRY(busy_bit(cpu, old_descriptor, false));
    if (nested) RM_TRY(cpu.write_system(to.tr.base, cpu.tr.selector));
    if (!from_iret) RM_TRY(busy_bit(cpu, to.at, true));
    to.tr.attr |= 2;
    cpu.tr = to.tr;
    u64 flags = to.state.get(to.state.layout->flags, to.state.layout->size);
    if (nested) flags |= kFlagNt;
    bool good = true;
    if (load_cr3) good = write_cr3(cpu, new_cr3) != Step::kFault;
    load_registers(cpu, to.state, flags | 2);
    good = good && finish_in_new_task(cpu, to.state, flags & kFlagVm);
    if (to.state.layout->trap && (to.state.get(to.state.layout->trap, 2) & 1)) {
        cpu.pending_db |= bit(15);  // DR6.BT
        cpu.request(kAttnTrap);
    }
    if (good) return Step::kJump;
    if (source == TaskSwitchSource::kGate) return Step::kFault;
    if (cpu.raised.kind == Raised::Kind::kEvent) {
        const Event event = cpu.raised.event;
        deliver(cpu, event);
    } else {
        handle_fault(cpu);
    }
    return Step::kVmExit;  // rip and the rest are what the handler needs: nothing to add
}

}  // namespace rm::cpu
