// A processor in 64-bit mode with SVM on, a VMCB at kVmcbAt that passes all checks, and a guest
// whose code lies at kGuestCode. The hypervisor's code is one VMRUN at kCodeAt, HLT behind it.
#pragma once
#include "testsuite/unit/cpu/machine.h"
#include "vt-emulation/svm/entry_checks.h"
#include "vt-emulation/svm/svm.h"

namespace rm::vt::svm::test {

using cpu::test::kCodeAt;
using cpu::test::kIdt;
using cpu::test::kPages;

inline constexpr PhysAddr kVmcbAt = 0x40000, kIopmAt = 0x50000, kMsrpmAt = 0x54000,
                          kGuestCode = 0x60000, kNested = 0x200000;

// Intercept bits as (word, bit).
struct Bit {
    F word;
    unsigned bit;
};
inline constexpr Bit kIntr{F::INTERCEPT_1, 0}, kNmi{F::INTERCEPT_1, 1}, kVintr{F::INTERCEPT_1, 4},
    kCr0Selective{F::INTERCEPT_1, 5}, kRdtsc{F::INTERCEPT_1, 14}, kCpuid{F::INTERCEPT_1, 18},
    kIntn{F::INTERCEPT_1, 21}, kPause{F::INTERCEPT_1, 23}, kHlt{F::INTERCEPT_1, 24},
    kInvlpg{F::INTERCEPT_1, 25}, kIo{F::INTERCEPT_1, 27}, kMsr{F::INTERCEPT_1, 28},
    kShutdown{F::INTERCEPT_1, 31}, kVmmcall{F::INTERCEPT_2, 1}, kRdtscp{F::INTERCEPT_2, 7};

struct Sink final : common::TraceSink {
    std::vector<common::ExitRecord> exits;
    std::vector<common::EntryRecord> entries;
    std::vector<common::FieldChange> changes;
    std::vector<common::EntryFailure> failures;
    void on_exit(const cpu::Cpu&, const common::ExitRecord& r) override { exits.push_back(r); }
    void on_entry(const cpu::Cpu&, const common::EntryRecord& r) override {
        entries.push_back(r);
        changes.assign(r.changes.begin(), r.changes.end());
    }
    void on_entry_failed(const cpu::Cpu&, const common::EntryFailure& r) override {
        failures.push_back(r);
    }
};

struct Guest : cpu::test::Machine {
    Sink sink;
    Svm svm;

    explicit Guest(const char* spec = "max,+svm") : Machine(spec), svm(model, &sink) {
        cpu.vt = &svm;
        long64();
        cpu.efer |= cpu::kEferSvme;
        cpu.gpr[cpu::kRax] = kVmcbAt;
        code({0x0F, 0x01, 0xD8, 0xF4});  // VMRUN; HLT
        Vmcb v;
        v.set(F::INTERCEPT_2, 1);
        v.set(F::IOPM_BASE_PA, kIopmAt);
        v.set(F::MSRPM_BASE_PA, kMsrpmAt);
        v.set(F::GUEST_ASID, 1);
        const F segments[] = {F::ES_SELECTOR, F::CS_SELECTOR, F::SS_SELECTOR, F::DS_SELECTOR};
        const cpu::SegReg registers[] = {cpu::kEs, cpu::kCs, cpu::kSs, cpu::kDs};
        for (unsigned n = 0; n < 4; ++n) v.set_segment(segments[n], cpu.seg[registers[n]]);
        v.set(F::GDTR_BASE, cpu.gdtr.base);
        v.set(F::GDTR_LIMIT, cpu.gdtr.limit);
        v.set(F::IDTR_BASE, cpu.idtr.base);
        v.set(F::IDTR_LIMIT, cpu.idtr.limit);
        v.set(F::EFER, cpu.efer);
        v.set(F::CR0, cpu.cr0);
        v.set(F::CR3, cpu.cr3);
        v.set(F::CR4, cpu.cr4);
        v.set(F::DR6, 0xFFFF0FF0);
        v.set(F::DR7, 0x400);
        v.set(F::RFLAGS, 2);
        v.set(F::RIP, kGuestCode);
        v.set(F::RSP, cpu::test::kStack0 - 0x1000);
        v.set(F::RAX, 0x1234);
        v.set(F::G_PAT, 0x0007040600070406);
        v.write_to(memory, kVmcbAt, F::INTERCEPT_CR, F::G_PAT);
    }

    u64 field(F f) { return get(kVmcbAt + static_cast<unsigned>(f), field_bytes(f)); }
    void set(F f, u64 v) { put(kVmcbAt + static_cast<unsigned>(f), v, field_bytes(f)); }
    void add(Bit b) { set(b.word, field(b.word) | bit(b.bit)); }
    void guest_code(std::initializer_list<int> list) { bytes(kGuestCode, list); }
    // VMRUN and what follows, up to n instructions; stops at the hypervisor's HLT.
    void enter(u64 n = 1) { (void)run(n); }
    // VMRUN, then runs until the guest has exited.
    u64 exit_code_after(u64 n = 100) {
        enter(n);
        CHECK(!cpu.in_guest());
        return field(F::EXITCODE);
    }
    bool in_guest() const { return cpu.vt_mode == cpu::VtMode::kSvmGuest; }
    bool back_in_host() const {
        return !cpu.in_guest() && (cpu.rip == kCodeAt + 3 || cpu.rip == kCodeAt + 4);
    }

    // Nested tables: identity for the first 16 MBytes, 2-MByte user pages, but 4-KByte pages for
    // the first 2 MBytes.
    void nested() {
        set(F::NP_ENABLE, 1);
        set(F::N_CR3, kNested);
        put(kNested, (kNested + 0x1000) | 7, 8);
        put(kNested + 0x1000, (kNested + 0x2000) | 7, 8);
        for (u64 n = 1; n < 8; ++n) put(kNested + 0x2000 + n * 8, n << 21 | 0x87, 8);
        put(kNested + 0x2000, (kNested + 0x3000) | 7, 8);
        for (u64 n = 0; n < 512; ++n) put(nested_entry(n << 12), n << 12 | 7, 8);
    }
    PhysAddr nested_entry(PhysAddr gpa) const { return kNested + 0x3000 + (gpa >> 12) * 8; }
};

}  // namespace rm::vt::svm::test
