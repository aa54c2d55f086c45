// SMBIOS tables for the firmware: system, board, chassis, processors, memory.
// Owns: the two fw_cfg files "etc/smbios/smbios-tables" and "etc/smbios/smbios-anchor".
// Assumes: the firmware fills the anchor's table address and checksums, and adds type 0 (BIOS
// information) about itself, as SeaBIOS does when it finds none.
// Source: DMTF DSP0134 (SMBIOS) 2.8, 5.2.1 (entry point), 7 (structures).
#pragma once
#include <vector>

#include "base/types.h"
#include "platform/firmware/fw_cfg.h"
#include "platform/firmware/ram_layout.h"

namespace rm::platform {

struct SmbiosConfig {
    unsigned cpus = 1;
    RamLayout ram;
};

struct SmbiosFiles {
    std::vector<u8> tables, anchor;
};

SmbiosFiles build_smbios(const SmbiosConfig& config);
void add_smbios_files(FwCfg& fw_cfg, const SmbiosConfig& config);

}  // namespace rm::platform
