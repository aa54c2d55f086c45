// Everything a guest reaches through ports, memory-mapped windows and DMA of the whole PC: random
// traffic, PCI configuration, IDE commands with any descriptor table, fw_cfg DMA, local APICs, time
// that goes on.
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/assert.h"
#include "fuzz.h"
#include "platform/machine/pc.h"

using namespace rm;
using namespace rm::platform;

namespace {

struct IdleCpu final : Processor, CpuPins {
    CpuPins& pins() override { return *this; }
    Stop run(u64 until) override { return at = until, Stop::kHalted; }
    u64 ticks() const override { return at; }
    void skip_to(u64 ticks) override { at = ticks; }
    void stop_at(u64) override {}
    bool halted() const override { return true; }
    void reset() override {}
    void set_a20(bool) override {}
    void set_intr(bool) override {}
    void pulse_nmi() override {}
    void pulse_smi() override {}
    void pulse_init() override {}
    void startup_ipi(u8) override {}
    u64 at = 0;
};

// A file in memory for the process' life; its path.
std::string file(const char* name, const fuzz::Bytes& bytes) {
    const int fd = memfd_create(name, 0);
    RM_ASSERT(
        fd >= 0 && ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
        "a file in memory");
    return "/proc/self/fd/" + std::to_string(fd);
}

fuzz::Bytes cd() {
    fuzz::Bytes b(40 * 2048);
    std::memcpy(&b[16 * 2048],
                "\x01"
                "CD001",
                6);
    b[16 * 2048 + 80] = 40;
    b[16 * 2048 + 129] = 8;
    return b;
}
fuzz::Bytes option_rom() {
    fuzz::Bytes b(4096);
    b[0] = 0x55, b[1] = 0xAA;
    return b;
}

std::unique_ptr<Pc> make_pc() {
    static const std::string bios = file("bios", fuzz::Bytes(65536)),
                             vga = file("vga", option_rom()),
                             disk = file("disk", fuzz::Bytes(1 << 20, 0x5A)),
                             cdrom = file("cd", cd());
    PcConfig config;
    config.ram_bytes = 4 << 20;
    config.cpus = 2;
    config.bios = bios;
    config.vga_bios = vga;
    config.drives = {{.unit = 0, .file = disk, .snapshot = true},
                     {.unit = 2, .cdrom = true, .file = cdrom}};
    for (auto& s : config.serials) s.present = true;
    config.debug_consoles = {{}};
    config.debug_exit.emplace();
    config.pc_testdev = true;
    auto pc =
        Pc::create(std::move(config), [](const CpuPlace&) { return std::make_unique<IdleCpu>(); });
    RM_ASSERT(pc, "the PC can be built");
    return std::move(*pc);
}

constexpr u16 kPorts[] = {0x00,  0x08,   0x20,   0x40,   0x43,   0x60,  0x61,  0x64,  0x70,
                          0x71,  0x80,   0x92,   0xA0,   0xB2,   0xCF8, 0xCFC, 0xC0,  0xE0,
                          0xF4,  0x170,  0x1CE,  0x1F0,  0x2E8,  0x2F8, 0x376, 0x3B4, 0x3C0,
                          0x3D4, 0x3E8,  0x3F6,  0x3F8,  0x402,  0x4D0, 0x501, 0x510, 0x514,
                          0x600, 0xAE00, 0xC000, 0xC040, 0x2000, 0xE000};
constexpr u64 kWindows[] = {0xA0000,    0xB8000,    0xC0000,    0xE0000,     0xF0000,    0xFD000000,
                            0xFEBF0000, 0xFEC00000, 0xFED00000, 0xFEE00000,  0xFFFC0000, 0xE0000000,
                            0x100000,   0x3FFFF0,   0x400000,   u64{1} << 39};

u16 port(fuzz::Input& in) {
    const u16 base = kPorts[in.byte() % std::size(kPorts)];
    return static_cast<u16>(base + (in.byte() & 15));
}
u64 address(fuzz::Input& in) {
    return kWindows[in.byte() % std::size(kWindows)] + (in.get<u16>() >> (in.byte() & 8));
}

void pci_write(Pc& pc, fuzz::Input& in) {
    const u8 devices[] = {0x00, 0x08, 0x09,
                          0x0B, 0x10, 0x18};  // 00.0, 01.0, 01.1, 01.3, 02.0, 03.0
    const u32 function = devices[in.byte() % std::size(devices)];
    const u8 offset = in.byte();
    pc.io().write(0xCF8, 4, 0x80000000 | function << 8 | (offset & 0xFC));
    const unsigned size = 1u << in.byte() % 3;
    pc.io().write(static_cast<u16>(0xCFC + (offset & 3)), size, static_cast<u32>(in.number()));
    (void)pc.io().read(0xCFC, 4);
}

// A command with bus-master DMA from a table that says anything.
void ide(Pc& pc, fuzz::Input& in) {
    const unsigned channel = in.byte() & 1;
    const u16 base = channel ? 0x170 : 0x1F0, master = static_cast<u16>(0xC000 + channel * 8);
    pc.io().write(0xCF8, 4, 0x80000920);
    pc.io().write(0xCFC, 4, 0xC001);
    pc.io().write(0xCF8, 4, 0x80000904);
    pc.io().write(0xCFC, 4, 5);
    pc.memory().write(0x3000, in.take(in.byte() & 31));
    pc.io().write(static_cast<u16>(master + 4), 4,
                  in.byte() & 1 ? 0x3000 : static_cast<u32>(in.number()));
    for (u16 r = 1; r < 7; ++r) pc.io().write(static_cast<u16>(base + r), 1, in.byte());
    const u8 commands[] = {0xC8, 0xCA, 0x25, 0x35, 0xA0, 0xA1, 0xEC, 0x20, 0x30,
                           0xC4, 0xC5, 0xC6, 0x29, 0x39, 0xEF, 0x90, 0xE7, 0x08};
    const u8 pick = in.byte();
    pc.io().write(static_cast<u16>(base + 7), 1,
                  pick < 200 ? commands[pick % std::size(commands)] : pick);
    const unsigned words = in.byte() % 40;  // an ATAPI packet, or data
    for (unsigned n = 0; n < words; ++n) pc.io().write(base, 2, in.get<u16>());
    pc.io().write(master, 1, in.byte() & 9);
    for (unsigned n = 0; n < 4; ++n) (void)pc.io().read(base, 2);
}

void fw_cfg(Pc& pc, fuzz::Input& in) {
    u8 descriptor[16];
    for (u8& b : descriptor) b = in.byte() & 1 ? in.byte() : 0;
    if (in.byte() & 1)
        descriptor[0] = 0, descriptor[1] = in.byte(), descriptor[3] |= 8;  // select as well
    pc.memory().write(0x5000, descriptor);
    pc.io().write(0x514, 4, 0);
    pc.io().write(0x518, 4,
                  in.byte() & 7 ? 0x00500000 : static_cast<u32>(in.number()));  // 5000H, big-endian
}

void pass_time(Pc& pc, u8 steps) {
    for (unsigned n = 0; n < (steps & 7u) + 1; ++n) {
        const u64 next = pc.events().next_deadline_ticks();
        if (next == EventQueue::kNever) return;
        pc.events().advance_to(next);
        pc.events().fire_due();
    }
}

void step(Pc& pc, fuzz::Input& in) {
    const unsigned size = 1u << in.byte() % 3;
    switch (in.byte() % 14) {
        case 0:
        case 1: pc.io().write(port(in), size, static_cast<u32>(in.number())); break;
        case 2: (void)pc.io().read(port(in), size); break;
        case 3: pc.io().write(in.get<u16>(), size, static_cast<u32>(in.number())); break;
        case 4: (void)pc.io().read(in.get<u16>(), size); break;
        case 5: pc.memory().store(address(in), in.byte() & 1 ? 8 : size, in.number()); break;
        case 6: (void)pc.memory().load(address(in), in.byte() & 1 ? 8 : size); break;
        case 7: pci_write(pc, in); break;
        case 8: ide(pc, in); break;
        case 9: fw_cfg(pc, in); break;
        case 10:
            pc.local_apic(in.byte() & 1).mmio_write(in.get<u16>() & 0xFFF, 4, in.number());
            break;
        case 11: {
            u64 value = in.number();
            (void)pc.local_apic(0).msr_write(0x800 + in.byte(), value);
            (void)pc.local_apic(0).msr_read(0x800 + in.byte(), value);
            (void)pc.local_apic(1).acknowledge();
            break;
        }
        case 12:
            pc.key(in.byte(), in.byte() & 1);
            pc.move_mouse(static_cast<i8>(in.byte()), static_cast<i8>(in.byte()),
                          static_cast<i8>(in.byte()), in.byte());
            break;
        case 13: pass_time(pc, in.byte()); break;
    }
}

}  // namespace

std::vector<fuzz::Bytes> fuzz::seeds() {
    std::vector<Bytes> out(8);
    for (size_t n = 0; n < out.size(); ++n)
        for (unsigned i = 0; i < 600; ++i)
            out[n].push_back(static_cast<u8>((i * 37 + n * 101 + i * i * (n + 3)) >> (n & 3)));
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    const auto pc = make_pc();
    fuzz::Input in(data, size);
    while (in.more()) step(*pc, in);
    (void)pc->vga()->text();
    (void)pc->vga()->picture();
    pc->reset();
    return 0;
}
