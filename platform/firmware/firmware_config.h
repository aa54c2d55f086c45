// What the firmware is told about the machine through fw_cfg: standard keys, E820, boot order,
// sleep states, boot menu, -kernel. ACPI and SMBIOS files come from platform/acpi. Owns: the list.
// Assumes: SeaBIOS or another firmware that reads QEMU's keys. Source: QEMU documentation, "fw_cfg
// device"; SeaBIOS documentation, "Runtime configuration".
#pragma once
#include <string>
#include <vector>

#include "platform/firmware/fw_cfg.h"
#include "platform/firmware/kernel_loader.h"
#include "platform/firmware/ram_layout.h"

namespace rm::platform {

struct FirmwareConfig {
    RamLayout ram;
    unsigned cpus = 1;
    bool nographic = false;  // SeaBIOS then shows its screen on COM1
    bool boot_menu = false;
    u64 msr_feature_control = 0;  // IA32_FEATURE_CONTROL firmware shall set; 0: leave it alone
    std::vector<std::string> boot_devices;  // OpenFirmware paths, first is tried first
};

void add_firmware_config(FwCfg& fw_cfg, const FirmwareConfig& config);

// Our boot ROM, its script, and for bzImage the classic keys. The ROM becomes the first boot device
// if "bootorder" starts with kKernelBootDevice.
inline constexpr const char* kKernelBootDevice = "/rom@genroms/ringminus-boot.bin";
void add_kernel(FwCfg& fw_cfg, LoadedKernel kernel);

}  // namespace rm::platform
