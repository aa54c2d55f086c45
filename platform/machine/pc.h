// The whole PC: memory, buses, chipset, devices, firmware, processors and their scheduler, wired as
// QEMU's `pc` (i440FX + PIIX3).
// Owns: everything but the host ends of serial ports, which the frontend owns. Assumes: one host
// thread calls it, from outside run(). How to construct and run it: platform/README.md.
// Source: QEMU documentation, "i440fx PC" (device places and interrupt wiring as guests see them).
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/interfaces.h"
#include "base/machine_lock.h"
#include "base/result.h"
#include "memory/bus/io_bus.h"
#include "memory/physical/physical.h"
#include "platform/backends/char_backend.h"
#include "platform/clock/event_queue.h"
#include "platform/display/vga.h"
#include "platform/firmware/ram_layout.h"
#include "platform/interrupt/local_apic.h"
#include "platform/machine/scheduler.h"

namespace rm::platform {

struct DriveConfig {
    unsigned unit = 0;  // 0-3: primary master, primary slave, secondary master, secondary slave
    bool cdrom = false;
    std::string file;  // empty: no medium (CD-ROM only)
    bool read_only = false;
    bool snapshot = false;
};

struct SerialConfig {
    bool present = false;
    CharBackend* backend = nullptr;  // null: output is dropped
};

struct DebugExitConfig {
    u16 iobase = 0x501;
    u16 iosize = 2;
};

struct DebugConsoleConfig {
    u16 iobase = 0xE9;
    CharBackend* backend = nullptr;  // null: output is dropped
};

// Sees what leaves the machine, in order, for the run's hash and for traces. `device` is a constant
// such as "serial0", "debugcon", "hda", "exit", "reset".
class Observer {
public:
    virtual ~Observer() = default;
    virtual void on_output(const char* device, std::span<const u8> bytes) = 0;
};

struct PcConfig {
    u64 ram_bytes = u64{128} << 20;  // a multiple of 4 KiB, at least 1 MiB
    unsigned cpus = 1;               // 1-8
    unsigned icount_shift = 2;       // ns per tick = 1 << shift
    LocalApic::Features apic;        // what the processor model advertises
    // Processors run on host threads of their own, and time is the host's (thread=multi). Outlives
    // the machine; null: one after the other, deterministically.
    MachineLock* lock = nullptr;
    u64 msr_feature_control = 0;  // IA32_FEATURE_CONTROL that firmware shall set (5 with VMX)
    bool smm = true;              // SMIs by port B2; the processors must call CpuPlace::smm_changed

    std::string bios, vga_bios;  // empty: searched (firmware_images.h)
    std::string kernel, initrd, append;
    bool linux_entry64 = false;      // -kernel bzImage: entered in 64-bit mode, not in real mode
    std::string boot_order = "cad";  // -boot order=
    bool boot_menu = false;
    bool nographic = false;  // SeaBIOS shows its screen on COM1
    bool vga = true;
    u64 rtc_base = 0;        // seconds since 1970; 0: a fixed default
    bool no_reboot = false;  // a reset ends the run

    std::vector<DriveConfig> drives;
    std::array<SerialConfig, 4> serials;
    std::vector<DebugConsoleConfig> debug_consoles;
    std::optional<DebugExitConfig> debug_exit;
    bool pc_testdev = false;

    Observer* observer = nullptr;
    // A processor shut down (triple fault), before the reset or the end that follows.
    std::function<void(unsigned cpu)> on_triple_fault;
};

// What a processor is given. Everything outlives it.
struct CpuPlace {
    unsigned index, count;
    LocalApicPort& lapic;
    memory::PhysicalMemory& memory;
    memory::IoBus& io;
    VirtualClock& clock;
    std::function<void(bool in_smm)> smm_changed;  // to be called at SMI entry and RSM
    // To be called as FERR# changes; null on processors whose FERR# is not connected (all but the
    // first: port F0H knows of one x87).
    std::function<void(bool asserted)> ferr_changed;
};
using MakeCpu = std::function<std::unique_ptr<Processor>(const CpuPlace&)>;

struct PcExit {
    enum class Kind : u8 {
        kPowerOff,     // ACPI S5
        kReset,        // a reset with no_reboot
        kTripleFault,  // the same, by a processor's shutdown; `cpu` says which
        kDebugExit,    // isa-debug-exit; `status` is its exit code
        kQuit,         // request_quit()
        kInterrupted,  // the flag given to run()
        kIdleForever,  // nothing is due and all processors are halted
        kDebug,        // processor `cpu` stopped for the debugger
    };
    Kind kind = Kind::kQuit;
    int status = 0;
    unsigned cpu = 0;
};

class Pc {
public:
    // Errors are one line and name the option's value: missing firmware, kernel, image, bad sizes.
    static Result<std::unique_ptr<Pc>> create(PcConfig config, const MakeCpu& make_cpu);
    ~Pc();
    Pc(const Pc&) = delete;
    Pc& operator=(const Pc&) = delete;

    // Runs until something in PcExit happens; resets without no_reboot are handled inside. May be
    // called again after kInterrupted, kIdleForever and kDebug.
    PcExit run(const std::atomic<bool>& interrupt);
    // System reset now (not from inside run(); there use request_reset).
    void reset();
    // From inside run() (host poll, device callbacks): takes effect after the current instruction.
    void request_reset();
    void request_quit();
    void press_power_button();

    void set_host_poll(std::function<void()> poll);
    // Input for a serial port goes through its backend. A key is named by its set 1 make code,
    // E0xxh for extended keys (Ps2Keyboard::key).
    void key(u16 code, bool pressed);
    void move_mouse(int dx, int dy, int wheel, u8 buttons);
    void send_break(unsigned serial);
    Result<void> flush_disks();

    // null without VGA
    Vga* vga();
    EventQueue& events();
    memory::PhysicalMemory& memory();
    memory::IoBus& io();
    memory::Ram& ram();
    Scheduler& scheduler();
    unsigned cpu_count() const;
    Processor& cpu(unsigned index);
    LocalApic& local_apic(unsigned index);
    const RamLayout& ram_layout() const;

private:
    Pc();
    struct Board;
    std::unique_ptr<Board> board_;
};

}  // namespace rm::platform
