// Rows of cpu/instructions/move.def, with the procedures that have no template body.
#include "cpu/semantics/move.h"

#include <atomic>
#include <thread>

#include "cpu/semantics/expand.h"

namespace rm::cpu {

using namespace semantics;

namespace {

using MovForms =
    Shape<kSizesAll, Form<kR, kR>, Form<kR, kM>, Form<kM, kR>, Form<kR, kI>, Form<kM, kI>>;
using LeaForms = Shape<kSizesWdq, Form<kR, kM>>;
using Exchange = Shape<kSizesAll, Form<kR, kR>, Form<kR, kM>, Form<kM, kR>>;
using RegOnly = Shape<kSizesWdq, Form<kR, kN>>;
using MovbeForms = Shape<kSizesWdq, Form<kR, kM>, Form<kM, kR>>;
using PushForms = Shape<kSizesWdq, Form<kR, kN>, Form<kM, kN>, Form<kI, kN>>;
using PopForms = Shape<kSizesWdq, Form<kR, kN>, Form<kM, kN>>;
using SetForms = Shape<kSizeB, Form<kR, kN>, Form<kM, kN>>;

using AnyEngine = ValueEngine<OperandKind::kMem, OperandKind::kNone>;

Step no_operation(Cpu&, const Insn&) { return Step::kNext; }

// On a host thread of its own a processor's stores may still wait while its loads go ahead, as on
// silicon.
Step memory_fence(Cpu& cpu, const Insn&) {
    if (cpu.threads) std::atomic_thread_fence(std::memory_order_seq_cst);
    return Step::kNext;
}

// The one waited for may have no host processor at the moment.
Step spin_hint(Cpu& cpu, const Insn&) {
    if (cpu.threads) std::this_thread::yield();
    return Step::kNext;
}

// CLFLUSH faults as a one-byte load would (SDM 2, CLFLUSH).
Step clflush(Cpu& cpu, const Insn& i) {
    RM_TRY(AnyEngine{cpu}.load<u8>(i).ok());
    return Step::kNext;
}

Step salc(Cpu& cpu, const Insn&) {
    AnyEngine{cpu}.set_at<u8>(0, cpu.cc & kCcCf ? 0xFF : 0);
    return Step::kNext;
}

// XLAT: AL = [rBX + AL]. The operand is implicit, so the address is made here.
Step xlat(Cpu& cpu, const Insn& i) {
    AnyEngine e{cpu};
    Insn address = i;
    address.base = kRbx;
    address.index = kZeroReg;
    address.scale = 0;
    address.disp = static_cast<u8>(cpu.gpr[kRax]);
    RM_LET(v, e.load<u8>(address));
    e.set_at<u8>(0, v);
    return Step::kNext;
}

// All eight words are checked before the first is written.
template <class T>
Step pusha_sized(Cpu& cpu) {
    AnyEngine e{cpu};
    constexpr Gpr kOrder[8] = {kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi};
    LinearAddr va[8];
    const u64 sp = cpu.gpr[kRsp];
    for (unsigned n = 0; n < 8; ++n) {
        const u64 at = (sp - (n + 1) * sizeof(T)) & cpu.stack_mask;
        RM_TRY(e.stack_linear<sizeof(T), memory::Access::kWrite>(at, va[n]));
        if (!cpu.mmu.probe(cpu.mmu.data_class(), va[n], sizeof(T), memory::Access::kWrite)) {
            (void)cpu.access_failed(kSs);
            return Step::kFault;
        }
    }
    for (unsigned n = 0; n < 8; ++n)
        if (!cpu.mmu.store(va[n], static_cast<T>(cpu.gpr[kOrder[n]]))) {
            (void)cpu.access_failed(kSs);
            return Step::kFault;
        }
    e.set_sp((sp - 8 * sizeof(T)) & cpu.stack_mask);
    return Step::kNext;
}
Step pusha(Cpu& cpu, const Insn& i) {
    return i.size_log2 == 1 ? pusha_sized<u16>(cpu) : pusha_sized<u32>(cpu);
}

template <class T>
Step popa_sized(Cpu& cpu) {
    AnyEngine e{cpu};
    constexpr Gpr kOrder[8] = {kRdi, kRsi, kRbp, kRsp, kRbx, kRdx, kRcx, kRax};
    T v[8];
    for (unsigned n = 0; n < 8; ++n) {
        RM_LET(word, e.top<T>(n * sizeof(T)));
        v[n] = word;
    }
    e.drop(8 * sizeof(T));
    for (unsigned n = 0; n < 8; ++n)
        if (kOrder[n] != kRsp) e.set_gpr<T>(kOrder[n], v[n]);
    return Step::kNext;
}
Step popa(Cpu& cpu, const Insn& i) {
    return i.size_log2 == 1 ? popa_sized<u16>(cpu) : popa_sized<u32>(cpu);
}

// ENTER (SDM 2): size in imm 31:0, nesting level in imm 63:32 modulo 32. Everything that can fault
// is tried first, in the order of the pushes; then each word is read after the pushes before it,
// because the old frame may overlap the new one.
template <class T>
Step enter_sized(Cpu& cpu, const Insn& i) {
    AnyEngine e{cpu};
    const u64 size = i.imm & 0xFFFF;
    const unsigned level = (i.imm >> 32) & 31;
    const u64 sp = cpu.gpr[kRsp];
    // With a 16-bit stack, EBP still gets the upper half of ESP.
    const u64 frame = (sp & ~cpu.stack_mask) | ((sp - sizeof(T)) & cpu.stack_mask);
    const unsigned count = level + 1;
    auto old_pointer = [&](unsigned n) {
        return e.top_at<T>((cpu.gpr[kRbp] - n * sizeof(T)) & cpu.stack_mask);
    };
    auto writable = [&](u64 at, LinearAddr& va) {
        if (!e.stack_linear<sizeof(T), memory::Access::kWrite>(at & cpu.stack_mask, va))
            return false;
        return cpu.mmu.probe(cpu.mmu.data_class(), va, sizeof(T), memory::Access::kWrite) ||
               cpu.access_failed(kSs);
    };
    LinearAddr va[32], last;
    for (unsigned n = 0; n < count; ++n) {
        if (n > 0 && n < level) RM_TRY(old_pointer(n).ok());
        RM_TRY(writable(sp - (n + 1) * sizeof(T), va[n]));
    }
    // The final stack location must be writable too (SDM 2, ENTER).
    const u64 end = (sp - count * sizeof(T) - size) & cpu.stack_mask;
    RM_TRY(writable(end, last));
    for (unsigned n = 0; n < count; ++n) {
        T word = static_cast<T>(n == 0 ? cpu.gpr[kRbp] : frame);
        if (n > 0 && n < level) {
            RM_LET(pointer, old_pointer(n));
            word = pointer;
        }
        if (!cpu.mmu.store(va[n], word)) {
            (void)cpu.access_failed(kSs);
            return Step::kFault;
        }
    }
    e.set_gpr<T>(kRbp, static_cast<T>(frame));
    e.set_sp(end);
    return Step::kNext;
}
Step enter(Cpu& cpu, const Insn& i) {
    switch (i.size_log2) {
        case 1: return enter_sized<u16>(cpu, i);
        case 2: return enter_sized<u32>(cpu, i);
        default: return enter_sized<u64>(cpu, i);
    }
}

}  // namespace

std::span<const Row> move_rows() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/move.def"
    };
    return kRows;
}

}  // namespace rm::cpu
