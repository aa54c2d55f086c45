// What disks and CD-ROMs keep their bytes in, and the raw image file behind it.
// Owns: nothing but the interface; implementations own their file descriptor.
// Assumes: offsets and sizes are checked by the caller against size() (RawImage checks again).
#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/types.h"

namespace rm::platform {

class BlockDevice {
public:
    virtual ~BlockDevice() = default;
    virtual u64 size() const = 0;  // bytes, a multiple of 512
    virtual bool read_only() const = 0;
    // Bytes [offset, offset + span size). Any alignment. Errors name the image and the cause.
    virtual Result<void> read(u64 offset, std::span<u8> out) = 0;
    virtual Result<void> write(u64 offset, std::span<const u8> in) = 0;
    virtual Result<void> flush() = 0;  // to the host's stable storage
};

struct RawImageOptions {
    bool read_only = false;
    bool snapshot = false;  // writes stay in memory and are forgotten (`-snapshot`)
};

// Opens a raw image file or block device. A tail shorter than 512 bytes is completed with zeros
// (and may be written; the file grows then). Fails for missing, empty or unreadable images.
Result<std::unique_ptr<BlockDevice>> open_raw_image(const std::string& path,
                                                    const RawImageOptions& options);

// Fails unless the image begins as a CD-ROM does (ISO 9660 or UDF) and has all of its volume.
Result<void> check_cd_image(const std::string& path, BlockDevice& image);

// Writes over `base` kept in memory, in clusters of 64 KiB.
std::unique_ptr<BlockDevice> make_memory_overlay(std::unique_ptr<BlockDevice> base);

// A disk of zeros in memory (tests, scratch disks). size is rounded up to 512.
std::unique_ptr<BlockDevice> make_memory_disk(u64 size);

}  // namespace rm::platform
