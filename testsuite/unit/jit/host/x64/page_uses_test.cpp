// Which accesses of a block are checked together (jit/host/x64/page_uses.h).
#include "jit/host/x64/page_uses.h"

#include <doctest/doctest.h>

#include "cpu/state/cpu_state.h"

using namespace rm;
using namespace rm::jit::ir;
using rm::jit::x64::PageUse;
using rm::jit::x64::PageUses;

namespace {

// A block under construction; members return the new operation's number.
struct Code64 {
    Block block;
    Value add(Op op) {
        block.ops.push_back(op);
        return static_cast<Value>(block.ops.size() - 1);
    }
    Value get(unsigned reg) { return add({.code = Code::get, .n = static_cast<u8>(reg * 8)}); }
    void put(unsigned reg, Value v) {
        add({.code = Code::put, .n = static_cast<u8>(reg * 8), .a = v});
    }
    Value plus(Value v, u64 c) {
        const Value k = add({.code = Code::constant, .imm = c});
        return add({.code = Code::add, .a = v, .b = k});
    }
    Value at(Value base, i64 disp, u8 segment = cpu::kDs) {
        return add({.code = Code::address, .m = segment, .a = base, .imm = static_cast<u64>(disp)});
    }
    // The address operation of a load or store of 1 << size bytes.
    Value load(unsigned base, i64 disp, u8 size = 3) {
        const Value a = at(get(base), disp);
        add({.code = Code::load, .size = size, .a = a});
        return a;
    }
    Value store(unsigned base, i64 disp, u8 size = 3) {
        const Value v = get(cpu::kRax), a = at(get(base), disp);
        add({.code = Code::store, .size = size, .a = a, .b = v});
        return a;
    }
    PageUses uses(PageUses::Grouping grouping = PageUses::kTables) const {
        PageUses u;
        u.find(block, grouping);
        return u;
    }
};

}  // namespace

TEST_CASE("fields of one base are checked by the first access, whatever their order") {
    Code64 c;
    const Value first = c.load(cpu::kRdi, 16), second = c.load(cpu::kRdi, 8, 2),
                third = c.load(cpu::kRdi, 40);
    const PageUses u = c.uses();
    CHECK(u.of(first).role == PageUse::kFirst);
    CHECK(u.of(first).first == -8);  // from 16 to the group's lowest byte
    CHECK(u.of(first).span == 40);   // [8, 48)
    CHECK(u.of(second).role == PageUse::kLater);
    CHECK(u.of(third).role == PageUse::kLater);
    CHECK(u.of(third).slot == u.of(first).slot);
    CHECK(!u.of(first).stack);
    CHECK(c.uses(PageUses::kNoGroups).of(second).role == PageUse::kAlone);
}

TEST_CASE("a base is followed through additions and copies, not through anything else") {
    Code64 c;
    const Value a = c.load(cpu::kRdi, 0);
    c.put(cpu::kRdi, c.plus(c.get(cpu::kRdi), 32));
    c.put(cpu::kRbx, c.get(cpu::kRdi));
    const Value b = c.load(cpu::kRbx, -8);  // at 24 of the first
    c.put(cpu::kRdi, c.add({.code = Code::load, .a = c.at(c.get(cpu::kRsi), 0)}));
    const Value other = c.load(cpu::kRdi, 0);
    const PageUses u = c.uses();
    CHECK(u.of(a).role == PageUse::kFirst);
    CHECK(u.of(a).span == 32);
    CHECK(u.of(b).role == PageUse::kLater);
    CHECK(u.of(other).role == PageUse::kAlone);
}

TEST_CASE(
    "a load that stores follow is checked for writing, a load behind a store for nothing more") {
    Code64 c;
    const Value load = c.load(cpu::kRdi, 0), store = c.store(cpu::kRdi, 8),
                again = c.load(cpu::kRdi, 16);
    const Value first = c.store(cpu::kRsi, 0), then = c.load(cpu::kRsi, 8);
    const Value read = c.load(cpu::kRdx, 0), more = c.load(cpu::kRdx, 8);
    const PageUses u = c.uses();
    CHECK(u.of(load).role == PageUse::kFirst);
    CHECK(u.of(load).span == 24);
    CHECK(u.of(load).ahead);
    CHECK_FALSE(u.of(load).write);
    CHECK(u.of(store).role == PageUse::kLater);
    CHECK(u.of(store).behind == 8);
    CHECK(u.of(again).role == PageUse::kLater);
    CHECK(u.of(again).behind == 16);
    CHECK(u.of(first).role == PageUse::kFirst);
    CHECK_FALSE(u.of(first).ahead);  // it writes itself
    CHECK(u.of(then).role == PageUse::kLater);
    CHECK_FALSE(u.of(read).ahead);
    CHECK(u.of(more).role == PageUse::kLater);
}

TEST_CASE("pushes and pops are the stack page's, without a slot while it stays the same") {
    Code64 c;
    const Value push = c.store(cpu::kRsp, -8);
    c.put(cpu::kRsp, c.plus(c.get(cpu::kRsp), ~u64{7}));
    const Value pop = c.load(cpu::kRsp, 0);
    PageUses u = c.uses();
    CHECK(u.of(push).role == PageUse::kFirst);
    CHECK(u.of(push).stack);
    CHECK(u.of(push).slot == PageUse::kStackSlot);
    CHECK(u.of(pop).role == PageUse::kLater);
    // Another stack pointer in between may lead to another page.
    c.put(cpu::kRsp, c.get(cpu::kRsi));
    const Value other = c.load(cpu::kRsp, 0);
    c.put(cpu::kRsp, c.plus(c.get(cpu::kRbp), 0));
    u = c.uses();
    CHECK(u.of(other).stack);
    CHECK(u.of(other).role == PageUse::kAlone);
}

TEST_CASE("an interpreted instruction ends every group; far fields and FS are not grouped") {
    Code64 c;
    const Value before = c.load(cpu::kRdi, 0);
    c.add({.code = Code::interp});
    const Value after = c.load(cpu::kRdi, 8), far = c.load(cpu::kRdi, 4096);
    const Value fs = c.at(c.get(cpu::kRdi), 16, cpu::kFs);
    c.add({.code = Code::load, .a = fs});
    const PageUses u = c.uses();
    for (const Value v : {before, after, far, fs}) CHECK(u.of(v).role == PageUse::kAlone);
}

TEST_CASE("accesses to a table, by a byte, are checked by the first one, for all of the table") {
    Code64 c;
    const auto look_up = [&](unsigned base, unsigned index, i64 disp) {
        const Value b = c.get(base), i = c.get(index);
        const Value a = c.add({.code = Code::address,
                               .n = 3,
                               .m = cpu::kDs,
                               .a = b,
                               .b = i,
                               .imm = static_cast<u64>(disp)});
        c.add({.code = Code::load, .size = 2, .a = a});
        return a;
    };
    // movzx edx, al; shr ecx, 24
    const Value low = c.add({.code = Code::get, .size = 0, .n = cpu::kRax * 8});
    const Value wide = c.add({.code = Code::zero_extend, .size = 2, .n = 0, .a = low});
    c.add({.code = Code::put, .size = 2, .n = cpu::kRdx * 8, .a = wide});
    const Value all = c.add({.code = Code::get, .size = 2, .n = cpu::kRcx * 8});
    const Value count = c.add({.code = Code::constant, .size = 0, .imm = 24});
    const Value top = c.add({.code = Code::shr, .size = 2, .a = all, .b = count});
    c.add({.code = Code::put, .size = 2, .n = cpu::kRcx * 8, .a = top});
    const Value first = look_up(cpu::kRbx, cpu::kRdx, 0), second = look_up(cpu::kRbx, cpu::kRcx, 3),
                other = look_up(cpu::kRbx, cpu::kRsi, 0);
    (void)look_up(cpu::kRbx, cpu::kRdx, 1);
    CHECK(c.uses().of(first).role == PageUse::kAlone);  // three are too few
    (void)look_up(cpu::kRbx, cpu::kRdx, 2);
    const Value field = c.load(cpu::kRbx, 0), next = c.load(cpu::kRbx, 8);
    const PageUses u = c.uses();
    CHECK(u.of(field).span == 16);  // fields are a group of their own
    CHECK(u.of(next).role == PageUse::kLater);
    CHECK(u.of(first).role == PageUse::kFirst);
    CHECK(u.of(first).table);
    CHECK(u.of(first).small_index);
    CHECK(u.of(first).first == 0);
    CHECK(u.of(first).span == 255 * 8 + 3 + 4);
    CHECK(u.of(second).role == PageUse::kLater);
    CHECK(u.of(second).behind == 3);
    CHECK(u.of(other).role == PageUse::kAlone);  // RSI may be anything
    CHECK(c.uses(PageUses::kFields).of(second).role == PageUse::kAlone);
}

TEST_CASE("what 16 bits hold, and a sum of a byte cut to 32 bits, is no index of a table") {
    for (const bool word : {true, false}) {
        Code64 c;
        const Value low = c.add({.code = Code::get, .size = static_cast<u8>(word), .n = 0});
        const Value wide =
            c.add({.code = Code::zero_extend, .size = 3, .n = static_cast<u8>(word), .a = low});
        c.add({.code = Code::put, .size = 2, .n = cpu::kRdx * 8, .a = c.plus(wide, u64{0} - 1)});
        Value at[2];
        for (Value& a : at) {
            const Value b = c.get(cpu::kRbx), i = c.get(cpu::kRdx);
            a = c.add({.code = Code::address, .n = 2, .m = cpu::kDs, .a = b, .b = i});
            c.add({.code = Code::load, .size = 2, .a = a});
        }
        CHECK(!c.uses().of(at[0]).table);
        CHECK(!c.uses().of(at[1]).small_index);
    }
}
