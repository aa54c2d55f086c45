// Host bridge 00:00.0, Intel 82441FX (8086:1237 rev 2).
// Owns: what the processor finds at A0000-BFFFF (SMRAM or the legacy VGA window) and at
// C0000-FFFFF (PAM: shadow RAM or the ROMs behind it). The rest of the map is the machine's.
// Source: 82441FX datasheet 3.2.18 (PAM0-6), 3.2.19 (SMRAM), 4.1. Register 57h as QEMU's `pc`.
//
// SMRAM: A0000-BFFFF is RAM while D_OPEN is set, or while G_SMRAME is set and the processor is in
// System Management Mode. The processor's owner calls set_smm(true) at SMI# entry and
// set_smm(false) at RSM and at reset. With several processors the window follows the last call,
// which is right as long as firmware parks the others during SMM (SeaBIOS does). D_CLS, which
// would send only the *data* accesses of SMM code to PCI, is stored and has no effect.
#pragma once
#include "memory/physical/physical.h"
#include "platform/pci/pci_device.h"

namespace rm::platform {

class I440fx final : public PciDevice {
public:
    struct Config {
        memory::PhysicalMemory* memory = nullptr;
        u8* ram = nullptr;         // host address of guest RAM byte 0; at least 1 MiB
        u64 ram_size = 0;          // bytes
        u8* high_bios = nullptr;   // 128 KiB seen at E0000-FFFFF where PAM does not read RAM
        u8* option_rom = nullptr;  // 128 KiB seen at C0000-DFFFF then; null: a hole
    };
    explicit I440fx(const Config& config);

    // The window at A0000-BFFFF while SMRAM is closed; null: a hole.
    void set_legacy_vga(memory::MmioWindow* window);
    void set_smm(bool in_smm);
    bool smm() const { return in_smm_; }

    void config_write(u8 offset, unsigned size, u32 value) override;
    void reset() override;

private:
    enum class Show : u8 { kNothingYet, kVga, kRam };
    void apply_pam(bool force);
    void apply_smram(bool force);
    u8* rom_at(u32 address) const;

    Config config_area_;
    memory::MmioWindow* vga_ = nullptr;
    bool in_smm_ = false;
    std::array<u8, 13> pam_applied_{};  // RE/WE of each segment as mapped now
    Show smram_applied_ = Show::kNothingYet;
};

}  // namespace rm::platform
