// Records for those who watch: exits, entries, entries that a check refused. A VMCB is plain
// memory, so what the hypervisor changed is found by comparing with what the last exit left; that
// also shows fields changed behind a set clean bit, which real processors may ignore (APM2 15.15).
// Nothing here changes the machine.
#include "base/log.h"
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/common/interruption.h"
#include "vt-emulation/svm/entry_checks.h"
#include "vt-emulation/svm/svm.h"

namespace rm::vt::svm {

using cpu::Cpu;

namespace {

using Ull = unsigned long long;

constexpr std::size_t kMaxRemembered = 256;

// Fields of VMLOAD and VMSAVE: a VMSAVE between exit and entry is no change of the guest's state.
bool moved_by_vmload(F f) {
    return (f >= F::FS_SELECTOR && f <= F::GS_BASE) ||
           (f >= F::LDTR_SELECTOR && f <= F::LDTR_BASE) ||
           (f >= F::TR_SELECTOR && f <= F::TR_BASE) || (f >= F::STAR && f <= F::SYSENTER_EIP);
}

common::EventInfo event_info(u64 v) {
    return {static_cast<u32>(v), v & kEventErrorValid ? static_cast<u32>(v >> 32) : 0, 0};
}

}  // namespace

void Svm::trace_exit(Cpu& cpu, const ExitInfo& info, u64 rip) {
    common::ExitRecord r;
    common::fill_head(cpu, r);
    common::capture_guest(cpu, r, sink_needs_ & common::TraceSink::kNeedBytes);
    r.vendor = common::Vendor::kSvm;
    r.control_block = vmcb_pa_;
    r.reason = r.reason_raw = info.code;
    r.reason_name = exit_name(info.code);
    r.info1 = info.info1;
    r.info2 = info.info2;
    r.decode_assists = decode_assists_;
    r.linear_valid = info.linear_valid;
    r.physical_valid = info.physical_valid;
    r.guest_linear = info.linear;
    r.guest_physical = info.physical;
    r.interruption = common::event_info(info.event);
    r.idt_vectoring = event_info(vmcb_[F::EXITINTINFO]);
    r.next_rip = nrip_save_ ? info.next_rip : 0;
    if (info.next_rip) r.instruction_length = static_cast<u32>(info.next_rip - rip);
    sink_->on_exit(cpu, r);
}

void Svm::trace_entry(Cpu& cpu) {
    changes_.clear();
    if (!sink_) return;
    if (sink_needs_ & common::TraceSink::kNeedChanges) find_changes();
    common::EntryRecord r;
    common::fill_head(cpu, r);
    r.vendor = common::Vendor::kSvm;
    r.control_block = vmcb_pa_;
    r.instruction = "VMRUN";
    r.hypervisor_rip = entry_rip_;
    r.guest_rip = cpu.rip;
    r.guest_linear_rip = cpu.code64() ? cpu.rip : (cpu.rip + cpu.seg[cpu::kCs].base) & 0xFFFFFFFF;
    r.guest_cr3 = cpu.cr3;
    if (vmcb_[F::EVENTINJ] & kEventValid) r.injected = event_info(vmcb_[F::EVENTINJ]);
    r.address_space_id = cpu.asid;
    r.second_stage = np_ ? vmcb_[F::N_CR3] : 0;
    r.changes = changes_;
    sink_->on_entry(cpu, r);
}

void Svm::report_check(Cpu& cpu, const EntryCheck& check, u64 bits) {
    common::EntryFailure f;
    f.vendor = common::Vendor::kSvm;
    f.control_block = vmcb_pa_;
    f.instruction = "VMRUN";
    f.hypervisor_rip = entry_rip_;
    f.check = check.text;
    f.field_name = field_row(check.field).name;
    f.field = static_cast<u32>(check.field);
    f.value = vmcb_[check.field];
    f.offending_bits = bits == kWholeField ? 0 : bits;
    if (check.other != check.field) {
        f.other_field_name = field_row(check.other).name;
        f.other_field = static_cast<u32>(check.other);
        f.other_value = vmcb_[check.other];
    }
    f.section = check.section;
    f.reason = exit_code::INVALID;
    log::write(log::Item::kGuestErrors,
               "VMRUN at %llx failed: %s (%s): %s (offset %03xH) = %llx, offending bits %llx\n",
               static_cast<Ull>(entry_rip_), f.check, f.section, f.field_name, f.field,
               static_cast<Ull>(f.value), static_cast<Ull>(f.offending_bits));
    if (!sink_) return;
    common::fill_head(cpu, f);
    sink_->on_entry_failed(cpu, f);
}

void Svm::remember_vmcb() {
    if (remembered_.size() >= kMaxRemembered && !remembered_.contains(vmcb_pa_))
        remembered_.erase(remembered_.begin());
    remembered_[vmcb_pa_] = vmcb_;
}

void Svm::find_changes() {
    const auto at = remembered_.find(vmcb_pa_);
    if (at == remembered_.end()) return;
    const u64 clean = vmcb_[F::VMCB_CLEAN];
    for (const FieldRow& row : vmcb_fields()) {
        const u64 before = at->second[row.field], now = vmcb_[row.field];
        if (before == now || moved_by_vmload(row.field)) continue;
        changes_.push_back({static_cast<u32>(row.field), row.bytes, row.name, before, now, 0});
        if (row.clean != Clean::kNone && has_bit(clean, static_cast<unsigned>(row.clean)))
            log::write(log::Item::kGuestErrors,
                       "VMRUN at %llx: %s changed from %llx to %llx although its VMCB clean bit "
                       "(%u) is set\n",
                       static_cast<Ull>(entry_rip_), row.name, static_cast<Ull>(before),
                       static_cast<Ull>(now), static_cast<unsigned>(row.clean));
    }
}

}  // namespace rm::vt::svm
