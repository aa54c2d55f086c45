// System state: time, IF, RFLAGS as a value, GS's base.
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::kFlagIf;
using ir::Op;
using ir::Value;

// What Cpu::seen_tsc() gives in the middle of a block, from the ticks that are left.
void Emitter::emit_tsc(Value v) {
    const Op& o = op(v);
    const auto shift = cpu_.clock.tick_shift();
    if (!shift || in_copy_) not_native();  // a copy's ticks are counted ahead
    clobber_flags();
    if (o.m) {
        test(sized(state(&cpu_.cr4), 2), static_cast<u32>(cpu::kCr4Tsd));
        interpret_if(kNotEqual);
    }
    const unsigned n = take_scratch(v);
    const Reg64 r = scratch_reg(n);
    mov(r, sized(state(&cpu_.translated.stop_at), 3));
    sub(r, sized(in_frame(Frame::kTicksLeft), 3));
    if (insn_) add(r, insn_);
    shl(r, static_cast<int>(*shift + 1));  // VirtualClock::tsc()
    add(r, sized(state(&cpu_.msr.tsc_offset), 3));
    if (o.n) add(r, sized(state(&cpu_.vt_tsc_offset), 3));
    loc_[v] = {Loc::kScratch, static_cast<u8>(n), 0};
}

// CpuState::rflags() but for RF and VM.
void Emitter::emit_flags_image(Value v) {
    resolve_to_memory();
    clobber_flags();
    const unsigned n = take_scratch(v), other = take_scratch(v, static_cast<int>(n));
    const Reg32 r = scratch_reg(n).cvt32(), s = scratch_reg(other).cvt32();
    movzx(r, byte[state(&cpu_.cc)]);
    and_(r, cpu::kCcOf);
    shl(r, 11);
    movzx(s, byte[state(&cpu_.cc) + 1]);
    and_(s, static_cast<u32>(cpu::kFlagsArith) & 0xFF);
    lea(r, ptr[scratch_reg(n) + scratch_reg(other) + 2]);
    mov(s, sized(state(&cpu_.flags_other), 2));
    and_(s, ~static_cast<u32>(cpu::kFlagRf | cpu::kFlagVm));
    or_(r, s);
    release(other);
    loc_[v] = {Loc::kScratch, static_cast<u8>(n), 0};
}

void Emitter::emit_mask_interrupts() {
    clobber_flags();
    and_(sized(state(&cpu_.flags_other), 2), ~static_cast<u32>(kFlagIf));
}

// Interrupts are delayed by an instruction. Nobody can tell where none is pending and no time comes
// to look for one before the end of that instruction; otherwise, and in a guest, whose hypervisor
// may be shown the delay, the interpreter sees to it.
void Emitter::emit_allow_interrupts() {
    if (block_->mode.guest() || cpu_.threads) not_native();
    clobber_flags();
    test(sized(state(&cpu_.flags_other), 2), static_cast<u32>(kFlagIf));
    const Jump done = skip_if(kNotEqual);
    cmp(sized(state(&cpu_.pending), 2), 0);
    interpret_if(kNotEqual);
    cmp(sized(state(&cpu_.intr_pin), 0), 0);
    interpret_if(kNotEqual);
    cmp(sized(state(&cpu_.pending_db), 3), 0);
    interpret_if(kNotEqual);
    cmp(sized(in_frame(Frame::kTicksLeft), 3), insn_ + 1);
    interpret_if(kLessOrEqual);
    or_(sized(state(&cpu_.flags_other), 2), static_cast<u32>(kFlagIf));
    land(done);
}

void Emitter::emit_swap_gs_base() {
    const Address base = sized(state(&cpu_.seg[cpu::kGs].base), 3),
                  kept = sized(state(&cpu_.msr.kernel_gs_base), 3);
    mov(r11, base);
    mov(r12, kept);
    mov(kept, r11);
    mov(base, r12);
    mov(sized(state(&cpu_.seg_base64[cpu::kGs]), 3), r12);
}

}  // namespace rm::jit::x64
