// A second engine for the vector bodies: it computes nothing and writes down what the body asks
// for, as the translator's builder will. It proves that the bodies use only the engine's interface,
// that each operation arrives by its number, and that no write precedes what can fault.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "cpu/semantics/mask_move.h"
#include "cpu/semantics/sse.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::semantics;

namespace {

template <VecOp Id>
struct Op {
    static constexpr VecOp kId = Id;
};
using Paddb = Op<VecOp::paddb>;
using Addpd = Op<VecOp::addpd>;
using Zero = Op<VecOp::zero_high64>;

struct VecVal {};
template <class T>
struct Val {};
template <class T>
struct Sure {
    T value;
    constexpr bool ok() const { return true; }
};

struct RecordingVectorEngine {
    std::vector<std::string> ops;
    void log(std::string s) { ops.push_back(std::move(s)); }
    template <class O>
    static std::string name() {
        return std::to_string(static_cast<unsigned>(O::kId));
    }

    VecVal xmm(unsigned n) { return log("xmm " + std::to_string(n)), VecVal{}; }
    void set_xmm(unsigned n, VecVal) { log("set_xmm " + std::to_string(n)); }
    VecVal mm(unsigned n) { return log("mm " + std::to_string(n)), VecVal{}; }
    void set_mm(unsigned n, VecVal) { log("set_mm " + std::to_string(n)); }
    Step mmx_ready() { return log("fault mmx_ready"), Step::kNext; }
    void mmx_enter() { log("mmx_state"); }  // allowed before a fault (see FpToMmx, MaskMove)
    template <unsigned Bytes, Align A>
    Sure<VecVal> xmm_source(const Insn&) {
        return log("fault load." + std::to_string(Bytes)), Sure<VecVal>{};
    }
    template <unsigned Bytes>
    Sure<VecVal> mm_source(const Insn&) {
        return log("fault load." + std::to_string(Bytes)), Sure<VecVal>{};
    }
    template <unsigned Bytes, Align A>
    bool store_operand(const Insn&, VecVal) {
        return log("fault store." + std::to_string(Bytes)), true;
    }
    template <class O>
    VecVal vec(VecVal, VecVal, unsigned = 0) {
        return log("vec " + name<O>()), VecVal{};
    }
    template <class O>
    VecVal vec3(VecVal, VecVal, VecVal) {
        return log("vec3"), VecVal{};
    }
    template <class O, unsigned Part>
    VecVal vec_by_field(VecVal, VecVal, VecVal) {
        return log("field"), VecVal{};
    }
    template <class O>
    Sure<VecVal> fp(VecVal, VecVal, unsigned = 0) {
        return log("fault fp " + name<O>()), Sure<VecVal>{};
    }
    template <class T, class O>
    Sure<Val<T>> fp_to(VecVal, VecVal) {
        return log("fault fp " + name<O>()), Sure<Val<T>>{};
    }
    template <class T, class O, class V>
    Sure<VecVal> fp_from(VecVal, V) {
        return log("fault fp " + name<O>()), Sure<VecVal>{};
    }
    template <class V>
    VecVal vec_of(V) {
        return {};
    }
    template <class T>
    Val<T> low_of(VecVal) {
        return {};
    }
    template <class L>
    Val<L> lane(VecVal, unsigned) {
        return log("lane"), Val<L>{};
    }
    template <class L, class V>
    VecVal set_lane(VecVal, unsigned, V) {
        return log("set lane"), VecVal{};
    }
    template <class L>
    Val<u32> sign_mask(VecVal) {
        return log("mask"), Val<u32>{};
    }
    Val<Cc> test_vec(VecVal, VecVal) { return log("ptest"), Val<Cc>{}; }
    template <class V>
    void set_flags(V) {
        log("set_flags");
    }
    template <class T>
    Val<T> get_at(u8) {
        return {};
    }
    template <class T, class V>
    void set_at(u8, V) {
        log("set_gpr");
    }
    template <class T, unsigned N>
    Sure<Val<T>> read(const Insn&) {
        return log("fault read"), Sure<Val<T>>{};
    }
    template <class T, class V>
    bool store(const Insn&, V) {
        return log("fault store"), true;
    }
    template <class T, class V>
    Val<T> zero_extend(V) {
        return {};
    }
    template <class T, bool Explicit, bool Mask>
    void string_compare(VecVal, VecVal, unsigned) {
        log("set_string");
    }
    template <class T, class C, class V>
    Val<u32> crc32(C, V) {
        return log("crc32"), Val<u32>{};
    }
    bool memory_is_mmx() { return true; }
    template <unsigned Size, class M>
    Step store_selected(const Insn&, VecVal, M) {
        return log("fault store_selected"), Step::kNext;
    }
};

using Ops = std::vector<std::string>;

template <class Body>
Ops record(OperandKind a, OperandKind b) {
    RecordingVectorEngine e;
    Insn i;
    i.kinds = static_cast<u8>(static_cast<unsigned>(a) | static_cast<unsigned>(b) << 2);
    i.reg[0] = 3;
    i.reg[1] = 5;
    CHECK(Body::template run<u32>(e, i) == Step::kNext);
    bool written = false;
    for (const std::string& op : e.ops) {
        CHECK_FALSE((written && op.starts_with("fault")));
        written |= op.starts_with("set_");
    }
    return e.ops;
}

constexpr auto R = OperandKind::kReg, M = OperandKind::kMem;
std::string id(VecOp op) { return std::to_string(static_cast<unsigned>(op)); }

}  // namespace

TEST_CASE("vector bodies run on an engine that only records") {
    CHECK(record<Xmm<Paddb>>(R, M) ==
          Ops{"fault load.16", "xmm 3", "vec " + id(VecOp::paddb), "set_xmm 3"});
    CHECK(record<XmmFp<Addpd>>(R, R) ==
          Ops{"fault load.16", "xmm 3", "fault fp " + id(VecOp::addpd), "set_xmm 3"});
    CHECK(record<Mmx<Paddb>>(R, M) == Ops{"fault mmx_ready", "fault load.8", "mmx_state", "mm 3",
                                          "vec " + id(VecOp::paddb), "set_mm 3"});
    CHECK(record<MoveXmm<16, Align::kAny>>(M, R) == Ops{"xmm 5", "fault store.16"});
}

TEST_CASE("in every vector body writes come last") {
    (void)record<XmmBlend<Paddb>>(R, M);
    (void)record<XmmInsertFloat<Paddb>>(R, M);
    (void)record<XmmFpHalf<Addpd, Zero>>(R, M);
    (void)record<FpCompare<Addpd, 8>>(R, M);
    (void)record<FpToGpr<Addpd, 8>>(R, M);
    (void)record<GprToFp<Addpd>>(R, M);
    (void)record<FpToMmx<Addpd, 8, Zero>>(R, M);
    (void)record<MmxToFp<Addpd, Zero, true>>(R, M);
    (void)record<MmxToFp<Addpd, Zero, false>>(R, R);
    (void)record<MoveScalar<Paddb, 4>>(R, R);
    (void)record<MoveScalar<Paddb, 4>>(M, R);
    (void)record<MoveHalf<Paddb, Paddb>>(R, M);
    (void)record<MoveHalf<Paddb, Paddb>>(M, R);
    (void)record<MoveXmmGpr<u64, Zero>>(R, R);
    (void)record<MoveMmxGpr<u64>>(M, R);
    (void)record<MoveMmxToXmm>(R, R);
    (void)record<MoveXmmToMmx>(R, R);
    (void)record<Extract<u16, VecFile::kMmx>>(R, R);
    (void)record<Extract<u16, VecFile::kXmm>>(M, R);
    (void)record<Insert<u16, VecFile::kMmx>>(R, M);
    (void)record<MoveMask<u8, VecFile::kXmm>>(R, R);
    (void)record<Ptest>(R, M);
    (void)record<StringCompare<true, true>>(R, M);
    (void)record<Crc32>(R, M);
    (void)record<Extrq<Paddb>>(R, R);
    (void)record<Insertq<Paddb>>(R, R);
    (void)record<MaskMove<VecFile::kMmx>>(R, R);
}
