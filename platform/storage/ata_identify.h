// The data of IDENTIFY DEVICE and IDENTIFY PACKET DEVICE, and SET FEATURES' transfer modes.
// Owns: nothing; pure functions over the device's state.
// Source: ATA/ATAPI-7 volume 1: 6.17 and 6.18 (word tables), 6.46 (table of transfer modes).
#pragma once
#include <span>
#include <string_view>

#include "base/types.h"

namespace rm::platform {

struct IdentifyState {
    u64 sectors;
    u16 default_cylinders;
    u8 heads, sectors_per_track;  // current translation
    u8 multiple, max_multiple;
    u8 multiword_mode, ultra_mode;  // selected mode as one bit, 0 none
    bool write_cache, look_ahead;
    std::string_view serial;
};

void fill_identify_device(const IdentifyState& state, std::span<u8, 512> out);
void fill_identify_packet(u8 multiword_mode, u8 ultra_mode, std::string_view serial,
                          std::span<u8, 512> out);

// SET FEATURES 03h: the sector count register's mode. Updates the one-hot modes; false if the
// device has no such mode.
bool decode_transfer_mode(u8 value, u8& multiword, u8& ultra);

}  // namespace rm::platform
