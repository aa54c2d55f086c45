// A bounds-checked little-endian view of an untrusted file. Owns: nothing (a span).
// Reads outside the file give nullopt or false; nothing here can read out of bounds.
#pragma once
#include <cstring>
#include <optional>
#include <span>

#include "base/types.h"

namespace rm::platform {

class ImageView {
public:
    explicit ImageView(std::span<const u8> bytes) : bytes_(bytes) {}
    u64 size() const { return bytes_.size(); }
    bool contains(u64 offset, u64 length) const {
        return offset <= bytes_.size() && length <= bytes_.size() - offset;
    }
    // The value at offset; zero where the file ends before it. Use contains() where that matters.
    template <class T>
    T get(u64 offset) const {
        T value{};
        if (contains(offset, sizeof value))
            std::memcpy(&value, bytes_.data() + offset, sizeof value);
        return value;
    }
    u32 u32_at(u64 offset) const { return get<u32>(offset); }
    u16 u16_at(u64 offset) const { return get<u16>(offset); }
    std::span<const u8> slice(u64 offset, u64 length) const {
        if (!contains(offset, length)) return {};
        return bytes_.subspan(offset, length);
    }

private:
    std::span<const u8> bytes_;
};

}  // namespace rm::platform
