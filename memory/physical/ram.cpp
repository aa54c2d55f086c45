// Guest RAM: one private anonymous mapping. A page fault costs the host a third less there than in
// a memfd, and a run touches a hundred thousand pages. Not in huge pages: clearing those is dearer
// than the faults on hosts that are virtual machines themselves and give free memory back.
#include <sys/mman.h>

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
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return fail("guest RAM of %llu MiB cannot be mapped: %s; try a smaller -m",
                    static_cast<unsigned long long>(bytes >> 20), std::strerror(errno));
    std::unique_ptr<Ram> ram(new Ram);
    ram->host_ = static_cast<u8*>(at);
    ram->size_ = bytes;
#ifdef __SANITIZE_THREAD__
    // Guests race in their own memory as they like: that is theirs to answer for.
    AnnotateBenignRaceSized(__FILE__, __LINE__, at, static_cast<long>(bytes), "guest RAM");
#endif
    return ram;
}

Ram::~Ram() { ::munmap(host_, size_); }

}  // namespace rm::memory
