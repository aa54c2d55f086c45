#include "jit/cache/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rm::jit {

Result<std::unique_ptr<CodeMemory>> CodeMemory::create(std::size_t bytes) {
    bytes = (bytes + 4095) & ~std::size_t{4095};
    std::unique_ptr<CodeMemory> code(new CodeMemory);
    code->size_ = bytes;
    const int fd = ::memfd_create("ringminus-code", MFD_CLOEXEC);
    if (fd < 0) return fail("code memory: memfd_create failed: %s", std::strerror(errno));
    void *w = MAP_FAILED, *x = MAP_FAILED;
    if (::ftruncate(fd, static_cast<off_t>(bytes)) == 0) {
        w = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        x = ::mmap(nullptr, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    }
    const int error = errno;
    ::close(fd);
    if (w != MAP_FAILED) code->writable_ = static_cast<u8*>(w);
    if (x != MAP_FAILED) code->executable_ = static_cast<u8*>(x);
    if (!code->writable_ || !code->executable_)
        return fail(
            "code memory of %zu MiB cannot be mapped: %s; try a smaller -accel jit,tb-size= or "
            "-accel interp",
            bytes >> 20, std::strerror(error));
    return code;
}

CodeMemory::~CodeMemory() {
    if (writable_) ::munmap(writable_, size_);
    if (executable_) ::munmap(executable_, size_);
}

}  // namespace rm::jit
