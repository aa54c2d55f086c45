// A processor that runs random code with random registers, in every mode.
#include "fuzz.h"
#include "testsuite/unit/cpu/machine.h"

using namespace rm;
using namespace rm::cpu::test;

std::vector<fuzz::Bytes> fuzz::seeds() {
    return {{4, 16, 0x0F, 0x20, 0xC0, 0x0F, 0x22, 0xD8, 0xF4},
            {0, 0, 0xCD, 0x10, 0xCF, 0xF4},
            {2, 1, 0xEA, 0, 0, 0, 0, 0x38, 0, 0xCF, 0x0F, 0x00, 0xD8},
            {6, 2, 0xF3, 0xA5, 0x0F, 0xAE, 0x00, 0xC8, 0, 1, 31}};
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    static const char* const kModels[] = {"max", "core2duo", "max,+svm", "barcelona"};
    fuzz::Input in(data, size);
    const u8 mode = in.byte();
    Machine m(kModels[(mode >> 4) & 3]);
    switch (mode & 7) {
        case 0: m.real(); break;
        case 1: m.v86(3); break;
        case 2: m.protected32(0); break;
        case 3: m.protected32(3); break;
        case 4: m.long64(0); break;
        case 5: m.long64(3); break;
        default: m.long64(0); break;
    }
    const unsigned registers = in.byte() & 15;
    for (unsigned n = 0; n < registers; ++n) {
        const unsigned r = in.below(16);
        const u64 v = in.number();
        if (r != cpu::kRsp) m.cpu.gpr[r] = (mode & 7) >= 4 ? v : static_cast<u32>(v);
    }
    m.memory.write(kCodeAt, in.rest());
    m.run(300);
    return 0;
}
