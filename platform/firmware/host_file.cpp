// Reads whole host files. The size is checked before anything is allocated, so a huge sparse file
// costs nothing. Assumes: POSIX. See host_file.h.
#include "platform/firmware/host_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rm::platform {
namespace {

struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
};

Result<std::vector<u8>> read_open(const char* what, const std::string& path, int fd, u64 limit) {
    const char* name = path.c_str();
    struct stat info {};
    if (::fstat(fd, &info)) return fail("%s '%s': %s", what, name, std::strerror(errno));
    if (S_ISDIR(info.st_mode)) return fail("%s '%s': it is a directory", what, name);
    if (!S_ISREG(info.st_mode)) return fail("%s '%s': it is not a regular file", what, name);
    if (info.st_size == 0) return fail("%s '%s': the file is empty", what, name);
    const u64 size = static_cast<u64>(info.st_size);
    if (size > limit)
        return fail("%s '%s': %llu bytes are too many, the limit is %llu", what, name,
                    (unsigned long long)size, (unsigned long long)limit);
    std::vector<u8> bytes(size);
    for (u64 done = 0; done < size;) {
        const ssize_t n = ::read(fd, bytes.data() + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail("%s '%s': %s", what, name, std::strerror(errno));
        if (n == 0) return fail("%s '%s': it shrank while it was read", what, name);
        done += static_cast<u64>(n);
    }
    return bytes;
}

}  // namespace

Result<std::vector<u8>> read_host_file(const char* what, const std::string& path, u64 limit) {
    // Non-blocking: opening a pipe would wait for its writer; regular files do not care.
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.fd < 0) return fail("%s '%s': %s", what, path.c_str(), std::strerror(errno));
    return read_open(what, path, file.fd, limit);
}

}  // namespace rm::platform
