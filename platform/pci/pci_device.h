// One PCI function: its 256-byte configuration space, base address registers, capabilities and
// interrupt pin. Devices derive from it and describe themselves in the constructor.
// Owns: the configuration bytes, the write masks, what of its BARs is mapped at the moment.
// Assumes: PciBus::attach gives it a place on the bus before the guest runs.
// Source: PCI Local Bus 2.2 (6.1 configuration header, 6.2.5 base addresses, 6.7 capabilities,
// 6.8 MSI). Register defaults and write masks as QEMU's `pc` shows them to guests.
#pragma once
#include <array>
#include <memory>

#include "base/types.h"
#include "memory/bus/io_bus.h"
#include "memory/physical/physical.h"

namespace rm::platform {

class PciBus;

// Offsets in the type 0 header (PCI 2.2 figure 6-1).
namespace pci {
inline constexpr u8 kVendorId = 0x00, kDeviceId = 0x02, kCommand = 0x04, kStatus = 0x06;
inline constexpr u8 kRevision = 0x08, kClass = 0x09, kCacheLine = 0x0C, kHeaderType = 0x0E;
inline constexpr u8 kBar0 = 0x10, kSubsystemVendor = 0x2C, kSubsystemId = 0x2E, kRomBar = 0x30;
inline constexpr u8 kCapabilities = 0x34, kInterruptLine = 0x3C, kInterruptPin = 0x3D;
inline constexpr u16 kCommandIo = 1, kCommandMemory = 2, kCommandMaster = 4;
inline constexpr u16 kCommandSerr = 1 << 8, kCommandIntxDisable = 1 << 10;
inline constexpr u16 kStatusIntx = 1 << 3, kStatusCapabilities = 1 << 4;
}  // namespace pci

struct PciIdentity {
    u16 vendor = 0;
    u16 device = 0;
    u8 revision = 0;
    u32 class_code = 0;    // class << 16 | subclass << 8 | programming interface
    u16 status = 0;        // capability bit is set by add_capability
    u8 header_type = 0;    // 0x80: multi-function
    u8 interrupt_pin = 0;  // 0 none, 1 INTA# ... 4 INTD#
    u16 subsystem_vendor = 0x1AF4;
    u16 subsystem_id = 0x1100;
};

class PciDevice {
public:
    explicit PciDevice(const PciIdentity& identity);
    virtual ~PciDevice();
    PciDevice(const PciDevice&) = delete;
    PciDevice& operator=(const PciDevice&) = delete;

    // Configuration cycles. size is 1, 2 or 4 and offset + size <= 256. A subclass that reacts to
    // writes of its own registers overrides config_write, calls this one first, then looks at
    // config8/16/32 of what it owns.
    virtual u32 config_read(u8 offset, unsigned size);
    virtual void config_write(u8 offset, unsigned size, u32 value);

    // RST#: header and private registers back to their power-up values, BARs unmapped, pin low.
    // A subclass overrides it for its own state and calls this one first.
    virtual void reset();

    u8 slot() const { return devfn_ >> 3; }
    u8 function() const { return devfn_ & 7; }
    u8 devfn() const { return devfn_; }
    u8 interrupt_pin() const { return config_[pci::kInterruptPin]; }

protected:
    // --- description, in the constructor of the subclass ---
    // index 0..5; size is a power of two (I/O: 4..256 ports, memory: a page
    // or more).
    void add_io_bar(unsigned index, u32 size, memory::PortWindow* window, unsigned sizes);
    void add_mmio_bar(unsigned index, u64 size, memory::MmioWindow* window,
                      bool prefetchable = false);
    // Host memory mapped as RAM (a frame buffer).
    void add_ram_bar(unsigned index, u64 size, u8* host, bool prefetchable = true);
    // Expansion ROM; size is a power of two, host points at that many bytes.
    void add_rom_bar(u32 size, u8* host);
    // Appends a capability of `size` bytes at the next free place; returns its offset.
    u8 add_capability(u8 id, u8 size);
    // MSI with 64-bit address, one message (PCI 2.2 6.8). Returns the capability's offset.
    u8 add_msi();
    // Defaults of private registers: what reset() restores. Offsets 0x40 up are writable as a
    // whole unless narrowed with set_writable.
    void set_default(u8 offset, unsigned size, u32 value);
    void set_writable(u8 offset, unsigned size, u32 mask);
    void set_write_one_to_clear(u8 offset, unsigned size, u32 mask);

    // --- in operation ---
    u8 config8(u8 offset) const { return config_[offset]; }
    u16 config16(u8 offset) const;
    u32 config32(u8 offset) const;
    void poke(u8 offset, unsigned size, u32 value);  // the device's own write, no masks
    u16 command() const { return config16(pci::kCommand); }
    bool bus_master() const { return command() & pci::kCommandMaster; }
    // Level of the interrupt pin; honours the command register's INTx disable.
    void set_interrupt(bool level);
    bool msi_enabled() const;
    // Sends the MSI message; call only if msi_enabled().
    void send_msi();
    PciBus* bus() const { return bus_; }

private:
    friend class PciBus;
    enum class BarKind : u8 { kNone, kIo, kMmio, kRam, kRom };
    struct Bar {
        BarKind kind = BarKind::kNone;
        u64 size = 0;
        memory::PortWindow* ports = nullptr;
        memory::MmioWindow* mmio = nullptr;
        u8* host = nullptr;
        unsigned port_sizes = 0;
        bool mapped = false;
        u64 mapped_at = 0;
    };
    static constexpr unsigned kBars = 7, kRom = 6;
    static u8 bar_offset(unsigned index) {
        return static_cast<u8>(index == kRom ? pci::kRomBar : pci::kBar0 + 4 * index);
    }
    void declare_bar(unsigned index, const Bar& bar, u32 flags);
    // Where the BAR shall be now; false if nowhere.
    bool bar_target(unsigned index, u64& address) const;
    void update_bars();
    void update_pin();

    std::array<u8, 256> config_{};
    std::array<u8, 256> defaults_{};
    std::array<u8, 256> writable_{};
    std::array<u8, 256> clear_by_one_{};
    std::array<Bar, kBars> bars_;
    u8 next_capability_ = 0x40;
    u8 last_capability_link_ = pci::kCapabilities;
    u8 msi_ = 0;
    u8 devfn_ = 0;
    bool pin_level_ = false;   // what the device drives
    bool pin_on_bus_ = false;  // what the bus sees
    PciBus* bus_ = nullptr;
};

}  // namespace rm::platform
