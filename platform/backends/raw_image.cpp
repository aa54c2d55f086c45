// Raw disk image on the host's file system: positioned reads and writes of one descriptor.
// Owns: the descriptor. Assumes: nobody else shortens the file (a short read is an error then).
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bits.h"
#include "platform/backends/block_device.h"

namespace rm::platform {
namespace {

class RawImage final : public BlockDevice {
public:
    RawImage(int fd, std::string path, u64 bytes, bool read_only)
        : fd_(fd), path_(std::move(path)), bytes_(bytes), read_only_(read_only) {}
    ~RawImage() override { ::close(fd_); }

    u64 size() const override { return align_up(bytes_, 512); }
    bool read_only() const override { return read_only_; }

    Result<void> read(u64 offset, std::span<u8> out) override {
        if (offset > size() || out.size() > size() - offset)
            return fail("disk image '%s': read past the end at offset %llu", path_.c_str(),
                        static_cast<unsigned long long>(offset));
        size_t done = 0;
        while (done < out.size()) {
            const ssize_t n = ::pread(fd_, out.data() + done, out.size() - done,
                                      static_cast<off_t>(offset + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return host_error("read");
            if (n == 0) break;
            done += static_cast<size_t>(n);
        }
        if (offset + done < std::min<u64>(bytes_, offset + out.size()))
            return fail("disk image '%s' became shorter while in use", path_.c_str());
        std::fill(out.begin() + static_cast<ptrdiff_t>(done), out.end(), u8{0});
        return {};
    }

    Result<void> write(u64 offset, std::span<const u8> in) override {
        if (read_only_) return fail("disk image '%s' is opened read-only", path_.c_str());
        if (offset > size() || in.size() > size() - offset)
            return fail("disk image '%s': write past the end at offset %llu", path_.c_str(),
                        static_cast<unsigned long long>(offset));
        size_t done = 0;
        while (done < in.size()) {
            const ssize_t n = ::pwrite(fd_, in.data() + done, in.size() - done,
                                       static_cast<off_t>(offset + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return host_error("write");
            done += static_cast<size_t>(n);
        }
        bytes_ = std::max(bytes_, offset + done);
        return {};
    }

    Result<void> flush() override {
        if (!read_only_ && ::fdatasync(fd_) != 0 && errno != EINVAL) return host_error("flush");
        return {};
    }

private:
    std::unexpected<Error> host_error(const char* what) const {
        return fail("disk image '%s': %s failed: %s", path_.c_str(), what, std::strerror(errno));
    }

    int fd_;
    std::string path_;
    u64 bytes_;
    bool read_only_;
};

Result<u64> image_bytes(int fd, const std::string& path) {
    struct stat info {};
    if (::fstat(fd, &info) != 0)
        return fail("disk image '%s': %s", path.c_str(), std::strerror(errno));
    if (S_ISREG(info.st_mode)) return static_cast<u64>(info.st_size);
    u64 bytes = 0;
    if (S_ISBLK(info.st_mode) && ::ioctl(fd, BLKGETSIZE64, &bytes) == 0) return bytes;
    return fail("disk image '%s' is neither a file nor a block device", path.c_str());
}

}  // namespace

Result<std::unique_ptr<BlockDevice>> open_raw_image(const std::string& path,
                                                    const RawImageOptions& options) {
    const bool read_only = options.read_only || options.snapshot;
    // Non-blocking: opening a pipe would wait for its writer; files and disks do not care.
    const int fd = ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int error = errno;
        const bool may_try_read_only = !read_only && (error == EACCES || error == EROFS);
        return fail(
            "cannot open disk image '%s': %s%s", path.c_str(), std::strerror(error),
            may_try_read_only ? "; add readonly=on or -snapshot to use it without writing" : "");
    }
    const Result<u64> bytes = image_bytes(fd, path);
    if (!bytes || *bytes == 0) {
        ::close(fd);
        if (!bytes) return std::unexpected(bytes.error());
        return fail("disk image '%s' is empty; create one with: truncate -s 1G '%s'", path.c_str(),
                    path.c_str());
    }
    std::unique_ptr<BlockDevice> image = std::make_unique<RawImage>(fd, path, *bytes, read_only);
    if (options.snapshot && !options.read_only) image = make_memory_overlay(std::move(image));
    return image;
}

}  // namespace rm::platform
