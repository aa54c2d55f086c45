// MTRRs and PAT: what may be written and what is read back. Memory types have no effect here.
// Source: SDM 3A 11.11.2, 11.12.2; APM2 7.7, 7.9 (RdMem/WrMem in fixed MTRRs).
#include "cpu/system/msr_handlers.h"

namespace rm::cpu {

namespace {

constexpr u64 kVariableCount = 8, kCapFixed = bit(8), kCapWc = bit(10);
constexpr u64 kSyscfgFixDramModEn = bit(19);

bool valid_type(u64 t) { return t == 0 || t == 1 || t == 4 || t == 5 || t == 6; }

}  // namespace

bool read_mtrr_cap(Cpu&, u32, u64& value) {
    value = kVariableCount | kCapFixed | kCapWc;
    return true;
}

bool read_mtrr_variable(Cpu& cpu, u32 index, u64& value) {
    value = index & 1 ? cpu.msr.mtrr_mask[index / 2] : cpu.msr.mtrr_base[index / 2];
    return true;
}

bool write_mtrr_variable(Cpu& cpu, u32 index, u64 value) {
    if (value & ~low_mask(cpu.model.physical_bits)) return false;
    if (index & 1) {
        if (value & 0x7FF) return false;
        cpu.msr.mtrr_mask[index / 2] = value;
    } else {
        if ((value & 0xF00) || !valid_type(value & 0xFF)) return false;
        cpu.msr.mtrr_base[index / 2] = value;
    }
    return true;
}

bool read_mtrr_fixed_at(Cpu& cpu, u32 n, u64& value) {
    value = cpu.msr.mtrr_fixed[n];
    // AMD hides RdMem and WrMem unless SYSCFG shows them.
    if (!(cpu.msr.syscfg & kSyscfgFixDramModEn)) value &= 0x0707070707070707;
    return true;
}

bool write_mtrr_fixed_at(Cpu& cpu, u32 n, u64 value) {
    const u64 extra = cpu.msr.syscfg & kSyscfgFixDramModEn ? 0x18 : 0;
    for (unsigned k = 0; k < 8; ++k)
        if (!valid_type((value >> (8 * k)) & 0xFF & ~extra)) return false;
    cpu.msr.mtrr_fixed[n] = value;
    return true;
}

bool write_mtrr_def_type(Cpu& cpu, u32, u64 value) {
    if ((value & ~u64{0xCFF}) || !valid_type(value & 0xFF)) return false;
    cpu.msr.mtrr_def_type = value;
    return true;
}

bool write_pat(Cpu& cpu, u32, u64 value) {
    for (unsigned k = 0; k < 8; ++k) {
        const u64 t = (value >> (8 * k)) & 0xFF;
        if (!valid_type(t) && t != 7) return false;
    }
    cpu.msr.pat = value;
    return true;
}

}  // namespace rm::cpu
