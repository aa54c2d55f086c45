// -d hash: one SHA-256 over everything a run did, to prove that two runs were the same run.
// Owns: the canonical byte stream (docs/trace.md defines it byte by byte) and its digest.
// Every value is serialised on its own, little-endian, so neither structure padding nor anything of
// the host enters. It looks at nothing that depends on who else looks (no instruction bytes, no
// changed fields), so the hash is the same with and without traces.
// Source: FIPS 180-4 (SHA-256), computed by OpenSSL's libcrypto.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "cpu/cpu.h"
#include "platform/machine/pc.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::frontends::trace {

class RunHash final : public cpu::EventObserver,
                      public vt::common::TraceSink,
                      public platform::Observer {
public:
    RunHash();
    ~RunHash() override;

    // cpu::EventObserver: every exception and interrupt that is delivered.
    void on_delivery(const cpu::Cpu& cpu, const cpu::Event& event) override;
    void delivery(unsigned vcpu, u64 tick, u64 rip, const cpu::Event& event);
    // platform::Observer: what leaves the machine.
    void on_output(const char* device, std::span<const u8> bytes) override;

    // vt::common::TraceSink. Refused entries count; VT instructions show in what follows them.
    unsigned needs() const override { return 0; }
    void on_exit(const cpu::Cpu&, const vt::common::ExitRecord& exit) override { add(exit); }
    void on_entry(const cpu::Cpu&, const vt::common::EntryRecord& entry) override { add(entry); }
    void on_entry_failed(const cpu::Cpu&, const vt::common::EntryFailure& failure) override {
        add(failure);
    }
    void add(const vt::common::ExitRecord& exit);
    void add(const vt::common::EntryRecord& entry);
    void add(const vt::common::EntryFailure& failure);

    // The end of the run, once: all processors' states in order, then memory. Returns the line
    // "hash=<64 hex digits> insns=<n>", n = instructions executed by all processors.
    std::string finish(std::span<const cpu::Cpu* const> cpus, const memory::Ram& ram);
    void add_processor(unsigned vcpu, u64 tick, const cpu::CpuState& state);
    void add_ram(const memory::Ram& ram);
    std::string digest();  // 64 hex digits; the object takes nothing more afterwards

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace rm::frontends::trace
