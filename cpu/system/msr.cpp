// RDMSR and WRMSR: the table of msr.def, and the handlers of its rows.
#include "base/log.h"
#include "cpu/system/msr_handlers.h"
#include "cpu/system/system.h"

namespace rm::cpu {

namespace {

enum class MsrVendor : u8 { kBoth, kIntel, kAmd };

struct MsrRow {
    u32 number, count;
    const char* name;
    Feature feature;
    MsrVendor vendor;
    MsrRead read;
    MsrWrite write;
};

// --- rows that only store ---
bool zero(Cpu&, u32, u64& value) {
    value = 0;
    return true;
}
bool unreadable(Cpu&, u32, u64&) { return false; }
bool ignore(Cpu&, u32, u64) { return true; }
bool refuse(Cpu&, u32, u64) { return false; }

template <u64 Msrs::*Field>
bool get(Cpu& cpu, u32, u64& value) {
    value = cpu.msr.*Field;
    return true;
}
template <u64 Msrs::*Field>
bool put(Cpu& cpu, u32, u64 value) {
    cpu.msr.*Field = value;
    return true;
}
template <u64 Msrs::*Field>
bool put_canonical(Cpu& cpu, u32, u64 value) {
    if (!canonical(value)) return false;
    cpu.msr.*Field = value;
    return true;
}
template <u64 Msrs::*Field, u64 Mask>
bool put_bits(Cpu& cpu, u32, u64 value) {
    if (value & ~Mask) return false;
    cpu.msr.*Field = value;
    return true;
}
template <auto Field>
bool get_n(Cpu& cpu, u32 index, u64& value) {
    value = (cpu.msr.*Field)[index];
    return true;
}
template <auto Field>
bool put_n(Cpu& cpu, u32 index, u64 value) {
    (cpu.msr.*Field)[index] = value;
    return true;
}

// --- time ---
void set_tsc_offset(Cpu& cpu, u64 offset) {
    cpu.msr.tsc_offset = offset;
    cpu.lapic.tsc_offset_changed(offset);
}
bool read_tsc(Cpu& cpu, u32, u64& value) {
    value = cpu.seen_tsc();
    return true;
}
bool write_tsc(Cpu& cpu, u32, u64 value) {
    // TSC_ADJUST moves with it (SDM 3B 17.17.3).
    const u64 delta = value - cpu.tsc();
    cpu.msr.tsc_adjust += delta;
    set_tsc_offset(cpu, cpu.msr.tsc_offset + delta);
    return true;
}
bool write_tsc_adjust(Cpu& cpu, u32, u64 value) {
    const u64 delta = value - cpu.msr.tsc_adjust;
    cpu.msr.tsc_adjust = value;
    set_tsc_offset(cpu, cpu.msr.tsc_offset + delta);
    return true;
}

// --- local APIC ---
bool read_apic_base(Cpu& cpu, u32, u64& value) {
    value = cpu.lapic.apic_base();
    return true;
}
bool write_apic_base(Cpu& cpu, u32, u64 value) {
    constexpr u64 kBsp = bit(8), kX2apic = bit(10), kEnable = bit(11);
    u64 allowed = (low_mask(cpu.model.physical_bits) & kPageMask) | kBsp | kEnable;
    if (cpu.model.features.has(Feature::k_x2apic)) allowed |= kX2apic;
    if (value & ~allowed) return false;
    if (!cpu.lapic.set_apic_base(value)) return false;
    cpu.update_apic_page();
    return true;
}
template <u32 First>
bool read_lapic(Cpu& cpu, u32 index, u64& value) {
    return cpu.lapic.msr_read(First + index, value);
}
template <u32 First>
bool write_lapic(Cpu& cpu, u32 index, u64 value) {
    return cpu.lapic.msr_write(First + index, value);
}

// --- system calls, segments ---
bool write_sysenter_cs(Cpu& cpu, u32, u64 value) {
    cpu.msr.sysenter_cs = value & 0xFFFFFFFF;
    return true;
}
bool read_segment_base(Cpu& cpu, u32 index, u64& value) {
    value = cpu.seg[kFs + index].base;
    return true;
}
bool write_segment_base(Cpu& cpu, u32 index, u64 value) {
    if (!canonical(value)) return false;
    const SegReg s = static_cast<SegReg>(kFs + index);
    cpu.seg[s].base = value;
    cpu.update_segment(s);
    return true;
}
bool read_efer(Cpu& cpu, u32, u64& value) {
    value = cpu.efer;
    return efer_allowed(cpu.model) != 0;
}
bool write_efer_msr(Cpu& cpu, u32, u64 value) {
    return efer_allowed(cpu.model) != 0 && write_efer(cpu, value);
}

// --- model data ---
bool read_microcode(Cpu& cpu, u32, u64& value) {
    // Intel: revision in the high half; AMD: patch level in the low one.
    value = cpu.model.vendor == Vendor::kIntel ? u64{0x1F} << 32 : 0x01000083;
    return true;
}
bool read_platform_info(Cpu&, u32, u64& value) {
    constexpr u64 kRatio = VirtualClock::kTscHz / 133'333'333;  // of the 133 MHz bus
    value = kRatio << 8 | kRatio << 40;
    return true;
}
bool write_misc_enable(Cpu& cpu, u32, u64 value) {
    // Fast strings, and "limit CPUID maxval" as storage; the rest reports what the model has.
    constexpr u64 kWritable = bit(0) | bit(22);
    cpu.msr.misc_enable = (cpu.msr.misc_enable & ~kWritable) | (value & kWritable);
    return true;
}

// --- machine check: banks that never report anything (SDM 3B 15.3) ---
constexpr unsigned kMcBanks = 6;
bool read_mcg_cap(Cpu&, u32, u64& value) {
    value = kMcBanks;
    return true;
}
bool read_mc_bank(Cpu& cpu, u32 index, u64& value) {
    value = index % 4 == 0 ? cpu.msr.mc_ctl[index / 4] : 0;
    return true;
}
bool write_mc_bank(Cpu& cpu, u32 index, u64 value) {
    if (index % 4 == 0) {
        cpu.msr.mc_ctl[index / 4] = value;
        return true;
    }
    return value == 0;  // STATUS, ADDR and MISC may only be cleared
}

constexpr MsrRow kRows[] = {
#define RM_MSR(number, count, name, feature, vendor, read, write) \
    {number, count, #name, Feature::feature, MsrVendor::vendor, read, write},
#include "cpu/system/msr.def"
#undef RM_MSR
};

constexpr bool rows_ascend() {
    for (std::size_t n = 1; n < std::size(kRows); ++n)
        if (kRows[n].number < kRows[n - 1].number + kRows[n - 1].count) return false;
    return true;
}
static_assert(rows_ascend(), "msr.def must be in ascending order");
static_assert(24 == 4 * kMcBanks, "msr.def: one row for all banks");

const MsrRow* find_msr(const Cpu& cpu, u32 msr) {
    std::size_t lo = 0, hi = std::size(kRows);
    while (lo < hi) {
        const std::size_t mid = (lo + hi) / 2;
        if (msr >= kRows[mid].number + kRows[mid].count)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == std::size(kRows) || msr < kRows[lo].number) return nullptr;
    const MsrRow& row = kRows[lo];
    const bool amd = cpu.model.vendor == Vendor::kAmd;
    if (row.vendor == (amd ? MsrVendor::kIntel : MsrVendor::kAmd)) return nullptr;
    return cpu.model.features.has(row.feature) ? &row : nullptr;
}

void report_unknown(Cpu& cpu, u32 msr, const char* what) {
    for (u32 known : cpu.reported_msrs)
        if (known == msr) return;
    if (cpu.reported_msrs.size() >= 256) return;  // a guest that scans: enough is said
    cpu.reported_msrs.push_back(msr);
    log::warn("cpu%u: %s of unknown MSR %08x at rip %llx: #GP(0)", cpu.config.index, what, msr,
              static_cast<unsigned long long>(cpu.current_rip()));
}

}  // namespace

bool read_msr(Cpu& cpu, u32 msr, u64& value) {
    if (cpu.vt) {
        const MsrAnswer answer = cpu.vt->msr_read(cpu, msr, value);
        if (answer != MsrAnswer::kNotMine) return answer == MsrAnswer::kDone;
    }
    const MsrRow* row = find_msr(cpu, msr);
    if (!row) {
        report_unknown(cpu, msr, "read");
        return false;
    }
    return row->read(cpu, msr - row->number, value);
}

bool write_msr(Cpu& cpu, u32 msr, u64 value) {
    if (cpu.vt) {
        const MsrAnswer answer = cpu.vt->msr_write(cpu, msr, value);
        if (answer != MsrAnswer::kNotMine) return answer == MsrAnswer::kDone;
    }
    const MsrRow* row = find_msr(cpu, msr);
    if (!row) {
        report_unknown(cpu, msr, "write");
        return false;
    }
    return row->write(cpu, msr - row->number, value);
}

}  // namespace rm::cpu
