// Locked read-modify-writes while several processors run at once (thread=multi): LOCK prefixes, and
// XCHG with memory, which locks by itself (SDM 3A 9.1.2.2). The body runs on the complete engine,
// but its commit is the host's compare-and-exchange with the value it began with; if another
// processor was faster, the body starts over with the registers it found. Where no host pointer
// serves (devices, frames with decoded code, page crossings) the instruction runs while everybody
// else stands still.
#pragma once
#include <iterator>

#include "base/guest_memory.h"
#include "cpu/interpreter/value_engine.h"

namespace rm::cpu {

template <OperandKind K0, OperandKind K1>
struct LockedEngine : ValueEngine<K0, K1> {
    using Base = ValueEngine<K0, K1>;
    using Base::cpu;
    template <class T>
    using Place = typename Base::template Place<T>;

    enum class Outcome : u8 { kDone, kRetry, kStopOthers } outcome = Outcome::kDone;

    explicit LockedEngine(Cpu& c) : Base{c} {}

    template <class T, unsigned N>
    Maybe<Place<T>> rmw(const Insn& i) {
        if constexpr (Base::template static_kind<N>() == OperandKind::kReg)
            return Base::template rmw<T, N>(i);
        else
            return rmw_memory<T>(i);
    }
    template <class T>
    Maybe<Place<T>> rmw_memory(const Insn& i, u64 extra = 0) {
        Maybe<Place<T>> p{{T{}, {}, 0, true}, false};
        LinearAddr va;
        if (!Base::template linear_of<sizeof(T), memory::Access::kWrite>(i, va, extra)) return p;
        u8*& host = p.value.memory.host;
        p.good = cpu.mmu.rmw_hit(va, host, p.value.value) ||
                 (cpu.mmu.touch(va, sizeof(T), memory::Access::kWrite) &&
                  cpu.mmu.rmw_hit(va, host, p.value.value));
        if (!p.good) outcome = Outcome::kStopOthers;
        return p;
    }
    template <class T>
    void commit(const Place<T>& p, T v) {
        if (!p.in_memory)
            Base::commit(p, v);
        else if (!compare_exchange(p.memory.host, p.value, v))
            outcome = Outcome::kRetry;
    }
};

// Runs body(engine) for an instruction that may be locked. It may change general registers, flags
// and the place.
template <OperandKind A, OperandKind B, class Body>
Step run_locked(Cpu& cpu, const Insn& i, Body&& body) {
    ValueEngine<A, B> plain{cpu};
    if (!cpu.threads || !(i.prefixes & kPrefixLock)) return body(plain);
    for (;;) {
        u64 gpr[std::size(CpuState{}.gpr)];
        std::memcpy(gpr, cpu.gpr, sizeof gpr);
        const Cc cc = cpu.cc;
        LockedEngine<A, B> e{cpu};
        const Step step = body(e);
        if (e.outcome == LockedEngine<A, B>::Outcome::kDone) return step;
        std::memcpy(cpu.gpr, gpr, sizeof gpr);
        cpu.cc = cc;
        if (e.outcome == LockedEngine<A, B>::Outcome::kRetry) continue;
        const MachineLock::Alone alone(cpu.threads);
        return body(plain);
    }
}

template <class Body, class T, OperandKind A, OperandKind B>
Step locked_handler(Cpu& cpu, const Insn& i) {
    if (!cpu.threads) return value_handler<Body, T, A, B>(cpu, i);
    return run_locked<A, B>(cpu, i, [&](auto& e) { return Body::template run<T>(e, i); });
}

}  // namespace rm::cpu
