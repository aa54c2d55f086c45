// x87 arithmetic on the host's own x87 unit: results, rounding, NaNs, condition codes and exception
// flags are exact because the instruction is the same (the transcendental ones are as exact as the
// host's). The only file with host x87 assembly; a soft 80-bit unit can take its place.
//
// An operation loads its operands as 80-bit images (which raises nothing), executes, stores the
// status word with FNSTSW, and stores the results as 80-bit images again. The host's register stack
// is empty before and after. Its control word is left as the guest's with all exceptions masked,
// its sticky flags as they fall: both are looked at before they are believed, so other code may use
// the unit.
#pragma once
#include "cpu/semantics/x87_state.h"

#if !defined(__x86_64__)
#error "x87_host.h is written for x86-64 hosts"
#endif

namespace rm::cpu::x87_host {

// Operands and results of one operation; the assembly below knows the offsets.
struct alignas(16) Frame {
    FpuState::Reg80 a;       // 0: ST(0), or the destination of a two-operand instruction
    FpuState::Reg80 b;       // 16: the second register
    u8 m[16] = {};           // 32: memory operand, in or out
    FpuState::Reg80 r0, r1;  // 48, 64: results; r1 is what was pushed above r0
    u16 masked_fcw = 0x37F;  // 80
};
static_assert(offsetof(Frame, b) == 16 && offsetof(Frame, m) == 32 && offsetof(Frame, r0) == 48 &&
              offsetof(Frame, r1) == 64 && offsetof(Frame, masked_fcw) == 80);

#define RM_X87_CLOBBERS \
    "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)"

// An operation as two functions returning the status word. `run` needs all exceptions masked;
// `run_unmasked` takes away pending exceptions before it touches the results, and empties the stack
// whether or not the instruction popped.
#define RM_X87(name, loads, instruction, stores)                                                \
    struct name {                                                                               \
        static u16 run(Frame& f) {                                                              \
            u16 sw;                                                                             \
            asm volatile(loads instruction "\n\tfnstsw %0\n\t" stores                           \
                         : "=&a"(sw)                                                            \
                         : "r"(&f)                                                              \
                         : RM_X87_CLOBBERS);                                                    \
            return sw;                                                                          \
        }                                                                                       \
        static u16 run_unmasked(Frame& f) {                                                     \
            u16 sw;                                                                             \
            asm volatile(loads instruction "\n\tfnstsw %0\n\tfnclex\n\tfldcw 80(%1)\n\t" stores \
                                           "fnclex\n\temms"                                     \
                         : "=&a"(sw)                                                            \
                         : "r"(&f)                                                              \
                         : RM_X87_CLOBBERS);                                                    \
            return sw;                                                                          \
        }                                                                                       \
    };

#define RM_A "fldt (%1)\n\t"
#define RM_BA "fldt 16(%1)\n\tfldt (%1)\n\t"
#define RM_R0 "fstpt 48(%1)\n\t"
#define RM_R1R0 "fstpt 64(%1)\n\tfstpt 48(%1)\n\t"
#define RM_DROP "fstp %%st(0)\n\t"

// Two registers: r0 = a op b. (AT&T names; with destination st they mean what Intel's mean.)
#define RM_X87_ARITH(op)                                         \
    RM_X87(op##_reg, RM_BA, #op " %%st(1), %%st", RM_R0 RM_DROP) \
    RM_X87(op##_f32, RM_A, #op "s 32(%1)", RM_R0)                \
    RM_X87(op##_f64, RM_A, #op "l 32(%1)", RM_R0)
RM_X87_ARITH(fadd)
RM_X87_ARITH(fmul)
RM_X87_ARITH(fsub)
RM_X87_ARITH(fsubr)
RM_X87_ARITH(fdiv)
RM_X87_ARITH(fdivr)
#define RM_X87_ARITH_INT(op)                      \
    RM_X87(op##_i16, RM_A, #op "s 32(%1)", RM_R0) \
    RM_X87(op##_i32, RM_A, #op "l 32(%1)", RM_R0)
RM_X87_ARITH_INT(fiadd)
RM_X87_ARITH_INT(fimul)
RM_X87_ARITH_INT(fisub)
RM_X87_ARITH_INT(fisubr)
RM_X87_ARITH_INT(fidiv)
RM_X87_ARITH_INT(fidivr)

// Compares: only the condition codes come out.
RM_X87(fcom_reg, RM_BA, "fcom %%st(1)", RM_DROP RM_DROP)
RM_X87(fucom_reg, RM_BA, "fucom %%st(1)", RM_DROP RM_DROP)
RM_X87(fcom_f32, RM_A, "fcoms 32(%1)", RM_DROP)
RM_X87(fcom_f64, RM_A, "fcoml 32(%1)", RM_DROP)
RM_X87(ficom_i16, RM_A, "ficoms 32(%1)", RM_DROP)
RM_X87(ficom_i32, RM_A, "ficoml 32(%1)", RM_DROP)
RM_X87(ftst, RM_A, "ftst", RM_DROP)
RM_X87(fxam, RM_A, "fxam", RM_DROP)

// Loads with conversion.
RM_X87(fld_f32, "", "flds 32(%1)", RM_R0)
RM_X87(fld_f64, "", "fldl 32(%1)", RM_R0)
RM_X87(fild_i16, "", "filds 32(%1)", RM_R0)
RM_X87(fild_i32, "", "fildl 32(%1)", RM_R0)
RM_X87(fild_i64, "", "fildll 32(%1)", RM_R0)
RM_X87(fbld, "", "fbld 32(%1)", RM_R0)
RM_X87(fld1, "", "fld1", RM_R0)
RM_X87(fldl2t, "", "fldl2t", RM_R0)
RM_X87(fldl2e, "", "fldl2e", RM_R0)
RM_X87(fldpi, "", "fldpi", RM_R0)
RM_X87(fldlg2, "", "fldlg2", RM_R0)
RM_X87(fldln2, "", "fldln2", RM_R0)
RM_X87(fldz, "", "fldz", RM_R0)

// Stores with conversion, popping forms (some have no other); the guest's pop is the caller's.
RM_X87(fst_f32, RM_A, "fstps 32(%1)", "")
RM_X87(fst_f64, RM_A, "fstpl 32(%1)", "")
RM_X87(fist_i16, RM_A, "fistps 32(%1)", "")
RM_X87(fist_i32, RM_A, "fistpl 32(%1)", "")
RM_X87(fist_i64, RM_A, "fistpll 32(%1)", "")
RM_X87(fisttp_i16, RM_A, "fisttps 32(%1)", "")
RM_X87(fisttp_i32, RM_A, "fisttpl 32(%1)", "")
RM_X87(fisttp_i64, RM_A, "fisttpll 32(%1)", "")
RM_X87(fbstp, RM_A, "fbstp 32(%1)", "")

// One register to one, two to one (ST(1) op ST(0)), one to two.
RM_X87(fsqrt, RM_A, "fsqrt", RM_R0)
RM_X87(frndint, RM_A, "frndint", RM_R0)
RM_X87(f2xm1, RM_A, "f2xm1", RM_R0)
RM_X87(fsin, RM_A, "fsin", RM_R0)
RM_X87(fcos, RM_A, "fcos", RM_R0)
RM_X87(fscale, RM_BA, "fscale", RM_R0 RM_DROP)
RM_X87(fprem, RM_BA, "fprem", RM_R0 RM_DROP)
RM_X87(fprem1, RM_BA, "fprem1", RM_R0 RM_DROP)
RM_X87(fyl2x, RM_BA, "fyl2x", RM_R0)
RM_X87(fyl2xp1, RM_BA, "fyl2xp1", RM_R0)
RM_X87(fpatan, RM_BA, "fpatan", RM_R0)
RM_X87(fptan, RM_A, "fptan", RM_R1R0)
RM_X87(fsincos, RM_A, "fsincos", RM_R1R0)
RM_X87(fxtract, RM_A, "fxtract", RM_R1R0)

#undef RM_X87
#undef RM_X87_ARITH
#undef RM_X87_ARITH_INT
#undef RM_A
#undef RM_BA
#undef RM_R0
#undef RM_R1R0
#undef RM_DROP

inline u16 control_word() {
    u16 v;
    asm volatile("fnstcw %0" : "=m"(v));
    return v;
}
inline void load_control_word(u16 v) { asm volatile("fldcw %0" : : "m"(v)); }
inline void clear_exceptions() { asm volatile("fnclex"); }
// What the process had before: for code of ours that calculates with long double.
inline void leave() {
    if (control_word() != 0x37F) load_control_word(0x37F);
}

// Runs Op under the guest's control word. Result: the condition codes and exactly the exception
// flags that this operation raised.
template <class Op>
inline u16 execute(Frame& f, u16 fcw, u16 already_raised) {
    if ((fcw & x87::kExceptions) == x87::kExceptions) [[likely]] {
        if (control_word() != fcw) [[unlikely]]
            load_control_word(fcw);
        const u16 sw = Op::run(f);
        // Flags the guest has raised before may be left over or raised again: no difference.
        if (!(sw & (x87::kExceptions | x87::kSf) & ~already_raised)) [[likely]]
            return sw;
        clear_exceptions();
        return Op::run(f);
    }
    clear_exceptions();
    f.masked_fcw = fcw | x87::kExceptions;
    load_control_word(fcw);
    return Op::run_unmasked(f);
}

}  // namespace rm::cpu::x87_host
