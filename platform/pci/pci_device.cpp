// Configuration space: masks, BAR sizing and mapping, capability list, pin and MSI.
// Source: PCI Local Bus 2.2, sections as in pci_device.h.
#include "platform/pci/pci_device.h"

#include <bit>
#include <cstring>

#include "base/assert.h"
#include "platform/pci/pci_bus.h"

namespace rm::platform {
namespace {

constexpr u8 kMsiId = 0x05;
constexpr u8 kMsiSize = 14;  // 64-bit address form
constexpr u16 kMsiEnable = 1, kMsi64 = 1 << 7;
constexpr u32 kBarIo = 1, kBarPrefetchable = 8, kRomEnable = 1;

void put(std::array<u8, 256>& to, u8 offset, unsigned size, u32 value) {
    RM_ASSERT(offset + size <= to.size(), "register outside configuration space");
    for (unsigned i = 0; i < size; ++i) to[offset + i] = static_cast<u8>(value >> (8 * i));
}

}  // namespace

PciDevice::PciDevice(const PciIdentity& identity) {
    set_default(pci::kVendorId, 2, identity.vendor);
    set_default(pci::kDeviceId, 2, identity.device);
    set_default(pci::kStatus, 2, identity.status);
    set_default(pci::kRevision, 4, identity.revision | identity.class_code << 8);
    set_default(pci::kHeaderType, 1, identity.header_type);
    set_default(pci::kSubsystemVendor, 2, identity.subsystem_vendor);
    set_default(pci::kSubsystemId, 2, identity.subsystem_id);
    set_default(pci::kInterruptPin, 1, identity.interrupt_pin);
    set_writable(pci::kCommand, 2,
                 pci::kCommandIo | pci::kCommandMemory | pci::kCommandMaster | pci::kCommandSerr |
                     pci::kCommandIntxDisable);
    set_writable(pci::kCacheLine, 1, 0xFF);
    set_writable(pci::kInterruptLine, 1, 0xFF);
    for (unsigned i = 0x40; i < 256; ++i) writable_[i] = 0xFF;
}

PciDevice::~PciDevice() = default;

u16 PciDevice::config16(u8 offset) const {
    return static_cast<u16>(config_[offset] | config_[static_cast<u8>(offset + 1)] << 8);
}

u32 PciDevice::config32(u8 offset) const {
    return config16(offset) | u32{config16(static_cast<u8>(offset + 2))} << 16;
}

void PciDevice::poke(u8 offset, unsigned size, u32 value) { put(config_, offset, size, value); }

void PciDevice::set_default(u8 offset, unsigned size, u32 value) {
    put(defaults_, offset, size, value);
    put(config_, offset, size, value);
}

void PciDevice::set_writable(u8 offset, unsigned size, u32 mask) {
    put(writable_, offset, size, mask);
}

void PciDevice::set_write_one_to_clear(u8 offset, unsigned size, u32 mask) {
    put(clear_by_one_, offset, size, mask);
}

void PciDevice::declare_bar(unsigned index, const Bar& bar, u32 flags) {
    RM_ASSERT(index < kBars && bars_[index].kind == BarKind::kNone, "BAR declared twice");
    RM_ASSERT(std::has_single_bit(bar.size) && bar.size <= u64{1} << 31, "BAR size");
    bars_[index] = bar;
    u32 mask = ~static_cast<u32>(bar.size - 1);
    if (bar.kind == BarKind::kRom) mask |= kRomEnable;
    set_default(bar_offset(index), 4, flags);
    set_writable(bar_offset(index), 4, mask);
}

void PciDevice::add_io_bar(unsigned index, u32 size, memory::PortWindow* window, unsigned sizes) {
    declare_bar(index, {.kind = BarKind::kIo, .size = size, .ports = window, .port_sizes = sizes},
                kBarIo);
}

void PciDevice::add_mmio_bar(unsigned index, u64 size, memory::MmioWindow* window,
                             bool prefetchable) {
    RM_ASSERT(size >= kPageSize, "a memory BAR owns whole pages");
    declare_bar(index, {.kind = BarKind::kMmio, .size = size, .mmio = window},
                prefetchable ? kBarPrefetchable : 0);
}

void PciDevice::add_ram_bar(unsigned index, u64 size, u8* host, bool prefetchable) {
    RM_ASSERT(size >= kPageSize, "a RAM BAR is made of pages");
    declare_bar(index, {.kind = BarKind::kRam, .size = size, .host = host},
                prefetchable ? kBarPrefetchable : 0);
}

void PciDevice::add_rom_bar(u32 size, u8* host) {
    RM_ASSERT(size >= kPageSize, "a ROM BAR is made of pages");
    declare_bar(kRom, {.kind = BarKind::kRom, .size = size, .host = host}, 0);
}

u8 PciDevice::add_capability(u8 id, u8 size) {
    const u8 at = next_capability_;
    RM_ASSERT(at + size <= 256, "no room for another capability");
    next_capability_ = static_cast<u8>((at + size + 3) & ~3);
    set_default(at, 1, id);
    set_default(static_cast<u8>(at + 1), 1, 0);
    set_default(last_capability_link_, 1, at);
    last_capability_link_ = static_cast<u8>(at + 1);
    for (unsigned i = 0; i < size; ++i) writable_[at + i] = 0;
    set_default(pci::kStatus, 1, defaults_[pci::kStatus] | pci::kStatusCapabilities);
    return at;
}

u8 PciDevice::add_msi() {
    msi_ = add_capability(kMsiId, kMsiSize);
    set_default(static_cast<u8>(msi_ + 2), 2, kMsi64);
    set_writable(static_cast<u8>(msi_ + 2), 2, kMsiEnable | 0x70);
    set_writable(static_cast<u8>(msi_ + 4), 4, 0xFFFFFFFC);
    set_writable(static_cast<u8>(msi_ + 8), 4, 0xFFFFFFFF);
    set_writable(static_cast<u8>(msi_ + 12), 2, 0xFFFF);
    return msi_;
}

u32 PciDevice::config_read(u8 offset, unsigned size) {
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < 256; ++i)
        value |= u32{config_[offset + i]} << (8 * i);
    return value;
}

void PciDevice::config_write(u8 offset, unsigned size, u32 value) {
    for (unsigned i = 0; i < size && offset + i < 256; ++i) {
        const u8 byte = static_cast<u8>(value >> (8 * i));
        u8& reg = config_[offset + i];
        const u8 mask = writable_[offset + i];
        reg =
            static_cast<u8>(((reg & ~mask) | (byte & mask)) & ~(byte & clear_by_one_[offset + i]));
    }
    const unsigned end = offset + size;
    const bool command = offset < pci::kCommand + 2 && end > pci::kCommand;
    const bool bars = offset < pci::kBar0 + 24 && end > pci::kBar0;
    const bool rom = offset < pci::kRomBar + 4 && end > pci::kRomBar;
    if (command || bars || rom) update_bars();
    if (command) update_pin();
}

void PciDevice::reset() {
    config_ = defaults_;
    pin_level_ = false;
    update_bars();
    update_pin();
}

bool PciDevice::bar_target(unsigned index, u64& address) const {
    const Bar& bar = bars_[index];
    if (bar.kind == BarKind::kNone) return false;
    const u32 reg = config32(bar_offset(index));
    address = reg & ~static_cast<u32>(bar.size - 1);
    const bool io = bar.kind == BarKind::kIo;
    if (!(command() & (io ? pci::kCommandIo : pci::kCommandMemory))) return false;
    if (bar.kind == BarKind::kRom && !(reg & kRomEnable)) return false;
    return bus_ && bus_->allowed(bar, address);
}

void PciDevice::update_bars() {
    if (!bus_) return;
    for (unsigned i = 0; i < kBars; ++i) {
        Bar& bar = bars_[i];
        u64 address = 0;
        const bool wanted = bar_target(i, address);
        if (bar.mapped && (!wanted || address != bar.mapped_at)) bus_->unmap(bar);
        if (wanted && !bar.mapped) bus_->map(bar, address);
    }
}

void PciDevice::update_pin() {
    const bool level = pin_level_ && !(command() & pci::kCommandIntxDisable);
    config_[pci::kStatus] = static_cast<u8>((config_[pci::kStatus] & ~pci::kStatusIntx) |
                                            (pin_level_ ? pci::kStatusIntx : 0));
    if (level == pin_on_bus_) return;
    pin_on_bus_ = level;
    if (bus_) bus_->pin_changed(*this, level);
}

void PciDevice::set_interrupt(bool level) {
    if (level == pin_level_) return;
    pin_level_ = level;
    update_pin();
}

bool PciDevice::msi_enabled() const {
    return msi_ && (config_[msi_ + 2] & kMsiEnable) && bus_ && bus_->msi_sink_;
}

void PciDevice::send_msi() {
    // A message is a memory write by this function (PCI 2.2 6.8.3): it needs bus mastering.
    if (!msi_enabled() || !bus_master()) return;
    const u64 address =
        config32(static_cast<u8>(msi_ + 4)) | u64{config32(static_cast<u8>(msi_ + 8))} << 32;
    bus_->msi_sink_(address, config16(static_cast<u8>(msi_ + 12)));
}

}  // namespace rm::platform
