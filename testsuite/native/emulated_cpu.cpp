#include "native/emulated_cpu.h"

#include <cstring>

#include "cpu/state/segments.h"

namespace rm::native {

using namespace cpu;

namespace {

struct NoApic final : LocalApicPort {
    u8 acknowledge() override { return 0; }
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
struct NoClock final : VirtualClock {
    u64 now_ticks() const override { return 0; }
    u64 now_ns() const override { return 0; }
};

// Physical layout.
constexpr u64 kRam = 4 << 20, kScratchAt = 0x100000, kCodeAt = 0x110000, kTables = 0x200000;
constexpr u64 kPresent = 1, kWrite = 2, kUser = 4;

constexpr Segment kCode64Segment{kUserCs, 0xA0FB, 0xFFFFFFFF, 0};
constexpr Segment kCode32Segment{kUserCs32, 0xC0FB, 0xFFFFFFFF, 0};
constexpr Segment kDataSegment{kUserData, 0xC0F3, 0xFFFFFFFF, 0};
constexpr Segment kNullSegment{0, Segment::kUnusable, 0, 0};
Segment segment_of(unsigned entry) {
    const SegmentLayout& l = kLdt[entry];
    return {ldt_selector(entry), l.attributes() >> 8, l.limit, l.base};
}

// Descriptor tables, for supervisor accesses only, and a TSS without an I/O permission bitmap.
constexpr u64 kSystemPage = 0xFFFF'C000'0000'0000, kSystemAt = 0x120000;
constexpr u64 kGdtOffset = 0, kLdtOffset = 0x400, kTssOffset = 0x800;
constexpr u16 kTssLimit = 0x67, kIoMapField = 0x66;
constexpr u64 kGdt[16] = {0,
                          0x00CF9B000000FFFF,   // 08H kernel code, 32 bits
                          0x00AF9B000000FFFF,   // 10H kernel code
                          0x00CF93000000FFFF,   // 18H kernel data
                          0x00CFFB000000FFFF,   // 20H user code, 32 bits
                          0x00CFF3000000FFFF,   // 28H user data
                          0x00AFFB000000FFFF};  // 30H user code

Model everything(Vendor vendor) {
    Model m = *make_model("max");
    m.vendor = vendor;
    for (unsigned n = 1; n < static_cast<unsigned>(Feature::kCount); ++n) {
        const auto f = static_cast<Feature>(n);
        // Bit 17 of MXCSR and its mask is AMD's alone (APM1 4.2.2).
        if (f != Feature::k_misalignsse || vendor == Vendor::kAmd) m.features.add(f);
    }
    return m;
}

u16 full_tags(u8 abridged) {
    u16 tags = 0;
    for (unsigned n = 0; n < 8; ++n)
        if (!((abridged >> n) & 1)) tags |= static_cast<u16>(3 << (2 * n));
    return tags;
}
u8 abridged_tags(u16 tags) {
    u8 abridged = 0;
    for (unsigned n = 0; n < 8; ++n)
        if (((tags >> (2 * n)) & 3) != 3) abridged |= static_cast<u8>(1 << n);
    return abridged;
}

void load_fx(FpuState& f, const FxImage& in) {
    f.fcw = in.fcw;
    f.fsw = in.fsw;
    f.ftw = full_tags(in.tags);
    f.fop = in.fop;
    f.fip = in.fip;
    f.fdp = in.fdp;
    f.mxcsr = in.mxcsr;
    for (unsigned n = 0; n < 8; ++n) {
        FpuState::Reg80& r = f.st[(f.top() + n) & 7];
        std::memcpy(&r.mantissa, in.st[n], 8);
        std::memcpy(&r.sign_exponent, in.st[n] + 8, 2);
    }
    std::memcpy(f.xmm, in.xmm, sizeof f.xmm);
}
void save_fx(const FpuState& f, FxImage& out) {
    out = FxImage{};
    out.fcw = f.fcw;
    out.fsw = f.fsw;
    out.tags = abridged_tags(f.ftw);
    out.fop = f.fop;
    out.fip = f.fip;
    out.fdp = f.fdp;
    out.mxcsr = f.mxcsr;
    for (unsigned n = 0; n < 8; ++n) {
        const FpuState::Reg80& r = f.st[(f.top() + n) & 7];
        std::memcpy(out.st[n], &r.mantissa, 8);
        std::memcpy(out.st[n] + 8, &r.sign_exponent, 2);
    }
    std::memcpy(out.xmm, f.xmm, sizeof f.xmm);
}

}  // namespace

struct EmulatedCpu::Machine {
    std::unique_ptr<memory::Ram> ram = std::move(*memory::Ram::create(kRam));
    memory::PhysicalMemory memory;
    memory::IoBus io;
    NoApic apic;
    NoClock clock;
    Model model;
    Cpu cpu;
    CpuState start;  // of every case, before its own values
    Mode modes[3];
    u64 next_table = kTables;

    explicit Machine(Vendor vendor)
        : model((memory.map_ram(0, kRam, ram->host()), everything(vendor))),
          cpu(model, {}, memory, io, apic, clock) {
        std::memset(ram->host() + kCodeAt, kFiller, kCodeBytes);
        const u64 root = table();
        for (u64 at : {kScratch, kHighScratch})
            for (u64 n = 0; n < kScratchPages; ++n)
                map(root, at + n * kPageSize, kScratchAt + n * kPageSize,
                    n < kWritablePages ? kUser | kWrite : kUser);
        for (u64 o = 0; o < kCodeBytes; o += kPageSize) map(root, kCode + o, kCodeAt + o, kUser);
        start.cr0 = kCr0Pe | kCr0Mp | kCr0Et | kCr0Ne | kCr0Wp | kCr0Am | kCr0Pg;
        start.cr4 = kCr4Pae | kCr4Pge | kCr4Osfxsr | kCr4Osxmmexcpt | kCr4Fsgsbase | kCr4Osxsave;
        start.cr3 = root;
        start.efer = kEferSce | kEferLme | kEferLma | kEferNxe;
        start.xcr0 = 3;
        start.cpl = 3;
        start.seg[kCs] = kCode64Segment;
        for (SegReg s : {kSs, kDs, kEs}) start.seg[s] = kDataSegment;
        start.seg[kFs] = start.seg[kGs] = kNullSegment;
        make_tables(root);
        cpu.reset();
        for (Code code : {Code::k16, Code::k32, Code::k64}) {
            enter(code);
            modes[static_cast<u8>(code)] = cpu.mode;
        }
        cpu.update_paging();
        cpu.mmu.flush_all();
    }
    void make_tables(u64 root) {
        map(root, kSystemPage, kSystemAt, 0);
        u8* page = ram->host() + kSystemAt;
        std::memcpy(page + kGdtOffset, kGdt, sizeof kGdt);
        for (unsigned entry = 0; entry < kLdtEntries; ++entry) {
            const u64 descriptor = kLdt[entry].descriptor();
            std::memcpy(page + kLdtOffset + 8 * entry, &descriptor, 8);
        }
        const u16 beyond = kTssLimit + 1;
        std::memcpy(page + kTssOffset + kIoMapField, &beyond, 2);
        start.gdtr = {kSystemPage + kGdtOffset, sizeof kGdt - 1};
        start.ldtr = {0x50, 0x82, 8 * kLdtEntries - 1, kSystemPage + kLdtOffset};
        start.tr = {0x40, 0x8B, kTssLimit, kSystemPage + kTssOffset};
    }
    u64 table() { return (next_table += kPageSize) - kPageSize; }
    void map(u64 root, u64 va, u64 pa, u64 flags) {
        *entry_of(leaf_table(root, va), va, 12) = pa | kPresent | flags;
    }
    u64 leaf_table(u64 root, u64 va) {
        u64 at = root;
        for (unsigned shift = 39; shift > 12; shift -= 9) {
            u64* entry = entry_of(at, va, shift);
            if (!*entry) *entry = table() | kPresent | kWrite | kUser;
            at = *entry & kPageMask;
        }
        return at;
    }
    u64* entry_of(u64 table, u64 va, unsigned shift) {
        return reinterpret_cast<u64*>(ram->host() + table) + ((va >> shift) & 511);
    }
    void enter(Code code) {
        static_cast<CpuState&>(cpu) = start;
        if (code == Code::k32) cpu.seg[kCs] = kCode32Segment;
        if (code == Code::k16) {
            constexpr SegReg kOrder[] = {kCs, kSs, kDs, kEs};
            for (unsigned entry = 0; entry < 4; ++entry) cpu.seg[kOrder[entry]] = segment_of(entry);
        }
        for (u8 s = 0; s < kSegRegs; ++s) cpu.update_segment(static_cast<SegReg>(s));
        cpu.update_mode();
    }
};

EmulatedCpu::EmulatedCpu(Vendor vendor) : machine_(std::make_unique<Machine>(vendor)) {
    machine_->cpu.event_observer = this;
}
EmulatedCpu::~EmulatedCpu() = default;

const u8* EmulatedCpu::memory() const { return machine_->ram->host() + kScratchAt; }
const Model& EmulatedCpu::model() const { return machine_->model; }
Mode EmulatedCpu::mode(Code code) const { return machine_->modes[static_cast<u8>(code)]; }

// The first event ends the case: the state is taken before anything of the delivery has happened.
// There is no IDT behind it, so the delivery itself ends in a triple fault.
void EmulatedCpu::on_delivery(const Cpu&, const Event& event) {
    // INT n: what counts is whether the gate lets it in, which none of its vectors does.
    if (delivered_ || event.type == EventType::kSoftwareInterrupt) return;
    delivered_ = true;
    save(outcome_.state);
    if (event.type == EventType::kSoftwareException ||
        event.type == EventType::kPrivilegedSoftwareException)
        outcome_.state.rip += event.insn_length;
    outcome_.vector = event.vector;
    outcome_.error = event.has_error ? event.error : 0;
    outcome_.cr2 = event.vector == kPf ? event.payload : 0;
}

void EmulatedCpu::load(const Case& c) {
    Machine& m = *machine_;
    Cpu& cpu = m.cpu;
    m.enter(c.code);
    cpu.attention = 0;
    cpu.pending_db = 0;
    cpu.triple_faulted = false;
    std::memcpy(cpu.gpr, c.in.gpr, sizeof c.in.gpr);
    cpu.rip = c.in.rip;
    cpu.set_rflags(c.in.rflags);
    cpu.seg[kFs].base = c.in.fs_base;
    cpu.seg[kGs].base = c.in.gs_base;
    cpu.update_segment(kFs);
    cpu.update_segment(kGs);
    cpu.update_mode();
    load_fx(cpu.fpu, c.in.fx);
    std::memcpy(m.ram->host() + kScratchAt, c.memory, kScratchBytes);
    m.memory.write(kCodeAt + c.code_offset(), {c.bytes, c.length});
}

void EmulatedCpu::save(State& out) const {
    const Cpu& cpu = machine_->cpu;
    std::memcpy(out.gpr, cpu.gpr, sizeof out.gpr);
    out.rip = cpu.rip;
    out.rflags = cpu.rflags();
    out.fs_base = cpu.seg[kFs].base;
    out.gs_base = cpu.seg[kGs].base;
    for (unsigned s = 0; s < kSegRegs; ++s) {
        const u16 selector = cpu.seg[s].selector;
        out.selectors[s] = selector < 4 && s != kCs && s != kSs ? 0 : selector;
    }
    save_fx(cpu.fpu, out.fx);
}

Outcome EmulatedCpu::run(const Case& c, unsigned piece, bool cold) {
    Machine& m = *machine_;
    Cpu& cpu = m.cpu;
    load(c);
    if (cold) cpu.mmu.flush_all();
    delivered_ = false;
    outcome_ = Outcome{};
    // A REP instruction takes several calls; the INT3 behind it ends the last one.
    do (void)cpu.run(cpu.ticks() + (c.repeats ? piece : 1));
    while (c.repeats && !delivered_ && cpu.rip == c.in.rip);
    if (!delivered_) save(outcome_.state);
    if (outcome_.vector == kBp && outcome_.state.rip == c.in.rip + c.length + 1) {
        outcome_.vector = kNoFault;
        --outcome_.state.rip;
    }
    u8 filler[sizeof c.bytes];
    std::memset(filler, kFiller, sizeof filler);
    m.memory.write(kCodeAt + c.code_offset(), {filler, c.length});
    return outcome_;
}

}  // namespace rm::native
