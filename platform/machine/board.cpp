// The board's wiring: ports, memory windows, interrupt lines, PCI slots, processors.
// Source: see board.h and pc.h; addresses come from the devices' own constants where they have
// them.
#include "platform/machine/board.h"

#include "base/assert.h"

namespace rm::platform {
namespace {

constexpr u64 kIsaBiosBytes = 128 << 10;  // seen at E0000-FFFFF

// PCI interrupts may be routed to these ISA lines (PIIX3 2.2.9).
constexpr u16 kRoutable = 0xDEF8;

constexpr const char* kSerialNames[4] = {"serial0", "serial1", "serial2", "serial3"};

}  // namespace

void Pc::Board::A20::set(bool level) {
    const MachineLock::Alone alone(board.config.lock);
    for (auto& cpu : board.cpus) cpu->set_a20(level);
}

std::array<IrqLine*, 16> Pc::Board::pci_interrupts() {
    std::array<IrqLine*, 16> out{};
    for (unsigned irq = 0; irq < 16; ++irq)
        if (kRoutable >> irq & 1) out[irq] = &irqs.add_source(irq);
    return out;
}

// The test device's line n drives global interrupt n; below 16 the 8259s hear it too.
std::array<IrqLine*, PcTestdev::kLines> Pc::Board::test_lines() {
    std::array<IrqLine*, PcTestdev::kLines> out{};
    for (unsigned n = 0; n < out.size(); ++n)
        out[n] = n < 16 && n != 2 ? &irqs.add_source(n) : &irqs.add_io_apic_source(n);
    return out;
}

Pc::Board::Board(PcConfig c, BoardMemory b, const MakeCpu& make_cpu)
    : config(std::move(c)),
      layout(RamLayout::of(config.ram_bytes)),
      blocks(std::move(b)),
      events(config.icount_shift,
             config.lock ? EventQueue::Time::kHost : EventQueue::Time::kExecuted),
      memory(40, config.lock),
      io(config.lock),
      pic(apic_bus.lint0()),
      io_apic(apic_bus),
      irqs(pic, io_apic),
      hpet(events, irqs.irq(0), irqs.irq(8), irqs.add_io_apic_source(2)),
      pit(events, hpet.pit_input()),
      port61(pit),
      rtc(events, hpet.rtc_input(), config.rtc_base ? config.rtc_base : RtcCmos::kDefaultBase),
      port92(a20.add(), [this] { request(Request::kReset); }),
      coprocessor_error(irqs.irq(CoprocessorError::kIrq),
                        [this](bool asserted) {
                            const MachineLock::Alone alone(config.lock);
                            cpus[0]->set_ignne(asserted);
                        }),
      pci(io, memory, layout.below_4g),
      i440fx({.memory = &memory,
              .ram = blocks.ram->host(),
              .ram_size = config.ram_bytes,
              .high_bios = blocks.bios->host() + blocks.bios->size() - kIsaBiosBytes,
              .option_rom = nullptr}),
      piix3(pci, pci_interrupts(), [this] { request(Request::kReset); }),
      ide({.io = &io,
           .memory = &memory,
           .clock = &events,
           .primary = &irqs.irq(14),
           .secondary = &irqs.irq(15)}),
      pm({.io = &io,
          .clock = &events,
          .sci = &irqs.add_source(9),
          .on_poweroff = [this] { request(Request::kPowerOff); },
          .on_suspend = {},
          .raise_smi = [this] { scheduler->pins(scheduler->current()).pulse_smi(); },
          .smm = config.smm,
          .com1 = config.serials[0].present,
          .com2 = config.serials[1].present}),
      keyboard({.io = &io,
                .keyboard_irq = &irqs.irq(1),
                .mouse_irq = &irqs.irq(12),
                .set_a20 = [&line = a20.add()](bool level) { line.set(level); },
                .on_reset = [this] { request(Request::kReset); }}),
      fw_cfg(memory) {
    apic_bus.set_pic_acknowledge([this] { return pic.acknowledge(); });
    if (blocks.vram)
        vga = std::make_unique<Vga>(
            events, std::span(blocks.vram->host(), blocks.vram->size()),
            blocks.vga_bios ? std::span(blocks.vga_bios->host(), blocks.vga_bios->size())
                            : std::span<u8>());
    map_memory();
    map_ports();
    attach_pci();
    add_serial();
    add_processors(make_cpu);
    reset();
}

void Pc::Board::map_memory() {
    u8* const host = blocks.ram->host();
    // The host bridge has mapped 640 KiB-1 MiB already; RAM goes around it.
    memory.map_ram(0, 0xA0000, host);
    if (layout.below_4g > 0x100000)
        memory.map_ram(0x100000, layout.below_4g - 0x100000, host + 0x100000);
    if (layout.above_4g)
        memory.map_ram(RamLayout::kFourGiB, layout.above_4g, host + layout.below_4g);
    memory.map_rom(RamLayout::kFourGiB - blocks.bios_bytes, blocks.bios_bytes,
                   blocks.bios->host() + blocks.bios->size() - blocks.bios_bytes);
    struct Window {
        PhysAddr base;
        u64 size;
        memory::MmioWindow* window;
    };
    const Window windows[] = {
        {IoApic::kBase, IoApic::kSize, &io_apic},
        {Hpet::kBase, Hpet::kSize, &hpet},
        {ApicBus::kMsiBase, ApicBus::kMsiSize, &apic_bus},
    };
    for (const Window& w : windows) memory.map_mmio(w.base, w.size, w.window);
}

void Pc::Board::map_ports() {
    struct Ports {
        u16 base;
        u32 count;
        memory::PortWindow* window;
    };
    const Ports ports[] = {
        {Pic8259Pair::kMasterPort, 2, &pic.master_ports()},
        {Pit8254::kPort, 4, &pit},
        {Port61::kPort, 1, &port61},
        {RtcCmos::kPort, 2, &rtc.ports()},
        {RtcCmos::kExtendedPort, 2, &rtc.extended_ports()},
        {Port92::kPort, 1, &port92},
        {Pic8259Pair::kSlavePort, 2, &pic.slave_ports()},
        {CoprocessorError::kPort, 1, &coprocessor_error},
        {Pic8259Pair::kElcrPort, 2, &pic.elcr_ports()},
    };
    for (const Ports& p : ports) io.add(p.base, p.count, p.window);
    fw_cfg.attach(io);
    if (vga) vga->attach(io);
}

void Pc::Board::attach_pci() {
    pci.set_msi_sink([this](u64 address, u32 data) { apic_bus.deliver_msi(address, data); });
    struct Slot {
        PciDevice* device;
        unsigned slot, function;
    };
    const Slot slots[] = {
        {&i440fx, 0, 0}, {&piix3, 1, 0}, {&ide, 1, 1}, {&pm, 1, 3}, {vga.get(), 2, 0}};
    for (const Slot& s : slots)
        if (s.device) pci.attach(*s.device, s.slot, s.function);
    if (vga) i440fx.set_legacy_vga(&vga->legacy_window());
}

void Pc::Board::observe(const char* device, std::span<const u8> bytes) {
    if (config.observer) config.observer->on_output(device, bytes);
}

void Pc::Board::add_serial() {
    for (unsigned i = 0; i < config.serials.size(); ++i) {
        if (!config.serials[i].present) continue;
        const auto& resource = Uart16550::kCom[i];
        const char* name = kSerialNames[i];
        com[i] = &uarts.emplace_back(io, events,
                                     Uart16550::Config{.base = resource.base,
                                                       .irq = &irqs.add_source(resource.irq),
                                                       .backend = config.serials[i].backend,
                                                       .on_output = [this, name](u8 byte) {
                                                           observe(name, {&byte, 1});
                                                       }});
    }
    for (const DebugConsoleConfig& console : config.debug_consoles)
        debug_consoles.emplace_back(io, console.iobase, console.backend, [this](u8 byte) {
            observe("debugcon", {&byte, 1});
        });
    if (config.debug_exit)
        debug_exit.emplace(io, config.debug_exit->iobase, config.debug_exit->iosize,
                           [this](int code) { request(Request::kDebugExit, code); });
    if (config.pc_testdev) testdev.emplace(io, memory, test_lines());
}

void Pc::Board::add_processors(const MakeCpu& make_cpu) {
    std::vector<Processor*> list;
    const std::function<void(bool)> ferr = [this](bool on) {
        const MachineLock::Hold hold(config.lock);
        coprocessor_error.set_ferr(on);
    };
    const auto smm = [this](bool in_smm) {
        const MachineLock::Hold hold(config.lock);
        i440fx.set_smm(in_smm);
    };
    for (unsigned i = 0; i < config.cpus; ++i) {
        LocalApic& lapic = lapics.emplace_back(i, i == 0, events, apic_bus, config.apic);
        LocalApicPort* port = &lapic;
        if (config.lock) port = &locked_lapics.emplace_back(lapic, *config.lock);
        cpus.push_back(make_cpu({.index = i,
                                 .count = config.cpus,
                                 .lapic = *port,
                                 .memory = memory,
                                 .io = io,
                                 .clock = events,
                                 .smm_changed = smm,
                                 .ferr_changed = i == 0 ? ferr : nullptr}));
        RM_ASSERT(cpus.back(), "the processor factory gave nothing");
        list.push_back(cpus.back().get());
    }
    scheduler.emplace(events, std::move(list), Scheduler::kDefaultQuantum, config.lock);
    for (unsigned i = 0; i < config.cpus; ++i) lapics[i].connect(scheduler->pins(i));
}

}  // namespace rm::platform
