// Which initial ramdisks pass: whole ones of each format, and none that is random or cut off.
#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "platform/firmware/initrd_image.h"

using namespace rm;
using namespace rm::platform;

namespace {

using Bytes = std::vector<u8>;

void append(Bytes& out, const std::string& text) {
    out.insert(out.end(), text.begin(), text.end());
}
void align4(Bytes& out) {
    while (out.size() % 4) out.push_back(0);
}

void add_entry(Bytes& out, const std::string& name, const std::string& data) {
    char header[111];
    std::snprintf(header, sizeof header,
                  "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, 0x81A4, 0, 0, 1,
                  0, static_cast<unsigned>(data.size()), 0, 0, 0, 0,
                  static_cast<unsigned>(name.size() + 1), 0);
    append(out, header);
    append(out, name);
    out.push_back(0);
    align4(out);
    append(out, data);
    align4(out);
}
Bytes archive() {
    Bytes out;
    add_entry(out, "init", std::string(5000, 'x') + "0707");
    add_entry(out, "etc/motd", "hello");
    add_entry(out, "TRAILER!!!", "");
    return out;
}
Bytes noise(size_t n) {
    Bytes out(n);
    u32 x = 12345;
    for (u8& b : out) b = static_cast<u8>((x = x * 1664525 + 1013904223) >> 24);
    return out;
}
Bytes gzip(const Bytes& in) {
    Bytes out(in.size() + 1000);
    z_stream z{};
    deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    z.next_in = const_cast<u8*>(in.data());
    z.avail_in = static_cast<uInt>(in.size());
    z.next_out = out.data();
    z.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}
Bytes zstd(const Bytes& in) {
    Bytes out(ZSTD_compressBound(in.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
    return out;
}
bool good(const Bytes& b) { return check_initrd("rd", b).has_value(); }
std::string error(const Bytes& b) {
    const auto r = check_initrd("rd", b);
    REQUIRE_FALSE(r.has_value());
    return r.error().message;
}
Bytes cut(Bytes b, size_t n) {
    b.resize(n);
    return b;
}
Bytes join(Bytes a, size_t zeros, const Bytes& b) {
    a.resize(a.size() + zeros);
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

}  // namespace

TEST_CASE("whole ramdisks of each format pass, alone and one after the other") {
    const Bytes big = noise(300000);
    const Bytes packed[] = {archive(), gzip(archive()), zstd(archive()), gzip(big), zstd(big)};
    for (const Bytes& b : packed) {
        CHECK(good(b));
        CHECK(good(join(archive(), 512, b)));  // microcode first
        CHECK(good(join(b, 512, {})));         // padded to a block
    }
    CHECK(good({0x02, 0x21, 0x4C, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}));
}

TEST_CASE("every cut of a ramdisk shows") {
    for (const Bytes& b : {archive(), gzip(archive()), zstd(archive())})
        for (size_t n = 6; n < b.size(); n += b.size() / 50 + 1) {
            // Cutting the padding behind the trailer loses nothing.
            if (b == archive() && n > b.size() - 4) continue;
            CHECK_MESSAGE(error(cut(b, n)).starts_with("initrd 'rd': truncated or damaged"), n);
        }
    CHECK(error(join(archive(), 4, cut(gzip(archive()), 90))).find("gzip stream at byte") !=
          std::string::npos);
    CHECK(error({0x02, 0x21, 0x4C, 0x18, 9, 0, 0, 0, 'a'}).find("lz4") != std::string::npos);
}

TEST_CASE("what is no ramdisk is refused") {
    CHECK(error(noise(4096)).find("neither a cpio archive") != std::string::npos);
    CHECK(error({'0', '7', '0'}).find("neither") != std::string::npos);
    CHECK(error(Bytes(4096)).find("neither") != std::string::npos);
    Bytes damaged = archive();
    damaged[54] = 'g';  // the size of the first file is no number
    CHECK(error(damaged).find("damaged") != std::string::npos);
}
