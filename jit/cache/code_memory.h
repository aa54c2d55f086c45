// Memory for generated code: one shared mapping with two views, writable and executable, never both
// at one address (docs/architecture.md, decision 12). Allocation is a bump pointer; the translator
// empties it as a whole.
#pragma once
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

    u8* writable() const { return writable_; }
    // executable view - writable view
    std::ptrdiff_t executable_delta() const { return executable_ - writable_; }
    std::size_t size() const { return size_; }
    std::size_t used() const { return used_; }
    u8* next() const { return writable_ + used_; }
    std::size_t left() const { return size_ - used_; }
    void take(std::size_t bytes) { used_ = (used_ + bytes + 15) & ~std::size_t{15}; }
    void reset_to(std::size_t used) { used_ = used; }

private:
    CodeMemory() = default;
    u8 *writable_ = nullptr, *executable_ = nullptr;
    std::size_t size_ = 0, used_ = 0;
};

}  // namespace rm::jit
