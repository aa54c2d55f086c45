// Guest RAM: one shared memfd mapping, so that a translator or another process can map it again.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "memory/physical/physical.h"

#ifdef __SANITIZE_THREAD__
extern "C" void AnnotateBenignRaceSized(const char* file, int line, const volatile void* memory,
                                        long size, const char* description);
#endif

namespace rm::memory {

Result<std::unique_ptr<Ram>> Ram::create(u64 bytes) {
    if (!bytes || bytes % kPageSize)
        return fail("guest RAM of %llu bytes: the size must be a multiple of 4096 and not zero",
                    static_cast<unsigned long long>(bytes));
    std::unique_ptr<Ram> ram(new Ram);
    ram->fd_ = ::memfd_create("ringminus-ram", MFD_CLOEXEC);
    if (ram->fd_ < 0) return fail("guest RAM: memfd_create failed: %s", std::strerror(errno));
    if (::ftruncate(ram->fd_, static_cast<off_t>(bytes)) != 0)
        return fail("guest RAM of %llu MiB cannot be reserved: %s; try a smaller -m",
                    static_cast<unsigned long long>(bytes >> 20), std::strerror(errno));
    void* at =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram->fd_, 0);
    if (at == MAP_FAILED)
        return fail("guest RAM of %llu MiB cannot be mapped: %s; try a smaller -m",
                    static_cast<unsigned long long>(bytes >> 20), std::strerror(errno));
    ram->host_ = static_cast<u8*>(at);
    ram->size_ = bytes;
#ifdef __SANITIZE_THREAD__
    // Guests race in their own memory as they like: that is theirs to answer for.
    AnnotateBenignRaceSized(__FILE__, __LINE__, at, static_cast<long>(bytes), "guest RAM");
#endif
    return ram;
}

Ram::~Ram() {
    if (host_) ::munmap(host_, size_);
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace rm::memory
