// x87 instructions that compute, compare and move (SDM 1 chapter 8; SDM 2 for each). The arithmetic
// itself is x87_host.h's; here are the register stack, tags, stack faults, masked responses, pending
// exceptions and the instruction and data pointers. State saving instructions: fpstate.cpp.
//
// Order in every instruction: pending exception, memory read, pointers, stack fault, operation,
// memory write (which may fault: flags come after it), flags, registers.
#include "cpu/semantics/expand.h"
#include "cpu/semantics/x87_host.h"

#define RM_XROW(mnemonic, variant, feature, checks, ...)                                          \
    {ZYDIS_MNEMONIC_##mnemonic, Variant::variant, Feature::feature, checks, Intercept::kNone,     \
     Ending::kNext, &select_proc<__VA_ARGS__>, #mnemonic},
#define RM_X87_READY(cpu)                                                                         \
    do {                                                                                          \
        if (const Step s = ready(cpu); s != Step::kNext) [[unlikely]] return s;                   \
    } while (0)

namespace rm::cpu {

namespace {

using namespace x87;
using namespace x87_host;
using Reg80 = FpuState::Reg80;
using Memory = ValueEngine<kM, kN>;
struct Bytes10 {
    u8 b[10];
};

constexpr Reg80 kIndefinite{0xC000'0000'0000'0000, 0xFFFF};

// --- pointers (SDM 1 8.1.8); the decoder has put the opcode's 11 bits into imm ---
void note(Cpu& cpu, const Insn& i) {
    cpu.fpu.fip = cpu.rip_of(i);
    cpu.fpu.fcs = cpu.seg[kCs].selector;
    cpu.fpu.fop = i.imm & 0x7FF;
}
void note_memory(Cpu& cpu, const Insn& i) {
    note(cpu, i);
    cpu.fpu.fdp = Memory{cpu}.effective_address(i);
    cpu.fpu.fds = cpu.seg[i.seg].selector;
}

// --- flags ---
// Takes the condition codes in `codes` and the exceptions from sw. True: an unmasked exception leaves
// the destination alone; `also` adds flags with that effect (stores: OE and UE).
bool merge(FpuState& f, u16 sw, u16 codes = kC1, u16 also = 0) {
    const bool blocked = sw & (kBeforeResult | also) & ~f.fcw;
    if (blocked) codes = 0;
    f.fsw = static_cast<u16>((f.fsw & ~(codes | kC1)) | (sw & (codes | kC1 | kExceptions)));
    update_summary(f);
    return blocked;
}
// A stack fault (C1: overflow or underflow). True: masked, so the indefinite value is the result.
bool stack_fault(FpuState& f, bool overflow) {
    f.fsw = static_cast<u16>((f.fsw & ~kC1) | kIe | kSf | (overflow ? kC1 : 0));
    update_summary(f);
    return f.fcw & kIe;
}
void put(FpuState& f, unsigned n, const Reg80& v) {
    st(f, n) = v;
    set_valid(f, n);
}
void push(FpuState& f, const Reg80& v) {
    set_top(f, f.top() - 1);
    put(f, 0, v);
}
void clear_c1(FpuState& f) { f.fsw &= static_cast<u16>(~kC1); }

template <class Op>
u16 host(FpuState& f, Frame& frame) { return execute<Op>(frame, f.fcw, f.fsw); }

// --- two-operand arithmetic: operand 0 op= operand 1 ---
template <class Op, bool Pop>
Step arith_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned d = i.reg[0], s = i.reg[1];
    if (empty(f, d) || empty(f, s)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        put(f, d, kIndefinite);
    } else {
        Frame frame{.a = st(f, d), .b = st(f, s)};
        if (merge(f, host<Op>(f, frame))) return Step::kNext;
        put(f, d, frame.r0);
    }
    if constexpr (Pop) pop(f);
    return Step::kNext;
}

template <class T, class Op>
Step arith_memory_sized(Cpu& cpu, const Insn& i) {
    RM_LET(value, Memory{cpu}.load<T>(i));
    note_memory(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    Frame frame{.a = st(f, 0)};
    std::memcpy(frame.m, &value, sizeof value);
    if (!merge(f, host<Op>(f, frame))) put(f, 0, frame.r0);
    return Step::kNext;
}
template <class Op32, class Op64>
Step arith_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 2 ? arith_memory_sized<u32, Op32>(cpu, i)
                                : arith_memory_sized<u64, Op64>(cpu, i);
}
template <class Op16, class Op32>
Step arith_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 1 ? arith_memory_sized<u16, Op16>(cpu, i)
                                : arith_memory_sized<u32, Op32>(cpu, i);
}

// --- compares ---
constexpr u16 kCompareCodes = kC0 | kC1 | kC2 | kC3, kUnordered = kC0 | kC2 | kC3;

void pops(FpuState& f, unsigned count) {
    for (; count; --count) pop(f);
}
template <class Op>
Step compare(FpuState& f, Frame& frame, bool any_empty, unsigned pop_count) {
    if (any_empty) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        f.fsw |= kUnordered;
    } else if (merge(f, host<Op>(f, frame), kCompareCodes)) {
        return Step::kNext;
    }
    pops(f, pop_count);
    return Step::kNext;
}
// ST(0) with the register that operand N names, or with ST(1) if N is 2.
template <class Op, unsigned N, unsigned Pops>
Step compare_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned other = N == 2 ? 1 : i.reg[N];
    Frame frame{.a = st(f, 0), .b = st(f, other)};
    return compare<Op>(f, frame, empty(f, 0) || empty(f, other), Pops);
}
template <class T, class Op, unsigned Pops>
Step compare_memory_sized(Cpu& cpu, const Insn& i) {
    RM_LET(value, Memory{cpu}.load<T>(i));
    note_memory(cpu, i);
    Frame frame{.a = st(cpu.fpu, 0)};
    std::memcpy(frame.m, &value, sizeof value);
    return compare<Op>(cpu.fpu, frame, empty(cpu.fpu, 0), Pops);
}
template <unsigned Pops>
Step compare_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 2 ? compare_memory_sized<u32, fcom_f32, Pops>(cpu, i)
                                : compare_memory_sized<u64, fcom_f64, Pops>(cpu, i);
}
template <unsigned Pops>
Step compare_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return i.mem_size_log2 == 1 ? compare_memory_sized<u16, ficom_i16, Pops>(cpu, i)
                                : compare_memory_sized<u32, ficom_i32, Pops>(cpu, i);
}
Step test(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    Frame frame{.a = st(cpu.fpu, 0)};
    return compare<ftst>(cpu.fpu, frame, empty(cpu.fpu, 0), 0);
}
// FCOMI and kin: C3 C2 C0 become ZF PF CF (SDM 2, FCOMI); OF, SF, AF are cleared.
template <class Op, unsigned Pops>
Step compare_flags(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned other = i.reg[1];
    u16 sw = kUnordered;
    if (empty(f, 0) || empty(f, other)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
    } else {
        Frame frame{.a = st(f, 0), .b = st(f, other)};
        sw = host<Op>(f, frame);
        if (merge(f, sw)) return Step::kNext;
    }
    cpu.cc = static_cast<Cc>(kCcFixed | (sw & kC0 ? kCcCf : 0) | (sw & kC2 ? kCcPf : 0) |
                             (sw & kC3 ? kCcZf : 0));
    pops(f, Pops);
    return Step::kNext;
}
Step examine(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    Frame frame{.a = st(f, 0)};
    u16 codes = host<fxam>(f, frame) & kCodes;
    if (empty(f, 0)) codes = static_cast<u16>((codes & kC1) | kC3 | kC0);
    f.fsw = static_cast<u16>((f.fsw & ~kCodes) | codes);
    return Step::kNext;
}

// --- loads ---
template <class Op>
Step load_frame(FpuState& f, Frame& frame) {
    if (!empty(f, 7)) [[unlikely]] {
        if (stack_fault(f, true)) push(f, kIndefinite);
        return Step::kNext;
    }
    if (!merge(f, host<Op>(f, frame))) push(f, frame.r0);
    return Step::kNext;
}
template <class T, class Op>
Step load_sized(Cpu& cpu, const Insn& i) {
    RM_LET(value, Memory{cpu}.load<T>(i));
    note_memory(cpu, i);
    Frame frame;
    std::memcpy(frame.m, &value, sizeof value);
    return load_frame<Op>(cpu.fpu, frame);
}
// No conversion, so nothing is raised but a stack fault.
Step load_plain(FpuState& f, const Reg80& v) {
    if (!empty(f, 7)) [[unlikely]] {
        if (stack_fault(f, true)) push(f, kIndefinite);
        return Step::kNext;
    }
    clear_c1(f);
    push(f, v);
    return Step::kNext;
}
Step load_m80(Cpu& cpu, const Insn& i) {
    RM_LET(bytes, Memory{cpu}.load<Bytes10>(i));
    note_memory(cpu, i);
    Reg80 v;
    std::memcpy(static_cast<void*>(&v), &bytes, sizeof bytes);
    return load_plain(cpu.fpu, v);
}
Step load_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 2: return load_sized<u32, fld_f32>(cpu, i);
        case 3: return load_sized<u64, fld_f64>(cpu, i);
        default: return load_m80(cpu, i);
    }
}
Step load_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 1: return load_sized<u16, fild_i16>(cpu, i);
        case 2: return load_sized<u32, fild_i32>(cpu, i);
        default: return load_sized<u64, fild_i64>(cpu, i);
    }
}
Step load_bcd(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    return load_sized<Bytes10, fbld>(cpu, i);
}
Step load_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 7) && empty(f, i.reg[0])) [[unlikely]] {
        if (stack_fault(f, false)) push(f, kIndefinite);
        return Step::kNext;
    }
    return load_plain(f, st(f, i.reg[0]));
}
template <class Op>
Step load_constant(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    Frame frame;
    return load_frame<Op>(cpu.fpu, frame);
}

// --- stores ---
// Default: what a masked stack underflow stores.
template <class T, class Op, bool Pop>
Step store_sized(Cpu& cpu, const Insn& i, T indefinite) {
    FpuState& f = cpu.fpu;
    Frame frame{.a = st(f, 0)};
    const bool none = empty(f, 0);
    const u16 sw = none ? u16{kIe} : host<Op>(f, frame);
    const bool blocked = sw & (kBeforeResult | kOe | kUe) & ~f.fcw;
    T value = indefinite;
    if (!none) std::memcpy(&value, frame.m, sizeof value);
    if (!blocked) RM_TRY(Memory{cpu}.store<T>(i, value));
    note_memory(cpu, i);
    if (none)
        (void)stack_fault(f, false);
    else
        (void)merge(f, sw, kC1, kOe | kUe);
    if (Pop && !blocked) pop(f);
    return Step::kNext;
}
template <bool Pop>
Step store_m80(Cpu& cpu, const Insn& i) {
    FpuState& f = cpu.fpu;
    const bool none = empty(f, 0);
    if (!none || (f.fcw & kIe)) {
        const Reg80 v = none ? kIndefinite : st(f, 0);
        Bytes10 bytes;
        std::memcpy(&bytes, &v, sizeof bytes);
        RM_TRY(Memory{cpu}.store(i, bytes));
    }
    note_memory(cpu, i);
    if (none) {
        if (!stack_fault(f, false)) return Step::kNext;
    } else {
        clear_c1(f);
    }
    if (Pop) pop(f);
    return Step::kNext;
}
constexpr u32 kIndefinite32 = 0xFFC0'0000;
constexpr u64 kIndefinite64 = 0xFFF8'0000'0000'0000;
template <bool Pop>
Step store_float(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 2: return store_sized<u32, fst_f32, Pop>(cpu, i, kIndefinite32);
        case 3: return store_sized<u64, fst_f64, Pop>(cpu, i, kIndefinite64);
        default: return store_m80<Pop>(cpu, i);
    }
}
template <class Op16, class Op32, class Op64, bool Pop>
Step store_int(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    switch (i.mem_size_log2) {
        case 1: return store_sized<u16, Op16, Pop>(cpu, i, 0x8000);
        case 2: return store_sized<u32, Op32, Pop>(cpu, i, 0x8000'0000);
        default: return store_sized<u64, Op64, Pop>(cpu, i, 0x8000'0000'0000'0000);
    }
}
Step store_bcd(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    constexpr Bytes10 kBcdIndefinite{{0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF}};
    return store_sized<Bytes10, fbstp, true>(cpu, i, kBcdIndefinite);
}
template <bool Pop>
Step store_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        put(f, i.reg[0], kIndefinite);
    } else {
        clear_c1(f);
        put(f, i.reg[0], st(f, 0));
    }
    if (Pop) pop(f);
    return Step::kNext;
}

// --- one operand ---
template <class Op, u16 Codes = kC1>
Step unary(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    Frame frame{.a = st(f, 0)};
    if (!merge(f, host<Op>(f, frame), Codes)) put(f, 0, frame.r0);
    return Step::kNext;
}
// FCHS, FABS: the sign bit of anything.
template <u16 Clear, u16 Flip>
Step change_sign(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0)) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    clear_c1(f);
    u16& se = st(f, 0).sign_exponent;
    se = static_cast<u16>((se & ~Clear) ^ Flip);
    return Step::kNext;
}

// --- ST(0) and ST(1) ---
template <class Op, u16 Codes, bool IntoSt1>
Step binary(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    constexpr unsigned kTo = IntoSt1 ? 1 : 0;
    if (empty(f, 0) || empty(f, 1)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        put(f, kTo, kIndefinite);
    } else {
        Frame frame{.a = st(f, 0), .b = st(f, 1)};
        if (merge(f, host<Op>(f, frame), Codes)) return Step::kNext;
        put(f, kTo, frame.r0);
    }
    if (IntoSt1) pop(f);
    return Step::kNext;
}

// --- one to two: FSINCOS, FPTAN, FXTRACT. C2 (out of range) leaves ST(0) and pushes nothing ---
template <class Op, u16 Codes>
Step unary_push(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const bool none = empty(f, 0), full = !empty(f, 7);
    if (none || full) [[unlikely]] {
        if (stack_fault(f, !none)) {
            put(f, 0, kIndefinite);
            push(f, kIndefinite);
        }
        return Step::kNext;
    }
    Frame frame{.a = st(f, 0)};
    const u16 sw = host<Op>(f, frame);
    if (merge(f, sw, Codes) || (sw & Codes & kC2)) return Step::kNext;
    put(f, 0, frame.r0);
    push(f, frame.r1);
    return Step::kNext;
}

// --- moves between registers ---
Step exchange(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    const unsigned n = i.reg[0];
    if (empty(f, 0) || empty(f, n)) [[unlikely]] {
        if (!stack_fault(f, false)) return Step::kNext;
        if (empty(f, 0)) put(f, 0, kIndefinite);
        if (empty(f, n)) put(f, n, kIndefinite);
    } else {
        clear_c1(f);
    }
    const Reg80 v = st(f, 0);
    st(f, 0) = st(f, n);
    st(f, n) = v;
    return Step::kNext;
}
template <unsigned Condition>
Step conditional_move(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    FpuState& f = cpu.fpu;
    if (empty(f, 0) || empty(f, i.reg[1])) [[unlikely]] {
        if (stack_fault(f, false)) put(f, 0, kIndefinite);
        return Step::kNext;
    }
    clear_c1(f);
    if (alu::condition<Condition>(cpu.cc)) st(f, 0) = st(f, i.reg[1]);
    return Step::kNext;
}

// --- stack management ---
template <int By>
Step turn_stack(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    clear_c1(cpu.fpu);
    set_top(cpu.fpu, cpu.fpu.top() + By);
    return Step::kNext;
}
template <bool Pop>
Step free_reg(Cpu& cpu, const Insn& i) {
    RM_X87_READY(cpu);
    note(cpu, i);
    set_empty(cpu.fpu, i.reg[0]);
    if (Pop) pop(cpu.fpu);
    return Step::kNext;
}

Step wait(Cpu& cpu, const Insn&) { return ready(cpu); }
Step nothing(Cpu&, const Insn&) { return Step::kNext; }

}  // namespace

std::span<const Row> x87_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/x87.def"
    };
    return kRows;
}

}  // namespace rm::cpu
