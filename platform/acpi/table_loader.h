// The fw_cfg file "etc/table-loader": commands by which the firmware places blobs (ACPI tables) in
// guest memory, links them and makes their checksums right.
// Owns: the list of 128-byte commands. Assumes: the named files are added to fw_cfg as well.
// Source: QEMU's table-loader interface as SeaBIOS and edk2 document it (three commands: ALLOCATE
// 1, ADD_POINTER 2, ADD_CHECKSUM 3; all fields little-endian, names NUL-padded to 56 bytes).
#pragma once
#include <string_view>
#include <vector>

#include "base/types.h"
#include "platform/firmware/byte_buffer.h"

namespace rm::platform {

class TableLoader {
public:
    enum class Zone : u8 { kHigh = 1, kFSegment = 2 };
    static constexpr size_t kCommandBytes = 128, kNameBytes = 56;

    // align: a power of two.
    void allocate(std::string_view file, u32 align, Zone zone);
    // Adds the address of `source` to the `size`-byte (4 or 8) little-endian number at `offset` of
    // `dest`, which holds an offset into `source` before.
    void add_pointer(std::string_view dest, u32 offset, u8 size, std::string_view source);
    // Makes the bytes start..start+length of `file` sum to 0 by changing the byte at `offset`.
    void add_checksum(std::string_view file, u32 offset, u32 start, u32 length);
    std::vector<u8> take() { return out_.take(); }

private:
    void finish();
    ByteBuffer out_;
};

}  // namespace rm::platform
