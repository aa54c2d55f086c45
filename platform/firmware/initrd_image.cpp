// Walks the parts of an initial ramdisk. See initrd_image.h.
// Source: cpio(5) "New ASCII Format"; RFC 1952 (gzip); RFC 8878 (zstd); "The .xz File
// Format" 2.1.2; "LZ4 Frame Format", Legacy frame.
#include "platform/firmware/initrd_image.h"

#include <zlib.h>
#include <zstd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/bits.h"
#include "platform/firmware/image_view.h"

namespace rm::platform {
namespace {

// Where the part at the start of `bytes` ends; nullopt: not before the file does.
using FindEnd = std::optional<u64> (*)(std::span<const u8> bytes);

constexpr u64 kCpioHeader = 110, kCpioFileSize = 54, kCpioNameSize = 94;

std::optional<u64> hex_field(std::span<const u8> header, u64 at) {
    const char* text = reinterpret_cast<const char*>(header.data()) + at;
    u64 value = 0;
    const auto [end, error] = std::from_chars(text, text + 8, value, 16);
    if (error != std::errc{} || end != text + 8) return std::nullopt;
    return value;
}

std::optional<u64> cpio_end(std::span<const u8> bytes) {
    const ImageView view(bytes);
    for (u64 at = 0;;) {
        const auto header = view.slice(at, kCpioHeader);
        if (header.empty() || std::memcmp(header.data(), "07070", 5) != 0) return std::nullopt;
        const auto size = hex_field(header, kCpioFileSize);
        const auto name_size = hex_field(header, kCpioNameSize);
        if (!size || !name_size) return std::nullopt;
        const auto name = view.slice(at + kCpioHeader, *name_size);
        if (name.empty()) return std::nullopt;
        const u64 data = align_up(at + kCpioHeader + *name_size, 4);
        if (!view.contains(data, *size)) return std::nullopt;
        const u64 next = align_up(data + *size, 4);
        constexpr std::string_view kTrailer = "TRAILER!!!";
        if (name.size() > kTrailer.size() &&
            std::memcmp(name.data(), kTrailer.data(), kTrailer.size()) == 0)
            return std::min<u64>(next, bytes.size());
        at = next;
    }
}

std::optional<u64> gzip_end(std::span<const u8> bytes) {
    z_stream stream{};
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return bytes.size();
    std::array<u8, 65536> scratch;
    stream.next_in = const_cast<u8*>(bytes.data());
    stream.avail_in = static_cast<uInt>(std::min<u64>(bytes.size(), ~uInt{0}));
    int status = Z_OK;
    while (status == Z_OK) {
        stream.next_out = scratch.data();
        stream.avail_out = scratch.size();
        status = inflate(&stream, Z_NO_FLUSH);
    }
    const u64 used = stream.total_in;
    inflateEnd(&stream);
    if (status != Z_STREAM_END) return std::nullopt;
    return used;
}

std::optional<u64> zstd_end(std::span<const u8> bytes) {
    const size_t size = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
    if (ZSTD_isError(size)) return std::nullopt;
    return size;
}

// Blocks of a u32 length and as many bytes; the file ends the list.
std::optional<u64> lz4_end(std::span<const u8> bytes) {
    const ImageView view(bytes);
    u64 at = 4;
    while (view.contains(at, 4) && view.u32_at(at) != 0) {
        const u64 size = view.u32_at(at);
        if (!view.contains(at + 4, size)) return std::nullopt;
        at += 4 + size;
    }
    return at;
}

// The footer ends with "YZ"; zeros may follow.
std::optional<u64> xz_end(std::span<const u8> bytes) {
    u64 end = bytes.size();
    while (end > 0 && bytes[end - 1] == 0) --end;
    if (end < 24 || bytes[end - 2] != 'Y' || bytes[end - 1] != 'Z') return std::nullopt;
    return bytes.size();
}

std::optional<u64> all(std::span<const u8> bytes) { return bytes.size(); }

struct Format {
    const char* name;
    u32 at;
    std::string_view magic;
    FindEnd find_end;
};
constexpr Format kFormats[] = {
    {"cpio archive", 0, "070701", cpio_end},
    {"cpio archive", 0, "070702", cpio_end},
    {"gzip stream", 0, "\x1F\x8B", gzip_end},
    {"zstd frame", 0, "\x28\xB5\x2F\xFD", zstd_end},
    {"xz file", 0,
     std::string_view("\xFD"
                      "7zXZ\0",
                      6),
     xz_end},
    {"lz4 file", 0, "\x02\x21\x4C\x18", lz4_end},
    {"bzip2 file", 0, "BZh", all},
    {"lzop file", 0, "\x89LZO", all},
    {"lzma file", 0, std::string_view("\x5D\0\0", 3), all},
    {"romfs", 0, "-rom1fs-", all},
    {"squashfs", 0, "hsqs", all},
    {"cramfs", 0, "\x45\x3D\xCD\x28", all},
    {"minix file system", 0x410, "\x7F\x13", all},
    {"minix file system", 0x410, "\x8F\x13", all},
    {"ext2 file system", 0x438, "\x53\xEF", all},
};

const Format* recognise(std::span<const u8> bytes) {
    const ImageView view(bytes);
    for (const Format& f : kFormats) {
        const auto found = view.slice(f.at, f.magic.size());
        if (!found.empty() && std::memcmp(found.data(), f.magic.data(), f.magic.size()) == 0)
            return &f;
    }
    return nullptr;
}

}  // namespace

Result<void> check_initrd(const std::string& name, std::span<const u8> bytes) {
    for (u64 at = 0; at < bytes.size();) {
        if (bytes[at] == 0 && at > 0) {
            ++at;
            continue;
        }
        const auto rest = bytes.subspan(at);
        const Format* format = recognise(rest);
        if (!format && at > 0) return {};  // Linux stops here too, and goes on with what it has
        if (!format)
            return fail(
                "initrd '%s': neither a cpio archive, plain or compressed, nor a file-system "
                "image",
                name.c_str());
        const auto end = format->find_end(rest);
        if (!end)
            return fail(
                "initrd '%s': truncated or damaged: the %s at byte %llu does not end within "
                "its %zu bytes",
                name.c_str(), format->name, (unsigned long long)at, bytes.size());
        at += std::max<u64>(*end, 1);
    }
    return {};
}

}  // namespace rm::platform
