// Pieces shared by the instructions that save and restore x87, MMX and SSE state.
#pragma once
#include <array>

#include "cpu/interpreter/value_engine.h"
#include "cpu/semantics/x87_state.h"

namespace rm::cpu::fpstate {

// A memory image in the making: fields by byte offset.
template <unsigned Size>
struct Image {
    std::array<u8, Size> bytes{};
    template <class T>
    void put(unsigned at, T v) {
        std::memcpy(&bytes[at], &v, sizeof v);
    }
    template <class T>
    T get(unsigned at) const {
        T v;
        std::memcpy(&v, &bytes[at], sizeof v);
        return v;
    }
    void put_st(unsigned at, const FpuState::Reg80& r) {
        put(at, r.mantissa);
        put(at + 8, r.sign_exponent);
    }
    FpuState::Reg80 get_st(unsigned at) const { return {get<u64>(at), get<u16>(at + 8)}; }
};

// #GP(0) for an operand that must be aligned; a non-canonical address comes first and may be #SS.
inline bool misaligned(Cpu& cpu, const Insn& i, LinearAddr va) {
    const bool canonical = static_cast<u64>(static_cast<i64>(va << 16) >> 16) == va;
    return cpu.fail(cpu.mode.code64() && !canonical && i.seg == kSs ? kSs12 : kGp, 0);
}
// The operand's linear address after segment checks for Size bytes, and #AC for `unit` alignment.
template <unsigned Size, memory::Access A>
bool address_of(Cpu& cpu, const Insn& i, LinearAddr& va, unsigned unit) {
    if (!ValueEngine<kM, kN>{cpu}.linear_unchecked<Size, A>(i, va)) return false;
    if (cpu.mem_checks)
        for (unsigned at = 0; at < Size; at += unit)
            if (!cpu.check_access(va + at, unit, A)) return false;
    return true;
}
// Whole images: all pages are checked before the first byte is written.
inline bool load_bytes(Cpu& cpu, const Insn& i, LinearAddr va, void* out, unsigned size) {
    return cpu.mmu.load_bytes(cpu.mmu.data_class(), va, out, size) ||
           cpu.access_failed(static_cast<SegReg>(i.seg));
}
// For images that are read, changed and written: a fault must look like a store's.
inline bool probe_store(Cpu& cpu, const Insn& i, LinearAddr va, unsigned size) {
    return cpu.mmu.probe(cpu.mmu.data_class(), va, size, memory::Access::kWrite) ||
           cpu.access_failed(static_cast<SegReg>(i.seg));
}
inline bool store_bytes(Cpu& cpu, const Insn& i, LinearAddr va, const void* in, unsigned size) {
    return cpu.mmu.store_bytes(cpu.mmu.data_class(), va, in, size) ||
           cpu.access_failed(static_cast<SegReg>(i.seg));
}

// fpstate_env.cpp
Step fnstenv(Cpu& cpu, const Insn& i);
Step fldenv(Cpu& cpu, const Insn& i);
Step fnsave(Cpu& cpu, const Insn& i);
Step frstor(Cpu& cpu, const Insn& i);

}  // namespace rm::cpu::fpstate
