// One processor with VT-x in VMX root operation and a guest ready to run, for tests: 2 MBytes of
// RAM, identity-mapped; the hypervisor's exit handler at 8000H is a HLT, so that run() comes back
// after an exit; the guest's code is at 7000H.
#pragma once
#include <doctest/doctest.h>

#include <initializer_list>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/decode/decoder.h"
#include "vmcs_template.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx::test {

class FakeLapic : public LocalApicPort {
public:
    u8 acknowledge() override { return vector; }
    u8 tpr() const override { return tpr_; }
    void set_tpr(u8 v) override { tpr_ = v; }
    u64 apic_base() const override { return 0; }
    bool set_apic_base(u64) override { return false; }
    bool msr_read(u32, u64&) override { return false; }
    bool msr_write(u32, u64) override { return false; }
    u64 mmio_read(u64, unsigned) override { return 0; }
    void mmio_write(u64, unsigned, u64) override {}
    void reset(bool) override {}
    u8 vector = 0x31;

private:
    u8 tpr_ = 0;
};

class FakeClock : public VirtualClock {
public:
    u64 now_ticks() const override { return cpu ? cpu->ticks() : 0; }
    u64 now_ns() const override { return now_ticks() * 4; }
    Processor* cpu = nullptr;
};

struct VmxMachine {
    static constexpr u64 kVmxon = 0x30000, kVmcs = 0x31000, kOtherVmcs = 0x32000, kPointer = 0x6800,
                         kGuestCode = 0x7000, kHandler = 0x8000;

    Machine machine;
    memory::IoBus io;
    FakeLapic lapic;
    FakeClock clock;
    cpu::Model cpu_model;
    cpu::Cpu cpu;
    Vmx vmx;
    cpu::Decoder decoder;

    explicit VmxMachine(const char* spec = "Westmere", common::TraceSink* sink = nullptr)
        : cpu_model(model(spec)),
          cpu(cpu_model, {}, machine.memory, io, lapic, clock),
          vmx(cpu_model, sink),
          decoder(cpu_model) {
        clock.cpu = &cpu;
        cpu.vt = &vmx;
        tables();
        enter_long_mode();
        poke(kHandler, {0xF4});
        vmx.set_feature_control(5);
        for (u64 region : {kVmxon, kVmcs, kOtherVmcs}) machine.memory.store(region, 4, kRevision);
    }

    void tables() {
        auto& m = machine.memory;
        for (u64 root : {Layout::kHostCr3, Layout::kGuestCr3}) m.store(root, 8, 0x3007);
        m.store(0x3000, 8, 0x4007);
        m.store(0x4000, 8, 0x87);
        m.store(Layout::kEpt, 8, 0x21007);  // EPT: 2 MBytes as one large page, write-back
        m.store(0x21000, 8, 0x22007);
        m.store(0x22000, 8, 0xB7);
    }
    void enter_long_mode() {
        cpu.cr0 = 0x80050033;
        cpu.cr3 = Layout::kHostCr3;
        cpu.cr4 = cpu::kCr4Pae | cpu::kCr4Vmxe;
        cpu.efer = cpu::kEferLme | cpu::kEferLma;
        for (auto& s : cpu.seg) s = {0x10, 0xC093, 0xFFFFFFFF, 0};
        cpu.seg[cpu::kCs] = {8, 0xA09B, 0xFFFFFFFF, 0};
        for (u8 s = 0; s < cpu::kSegRegs; ++s) cpu.update_segment(static_cast<cpu::SegReg>(s));
        cpu.rip = 0x6000;
        cpu.gpr[cpu::kRsp] = 0x9800;
        cpu.update_mode();
        cpu.update_paging();
    }
    void poke(u64 at, std::initializer_list<u8> bytes) {
        for (u8 b : bytes) machine.memory.store(at++, 1, b);
    }
    // Decodes and executes one instruction at rip, outside any block.
    cpu::Step execute(std::vector<u8> bytes) {
        bytes.resize(15, 0x90);
        cpu::Insn insn;
        REQUIRE(decoder.decode(bytes, cpu.mode, cpu.rip, 0, &vmx, insn) ==
                cpu::Decoder::Status::kOk);
        // As the run loop does it, but for rip, which stays unless an entry or exit sets it.
        cpu.block_rip = cpu.rip;
        cpu.block_first = cpu.ip = &insn;
        const cpu::Step step = insn.fn(cpu, insn);
        cpu.ip = cpu.block_first = nullptr;
        ++cpu.tick_base;
        return step;
    }
    cpu::Step with_pointer(std::vector<u8> opcode, u64 pointer) {
        machine.memory.store(kPointer, 8, pointer);
        for (u8 b : {0x25, 0x00, 0x68, 0x00, 0x00}) opcode.push_back(b);
        return execute(opcode);
    }
    cpu::Step vmxon(u64 p = kVmxon) { return with_pointer({0xF3, 0x0F, 0xC7, 0x34}, p); }
    cpu::Step vmclear(u64 p) { return with_pointer({0x66, 0x0F, 0xC7, 0x34}, p); }
    cpu::Step vmptrld(u64 p) { return with_pointer({0x0F, 0xC7, 0x34}, p); }
    cpu::Step vmxoff() { return execute({0x0F, 0x01, 0xC4}); }
    cpu::Step vmlaunch() { return execute({0x0F, 0x01, 0xC2}); }
    cpu::Step vmresume() { return execute({0x0F, 0x01, 0xC3}); }
    cpu::Step vmread(u64 field) {  // into RAX
        cpu.gpr[cpu::kRdx] = field;
        return execute({0x0F, 0x78, 0xD0});
    }
    cpu::Step vmwrite(u64 field, u64 value) {
        cpu.gpr[cpu::kRdx] = field;
        cpu.gpr[cpu::kRax] = value;
        return execute({0x0F, 0x79, 0xD0});
    }
    bool succeeded() const { return cpu.cc == cpu::kCcFixed; }
    bool failed_invalid() const { return cpu.cc == (cpu::kCcFixed | cpu::kCcCf); }
    u32 error() const {  // VM-instruction error of a VMfailValid, else 0
        return cpu.cc == (cpu::kCcFixed | cpu::kCcZf) ? vmx.vmcs().get32(F::VM_INSTRUCTION_ERROR)
                                                      : 0;
    }

    // VMX operation with a current, clear VMCS that passes all checks.
    Vmcs& ready(bool guest64 = true) {
        REQUIRE(vmxon() == cpu::Step::kEnd);
        REQUIRE(succeeded());
        REQUIRE(vmclear(kVmcs) == cpu::Step::kEnd);
        REQUIRE(vmptrld(kVmcs) == cpu::Step::kEnd);
        REQUIRE(succeeded());
        Vmcs& v = vmx.vmcs();
        const bool launched = v.launched;
        v = valid_vmcs(vmx.capabilities(), guest64);
        v.launched = launched;
        return v;
    }
    void add(F f, u64 bits) { vmx.vmcs().set(f, vmx.vmcs()[f] | bits); }
    void remove(F f, u64 bits) { vmx.vmcs().set(f, vmx.vmcs()[f] & ~bits); }
    // Enters the guest and runs until the hypervisor's HLT (or `ticks` have gone).
    void run_guest(u64 ticks = 1000) {
        REQUIRE(vmlaunch() == cpu::Step::kVmExit);
        run(ticks);
    }
    void run(u64 ticks = 1000) { (void)cpu.run(cpu.ticks() + ticks); }
    u32 reason() const { return vmx.vmcs().get32(F::EXIT_REASON); }
    u64 qualification() const { return vmx.vmcs()[F::EXIT_QUALIFICATION]; }
};

}  // namespace rm::vt::vmx::test
