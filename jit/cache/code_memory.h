// Memory for generated code: one shared mapping with two views, writable and executable, never both
// at one address (docs/architecture.md, decision 12), and memory for the code's own data, at one
// address and near enough for RIP-relative operands. Allocation is a bump pointer in one of several
// arenas, which are used in turn and emptied as a whole.
#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>

#include "base/result.h"
#include "base/types.h"

namespace rm::jit {

class CodeMemory {
public:
    // bytes: rounded up to pages.
    static Result<std::unique_ptr<CodeMemory>> create(std::size_t bytes);
    ~CodeMemory();

    static constexpr unsigned kArenas = 8;

    // executable view - writable view
    std::ptrdiff_t executable_delta() const { return executable_ - writable_; }
    u8* next() const { return writable_ + used_; }
    // Bytes to the end of the current arena.
    std::size_t left() const { return end_ - used_; }
    void take(std::size_t bytes) {
        used_ = std::min((used_ + bytes + 15) & ~std::size_t{15}, end_);
    }
    // Of the current arena: `bytes` of data, a multiple of 16, zero or as they were left; null: no
    // room. cut_data() gives back what has been taken since data_mark().
    u8* take_data(std::size_t bytes) {
        if (bytes > data_end_ - data_used_) return nullptr;
        data_used_ += bytes;
        return data_ + data_used_ - bytes;
    }
    std::size_t data_mark() const { return data_used_; }
    void cut_data(std::size_t mark) { data_used_ = mark; }
    // What has been taken so far stays for good; the rest is divided.
    void divide();
    unsigned arena() const { return arena_; }
    // Makes the arena current, and empty.
    void use(unsigned arena);
    // Is the address, in the executable view, in the arena?
    bool holds(unsigned arena, const void* code) const {
        const std::size_t at = static_cast<std::size_t>(static_cast<const u8*>(code) - executable_);
        return at >= start_of(arena) && at < start_of(arena + 1);
    }

private:
    CodeMemory() = default;
    u8 *writable_ = nullptr, *executable_ = nullptr, *data_ = nullptr;
    std::size_t start_of(unsigned arena) const { return first_ + arena * arena_bytes_; }
    std::size_t size_ = 0, used_ = 0, end_ = 0;
    std::size_t first_ = 0, arena_bytes_ = 0;  // of the arenas
    std::size_t data_size_ = 0, data_used_ = 0, data_end_ = 0;
    unsigned arena_ = 0;
};

}  // namespace rm::jit
