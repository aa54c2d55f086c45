// See stack.h.
#include "cpu/system/stack.h"

#include "cpu/state/segments.h"

namespace rm::cpu {

using memory::PrivClass;

namespace {

constexpr u64 kMask32 = 0xFFFFFFFF;
PrivClass class_of(unsigned level) {
    return level == 3 ? PrivClass::kUser : PrivClass::kSupervisor;
}

}  // namespace

Stack Stack::current(Cpu& cpu) {
    Stack s{.cpu = cpu};
    s.flat = cpu.code64();
    s.base = cpu.seg[kSs].base;
    s.mask = cpu.stack_mask;
    s.sp = cpu.gpr[kRsp] & s.mask;
    s.range = cpu.write_range[kSs];
    s.priv = cpu.mmu.data_class();
    s.error = cpu.ext;
    return s;
}

Stack Stack::legacy(Cpu& cpu, const Segment& ss, u64 sp, unsigned level, u32 error) {
    Stack s{.cpu = cpu};
    s.base = ss.base;
    s.mask = ss.db() ? kMask32 : 0xFFFF;
    s.sp = sp & s.mask;
    s.range = segment_range(ss, memory::Access::kWrite, false);
    s.priv = class_of(level);
    s.error = error;
    return s;
}

Stack Stack::flat64(Cpu& cpu, u64 sp, unsigned level) {
    Stack s{.cpu = cpu};
    s.flat = true;
    s.mask = ~u64{0};
    s.sp = sp;
    s.priv = class_of(level);
    s.error = cpu.ext;
    return s;
}

bool Stack::locate(unsigned size, LinearAddr& va) const {
    if (flat) {
        va = sp;
        return true;
    }
    if (sp < range.lo || sp + size - 1 > range.hi) return cpu.fail(kSs12, error);
    va = (base + sp) & kMask32;
    return true;
}

bool Stack::push(u64 value, unsigned size) {
    const u64 old = sp;
    sp = (sp - size) & mask;
    LinearAddr va;
    if (!locate(size, va)) {
        sp = old;
        return false;
    }
    if (checked() && !cpu.check_access(va, size, memory::Access::kWrite)) return false;
    return cpu.mmu.store_bytes(priv, va, &value, size) || cpu.access_failed(kSs);
}

bool Stack::pop(u64& value, unsigned size) {
    LinearAddr va;
    value = 0;
    if (!locate(size, va)) return false;
    if (checked() && !cpu.check_access(va, size, memory::Access::kRead)) return false;
    if (!cpu.mmu.load_bytes(priv, va, &value, size)) return cpu.access_failed(kSs);
    skip(size);
    return true;
}

}  // namespace rm::cpu
