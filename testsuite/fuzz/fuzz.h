// Fuzz targets: each .cpp beside this file but runner.cpp is one libFuzzer entry point that takes
// bytes nobody can trust. What a target promises: no crash, no assertion, no sanitizer report, and
// an end. How to run them: README.md here.
#pragma once
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/types.h"

extern "C" int LLVMFuzzerTestOneInput(const rm::u8* data, size_t size);

namespace rm::fuzz {

using Bytes = std::vector<u8>;

// Inputs worth mutating; every target defines it (an empty list will do).
std::vector<Bytes> seeds();

// Consumes an input from the front; zeros once it is used up.
class Input {
public:
    Input(const u8* data, size_t size) : rest_(data, size) {}
    bool more() const { return !rest_.empty(); }
    template <class T>
    T get() {
        T value{};
        const size_t n = std::min(sizeof value, rest_.size());
        if (n) std::memcpy(&value, rest_.data(), n);
        rest_ = rest_.subspan(n);
        return value;
    }
    u8 byte() { return get<u8>(); }
    unsigned below(unsigned n) { return get<u16>() % n; }
    // 1, 2, 4 or 8 bytes wide, half of the time near a border.
    u64 number() {
        static constexpr u64 kBorders[] = {
            0,          1,          0x7F,       0x80,       0xFF,    0x7FFF,       0xFFFF,
            0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFF000, ~u64{0}, u64{1} << 63, u64{1} << 47,
            0x1000,     0xFFF};
        const u8 kind = byte();
        if (kind & 0x80) return kBorders[kind & 15];
        if (kind & 0x40) return u64{1} << (kind & 63);
        switch (kind & 3) {
            case 0: return byte();
            case 1: return get<u16>();
            case 2: return get<u32>();
            default: return get<u64>();
        }
    }
    std::span<const u8> take(size_t n) {
        const auto out = rest_.first(std::min(n, rest_.size()));
        rest_ = rest_.subspan(out.size());
        return out;
    }
    std::span<const u8> rest() { return take(rest_.size()); }

private:
    std::span<const u8> rest_;
};

}  // namespace rm::fuzz
