// The firmware configuration device: named and numbered items that the firmware, our boot ROM and
// guests read through a selector and a data port or through DMA.
// Owns: the items, the selector state and the DMA engine. Assumes: items are added before the
// machine runs (the directory is sorted by name, so selectors of files shift when one is added).
// Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "memory/bus/io_bus.h"
#include "memory/physical/physical.h"

namespace rm::platform {

class FwCfg final : public memory::PortWindow {
public:
    // Selectors with a fixed meaning; integers are little-endian of the stated width.
    enum Key : u16 {
        kSignature = 0x00,    // "QEMU"
        kId = 0x01,           // u32: bit 0 port interface, bit 1 DMA
        kUuid = 0x02,         // 16 bytes
        kRamSize = 0x03,      // u64
        kNoGraphic = 0x04,    // u16
        kNbCpus = 0x05,       // u16
        kKernelAddr = 0x07,   // u32
        kKernelSize = 0x08,   // u32
        kInitrdAddr = 0x0A,   // u32
        kInitrdSize = 0x0B,   // u32
        kBootDevice = 0x0C,   // u16
        kBootMenu = 0x0E,     // u16
        kMaxCpus = 0x0F,      // u16
        kKernelEntry = 0x10,  // u32
        kKernelData = 0x11,   // bytes
        kInitrdData = 0x12,   // bytes
        kCmdlineAddr = 0x13,  // u32
        kCmdlineSize = 0x14,  // u32
        kCmdlineData = 0x15,  // bytes, NUL-terminated
        kSetupAddr = 0x16,    // u32
        kSetupSize = 0x17,    // u32
        kSetupData = 0x18,    // bytes
        kFileDir = 0x19,      // u32 BE count, then 64-byte entries
        kFileFirst = 0x20,
        kIrq0Override = 0x8002  // u32
    };
    static constexpr u16 kPortBase = 0x510;  // selector, data; DMA address at +4 (high), +8 (low)
    static constexpr unsigned kPortCount = 12;
    static constexpr size_t kMaxNameLength = 55;

    // DMA goes to `memory`, which must outlive the device.
    explicit FwCfg(memory::PhysicalMemory& memory);
    void attach(memory::IoBus& bus);

    void add_bytes(u16 key, std::vector<u8> bytes);
    void add_string(u16 key, std::string_view text);  // with its terminating NUL
    void add_u16(u16 key, u16 value);
    void add_u32(u16 key, u32 value);
    void add_u64(u16 key, u64 value);
    // name: at most 55 bytes. A second file of the same name replaces the first.
    void add_file(const std::string& name, std::vector<u8> bytes);
    bool has_file(const std::string& name) const { return files_.contains(name); }

    void reset();  // selector 0, offset 0

    // What a reader of the selector sees, for tests; empty if the item does not exist.
    std::span<const u8> item(u16 key) const;

    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    struct DmaPorts final : memory::PortWindow {
        explicit DmaPorts(FwCfg& device) : owner(device) {}
        u32 port_read(u16 offset, unsigned size) override {
            return owner.dma_port_read(offset, size);
        }
        void port_write(u16 offset, unsigned size, u32 value) override {
            owner.dma_port_write(offset, size, value);
        }
        FwCfg& owner;
    };
    u32 dma_port_read(u16 offset, unsigned size);
    void dma_port_write(u16 offset, unsigned size, u32 value);
    void select(u16 key);
    u8 next_byte();
    void run_dma(PhysAddr descriptor);
    bool transfer(u32 control, u32 length, PhysAddr address);
    void dma_read(PhysAddr address, u32 length);
    void rebuild_directory();

    memory::PhysicalMemory& memory_;
    DmaPorts dma_ports_{*this};
    std::map<u16, std::vector<u8>> items_;
    std::map<std::string, std::vector<u8>> files_;  // sorted: the order of the directory
    std::vector<const std::vector<u8>*> by_selector_;
    std::vector<u8> directory_;
    std::span<const u8> selected_;
    u64 offset_ = 0;
    u32 dma_high_ = 0;
};

}  // namespace rm::platform
