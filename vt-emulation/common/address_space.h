// What finished permissions in the soft TLB depend on besides the address-space tag and the tables.
// Hardware judges rights at each access; here a change of these inputs between two stays in one
// address space (VPID, ASID) must drop the space's translations.
// Source: SDM 3A 4.6, 4.10.2; SDM 3C 28.3; APM2 15.16.
#pragma once
#include "cpu/state/cpu_state.h"

namespace rm::vt::common {

// Never 0, so that 0 can stand for "nothing known".
inline u16 paging_signature(const cpu::CpuState& s) {
    return static_cast<u16>(1 | (s.cr0 & cpu::kCr0Pg ? 2 : 0) | (s.cr0 & cpu::kCr0Wp ? 4 : 0) |
                            (s.cr4 & cpu::kCr4Pae ? 8 : 0) | (s.cr4 & cpu::kCr4Pse ? 16 : 0) |
                            (s.cr4 & cpu::kCr4Pge ? 32 : 0) | (s.cr4 & cpu::kCr4Smep ? 64 : 0) |
                            (s.cr4 & cpu::kCr4Smap ? 128 : 0) | (s.cr4 & cpu::kCr4Pcide ? 256 : 0) |
                            (s.efer & cpu::kEferNxe ? 512 : 0) |
                            (s.efer & cpu::kEferLma ? 1024 : 0));
}

}  // namespace rm::vt::common
