#include "lockstep/machine.h"

#include <cstring>

#include "base/bits.h"
#include "cpu/interpreter/block_cache.h"

namespace rm::lockstep {

using namespace cpu;

namespace {

constexpr u64 kPresent = 1, kWrite = 2, kUser = 4, kNx = u64{1} << 63;

struct Apic final : LocalApicPort {
    CpuPins* pins = nullptr;
    u8 acknowledge() override {
        pins->set_intr(false);
        return kInterruptVector;
    }
    u8 tpr() const override { return 0; }
    void set_tpr(u8) override {}
    u64 apic_base() const override { return 0; }
    bool set_apic_base(u64) override { return false; }
    bool msr_read(u32, u64&) override { return false; }
    bool msr_write(u32, u64) override { return false; }
    void reset(bool) override {}
    u64 mmio_read(u64, unsigned) override { return 0; }
    void mmio_write(u64, unsigned, u64) override {}
};

// Time is the processor's own, so that RDTSC shows the tick count in the middle of a block.
struct Clock final : VirtualClock {
    const Processor* cpu = nullptr;
    u64 now_ticks() const override { return cpu ? cpu->ticks() : 0; }
    u64 now_ns() const override { return now_ticks(); }
    std::optional<unsigned> tick_shift() const override { return 0; }
};

// A device that answers each access differently: one too many or too few is noticed.
struct Device final : memory::MmioWindow {
    const Cpu* cpu = nullptr;
    std::vector<Happening>* log = nullptr;
    void note(u64 offset, unsigned size, u64 value) {
        log->push_back(
            {cpu->ticks(), cpu->current_rip(), kMmio + offset + (u64{size} << 48), value});
    }
    u64 mmio_read(u64 offset, unsigned size) override {
        const u64 v = (offset + 1 + log->size()) * 0x9E3779B97F4A7C15;
        note(offset, size, v);
        return v;
    }
    void mmio_write(u64 offset, unsigned size, u64 value) override { note(offset, size, ~value); }
};

constexpr u64 descriptor(u32 base, u32 limit, u32 attr) {
    return (limit & 0xFFFF) | u64{base & 0xFFFFFF} << 16 | u64{attr & 0xFF} << 40 |
           u64{(limit >> 16) & 0xF} << 48 | u64{(attr >> 12) & 0xF} << 52 | u64{base >> 24} << 56;
}
constexpr u64 gate(u16 selector, u64 offset, u32 type_dpl_p) {
    return (offset & 0xFFFF) | u64{selector} << 16 | u64{type_dpl_p} << 40 |
           ((offset >> 16) & 0xFFFF) << 48;
}

// Selectors: code and data at both levels; `code0` is that of the handlers.
constexpr u16 kCode64Sel[2] = {0x08, 0x33}, kCode32Sel[2] = {0x10, 0x23},
              kDataSel[2] = {0x18, 0x2B}, kTssSel = 0x40;
constexpr u64 kTss = page_at(kGdtPage) + kTssOffset;

Segment flat(u16 selector, u32 attr) { return {selector, attr, 0xFFFFFFFF, 0}; }

class Builder {
public:
    std::vector<u8> run() {
        put(kGdtPage, 0x08, descriptor(0, 0xFFFFF, 0xA09B));
        put(kGdtPage, 0x10, descriptor(0, 0xFFFFF, 0xC09B));
        put(kGdtPage, 0x18, descriptor(0, 0xFFFFF, 0xC093));
        put(kGdtPage, 0x20, descriptor(0, 0xFFFFF, 0xC0FB));
        put(kGdtPage, 0x28, descriptor(0, 0xFFFFF, 0xC0F3));
        put(kGdtPage, 0x30, descriptor(0, 0xFFFFF, 0xA0FB));
        put(kGdtPage, 0x40, descriptor(kTss, 0x67, 0x8B));
        handlers();
        tables();
        return std::move(ram_);
    }

private:
    u64* at(unsigned page, u64 offset) {
        return reinterpret_cast<u64*>(ram_.data() + page * kPageSize + offset);
    }
    void put(unsigned page, u64 offset, u64 v) { *at(page, offset) = v; }
    // Every vector halts at an address of its own, but kInterruptVector returns. The TSS of long
    // mode and that of legacy mode have their stacks at different places.
    void handlers() {
        const u64 stack = page_at(kKernelStackPage) + kPageSize - 64;
        std::memcpy(ram_.data() + kTssOffset + 4, &stack, 8);
        const u32 legacy[] = {static_cast<u32>(stack), 0x18};  // ESP0, SS0
        std::memcpy(ram_.data() + kTssOffset + 0x400 + 4, legacy, sizeof legacy);
        put(kGdtPage, 0x50, descriptor(kTss + 0x400, 0x67, 0x8B));
        u8* code = ram_.data() + kHandlerPage * kPageSize;
        std::memset(code, 0xF4, kPageSize);
        const u8 iretq[] = {0x48, 0xCF}, iretd[] = {0xCF};
        std::memcpy(code + kInterruptVector * 8, iretq, sizeof iretq);
        std::memcpy(code + 0x800 + kInterruptVector * 8, iretd, sizeof iretd);
        for (unsigned v = 0; v < 256; ++v) {
            const u32 type = v == kBp || v == kOf ? 0xEE : 0x8E;
            put(kIdtLongPage, v * 16, gate(kCode64Sel[0], kHandlers + v * 8, type));
            put(kIdtLegacyPage, v * 8, gate(kCode32Sel[0], kHandlers + 0x800 + v * 8, type));
        }
    }
    void tables() {
        for (unsigned n = 0; n < kTablesPage; ++n) {
            u64 flags = kWrite | kUser;
            if (n == kReadOnlyPage) flags = kUser;
            if (n < kCodePage || n == kSupervisorPage) flags = kWrite;
            if (n == kNoExecutePage) flags |= kNx;
            map(page_at(n), page_at(n), flags);
        }
        map(kMmio, kMmio, kWrite | kUser);
        for (u64 va : {kBeforeHole, kAfterHole, kBelow4G})
            map(va, page_at(kAliasPage), kWrite | kUser);
    }
    void map(u64 va, u64 pa, u64 flags) {
        unsigned table = kTablesPage;
        for (unsigned shift = 39; shift > 12; shift -= 9) {
            u64& entry = *at(table, ((va >> shift) & 511) * 8);
            if (!entry) entry = page_at(next_++) | kPresent | kWrite | kUser;
            table = static_cast<unsigned>(((entry & kPageMask) - kBase) / kPageSize);
        }
        put(table, ((va >> 12) & 511) * 8, pa | kPresent | flags);
    }

    std::vector<u8> ram_ = std::vector<u8>(kRamBytes);
    unsigned next_ = kTablesPage + 1;
};

CpuState start_state(Kind kind, u8 cpl) {
    CpuState s;
    const unsigned level = cpl ? 1 : 0;
    const u32 dpl = cpl ? 0x60 : 0;
    s.cr0 = kCr0Pe | kCr0Mp | kCr0Et | kCr0Ne | kCr0Wp | kCr0Am;
    s.cr4 = kCr4Pae | kCr4Pge | kCr4Osfxsr | kCr4Osxmmexcpt | kCr4Fsgsbase | kCr4Osxsave;
    s.xcr0 = 3;
    s.cpl = cpl;
    if (kind != Kind::kLegacy) {
        s.cr0 |= kCr0Pg;
        s.cr3 = page_at(kTablesPage);
        s.efer = kEferSce | kEferLme | kEferLma | kEferNxe;
    }
    s.seg[kCs] = kind == Kind::k64 ? flat(kCode64Sel[level], 0xA09B | dpl)
                                   : flat(kCode32Sel[level], 0xC09B | dpl);
    for (SegReg r : {kSs, kDs, kEs, kFs, kGs}) s.seg[r] = flat(kDataSel[level], 0xC093 | dpl);
    s.gdtr = {page_at(kGdtPage), 0x57};
    s.idtr = kind == Kind::kLegacy ? TableRegister{page_at(kIdtLegacyPage), 0x7FF}
                                   : TableRegister{page_at(kIdtLongPage), 0xFFF};
    s.tr = kind == Kind::kLegacy ? Segment{0x50, 0x8B, 0x67, kTss + 0x400}
                                 : Segment{kTssSel, 0x8B, 0x67, kTss};
    s.ldtr = {0, Segment::kUnusable, 0, 0};
    return s;
}

}  // namespace

struct Machine::Parts {
    MachineLock lock;  // nobody else runs: only what is decoded, emitted and done differs
    std::unique_ptr<memory::Ram> ram = std::move(*memory::Ram::create(kRamBytes));
    memory::PhysicalMemory memory{40, Machine::threads ? &lock : nullptr};
    memory::IoBus io;
    Apic apic;
    Clock clock;
    Device device;
    Model model;
    Cpu cpu;
    std::vector<Happening> log;

    explicit Parts(Vendor vendor) : model(mapped(vendor)), cpu(model, {}, memory, io, apic, clock) {
        apic.pins = &cpu;
        clock.cpu = &cpu;
        device.cpu = &cpu;
        device.log = &log;
    }
    Model mapped(Vendor vendor) {
        memory.map_ram(kBase, kRamBytes, ram->host());
        memory.map_mmio(kMmio, kPageSize, &device);
        return Machine::model(vendor);
    }
};

Machine::Machine(Vendor vendor) : parts_(std::make_unique<Parts>(vendor)) {
    parts_->cpu.event_observer = this;
}
Machine::~Machine() = default;

Cpu& Machine::cpu() { return parts_->cpu; }
void Machine::interrupt() { parts_->cpu.set_intr(true); }

void Machine::poke(const Sequence::Poke& p) {
    parts_->cpu.memory.write(p.at, {reinterpret_cast<const u8*>(&p.value), p.size});
}

Model Machine::model(Vendor vendor) {
    Model m = *make_model("max");
    m.vendor = vendor;
    for (unsigned f = 1; f < static_cast<unsigned>(Feature::kCount); ++f)
        m.features.add(static_cast<Feature>(f));
    return m;
}

Mode Machine::mode(Kind kind) {
    Machine m(Vendor::kIntel);
    Sequence s;
    s.kind = kind;
    s.memory = system_memory();
    m.load(s);
    return m.cpu().mode;
}

std::vector<u8> Machine::system_memory() { return Builder{}.run(); }

void Machine::on_delivery(const Cpu& cpu, const Event& e) {
    parts_->log.push_back(
        {cpu.ticks(), cpu.current_rip(), e.vector, e.payload ^ u64{e.error} << 32});
}

void Machine::load(const Sequence& s) {
    Parts& p = *parts_;
    Cpu& cpu = p.cpu;
    static_cast<CpuState&>(cpu) = start_state(s.kind, s.cpl);
    std::memcpy(cpu.gpr, s.gpr, sizeof s.gpr);
    cpu.rip = s.rip;
    cpu.set_rflags(s.rflags);
    cpu.seg[kFs].base = s.fs_base;
    cpu.seg[kGs].base = s.gs_base;
    cpu.dr[0] = s.dr0;
    cpu.dr7 = s.dr7;
    cpu.fpu = s.fpu;
    cpu.attention = cpu.pending = 0;
    cpu.intr_pin = false;
    cpu.pending_db = 0;
    cpu.triple_faulted = cpu.monitor_armed = false;
    cpu.tick_base = cpu.skipped = 0;
    cpu.faulting_length = 0;
    for (u8 r = 0; r < kSegRegs; ++r) cpu.update_segment(static_cast<SegReg>(r));
    cpu.update_mode();
    cpu.update_paging();
    cpu.mmu.flush_all();
    // Only what differs, page by page: decoded code that is still right may stay.
    for (unsigned n = 0; n < kPages; ++n) {
        const u8* want = s.memory.data() + n * kPageSize;
        if (std::memcmp(p.ram->host() + n * kPageSize, want, kPageSize))
            p.memory.write(page_at(n), {want, kPageSize});
    }
    p.log.clear();
}

Result Machine::result(Processor::Stop stop) const {
    const Parts& p = *parts_;
    return {stop, p.cpu.ticks(), p.cpu, p.log,
            std::vector<u8>(p.ram->host(), p.ram->host() + kRamBytes)};
}

}  // namespace rm::lockstep
