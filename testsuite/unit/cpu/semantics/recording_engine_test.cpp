// A second engine for the integer bodies: it computes nothing and writes down what the body asks
// for, as the translator's builder will. It proves that bodies use only the engine's interface, and
// that no write precedes an operation that can fault.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "cpu/semantics/arith.h"
#include "cpu/semantics/branch.h"
#include "cpu/semantics/logic.h"
#include "cpu/semantics/move.h"

using namespace rm;
using namespace rm::cpu;

namespace {

template <class T>
struct Val {
    int id = -1;
    T constant{};
    Val() = default;
    explicit Val(int i) : id(i) {}
    Val(T c) requires(!std::is_same_v<T, int>) : constant(c) {}
};
struct BoolVal {};
struct FlagsVal {};
template <class T>
struct AluVal {
    Val<T> value;
    FlagsVal flags;
};
template <class T>
struct WideVal {
    Val<T> low, high;
    FlagsVal flags;
};
template <class T>
struct DivVal {
    Val<T> quotient, remainder;
};
template <class T>
struct Sure {  // the builder's Maybe: faults are side exits, never a return value
    T value;
    constexpr bool ok() const { return true; }
};

struct RecordingEngine {
    std::vector<std::string> ops;
    int next = 0;

    template <class T>
    using Same = std::type_identity_t<T>;
    template <class T>
    struct Place {
        Val<T> value;
        bool memory;
        u8 reg;
    };

    template <class T>
    Val<T> fresh() {
        return Val<T>(next++);
    }
    void log(const std::string& s) { ops.push_back(s); }
    static std::string size(unsigned n) { return "." + std::to_string(n * 8); }

    template <class T>
    Val<T> get_at(u8 offset) {
        log("get" + size(sizeof(T)) + " " + std::to_string(offset));
        return fresh<T>();
    }
    template <class T>
    void set_at(u8 offset, Same<Val<T>>) {
        log("set" + size(sizeof(T)) + " " + std::to_string(offset));
    }
    template <class T>
    void set_at_if(BoolVal, u8 offset, Same<Val<T>>) {
        log("set_if" + size(sizeof(T)) + " " + std::to_string(offset));
    }
    template <class T>
    Val<T> gpr(unsigned r) {
        return get_at<T>(static_cast<u8>(r * 8));
    }
    template <class T>
    void set_gpr(unsigned r, Same<Val<T>> v) {
        set_at<T>(static_cast<u8>(r * 8), v);
    }
    template <class T>
    void set_gpr_if(BoolVal c, unsigned r, Same<Val<T>> v) {
        set_at_if<T>(c, static_cast<u8>(r * 8), v);
    }
    template <class T>
    Sure<Val<T>> load(const Insn&, Val<u64> = {}) {
        log("load" + size(sizeof(T)));
        return {fresh<T>()};
    }
    template <class T, unsigned N>
    Sure<Val<T>> read(const Insn& i) {
        if (i.kind(N) == OperandKind::kMem) return load<T>(i);
        if (i.kind(N) == OperandKind::kImm) return {Val<T>(static_cast<T>(i.imm))};
        return {get_at<T>(i.reg[N])};
    }
    template <class T, unsigned N>
    bool write(const Insn& i, Same<Val<T>> v) {
        if (i.kind(N) == OperandKind::kMem)
            log("store" + size(sizeof(T)));
        else
            set_at<T>(i.reg[N], v);
        return true;
    }
    template <class T, unsigned N>
    Sure<Place<T>> rmw(const Insn& i) {
        if (i.kind(N) == OperandKind::kMem) return rmw_memory<T>(i);
        return {{get_at<T>(i.reg[N]), false, i.reg[N]}};
    }
    template <class T>
    Sure<Place<T>> rmw_memory(const Insn&, Val<u64> = {}) {
        log("rmw" + size(sizeof(T)));
        return {{fresh<T>(), true, 0}};
    }
    template <class T>
    void commit(const Place<T>& p, Same<Val<T>> v) {
        if (p.memory)
            log("commit" + size(sizeof(T)));
        else
            set_at<T>(p.reg, v);
    }
    static u64 imm(const Insn& i) { return i.imm; }
    Val<u64> effective_address(const Insn&) {
        log("ea");
        return fresh<u64>();
    }

    // The formatter takes these for one declaration.
    // clang-format off
#define RM_RECORD2(name)                   \
    template <class T>                     \
    AluVal<T> name(Val<T>, Same<Val<T>>) { \
        log(#name + size(sizeof(T)));      \
        return {fresh<T>(), {}};           \
    }
    RM_RECORD2(add)
    RM_RECORD2(sub)
    RM_RECORD2(adc) RM_RECORD2(sbb) RM_RECORD2(and_) RM_RECORD2(or_) RM_RECORD2(xor_)
        RM_RECORD2(bsf) RM_RECORD2(bsr)
#define RM_RECORD_SHIFT(name)         \
    template <class T>                \
    AluVal<T> name(Val<T>, Val<u8>) { \
        log(#name + size(sizeof(T))); \
        return {fresh<T>(), {}};      \
    }
            RM_RECORD_SHIFT(shl) RM_RECORD_SHIFT(shr) RM_RECORD_SHIFT(sar) RM_RECORD_SHIFT(rol)
                RM_RECORD_SHIFT(ror)
        // clang-format on
        template <class T>
        AluVal<T> sub(T, Val<T> b) {
        return sub(b, b);
    }
    template <class T>
    Val<T> not_(Val<T>) {
        log("not" + size(sizeof(T)));
        return fresh<T>();
    }
    template <class T>
    WideVal<T> mul(Val<T>, Same<Val<T>>) {
        log("mul" + size(sizeof(T)));
        return {fresh<T>(), fresh<T>(), {}};
    }
    template <class T>
    WideVal<T> imul(Val<T>, Same<Val<T>>) {
        log("imul" + size(sizeof(T)));
        return {fresh<T>(), fresh<T>(), {}};
    }
    template <class T>
    Sure<DivVal<T>> div(Val<T>, Val<T>, Val<T>) {
        log("div" + size(sizeof(T)));
        return {{fresh<T>(), fresh<T>()}};
    }
    template <class T>
    Val<T> bswap(Val<T>) {
        log("bswap" + size(sizeof(T)));
        return fresh<T>();
    }
    template <class T>
    Val<T> low_bits(Val<T> v, unsigned) {
        return v;
    }
    template <class T>
    BoolVal bit_of(Val<T>, Val<T>) {
        log("bit_of");
        return {};
    }
    template <class T>
    Val<T> bit_mask(Val<T>) {
        return fresh<T>();
    }
    template <class T>
    Val<u64> bit_string_offset(Val<T>) {
        log("bit_offset");
        return fresh<u64>();
    }
    void set_carry(BoolVal) { log("set_cf"); }
    void set_flags(FlagsVal) { log("flags"); }
    void set_flags(FlagsVal, Cc) { log("flags_part"); }
    template <unsigned C>
    BoolVal condition() {
        log("cond " + std::to_string(C));
        return {};
    }
    template <class T>
    BoolVal equal(Val<T>, Same<Val<T>>) {
        log("equal");
        return {};
    }
    BoolVal not_bool(BoolVal b) { return b; }
    BoolVal and_bool(BoolVal a, BoolVal) { return a; }
    BoolVal constant_bool(bool) { return {}; }
    template <class T>
    Val<T> select(BoolVal, Val<T>, Same<Val<T>>) {
        log("select");
        return fresh<T>();
    }
    template <class T>
    Val<T> constant(T v) {
        return Val<T>(v);
    }
    Val<u8> constant8(u8 v) { return Val<u8>(v); }
    Val<u64> constant64(u64 v) { return Val<u64>(v); }
    template <class To, class From>
    Val<To> zero_extend(Val<From>) {
        log("zx");
        return fresh<To>();
    }
    template <class To, class From>
    Val<To> sign_extend(Val<From>) {
        log("sx");
        return fresh<To>();
    }
    template <class To, class From>
    Val<To> truncate(Val<From>) {
        return fresh<To>();
    }
    Step undefined_opcode() {
        log("ud");
        return Step::kFault;
    }
    template <class V>
    bool target_ok(V) {
        log("check_target");
        return true;
    }
    u64 next_rip(const Insn& i) const { return i.offset + i.length; }
    template <class V>
    Step jump(V) {
        log("jump");
        return Step::kJump;
    }
    Step jump_if(BoolVal, u64) {
        log("jump_if");
        return Step::kNext;
    }
    template <class T>
    bool push(Val<T>) {
        log("push" + size(sizeof(T)));
        return true;
    }
    template <class T>
    Sure<Val<T>> top() {
        log("top" + size(sizeof(T)));
        return {fresh<T>()};
    }
    void drop(u64) { log("drop"); }
};

Insn form(OperandKind a, OperandKind b) {
    Insn i;
    i.kinds = static_cast<u8>(static_cast<unsigned>(a) | static_cast<unsigned>(b) << 2);
    i.reg[0] = 0;
    i.reg[1] = 8;
    return i;
}

template <class Body, class T>
std::vector<std::string> record(OperandKind a, OperandKind b) {
    RecordingEngine e;
    (void)Body::template run<T>(e, form(a, b));
    return e.ops;
}

using Ops = std::vector<std::string>;
constexpr auto R = OperandKind::kReg, M = OperandKind::kMem, I = OperandKind::kImm,
               N = OperandKind::kNone;

}  // namespace

TEST_CASE("bodies run on an engine that only records") {
    CHECK(record<semantics::Add, u32>(R, R) ==
          Ops{"get.32 8", "get.32 0", "add.32", "set.32 0", "flags"});
    CHECK(record<semantics::Sub, u64>(R, M) ==
          Ops{"load.64", "get.64 0", "sub.64", "set.64 0", "flags"});
    CHECK(record<semantics::Cmp, u8>(M, I) == Ops{"load.8", "sub.8", "flags"});
    CHECK(record<semantics::Inc, u16>(M, N) == Ops{"rmw.16", "add.16", "commit.16", "flags_part"});
    CHECK(record<semantics::Shl, u32>(R, R) ==
          Ops{"get.32 0", "get.8 8", "shl.32", "set.32 0", "flags"});
    CHECK(record<semantics::Cmov<4>, u32>(R, M) ==
          Ops{"load.32", "get.32 0", "cond 4", "select", "set.32 0"});
    CHECK(record<semantics::Jcc<5>, u64>(I, N) == Ops{"cond 5", "jump_if"});
    CHECK(record<semantics::Div, u32>(R, N) ==
          Ops{"get.32 0", "get.32 16", "get.32 0", "div.32", "set.32 0", "set.32 16"});
}

TEST_CASE("nothing is written before the last operation that can fault") {
    auto check = [](const Ops& ops) {
        bool written = false;
        for (const std::string& op : ops) {
            const bool writes = op.starts_with("set") || op.starts_with("commit") ||
                                op.starts_with("flags") || op == "drop";
            const bool faults = op.starts_with("load") || op.starts_with("store") ||
                                op.starts_with("rmw") || op.starts_with("push") ||
                                op.starts_with("top") || op.starts_with("div") ||
                                op == "check_target";
            CHECK_FALSE((written && faults));
            written |= writes;
        }
        CHECK(!ops.empty());
    };
    check(record<semantics::Add, u32>(M, R));
    check(record<semantics::Adc, u64>(M, I));
    check(record<semantics::Xchg, u32>(R, M));
    check(record<semantics::Xchg, u32>(M, R));
    check(record<semantics::Xadd, u16>(M, R));
    check(record<semantics::Cmpxchg, u64>(M, R));
    check(record<semantics::BitTest<semantics::BitOp::kSet>, u32>(M, R));
    check(record<semantics::Setcc<3>, u8>(M, N));
    check(record<semantics::Push, u64>(M, N));
    check(record<semantics::Pop, u64>(M, N));
    check(record<semantics::Call, u64>(M, N));
    check(record<semantics::Ret, u64>(I, N));
    check(record<semantics::Mul, u64>(M, N));
    check(record<semantics::Div, u64>(M, N));
    check(record<semantics::Bsf, u64>(R, M));
    check(record<semantics::MovExtend<true>, u64>(R, M));
    check(record<semantics::Movbe, u32>(M, R));
}
