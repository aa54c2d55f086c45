// What is soldered on the PC's board: every part, in the order in which they depend on each other.
// Owns: all parts. Private to platform/machine; pc.h is the public face.
// Assumes: firmware images and disks have been opened (pc.cpp) before it is built.
#pragma once
#include <deque>

#include "platform/acpi/acpi_tables.h"
#include "platform/firmware/fw_cfg.h"
#include "platform/input/i8042.h"
#include "platform/interrupt/coprocessor_error.h"
#include "platform/interrupt/isa_irqs.h"
#include "platform/interrupt/locked_apic.h"
#include "platform/machine/pc.h"
#include "platform/pci/i440fx.h"
#include "platform/pci/piix3.h"
#include "platform/pci/piix4_pm.h"
#include "platform/serial/debug_port.h"
#include "platform/serial/pc_testdev.h"
#include "platform/serial/uart16550.h"
#include "platform/storage/ata_disk.h"
#include "platform/storage/atapi_cdrom.h"
#include "platform/storage/piix3_ide.h"
#include "platform/timer/hpet.h"
#include "platform/timer/port61.h"
#include "platform/timer/port92.h"
#include "platform/timer/rtc_cmos.h"

namespace rm::platform {

// Host memory that the board maps: RAM, the system BIOS (at least the 128 KiB seen below 1 MiB),
// the VGA BIOS (may be null) and video memory.
struct BoardMemory {
    std::unique_ptr<memory::Ram> ram, bios, vga_bios, vram;
    u64 bios_bytes = 0;  // the image's size; it ends where the block `bios` ends
};

// An image whose writes are reported to the observer.
class ObservedDisk final : public BlockDevice {
public:
    ObservedDisk(std::unique_ptr<BlockDevice> image, const char* name, Observer* observer)
        : image_(std::move(image)), name_(name), observer_(observer) {}
    u64 size() const override { return image_->size(); }
    bool read_only() const override { return image_->read_only(); }
    Result<void> read(u64 offset, std::span<u8> out) override { return image_->read(offset, out); }
    Result<void> write(u64 offset, std::span<const u8> in) override {
        if (observer_) observer_->on_output(name_, in);
        return image_->write(offset, in);
    }
    Result<void> flush() override { return image_->flush(); }

private:
    std::unique_ptr<BlockDevice> image_;
    const char* name_;
    Observer* observer_;
};

struct Pc::Board {
    Board(PcConfig config, BoardMemory blocks, const MakeCpu& make_cpu);

    // --- pc_run.cpp ---
    PcExit run(const std::atomic<bool>& interrupt);
    void reset();
    enum class Request : u8 { kNone, kReset, kPowerOff, kDebugExit, kQuit };
    void request(Request what, int status = 0);  // the first one in a run counts

    PcConfig config;
    RamLayout layout;
    BoardMemory blocks;
    EventQueue events;
    memory::PhysicalMemory memory;
    memory::IoBus io;

    ApicBus apic_bus;
    Pic8259Pair pic;
    IoApic io_apic;
    IsaIrqs irqs;
    Hpet hpet;
    Pit8254 pit;
    Port61 port61;
    RtcCmos rtc;
    struct A20 final : IrqLine {
        explicit A20(Board& owner) : board(owner) {}
        void set(bool level) override;
        Board& board;
    } a20_line{*this};
    IrqOr a20{a20_line};
    Port92 port92;
    CoprocessorError coprocessor_error;

    PciBus pci;
    I440fx i440fx;
    Piix3 piix3;
    Piix3Ide ide;
    Piix4Pm pm;
    std::unique_ptr<Vga> vga;
    I8042 keyboard;

    FwCfg fw_cfg;
    std::deque<Uart16550> uarts;
    std::array<Uart16550*, 4> com{};
    std::deque<DebugConsole> debug_consoles;
    std::optional<DebugExit> debug_exit;
    std::optional<PcTestdev> testdev;
    std::vector<BlockDevice*> disks;  // for flushing

    std::deque<LocalApic> lapics;
    std::deque<LockedApic> locked_lapics;  // with config.lock: what the processors are given
    std::vector<std::unique_ptr<Processor>> cpus;
    std::optional<Scheduler> scheduler;

    Request pending = Request::kNone;
    int pending_status = 0;

private:
    void map_memory();
    void map_ports();
    void attach_pci();
    void add_serial();
    void add_processors(const MakeCpu& make_cpu);
    void observe(const char* device, std::span<const u8> bytes);
    std::array<IrqLine*, 16> pci_interrupts();
    std::array<IrqLine*, PcTestdev::kLines> test_lines();
};

}  // namespace rm::platform
