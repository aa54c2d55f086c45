// VM entries with a VMCS whose fields anybody may have written, guest code included, on each Intel
// model.
#include "fuzz.h"
#include "testsuite/unit/vt-emulation/vmx/vmx_machine.h"

using namespace rm;
using namespace rm::vt::vmx;
using namespace rm::vt::vmx::test;

std::vector<fuzz::Bytes> fuzz::seeds() {
    return {{1, 0, 0xF4},
            {1, 3, 1, 0, 0xFF, 2, 0, 0xFF, 9, 0, 0x80, 0x0F, 0xA2, 0xE4, 0x10, 0xF4},
            {2, 1, 30, 0, 0x41, 0x0F, 0x01, 0xC1}};
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    static const char* const kModels[] = {"Westmere", "core2duo", "max", "Westmere"};
    fuzz::Input in(data, size);
    const u8 kind = in.byte();
    VmxMachine m(kModels[kind & 3]);
    Vmcs& v = m.ready(kind & 4);
    const unsigned changes = in.byte() & 31;
    for (unsigned n = 0; n < changes; ++n) {
        const F field = static_cast<F>(in.below(kFieldCount));
        const u64 value = in.number();
        v.set(field, in.byte() & 1 ? v[field] ^ value : value);
    }
    if (kind & 8)  // the pages that controls point to: bitmaps, EPT, MSR areas
        for (u64 at = 0x10000; at < 0x23000; at += 0x1000)
            m.machine.memory.write(at, in.take(in.byte()));
    m.machine.memory.write(VmxMachine::kGuestCode, in.rest());
    (void)m.vmlaunch();
    m.run(300);
    // The hypervisor looks at what happened and goes on.
    for (unsigned f = 0; f < kFieldCount; ++f)
        if (m.cpu.vt_mode != cpu::VtMode::kVmxGuest) (void)m.vmread(kFields[f].encoding);
    if (m.cpu.vt_mode != cpu::VtMode::kVmxGuest) (void)m.vmresume();
    m.run(300);
    return 0;
}
