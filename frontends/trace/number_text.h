// Numbers as text for trace lines. Written by hand because a trace prints some thirty numbers an
// event, millions of times. No locale, no allocation beyond the string's own.
#pragma once
#include <charconv>
#include <span>
#include <string>

#include "base/types.h"

namespace rm::frontends::trace {

// "0x1f"; zero is "0x0".
inline void append_hex(std::string& out, u64 value) {
    char text[18] = {'0', 'x'};
    out.append(text, std::to_chars(text + 2, text + sizeof text, value, 16).ptr);
}
inline void append_decimal(std::string& out, u64 value) {
    char text[20];
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}
inline void append_signed(std::string& out, i64 value) {
    if (value < 0) out.push_back('-');
    append_decimal(out, value < 0 ? ~static_cast<u64>(value) + 1 : static_cast<u64>(value));
}
// Decimal, right-aligned in `width` columns, filled with `fill`.
inline void append_padded(std::string& out, u64 value, unsigned width, char fill) {
    char text[20];
    const auto length =
        static_cast<unsigned>(std::to_chars(text, text + sizeof text, value).ptr - text);
    if (length < width) out.append(width - length, fill);
    out.append(text, length);
}
// "8b0425": two digits a byte, no separators.
inline void append_bytes(std::string& out, std::span<const u8> bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    for (const u8 b : bytes) {
        out.push_back(kDigits[b >> 4]);
        out.push_back(kDigits[b & 15]);
    }
}

}  // namespace rm::frontends::trace
