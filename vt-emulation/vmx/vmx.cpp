// VMX operation as a state of the processor: reset, capability MSRs, fixed control-register bits,
// guest/host masks, SMM.
// Source: SDM 3C 23.7, 23.8, 24.6.6, 25.3, 34.14.
#include "vt-emulation/vmx/vmx.h"

#include "cpu/system/system.h"

namespace rm::vt::vmx {

using cpu::Cpu;
using cpu::MsrAnswer;

namespace {

constexpr u32 kMsrFeatureControl = 0x3A, kMsrVmxFirst = 0x480, kMsrVmxLast = 0x491;
constexpr u32 kMsrX2apicTpr = 0x808;
constexpr u64 kLock = bit(0), kVmxonInSmx = bit(1), kVmxonOutsideSmx = bit(2);

struct Name {
    u32 number;
    const char* text;
};
constexpr Name kReasons[] = {
#define RM_EXIT(number, name) {number, #name},
#include "vt-emulation/vmx/exit_reasons.def"
};
constexpr Name kErrors[] = {
#define RM_VM_ERROR(number, name, text) {number, text},
#include "vt-emulation/vmx/instruction_errors.def"
};

template <std::size_t N>
const char* find_name(const Name (&names)[N], u32 number) {
    for (const Name& n : names)
        if (n.number == number) return n.text;
    return "?";
}

}  // namespace

const char* exit_reason_name(u32 basic_reason) { return find_name(kReasons, basic_reason); }
const char* vm_error_text(u32 error) { return find_name(kErrors, error); }

Vmx::Vmx(const cpu::Model& model, common::TraceSink* sink) : caps_(model) {
    writers_.resize(kFieldCount);
    changed_at_.resize(kFieldCount);
    changes_.reserve(kFieldCount);
    set_sink(sink);
}
Vmx::~Vmx() = default;

void Vmx::set_sink(common::TraceSink* sink) {
    sink_ = sink;
    sink_needs_ = sink ? sink->needs() : 0;
}

void Vmx::reset(Cpu&, bool init) {
    // INIT reaches a processor only outside VMX operation; IA32_FEATURE_CONTROL survives it.
    if (!init) feature_control_ = 0;
    on_ = false;
    vmxon_pointer_ = current_ = kNoVmcs;
    smm_ = {};
    apic_access_ = {};
    mtf_tick_ = timer_tick_ = kNever;
    tpr_exit_pending_ = false;
    space_signature_.clear();
}

MsrAnswer Vmx::msr_read(Cpu& cpu, u32 msr, u64& value) {
    if (msr == kMsrFeatureControl) {
        if (!caps_.any()) return MsrAnswer::kNotMine;
        value = feature_control_;
        return MsrAnswer::kDone;
    }
    if (msr >= kMsrVmxFirst && msr <= kMsrVmxLast) {
        if (!caps_.any()) return MsrAnswer::kNotMine;
        return caps_.msr(msr, value) ? MsrAnswer::kDone : MsrAnswer::kGp;
    }
    if (msr == kMsrX2apicTpr && cpu.in_guest() && (proc2_ & proc2::kVirtualizeX2apicMode)) {
        value = vtpr(cpu);
        return MsrAnswer::kDone;
    }
    return MsrAnswer::kNotMine;
}

MsrAnswer Vmx::msr_write(Cpu& cpu, u32 msr, u64 value) {
    if (msr == kMsrFeatureControl) {
        if (!caps_.any()) return MsrAnswer::kNotMine;
        // VMXON in SMX operation needs SMX, which no model has.
        if ((feature_control_ & kLock) || (value & ~(kLock | kVmxonOutsideSmx | kVmxonInSmx)))
            return MsrAnswer::kGp;
        feature_control_ = value;
        return MsrAnswer::kDone;
    }
    if (msr >= kMsrVmxFirst && msr <= kMsrVmxLast)
        return caps_.any() ? MsrAnswer::kGp : MsrAnswer::kNotMine;
    if (msr == kMsrX2apicTpr && cpu.in_guest() && (proc2_ & proc2::kVirtualizeX2apicMode)) {
        if (value > 0xFF) return MsrAnswer::kGp;
        set_vtpr(cpu, static_cast<u8>(value));
        if (below_threshold(cpu)) {
            tpr_exit_pending_ = true;
            cpu.request(cpu::kAttnVt);
        }
        return MsrAnswer::kDone;
    }
    return MsrAnswer::kNotMine;
}

void Vmx::cr_fixed(const Cpu& cpu, unsigned cr, u64& must_be_one, u64& may_be_one) {
    must_be_one = 0;
    may_be_one = ~u64{0};
    if (!on_) return;
    if (cr == 0) {
        must_be_one = caps_.cr0_fixed0;
        may_be_one = caps_.cr0_fixed1;
        if (cpu.in_guest() && (proc2_ & proc2::kUnrestrictedGuest))
            must_be_one &= ~(cpu::kCr0Pe | cpu::kCr0Pg);
    } else if (cr == 4) {
        must_be_one = caps_.cr4_fixed0;
        may_be_one = caps_.cr4_fixed1;
    }
}

u64 Vmx::guest_cr_write(Cpu& cpu, unsigned cr, u64 value) {
    if (cr != 0 && cr != 4) return value;
    const u64 mask = vmcs_[cr == 0 ? F::CR0_GUEST_HOST_MASK : F::CR4_GUEST_HOST_MASK];
    return ((cr == 0 ? cpu.cr0 : cpu.cr4) & mask) | (value & ~mask);
}

u64 Vmx::guest_cr_read(Cpu& cpu, unsigned cr) {
    if (cr == 3) return cpu.cr3;
    if (cr == 2) return cpu.cr2;
    const u64 mask = vmcs_[cr == 0 ? F::CR0_GUEST_HOST_MASK : F::CR4_GUEST_HOST_MASK];
    const u64 shadow = vmcs_[cr == 0 ? F::CR0_READ_SHADOW : F::CR4_READ_SHADOW];
    return (shadow & mask) | ((cr == 0 ? cpu.cr0 : cpu.cr4) & ~mask);
}

// Default treatment of SMIs (SDM 3C 34.14.1, 34.14.2): the processor leaves VMX operation for SMM
// and comes back to the same place, guest or root, with RSM.
void Vmx::smm_enter(Cpu& cpu) {
    if (!on_) return;
    smm_ = {true,
            on_,
            cpu.vt_mode,
            cpu.vt_profile,
            cpu.vt_tsc_offset,
            cpu.asid,
            cpu.second_stage,
            cpu.cr4 & cpu::kCr4Vmxe,
            {cpu.pdpte[0], cpu.pdpte[1], cpu.pdpte[2], cpu.pdpte[3]}};
    on_ = false;
    cpu.vt_mode = cpu::VtMode::kOff;
    cpu.vt_tsc_offset = 0;
    cpu.vt_due = kNever;
    cpu.mmu.set_special_page(1, ~PhysAddr{0});
    cpu.asid = 0;
    cpu.second_stage = {};
    cpu.mmu.flush({.asid = 0});
    cpu.cr4 &= ~cpu::kCr4Vmxe;
    cpu.update_paging();
    cpu.update_mode();
}

void Vmx::smm_leave(Cpu& cpu) {
    if (!smm_.active) return;
    smm_.active = false;
    on_ = smm_.on;
    cpu.cr4 |= smm_.vmxe;
    cpu.vt_mode = smm_.mode;
    cpu.vt_profile = smm_.profile;
    cpu.vt_tsc_offset = smm_.tsc_offset;
    cpu.asid = smm_.asid;
    cpu.second_stage = smm_.second;
    cpu.mmu.flush({.asid = smm_.asid});
    cpu.update_mode();
    if (cpu.in_guest()) {
        for (unsigned n = 0; n < 4; ++n) cpu.pdpte[n] = smm_.pdpte[n];
        if (proc2_ & proc2::kVirtualizeApicAccesses)
            cpu.mmu.set_special_page(1, vmcs_[F::APIC_ACCESS_ADDRESS]);
        cpu.vt_due = std::min(mtf_tick_, timer_tick_);
        if (needs_boundary()) cpu.request(cpu::kAttnVt);
    }
    cpu.update_paging();
}

}  // namespace rm::vt::vmx
