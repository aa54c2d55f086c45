// A growing little-endian byte image: the builders of ACPI, SMBIOS, fw_cfg and boot structures
// append to it and patch it. Owns: the bytes. Assumes: offsets given to patch() are inside it.
#pragma once
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/types.h"

namespace rm::platform {

class ByteBuffer {
public:
    size_t size() const { return bytes_.size(); }
    std::span<const u8> bytes() const { return bytes_; }
    std::vector<u8> take() { return std::move(bytes_); }

    ByteBuffer& u8v(u8 v) { return append(&v, 1); }
    ByteBuffer& u16v(u16 v) { return append(&v, 2); }
    ByteBuffer& u32v(u32 v) { return append(&v, 4); }
    ByteBuffer& u64v(u64 v) { return append(&v, 8); }
    ByteBuffer& raw(std::span<const u8> data) { return append(data.data(), data.size()); }
    ByteBuffer& text(std::string_view s) { return append(s.data(), s.size()); }
    ByteBuffer& ctext(std::string_view s) { return text(s).u8v(0); }
    // Exactly `width` bytes: the text, cut or padded with `fill`.
    ByteBuffer& padded(std::string_view s, size_t width, char fill = 0) {
        for (size_t i = 0; i < width; ++i) u8v(static_cast<u8>(i < s.size() ? s[i] : fill));
        return *this;
    }
    ByteBuffer& zeros(size_t n);
    ByteBuffer& align(size_t to) { return zeros((to - bytes_.size() % to) % to); }

    template <class T>
    void patch(size_t offset, T value) {
        RM_ASSERT(offset + sizeof value <= bytes_.size(), "patch outside the buffer");
        std::memcpy(bytes_.data() + offset, &value, sizeof value);
    }

private:
    ByteBuffer& append(const void* data, size_t n);
    std::vector<u8> bytes_;
};

}  // namespace rm::platform
