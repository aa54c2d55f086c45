// The IR verifier finds each kind of offence (jit/ir/verify.h).
#include "jit/ir/verify.h"

#include <doctest/doctest.h>

using namespace rm;
using namespace rm::jit::ir;

namespace {

const Op kInsn{.code = Code::insn}, kEnd{.code = Code::jump_to, .imm = 0x1000};
const Op kGet{.code = Code::get, .size = 3, .n = 0};
const Op kAddress{.code = Code::address, .size = 3, .m = 3, .a = 1};

// The offence in a block of one instruction that begins with %1 = get.64 rax; "" if there is none.
std::string offence(std::initializer_list<Op> ops) {
    Block block;
    block.ops = {kInsn, kGet};
    block.ops.insert(block.ops.end(), ops);
    block.ops.push_back(kEnd);
    return verify(block).value_or("");
}
bool has(const std::string& text, const char* part) { return text.find(part) != text.npos; }

const Op kPut{.code = Code::put, .size = 3, .n = 8, .a = 1};
const Op kLoad{.code = Code::load, .size = 3, .a = 2};
const Op kStore{.code = Code::store, .size = 3, .a = 2, .b = 1};
const Op kRmw{.code = Code::rmw, .size = 3, .a = 2};

}  // namespace

TEST_CASE("good blocks pass") {
    CHECK(offence({}) == "");
    CHECK(offence({kPut}) == "");
    CHECK(offence({kAddress, kLoad, kPut}) == "");
    CHECK(offence({kAddress, kLoad, kStore, kPut}) == "");
    CHECK(offence({kAddress, kRmw, {.code = Code::commit, .size = 3, .a = 3, .b = 1}}) == "");
    CHECK(offence({{.code = Code::condition, .size = 0, .n = 4},
                   {.code = Code::jump_if, .a = 2, .imm = 5}}) == "");
}

TEST_CASE("nothing that may fault follows a write in its instruction") {
    CHECK(has(offence({kAddress, kPut, kLoad}), "may fault after"));
    CHECK(has(offence({kAddress, kStore, kLoad}), "may fault after"));
    CHECK(has(offence({kAddress,
                       {.code = Code::add, .size = 3, .writes = cpu::kCcCf, .a = 1, .b = 1},
                       kLoad}),
              "may fault after"));
    CHECK(has(offence({kAddress,
                       {.code = Code::set_direction},
                       kRmw,
                       {.code = Code::commit, .size = 3, .a = 4, .b = 1}}),
              "may fault after"));
    // The next instruction begins afresh.
    CHECK(offence({kAddress, kPut, {.code = Code::insn, .imm = 1}, kLoad}) == "");
}

TEST_CASE("operands: kinds, order, sizes") {
    CHECK(has(offence({{.code = Code::put, .size = 3, .n = 0, .a = 2}}), "not yet made"));
    CHECK(has(offence({{.code = Code::put, .size = 3, .n = 0}}), "missing"));
    CHECK(has(offence({{.code = Code::get, .size = 3, .a = 1}}), "there is a first"));
    CHECK(has(offence({{.code = Code::load, .size = 3, .a = 1}}), "another kind"));
    CHECK(has(offence({{.code = Code::not_bool, .size = 0, .a = 1}}), "another kind"));
    CHECK(has(offence({kAddress, kLoad, {.code = Code::commit, .size = 3, .a = 3, .b = 1}}),
              "another kind"));
    CHECK(has(offence({{.code = Code::put, .size = 2, .n = 0, .a = 1}}), "another size"));
    CHECK(has(offence({{.code = Code::shl, .size = 3, .a = 1, .b = 1}}), "another size"));
}

TEST_CASE("numbers") {
    CHECK(has(offence({{.code = Code::get, .size = 4}}), "size"));
    CHECK(has(offence({{.code = Code::get, .size = 3, .n = 1}}), "general register"));
    CHECK(has(offence({{.code = Code::get, .size = 0, .n = 33}}), "general register"));
    CHECK(has(offence({{.code = Code::get_xmm, .size = 4, .n = 16}}), "XMM"));
    CHECK(has(offence({{.code = Code::address, .size = 3, .m = 6, .a = 1}}), "segment"));
    CHECK(has(offence({{.code = Code::condition, .size = 0, .n = 16}}), "condition"));
    CHECK(has(offence({{.code = Code::zero_extend, .size = 3, .n = 3, .a = 1}}), "extend"));
    CHECK(has(offence({{.code = Code::high, .size = 3, .a = 1}}), "second result"));
    CHECK(has(offence({{.code = Code::not_, .size = 3, .writes = cpu::kCcCf, .a = 1}}), "flags"));
    CHECK(has(offence({{.code = Code::mul, .size = 3, .a = 1, .b = 1},
                       {.code = Code::rol, .size = 3, .writes = cpu::kCcZf, .a = 1, .b = 1}}),
              "size"));
}

TEST_CASE("an rmw is committed once") {
    const Op commit{.code = Code::commit, .size = 3, .a = 3, .b = 1};
    CHECK(has(offence({kAddress, kRmw}), "never committed"));
    CHECK(has(offence({kAddress, kRmw, {.code = Code::insn, .imm = 1}}), "never committed"));
    CHECK(has(offence({kAddress, kRmw, commit, commit}), "commits again"));
}

TEST_CASE("structure") {
    Block block;
    block.ops = {kGet, kEnd};
    CHECK(has(*verify(block), "before the first"));
    block.ops = {kInsn, kGet};
    CHECK(has(*verify(block), "goes on"));
    block.ops = {kInsn};
    CHECK(verify(block));
    block.ops = {kInsn, kEnd, kEnd};
    CHECK(has(*verify(block), "follow"));
    block.ops = {kInsn, kGet, {.code = Code::interp}};
    CHECK(has(*verify(block), "other operations"));
    block.ops = {kInsn, {.code = Code::interp}, kGet, kEnd};
    CHECK(has(*verify(block), "other operations"));
    block.ops = {kInsn, {.code = Code::interp}, kInsn, kGet, kEnd};
    CHECK(!verify(block));
    block.ops = {kInsn, {.code = Code::interp}};
    CHECK(!verify(block));
    CHECK(has(offence({{.code = Code::condition, .size = 0, .n = 4},
                       {.code = Code::jump_if, .a = 2, .imm = 5},
                       kGet}),
              "jump_if"));
}
