// A whole processor with 16 MiB of RAM and nothing around it, for tests of system behaviour: memory
// layout, descriptor and gate builders, entry into each mode, and a fake local APIC and clock.
#pragma once
#include <doctest/doctest.h>

#include <array>
#include <initializer_list>
#include <memory>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/events/events.h"
#include "cpu/interpreter/block_cache.h"
#include "cpu/system/segments.h"
#include "cpu/system/system.h"

namespace rm::cpu::test {

struct FakeApic final : LocalApicPort {
    CpuPins* pins = nullptr;
    std::vector<u8> queue;
    u8 tpr_value = 0;
    u64 base = 0xFEE00900;
    u64 mmio_last = 0;
    bool init_seen = false;

    void raise(u8 vector) {
        queue.push_back(vector);
        pins->set_intr(true);
    }
    u8 acknowledge() override {
        const u8 v = queue.front();
        queue.erase(queue.begin());
        pins->set_intr(!queue.empty());
        return v;
    }
    u8 tpr() const override { return tpr_value; }
    void set_tpr(u8 v) override { tpr_value = v; }
    u64 apic_base() const override { return base; }
    bool set_apic_base(u64 v) override { return base = v, true; }
    bool msr_read(u32 msr, u64& v) override { return v = msr, true; }
    bool msr_write(u32, u64) override { return true; }
    u64 mmio_read(u64 offset, unsigned) override { return 0x11110000 | offset; }
    void mmio_write(u64 offset, unsigned, u64 v) override { mmio_last = offset << 32 | v; }
    void reset(bool init) override { init_seen = init; }
};

struct FakeClock final : VirtualClock {
    const Processor* cpu = nullptr;
    u64 now_ticks() const override { return cpu ? cpu->ticks() : 0; }
    u64 now_ns() const override { return now_ticks(); }
};

// Selectors of the test GDT.
enum : u16 {
    kCode0 = 0x08,
    kData0 = 0x10,
    kCode3 = 0x1B,
    kData3 = 0x23,
    kTss = 0x28,
    kGateSel = 0x30,
    kTss2 = 0x38,
    kLdt = 0x40,
    kConforming = 0x48,
    kAbsent = 0x50,
    kCode64 = 0x58,
    kUser64 = 0x63,
    kTssLong = 0x68,
    kCode16 = 0x78,
    kTaskGate = 0x80
};

constexpr u64 kGdt = 0x1000, kIdt = 0x2000, kTssAt = 0x3000, kTss2At = 0x3800, kHandlers = 0x8000,
              kCodeAt = 0x10000, kStack0 = 0x20000, kStack3 = 0x28000, kIstStack = 0x2C000,
              kPages = 0x100000;

constexpr u64 descriptor(u32 base, u32 limit, u32 attr) {  // attr as in Segment, limit 20 bits
    return (limit & 0xFFFF) | u64{base & 0xFFFFFF} << 16 | u64{attr & 0xFF} << 40 |
           u64{(limit >> 16) & 0xF} << 48 | u64{(attr >> 12) & 0xF} << 52 | u64{base >> 24} << 56;
}
constexpr u64 gate(u16 selector, u32 offset, u32 type_dpl_p, u32 count = 0) {
    return (offset & 0xFFFF) | u64{selector} << 16 | u64{count} << 32 | u64{type_dpl_p} << 40 |
           u64{offset >> 16} << 48;
}

struct Machine {
    std::unique_ptr<memory::Ram> ram;
    memory::PhysicalMemory memory;
    memory::IoBus io;
    FakeApic apic;
    FakeClock clock;
    Model model;
    Cpu cpu;

    explicit Machine(const char* spec = "max", bool start_halted = false)
        : ram(std::move(*memory::Ram::create(16 << 20))),
          model(mapped(spec)),
          cpu(model, {.start_halted = start_halted}, memory, io, apic, clock) {
        apic.pins = &cpu;
        clock.cpu = &cpu;
    }
    Model mapped(const char* spec) {
        memory.map_ram(0, ram->size(), ram->host());
        auto m = make_model(spec);
        REQUIRE_MESSAGE(m.has_value(), spec);
        return *m;
    }

    // --- memory ---
    u64 get(u64 at, unsigned size = 4) { return memory.load(at, size); }
    void put(u64 at, u64 v, unsigned size = 4) { memory.store(at, size, v); }
    void bytes(u64 at, std::initializer_list<int> list) {
        for (int b : list) memory.store(at++, 1, static_cast<u8>(b));
    }
    void code(std::initializer_list<int> list) { bytes(kCodeAt, list); }

    // --- running ---
    Processor::Stop run(u64 n = 1) { return cpu.run(cpu.ticks() + n); }
    u64 handler(unsigned vector) const { return kHandlers + vector * 16; }
    bool in_handler(unsigned vector) const { return cpu.rip - handler(vector) < 16; }

    // --- modes; code runs at kCodeAt ---
    void real() {
        for (u8 s = 0; s < kSegRegs; ++s) set_real_segment(cpu, static_cast<SegReg>(s), 0);
        set_real_segment(cpu, kCs, kCodeAt >> 4);
        cpu.rip = 0;
        cpu.gpr[kRsp] = 0x7000;
        cpu.idtr = {0, 0x3FF};
        for (unsigned v = 0; v < 256; ++v) put(v * 4, 0x08000000 + v * 16);  // 0800:v*16
        for (unsigned v = 0; v < 256; ++v) bytes(kHandlers + v * 16, {0xF4});
        cpu.update_mode();
    }
    void tables() {
        const u64 gdt[] = {0,
                           descriptor(0, 0xFFFFF, 0xC09B),
                           descriptor(0, 0xFFFFF, 0xC093),
                           descriptor(0, 0xFFFFF, 0xC0FB),
                           descriptor(0, 0xFFFFF, 0xC0F3),
                           descriptor(kTssAt, 0x67 + 0x2000, 0x8B),
                           0,
                           descriptor(kTss2At, 0x67, 0x89),
                           descriptor(0x3F00, 0x1F, 0x82),
                           descriptor(0, 0xFFFFF, 0xC09F),
                           descriptor(0, 0xFFFFF, 0xC013),
                           descriptor(0, 0xFFFFF, 0xA09B),
                           descriptor(0, 0xFFFFF, 0xA0FB),
                           descriptor(kTssAt, 0x67, 0x8B),
                           0,
                           descriptor(0, 0xFFFF, 0x009B),
                           gate(kTss2, 0, 0x85)};
        for (unsigned n = 0; n < std::size(gdt); ++n) put(kGdt + n * 8, gdt[n], 8);
        cpu.gdtr = {kGdt, sizeof gdt - 1};
        for (unsigned v = 0; v < 64; ++v) bytes(handler(v), {0xF4});
    }
    void load(SegReg s, u16 selector) {
        set_segment(cpu, s, segment_from_descriptor(selector, get(kGdt + (selector & ~7), 8)));
    }
    void finish_entry(u16 code_selector, u16 data_selector, unsigned cpl) {
        load(kCs, code_selector);
        for (SegReg s : {kSs, kDs, kEs, kFs, kGs}) load(s, data_selector);
        cpu.gpr[kRsp] = cpl ? kStack3 : kStack0;
        cpu.rip = kCodeAt;
        cpu.cpl = static_cast<u8>(cpl);
        cpu.update_mode();
        cpu.update_paging();
        cpu.mmu.flush_all();
    }
    void protected32(unsigned cpl = 0) {
        tables();
        for (unsigned v = 0; v < 64; ++v) put(kIdt + v * 8, gate(kCode0, handler(v), 0x8E), 8);
        cpu.idtr = {kIdt, 64 * 8 - 1};
        cpu.cr0 = kCr0Pe | kCr0Et;
        cpu.tr = segment_from_descriptor(kTss, get(kGdt + kTss, 8));
        put(kTssAt + 4, kStack0);
        put(kTssAt + 8, kData0);
        put(kTssAt + 0x66, 0xFFFF, 2);
        cpu.ldtr = null_segment(0);
        finish_entry(cpl ? kCode3 : kCode0, cpl ? kData3 : kData0, cpl);
    }
    // Identity map of the first 16 MiB with 2 MiB user pages.
    void long_pages() {
        put(kPages, (kPages + 0x1000) | 7, 8);
        put(kPages + 0x1000, (kPages + 0x2000) | 7, 8);
        for (u64 n = 0; n < 8; ++n) put(kPages + 0x2000 + n * 8, n << 21 | 0x87, 8);
    }
    void long64(unsigned cpl = 0) {
        tables();
        long_pages();
        for (unsigned v = 0; v < 64; ++v) {
            put(kIdt + v * 16, gate(kCode64, handler(v), 0x8E), 8);
            put(kIdt + v * 16 + 8, 0, 8);
        }
        cpu.idtr = {kIdt, 64 * 16 - 1};
        cpu.cr0 = kCr0Pe | kCr0Et | kCr0Pg | kCr0Ne;
        cpu.cr4 = kCr4Pae;
        cpu.cr3 = kPages;
        cpu.efer = kEferLme | kEferLma | kEferNxe | kEferSce;
        cpu.tr = segment_from_descriptor(kTssLong, get(kGdt + kTssLong, 8));
        put(kTssAt + 4, kStack0, 8);
        put(kTssAt + 0x24, kIstStack, 8);
        finish_entry(cpl ? kUser64 : kCode64, cpl ? kData3 : kData0, cpl);
    }
    // Virtual-8086 task: segments all at kCodeAt.
    void v86(unsigned iopl = 0) {
        protected32(3);
        cpu.cpl = 3;
        set_flags_register(cpu, 2 | kFlagVm | kFlagIf | u64{iopl} << 12);
        for (u8 s = 0; s < kSegRegs; ++s)
            set_real_segment(cpu, static_cast<SegReg>(s), kCodeAt >> 4);
        cpu.rip = 0;
        cpu.gpr[kRsp] = 0x2000;
        cpu.update_mode();
    }
    // nth dword (or qword) from the top of the current stack.
    u64 stack(unsigned n, unsigned size = 4) {
        return get(cpu.seg[kSs].base + cpu.gpr[kRsp] + n * size, size);
    }
};

}  // namespace rm::cpu::test
