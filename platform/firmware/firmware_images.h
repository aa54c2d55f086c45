// The firmware that is found at run time: SeaBIOS and its VGA BIOS, from the distribution's
// packages. Owns: the search order and the images' placement rules. Assumes: called at start-up
// only. Search: $RINGMINUS_DATA, then the directories of the XDG Base Directory Specification
// ($XDG_DATA_HOME, $XDG_DATA_DIRS), in each the folder itself and its sub-folders seabios and qemu.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace rm::platform {

inline constexpr const char* kSystemBios = "bios-256k.bin";
inline constexpr const char* kVgaBios = "vgabios-stdvga.bin";

// Folders looked at, in order.
std::vector<std::string> firmware_folders();

// override_path: -bios; a path, or a name to be searched like the default. Empty: `name`.
// The error names the file, the folders' variable and the package.
Result<std::string> find_firmware(const std::string& name, const std::string& override_path);

// A system BIOS: a multiple of 64 KiB, at most 16 MiB; ends at 4 GiB, its last 128 KiB show at
// E0000.
Result<std::vector<u8>> read_system_bios(const std::string& override_path);

// An option ROM, padded with zeros to a power of two of at least 4 KiB (a PCI ROM BAR).
Result<std::vector<u8>> read_vga_bios(const std::string& override_path);

}  // namespace rm::platform
