// The text form of IR (jit/ir/print.h).
#include "jit/ir/print.h"

#include <doctest/doctest.h>

#include "cpu/semantics/vec.h"
#include "cpu/state/cpu_state.h"

using namespace rm;
using namespace rm::jit::ir;

namespace {

std::string text(std::initializer_list<Op> ops) {
    Block block;
    block.ops = ops;
    return print_op(block, static_cast<Value>(block.ops.size() - 1));
}

}  // namespace

TEST_CASE("registers have the manual's names") {
    CHECK(register_name(0, 3) == "rax");
    CHECK(register_name(8, 2) == "ecx");
    CHECK(register_name(16, 1) == "dx");
    CHECK(register_name(24, 0) == "bl");
    CHECK(register_name(25, 0) == "bh");
    CHECK(register_name(32, 0) == "spl");
    CHECK(register_name(48, 1) == "si");
    CHECK(register_name(64, 3) == "r8");
    CHECK(register_name(72, 2) == "r9d");
    CHECK(register_name(80, 1) == "r10w");
    CHECK(register_name(120, 0) == "r15b");
    CHECK(register_name(3, 0) == "gpr+3");
}

TEST_CASE("operations print with sizes, operands and flags") {
    const Op get{.code = Code::get, .size = 2, .n = 8};
    CHECK(text({get}) == "%0 = get.32 ecx");
    CHECK(text({get, {.code = Code::put, .size = 2, .n = 0, .a = 0}}) == "put.32 eax, %0");
    CHECK(text({{.code = Code::constant, .size = 0, .imm = 0x41}}) == "%0 = constant.8 0x41");
    CHECK(
        text({get, get, {.code = Code::and_, .size = 2, .writes = cpu::kCcAll, .a = 0, .b = 1}}) ==
        "%2 = and.32 %0, %1 ; sets OSZAPC");
    CHECK(
        text({get,
              get,
              {.code = Code::adc, .size = 2, .writes = cpu::kCcZf | cpu::kCcOf, .a = 0, .b = 1}}) ==
        "%2 = adc.32 %0, %1 ; sets OZ, reads C");
    CHECK(text({{.code = Code::condition, .size = 0, .n = 14}}) == "%0 = condition.le ; reads OSZ");
    CHECK(text({get,
                get,
                {.code = Code::address,
                 .size = 3,
                 .n = 2,
                 .m = cpu::kFs,
                 .a = 0,
                 .b = 1,
                 .imm = 0x10}}) == "%2 = address.64 fs:[%0 + %1*4 + 0x10]");
    CHECK(text({{.code = Code::address, .size = 2, .m = cpu::kDs}}) == "%0 = address.32 ds:[0x0]");
    CHECK(text({{.code = Code::rmw, .size = 1, .n = 4, .a = 0}}) == "%0 = rmw.16 lock, %0");
    CHECK(text({get, {.code = Code::zero_extend, .size = 3, .n = 2, .a = 0}}) ==
          "%1 = zero_extend.64 from.32, %0");
    CHECK(text({{.code = Code::jump_to, .imm = 0x401000}}) == "jump_to 0x401000");
    CHECK(text({get, {.code = Code::jump, .size = 2, .a = 0}}) == "jump.32 %0");
    CHECK(text({get, {.code = Code::jump_if, .a = 0, .imm = 0x10}}) == "jump_if 0x10, %0");
    CHECK(text({{.code = Code::interp, .imm = 3}}) == "interp 3");
}

TEST_CASE("vector operations print with their VecOp") {
    const Op x{.code = Code::get_xmm, .size = 4, .n = 5};
    CHECK(text({x}) == "%0 = get_xmm xmm5");
    CHECK(text({x,
                {.code = Code::vec,
                 .size = 4,
                 .a = 0,
                 .b = 0,
                 .imm = static_cast<u64>(cpu::VecOp::pshufd) | 0x4E0000}}) ==
          "%1 = vec.pshufd %0, %0, #0x4e");
    CHECK(text({x,
                {.code = Code::fp_to_int,
                 .size = 3,
                 .a = 0,
                 .imm = static_cast<u64>(cpu::VecOp::cvttsd2si)}}) ==
          "%1 = fp_to_int.64.cvttsd2si %0");
}

TEST_CASE("a block prints one operation a line") {
    Block block;
    block.ops = {{.code = Code::insn, .imm = 0},
                 {.code = Code::set_direction, .imm = 1},
                 {.code = Code::jump_to, .imm = 0x1001}};
    cpu::Insn insn;
    insn.row = 0xFFFF;
    CHECK(print(block) == "insn 0\n  set_direction 1\n  jump_to 0x1001\n");
    CHECK(print(block, {&insn, 1}, 0x1000).starts_with("insn 0 1000 ?\n"));
}
