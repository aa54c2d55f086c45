// REP MOVS and REP STOS by the host's own instruction, where all of it certainly is plain memory on
// one page each, going up, and ends before anybody must look at the time. Whatever is not so is the
// interpreter's (cpu/semantics/string.cpp), whose results these are. Source: SDM 2, REP.
#pragma once
#include <xbyak/xbyak.h>

#include <optional>

#include "cpu/cpu.h"

namespace rm::jit::x64 {

struct Repeat {
    static constexpr unsigned kKinds = 8;  // MOVS and STOS of 1, 2, 4, 8 bytes
    bool moves;
    unsigned size;  // log2 of an element's bytes
    unsigned number() const { return 4u * moves + size; }
};

// What the instruction is in these terms, if it is one of those: in 64-bit code, with 64-bit
// addresses and no segment base.
std::optional<Repeat> repeat_of(const cpu::Insn& insn, cpu::Mode mode);

// A subroutine, called with the registers of translated code: r12d = 0: done, each iteration but
// one has been counted in the frame's ticks. Else nothing has changed. Changes r11, r12 and flags.
void write_repeat(Xbyak::CodeGenerator& c, const cpu::Cpu& cpu, Repeat repeat);

}  // namespace rm::jit::x64
