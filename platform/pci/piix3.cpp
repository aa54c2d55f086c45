// 82371SB ISA bridge. Sections as in piix3.h.
#include "platform/pci/piix3.h"

namespace rm::platform {
namespace {

constexpr u8 kPirqRouteA = 0x60;
constexpr u8 kRouteDisabled = 0x80;
constexpr u16 kRoutable = 0xDEF8;                      // datasheet 2.2.9: IRQ 3-7, 9-12, 14, 15
constexpr u8 kResetCpu = 1 << 2, kResetHard = 1 << 1;  // RC register

struct Default {
    u8 offset, value;
};
constexpr Default kDefaults[] = {
    {0x4C, 0x4D},  // IORT: ISA I/O recovery timer
    {0x4E, 0x03},  // XBCS: RTC and keyboard controller decoded
    {0x60, 0x80}, {0x61, 0x80}, {0x62, 0x80}, {0x63, 0x80},  // PIRQRC: disabled
    {0x69, 0x02},                                            // TOM
    {0x70, 0x80},                                            // MBIRQ0
    {0x76, 0x0C}, {0x77, 0x0C},                              // MBDMA
    {0x78, 0x02},                                            // PCSC
    {0xA0, 0x08}, {0xA8, 0x0F},                              // SMICNTL, CTLTMR
};

}  // namespace

Piix3::Piix3(PciBus& bus, const std::array<IrqLine*, 16>& isa_irqs, std::function<void()> on_reset)
    : PciDevice({.vendor = 0x8086,
                 .device = 0x7000,
                 .revision = 0,
                 .class_code = 0x060100,
                 .status = 0x0200,
                 .header_type = 0x80}),
      pci_(bus),
      isa_irqs_(isa_irqs),
      on_reset_(std::move(on_reset)) {
    for (const Default& row : kDefaults) set_default(row.offset, 1, row.value);
    pci_.set_pirq_sink([this](unsigned, bool) { update_lines(); });
    pci_.set_reset_control(this);
}

int Piix3::route(unsigned pirq) const {
    const u8 reg = config8(static_cast<u8>(kPirqRouteA + (pirq & 3)));
    const unsigned irq = reg & 0xF;
    return reg & kRouteDisabled || !(kRoutable >> irq & 1) ? -1 : static_cast<int>(irq);
}

void Piix3::update_lines() {
    std::array<bool, 16> wanted{};
    for (unsigned pirq = 0; pirq < 4; ++pirq) {
        const int irq = route(pirq);
        if (irq >= 0 && pci_.pirq_level(pirq)) wanted[static_cast<unsigned>(irq)] = true;
    }
    for (unsigned irq = 0; irq < 16; ++irq) {
        if (wanted[irq] == level_[irq]) continue;
        level_[irq] = wanted[irq];
        if (isa_irqs_[irq]) isa_irqs_[irq]->set(wanted[irq]);
    }
}

void Piix3::config_write(u8 offset, unsigned size, u32 value) {
    PciDevice::config_write(offset, size, value);
    if (offset < kPirqRouteA + 4 && offset + size > kPirqRouteA) update_lines();
}

void Piix3::reset() {
    PciDevice::reset();
    reset_control_ = 0;
    update_lines();
}

u32 Piix3::port_read(u16, unsigned) { return reset_control_; }

void Piix3::port_write(u16, unsigned, u32 value) {
    // 0 -> 1 of bit 2 starts the reset; both kinds reset the whole machine, as in QEMU.
    const bool start = value & kResetCpu;
    reset_control_ = value & kResetHard;
    if (start && on_reset_) on_reset_();
}

}  // namespace rm::platform
