// A VMCS that passes every check of VM entry: a flat 64-bit or 32-bit protected-mode guest and a
// flat 64-bit host, with the controls of a model's choice. Tests change one thing at a time.
#pragma once
#include "cpu/models/model.h"
#include "cpu/state/cpu_state.h"
#include "memory/physical/physical.h"
#include "vt-emulation/vmx/capabilities.h"
#include "vt-emulation/vmx/vmcs.h"

namespace rm::vt::vmx::test {

inline cpu::Model model(const char* spec) {
    auto m = cpu::make_model(spec);
    return m ? *m : cpu::Model{};
}

// Two megabytes of RAM at physical 0.
struct Machine {
    std::unique_ptr<memory::Ram> ram = *memory::Ram::create(u64{2} << 20);
    memory::PhysicalMemory memory{40};
    Machine() { memory.map_ram(0, ram->size(), ram->host()); }
};

struct Layout {  // physical pages used by the template
    static constexpr u64 kIoA = 0x10000, kIoB = 0x11000, kMsr = 0x12000, kVirtualApic = 0x13000,
                         kApicAccess = 0x14000, kEpt = 0x20000, kHostCr3 = 0x1000,
                         kGuestCr3 = 0x2000, kLink = 0x15000;
};

inline void host64(Vmcs& v) {
    v.set(F::HOST_CR0, 0x80050033);
    v.set(F::HOST_CR4, cpu::kCr4Pae | cpu::kCr4Vmxe);
    v.set(F::HOST_CR3, Layout::kHostCr3);
    v.set(F::HOST_CS_SELECTOR, 8);
    v.set(F::HOST_TR_SELECTOR, 0x40);
    v.set(F::HOST_RIP, 0x8000);
    v.set(F::HOST_RSP, 0x9000);
    v.set(F::HOST_IA32_PAT, 0x0007040600070406);
    v.set(F::HOST_IA32_EFER, cpu::kEferLme | cpu::kEferLma);
}

inline void guest_segments(Vmcs& v, u32 code, u32 data) {
    for (unsigned s = 0; s < 6; ++s) {
        v.set(F::GUEST_ES_SELECTOR + s, 0x10);
        v.set(F::GUEST_ES_LIMIT + s, 0xFFFFFFFF);
        v.set(F::GUEST_ES_ACCESS_RIGHTS + s, data);
    }
    v.set(F::GUEST_CS_SELECTOR, 8);
    v.set(F::GUEST_CS_ACCESS_RIGHTS, code);
    v.set(F::GUEST_LDTR_ACCESS_RIGHTS, 0x82);
    v.set(F::GUEST_LDTR_LIMIT, 0xFFFF);
    v.set(F::GUEST_TR_SELECTOR, 0x20);
    v.set(F::GUEST_TR_ACCESS_RIGHTS, 0x8B);
    v.set(F::GUEST_TR_LIMIT, 0x67);
    v.set(F::GUEST_GDTR_LIMIT, 0xFFFF);
    v.set(F::GUEST_IDTR_LIMIT, 0xFFFF);
}

// Minimal controls; a generation's optional ones are added by the tests.
inline Vmcs valid_vmcs(const Capabilities& caps, bool guest64) {
    Vmcs v;
    const auto least = [&](Word w) { return caps.range[static_cast<unsigned>(w)].must_be_one; };
    v.set(F::PIN_BASED_CONTROLS, least(Word::pin));
    v.set(F::PRIMARY_CONTROLS, least(Word::proc));
    v.set(F::EXIT_CONTROLS, least(Word::exitc) | exitc::kHostAddressSpaceSize);
    v.set(F::ENTRY_CONTROLS, least(Word::entryc) | (guest64 ? entryc::kIa32eModeGuest : 0));
    host64(v);
    v.set(F::GUEST_CR0, 0x80050033);
    v.set(F::GUEST_CR4, cpu::kCr4Vmxe | (guest64 ? cpu::kCr4Pae : 0));
    v.set(F::GUEST_CR3, Layout::kGuestCr3);
    v.set(F::GUEST_DR7, 0x400);
    v.set(F::GUEST_RFLAGS, 2);
    v.set(F::GUEST_RIP, 0x7000);
    v.set(F::GUEST_RSP, 0x7800);
    v.set(F::GUEST_IA32_PAT, 0x0007040600070406);
    v.set(F::GUEST_IA32_EFER, guest64 ? cpu::kEferLme | cpu::kEferLma : 0);
    v.set(F::VMCS_LINK_POINTER, kNoVmcs);
    guest_segments(v, guest64 ? 0xA09B : 0xC09B, 0xC093);
    v.set(F::IO_BITMAP_A, Layout::kIoA);
    v.set(F::IO_BITMAP_B, Layout::kIoB);
    v.set(F::MSR_BITMAP, Layout::kMsr);
    v.set(F::VIRTUAL_APIC_ADDRESS, Layout::kVirtualApic);
    v.set(F::APIC_ACCESS_ADDRESS, Layout::kApicAccess);
    v.set(F::EPT_POINTER, Layout::kEpt | 0x1E);
    v.set(F::VPID, 1);
    return v;
}

}  // namespace rm::vt::vmx::test
