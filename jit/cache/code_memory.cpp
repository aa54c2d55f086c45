#include "jit/cache/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rm::jit {

namespace {

// Both views of a file in memory instead, for where mremap(2) cannot make the second one, as under
// valgrind.
void* by_file(void* writable, void* executable, std::size_t bytes) {
    const int fd = ::memfd_create("code", MFD_CLOEXEC);
    if (fd < 0) return MAP_FAILED;
    void* view = MAP_FAILED;
    if (::ftruncate(fd, static_cast<off_t>(bytes)) == 0 &&
        ::mmap(writable, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == writable)
        view = ::mmap(executable, bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0);
    ::close(fd);
    return view;
}

}  // namespace

Result<std::unique_ptr<CodeMemory>> CodeMemory::create(std::size_t bytes) {
    bytes = (bytes + 4095) & ~std::size_t{4095};
    std::unique_ptr<CodeMemory> code(new CodeMemory);
    code->size_ = code->end_ = bytes;
    code->data_size_ = (bytes / 4 + 4095) & ~std::size_t{4095};
    // Anonymous and not a memfd: perf names only code in anonymous mappings by its map file.
    void* const w =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w != MAP_FAILED) code->writable_ = static_cast<u8*>(w);
    // Room for the executable view, and the data behind it.
    void* const room = ::mmap(nullptr, bytes + code->data_size_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room != MAP_FAILED) {
        code->executable_ = static_cast<u8*>(room);
        code->data_ = code->executable_ + bytes;
    }
    // A second view of a shared mapping: mremap(2), old_size = 0.
    void* x = MAP_FAILED;
    if (w != MAP_FAILED && room != MAP_FAILED) {
        x = ::mremap(w, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, room);
        if (x == MAP_FAILED || ::mprotect(x, bytes, PROT_READ | PROT_EXEC) != 0)
            x = by_file(w, room, bytes);
    }
    if (x == MAP_FAILED)
        return fail(
            "code memory of %zu MiB cannot be mapped: %s; try a smaller -accel jit,tb-size= or "
            "-accel interp",
            bytes >> 20, std::strerror(errno));
    return code;
}

void CodeMemory::divide() {
    first_ = used_;
    arena_bytes_ = ((size_ - first_) / kArenas) & ~std::size_t{15};
    use(0);
}

void CodeMemory::use(unsigned arena) {
    arena_ = arena;
    used_ = start_of(arena);
    end_ = start_of(arena + 1);
    const std::size_t bytes = data_size_ / kArenas & ~std::size_t{63};
    data_used_ = arena * bytes;
    data_end_ = data_used_ + bytes;
}

CodeMemory::~CodeMemory() {
    if (writable_) ::munmap(writable_, size_);
    if (executable_) ::munmap(executable_, size_ + data_size_);
}

}  // namespace rm::jit
