// VMRUN with a VMCB of any contents, guest code included, on each AMD model.
#include "fuzz.h"
#include "testsuite/unit/vt-emulation/svm/guest.h"

using namespace rm;
using namespace rm::vt::svm;
using namespace rm::vt::svm::test;

std::vector<fuzz::Bytes> fuzz::seeds() {
    return {{0, 0, 0, 0xF4},
            {1, 2, 0x0C, 0, 0x42, 0, 0x10, 0, 0xFF, 0, 0x0F, 0xA2, 0xCD, 0x80},
            {6, 1, 0xA8, 0, 0x5F, 0x80, 0xF4}};
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    static const char* const kModels[] = {"max,+svm", "opteron-f", "barcelona", "barcelona"};
    fuzz::Input in(data, size);
    const u8 kind = in.byte();
    Guest m(kModels[kind & 3]);
    if (kind & 4) m.nested();
    const unsigned changes = in.byte() & 31;
    for (unsigned n = 0; n < changes; ++n) {
        const u64 at = kVmcbAt + (in.below(0x698) & ~u64{3});
        const u64 value = in.number();
        m.put(at, in.byte() & 1 ? m.get(at, 4) ^ value : value, in.byte() & 1 ? 8 : 4);
    }
    if (kind & 8)
        for (u64 at : {kIopmAt, kMsrpmAt, kNested, kNested + 0x3000})
            m.memory.write(at, in.take(in.byte()));
    m.memory.write(kGuestCode, in.rest());
    m.enter(300);
    m.enter(300);
    return 0;
}
