// Decimal adjustment and the double-width compare-and-exchange: procedures both engines call
// (SDM 2, AAA AAD AAM AAS DAA DAS CMPXCHG8B CMPXCHG16B).
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu::semantics {

Step aaa(Cpu& cpu, const Insn& i);
Step aas(Cpu& cpu, const Insn& i);
Step aad(Cpu& cpu, const Insn& i);
Step aam(Cpu& cpu, const Insn& i);
Step daa(Cpu& cpu, const Insn& i);
Step das(Cpu& cpu, const Insn& i);
Step cmpxchg8b(Cpu& cpu, const Insn& i);
Step cmpxchg16b(Cpu& cpu, const Insn& i);

}  // namespace rm::cpu::semantics
