#include "jit/ir/verify.h"

#include <vector>

#include "cpu/semantics/vec.h"
#include "cpu/state/cpu_state.h"
#include "jit/ir/print.h"

namespace rm::jit::ir {

namespace {

constexpr int kAnySize = -1;
constexpr const char* kOrdinals[3] = {"first", "second", "third"};

bool is_shift(Code c) { return c >= Code::shl && c <= Code::rcr; }
bool is_arithmetic(Code c) { return c >= Code::add && c <= Code::lzcnt; }
bool may_set_flags(Code c) {
    return (is_arithmetic(c) && c != Code::not_ && c != Code::high && c != Code::div &&
            c != Code::idiv) ||
           c == Code::set_carry || c == Code::x87 || c == Code::fp_compare || c == Code::test_vec ||
           c == Code::string_index || c == Code::string_mask;
}
// Last faults and first writes at once: memory, IF, or MXCSR's sticky bits.
bool faults_then_writes(Code c) {
    switch (c) {
        case Code::store:
        case Code::allow_interrupts:
        case Code::store_vec:
        case Code::x87:
        case Code::vec_fp:
        case Code::fp_to_int:
        case Code::int_to_fp:
        case Code::fp_compare: return true;
        default: return false;
    }
}

// Log2 of the bytes that operand n, a V, must have.
int operand_size(const Op& op, unsigned n) {
    switch (op.code) {
        case Code::address: return 3;
        case Code::zero_extend:
        case Code::sign_extend:
        case Code::truncate:
        case Code::bit_offset:
        case Code::int_to_fp: return op.n;
        case Code::crc32: return n == 0 ? 2 : op.n;
        case Code::shld:
        case Code::shrd: return n == 2 ? 0 : op.size;
        default: return is_shift(op.code) && n == 1 ? 0 : op.size;
    }
}

// The smallest and largest size an operation works on.
struct Sizes {
    u8 from, to;
};
Sizes sizes_of(const Op& op) {
    const CodeInfo& i = info(op.code);
    switch (op.code) {
        case Code::address: return {1, 3};
        case Code::offset:
        case Code::bit_offset: return {3, 3};
        case Code::crc32:
        case Code::sign_mask: return {2, 2};
        case Code::fp_to_int: return {2, 3};
        case Code::check_target:
        case Code::jump: return {2, 3};
        case Code::tsc:
        case Code::flags_image: return {3, 3};
        case Code::load_vec:
        case Code::store_vec: return {0, 4};
        case Code::x87: return {1, 6};
        case Code::bsf:
        case Code::bsr:
        case Code::popcnt:
        case Code::lzcnt:
        case Code::shld:
        case Code::shrd:
        case Code::bit_of:
        case Code::bit_mask:
        case Code::zero_extend:
        case Code::sign_extend: return {op.code == Code::bit_of ? u8{0} : u8{1}, 3};
        case Code::truncate: return {0, 2};
        case Code::bswap: return {1, 3};
        case Code::vec_of:
        case Code::set_lane: return {0, 3};
        default: break;
    }
    if (i.result == Kind::X || i.operands[0] == Kind::X) {
        const bool value = i.result == Kind::V;  // lane, low_of
        return value ? Sizes{0, 3} : Sizes{4, 4};
    }
    return {0, 3};
}

class Verifier {
public:
    explicit Verifier(const Block& block) : block_(block), committed_(block.ops.size(), 0) {}

    std::optional<std::string> run() {
        if (block_.ops.size() >= kNoValue) return "more operations than numbers for them";
        for (at_ = 0; at_ < block_.ops.size(); ++at_) {
            const Op& op = block_[at_];
            if (!structure(op) || !operands(op) || !numbers(op) || !order(op)) return offence_;
        }
        if (!all_committed()) return offence_;
        return std::nullopt;
    }

private:
    bool fail(const std::string& why) {
        offence_ = "%" + std::to_string(at_) + " (" +
                   (block_[at_].code == Code::insn ? "insn" : print_op(block_, at_)) + "): " + why;
        return false;
    }

    bool structure(const Op& op) {
        const bool last = at_ + 1u == block_.ops.size();
        if (op.code >= Code::kCount) return fail("no such operation");
        if (op.code == Code::insn) {
            if (!all_committed()) return false;
            written_ = leaving_ = false;
            started_ = true;
            first_ = at_;
            return last ? fail("the block ends inside an instruction") : true;
        }
        if (!started_) return fail("before the first instruction");
        const bool leaves = op.code == Code::jump || op.code == Code::jump_to;
        if (leaves && !last) return fail("operations follow after the block is left");
        if (last && !leaves && op.code != Code::interp) return fail("the block goes on here");
        if (op.code == Code::interp && block_[at_ - 1].code != Code::insn)
            return fail("an interpreted instruction has other operations");
        if (!leaves && at_ > 0 && block_[at_ - 1].code == Code::interp)
            return fail("an interpreted instruction has other operations");
        if (leaving_ && !leaves) return fail("follows jump_if in its instruction");
        return true;
    }

    bool operands(const Op& op) {
        const Value used[3] = {op.a, op.b, op.c};
        for (unsigned n = 0; n < 3; ++n) {
            const Kind want = info(op.code).operands[n];
            if (used[n] == kNoValue) {
                if (want != Kind::N && op.code != Code::address && op.code != Code::x87)
                    return fail(std::string("the ") + kOrdinals[n] + " operand is missing");
                continue;
            }
            if (want == Kind::N)
                return fail(std::string("there is a ") + kOrdinals[n] + " operand");
            if (used[n] >= at_)
                return fail(std::string("the ") + kOrdinals[n] + " operand is not yet made");
            if (!operand(op, n, block_[used[n]], want)) return false;
        }
        return true;
    }
    bool operand(const Op& op, unsigned n, const Op& from, Kind want) {
        const Kind is = info(from.code).result;
        const bool fits = want == Kind::P   ? from.code == Code::rmw
                          : want == Kind::B ? is == Kind::B || from.code == Code::constant
                                            : is == want;
        if (!fits) return fail(std::string("the ") + kOrdinals[n] + " operand is of another kind");
        const int size = want == Kind::V ? operand_size(op, n) : kAnySize;
        if (size != kAnySize && from.size != size)
            return fail(std::string("the ") + kOrdinals[n] + " operand has another size");
        return true;
    }

    bool numbers(const Op& op) {
        if (info(op.code).effect != Effect::kLeaves || op.code == Code::jump) {
            const Sizes s = sizes_of(op);
            const bool none = op.code == Code::insn || op.code == Code::set_direction;
            if (!none && (op.size < s.from || op.size > s.to)) return fail("size out of range");
        }
        if (op.writes & ~(may_set_flags(op.code) ? natural_flags(op.code) : 0))
            return fail("writes flags that it does not make");
        switch (op.code) {
            case Code::get:
            case Code::put:
            case Code::put_if: return general_register(op);
            case Code::get_xmm:
            case Code::put_xmm: return op.n < 16 || fail("no such XMM register");
            case Code::address:
                return (op.n <= 3 && op.m < cpu::kSegRegs) || fail("scale or segment");
            case Code::x87:
                return (op.n < 16 && op.m <= static_cast<u8>(X87Form::kLoadControl)) ||
                       fail("condition or form");
            case Code::condition: return op.n < 16 || fail("no such condition");
            case Code::zero_extend:
            case Code::sign_extend: return op.n < op.size || fail("does not extend");
            case Code::truncate: return (op.n > op.size && op.n <= 3) || fail("does not truncate");
            case Code::bit_offset:
            case Code::crc32:
            case Code::sign_mask:
            case Code::blend: return op.n <= 3 || fail("n out of range");
            case Code::int_to_fp: return op.n == 2 || op.n == 3 || fail("n out of range");
            case Code::vec_field: return op.n <= 1 || fail("n out of range");
            case Code::string_index:
            case Code::string_mask:
                return op.n == 0 || op.n == 2 || op.n == 3 || fail("n out of range");
            case Code::load_vec:
            case Code::store_vec: return op.n <= 2 || fail("no such alignment");
            case Code::lane:
            case Code::set_lane: return op.n < (16u >> op.size) || fail("no such lane");
            case Code::high: return high(op);
            case Code::commit: return commit(op);
            default: return true;
        }
    }
    bool general_register(const Op& op) {
        const bool high_byte = op.size == 0 && (op.n & 7) == 1 && op.n < 32;
        return (op.n < 128 && (!(op.n & 7) || high_byte)) || fail("no such general register");
    }
    bool high(const Op& op) {
        const Code first = block_[op.a].code;
        return first == Code::mul || first == Code::imul || first == Code::div ||
               first == Code::idiv || fail("its operand has no second result");
    }
    bool commit(const Op& op) {
        if (op.size != block_[op.a].size) return fail("another size than the rmw's");
        if (op.a < first_) return fail("commits another instruction's rmw");
        return ++committed_[op.a] == 1 || fail("commits again");
    }
    bool all_committed() {
        for (Value v = first_; v < at_; ++v)
            if (block_[v].code == Code::rmw && !committed_[v]) {
                at_ = v;
                return fail("is never committed");
            }
        return true;
    }

    bool order(const Op& op) {
        const Effect effect = info(op.code).effect;
        if (effect == Effect::kFaults && written_)
            return fail("may fault after its instruction has written guest state");
        written_ |= effect == Effect::kWrites || op.writes || faults_then_writes(op.code);
        leaving_ |= op.code == Code::jump_if;
        return true;
    }

    const Block& block_;
    std::vector<u8> committed_;  // by the place's number
    std::string offence_;
    Value at_ = 0, first_ = 0;  // first operation of the instruction
    bool started_ = false, written_ = false, leaving_ = false;
};

}  // namespace

std::optional<std::string> verify(const Block& block) { return Verifier(block).run(); }

}  // namespace rm::jit::ir
