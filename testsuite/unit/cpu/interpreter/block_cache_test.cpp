// When decoded code must be decoded again (cpu/interpreter/block_cache.h).
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu;
using namespace rm::cpu::test;

TEST_CASE("what does not decode is decoded again when any of its bytes changes") {
    Machine m;
    m.long64();
    constexpr u64 kAt = kCodeAt + 0x3E;      // its third byte is in the next 64-byte line
    m.bytes(kAt, {0x0F, 0x38, 0xFF, 0xC1});  // no such instruction
    m.cpu.rip = kAt;
    (void)m.run();
    CHECK(m.in_handler(kUd));
    m.put(kAt + 2, 0x00, 1);  // PSHUFB MM0, MM1
    m.cpu.rip = kAt;
    (void)m.run();
    CHECK(m.cpu.rip == kAt + 4);
}

TEST_CASE("code that a store changes is decoded again, in the same block too") {
    Machine m;
    m.long64();
    // mov byte [rip+0], 0x43: the next instruction INC EAX becomes INC EBX
    m.code({0xC6, 0x05, 0x01, 0x00, 0x00, 0x00, 0xC3, 0xFF, 0xC0, 0xF4});
    (void)m.run(2);
    CHECK(m.cpu.gpr[kRax] == 0);
    CHECK(m.cpu.gpr[kRbx] == 1);
}
