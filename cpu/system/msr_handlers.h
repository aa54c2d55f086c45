// Read and write functions that rows of msr.def name. False: #GP(0). index = msr - the row's
// number.
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

using MsrRead = bool (*)(Cpu&, u32 index, u64& value);
using MsrWrite = bool (*)(Cpu&, u32 index, u64 value);

inline bool canonical(u64 v) { return sign_extend(v, 48) == v; }

// mtrr.cpp: register behaviour only, memory is always coherent here (SDM 3A 11.11, 11.12).
bool read_mtrr_cap(Cpu& cpu, u32 index, u64& value);
bool read_mtrr_variable(Cpu& cpu, u32 index, u64& value);
bool write_mtrr_variable(Cpu& cpu, u32 index, u64 value);
bool read_mtrr_fixed_at(Cpu& cpu, u32 n, u64& value);
bool write_mtrr_fixed_at(Cpu& cpu, u32 n, u64 value);
bool write_mtrr_def_type(Cpu& cpu, u32 index, u64 value);
bool write_pat(Cpu& cpu, u32 index, u64 value);
template <unsigned First>
bool read_mtrr_fixed(Cpu& cpu, u32 index, u64& value) {
    return read_mtrr_fixed_at(cpu, First + index, value);
}
template <unsigned First>
bool write_mtrr_fixed(Cpu& cpu, u32 index, u64 value) {
    return write_mtrr_fixed_at(cpu, First + index, value);
}

}  // namespace rm::cpu
