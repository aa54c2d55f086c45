// Files given on the command line: kernels of every protocol with modules, ramdisks, symbols, CD
// images.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "frontends/trace/symbol_table.h"
#include "fuzz.h"
#include "platform/backends/block_device.h"
#include "platform/firmware/initrd_image.h"
#include "platform/firmware/kernel_loader.h"

using namespace rm;
using namespace rm::platform;

namespace {

void put(fuzz::Bytes& b, size_t at, u64 value, size_t n) {
    if (b.size() < at + n) b.resize(at + n);
    std::memcpy(&b[at], &value, n);
}

// ELF, one PT_LOAD, one PT_NOTE with the PVH entry, perhaps a multiboot header at C0H; symbols in
// 64-bit ones.
fuzz::Bytes elf(u8 kind, bool wide, bool multiboot) {
    fuzz::Bytes b{kind, 0x7F, 'E', 'L', 'F', static_cast<u8>(wide ? 2 : 1), 1, 1};
    const size_t o = 1, header = wide ? 64 : 52, entry = wide ? 56 : 32;
    put(b, o + 16, 2, 2), put(b, o + 18, wide ? 62 : 3, 2), put(b, o + 20, 1, 4);
    put(b, o + 24, 0x100100, wide ? 8 : 4), put(b, o + (wide ? 32 : 28), header, wide ? 8 : 4);
    put(b, o + (wide ? 52 : 40), header, 2), put(b, o + (wide ? 54 : 42), entry, 2),
        put(b, o + (wide ? 56 : 44), 1, 2);
    const size_t p = o + header;
    put(b, p, 1, 4);
    if (wide) {
        put(b, p + 8, 0, 8), put(b, p + 16, 0x100000, 8), put(b, p + 24, 0x100000, 8),
            put(b, p + 32, 0x200, 8), put(b, p + 40, 0x3000, 8);
    } else {
        put(b, p + 4, 0, 4), put(b, p + 8, 0x100000, 4), put(b, p + 12, 0x100000, 4),
            put(b, p + 16, 0x200, 4), put(b, p + 20, 0x3000, 4);
    }
    if (multiboot)
        put(b, o + 0xC0, 0x1BADB002, 4), put(b, o + 0xC4, 3, 4),
            put(b, o + 0xC8, u32(-0x1BADB005), 4);
    if (!multiboot) {  // turn it into a note that lies in the file as well
        put(b, o + (wide ? 56 : 44), 2, 2);
        const size_t q = p + entry;
        put(b, q, 4, 4);
        if (wide)
            put(b, q + 8, 0x180, 8), put(b, q + 32, 20, 8);
        else
            put(b, q + 4, 0x180, 4), put(b, q + 16, 20, 4);
        put(b, o + 0x180, 4, 4), put(b, o + 0x184, 4, 4), put(b, o + 0x188, 18, 4),
            put(b, o + 0x18C, 0x6E6558, 4), put(b, o + 0x190, 0x100100, 4);
    }
    put(b, o + 0x200, 0, 4);
    return b;
}

fuzz::Bytes symbols() {
    fuzz::Bytes b = elf(2, true, true);
    const size_t o = 1;
    put(b, o + 40, 0x300, 8), put(b, o + 58, 64, 2), put(b, o + 60, 4, 2), put(b, o + 62, 2, 2);
    const u64 sections[4][8] = {{},
                                {2, 0, 0, 0x220, 48, 2, 1, 24},
                                {3, 0, 0, 0x260, 16, 0, 0, 0},
                                {1, 6, 0x1000, 0x80, 16, 0, 0, 0}};
    for (size_t n = 0; n < 4; ++n) {
        const size_t s = o + 0x300 + n * 64;
        put(b, s, 1, 4), put(b, s + 4, sections[n][0], 4), put(b, s + 8, sections[n][1], 8),
            put(b, s + 16, sections[n][2], 8);
        put(b, s + 24, sections[n][3], 8), put(b, s + 32, sections[n][4], 8),
            put(b, s + 40, sections[n][5], 4);
        put(b, s + 44, sections[n][6], 4), put(b, s + 48, 1, 8), put(b, s + 56, sections[n][7], 8);
    }
    put(b, o + 0x220 + 24, 1, 4), put(b, o + 0x220 + 28, 0x12, 1), put(b, o + 0x220 + 30, 3, 2),
        put(b, o + 0x220 + 32, 0x1000, 8);
    std::memcpy(&b[o + 0x260], "\0main\0.text", 12);
    return b;
}

fuzz::Bytes bz_image() {
    fuzz::Bytes b{1};
    put(b, 1 + 0x1F1, 4, 1), put(b, 1 + 0x1F4, 256, 4), put(b, 1 + 0x1FE, 0xAA55, 2),
        put(b, 1 + 0x202, 0x53726448, 4), put(b, 1 + 0x206, 0x20C, 2);
    put(b, 1 + 0x211, 1, 1), put(b, 1 + 0x22C, 0x7FFFFFFF, 4), put(b, 1 + 0x236, 1, 2),
        put(b, 1 + 0x238, 255, 4), put(b, 1 + 0x258, 0x1000000, 8), put(b, 1 + 0x260, 0x100000, 4);
    b.resize(1 + 5 * 512 + 4096);
    return b;
}

fuzz::Bytes text(u8 kind, const std::string& s) {
    fuzz::Bytes b(1 + s.size(), kind);
    std::copy(s.begin(), s.end(), b.begin() + 1);
    return b;
}

void load_kernel(std::span<const u8> bytes, bool modules) {
    KernelInput in;
    in.name = "k";
    in.kernel.assign(bytes.begin(), bytes.end());
    in.append = "console=ttyS0 vga=0x314";
    in.ram = RamLayout::of(u64{64} << 20);
    if (modules) in.modules.push_back({"m", "m a b", std::vector<u8>(5000)});
    const auto kind = recognise_kernel(in.name, in.kernel);
    if (kind) (void)load_kernel_image(*kind, in);
    in.linux_entry64 = true;
    if (kind == KernelKind::kLinux) (void)load_kernel_image(*kind, in);
    for (const KernelKind each :
         {KernelKind::kMultiboot1, KernelKind::kMultiboot2, KernelKind::kPvh})
        (void)load_kernel_image(each, in);
}

void load_symbols(std::span<const u8> bytes) {
    const int fd = memfd_create("symbols", MFD_CLOEXEC);
    if (fd >= 0 && ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
        frontends::trace::Symbols symbols;
        if (symbols.load(1, "/proc/self/fd/" + std::to_string(fd)))
            for (u64 at : {u64{0}, u64{0x1000}, u64{0x100100}, ~u64{0}})
                (void)symbols.describe(1, at);
    }
    if (fd >= 0) ::close(fd);
}

}  // namespace

std::vector<fuzz::Bytes> fuzz::seeds() {
    const std::string cpio = "070701" + std::string(48, '0') + "00000005" + std::string(32, '0') +
                             "00000002" + std::string(8, '0') + "a" + std::string(1, 0) + "hello" +
                             std::string(3, 0);
    return {elf(0, false, true),
            elf(1, true, true),
            elf(0, false, false),
            elf(1, true, false),
            symbols(),
            bz_image(),
            text(3, cpio),
            text(3, "\x1F\x8B\x08" + std::string(40, 3)),
            text(3, "\x28\xB5\x2F\xFD" + std::string(40, 4)),
            text(4, std::string(50, 'x'))};
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    fuzz::Input in(data, size);
    const u8 kind = in.byte();
    const auto bytes = in.rest();
    switch (kind % 5) {
        case 0: load_kernel(bytes, false); break;
        case 1: load_kernel(bytes, true); break;
        case 2: load_symbols(bytes); break;
        case 3: (void)check_initrd("i", bytes); break;
        default: {
            const auto disk = make_memory_disk(std::max<u64>(bytes.size(), 1) + 40000);
            (void)disk->write(32768, bytes.first(std::min<size_t>(bytes.size(), 2048)));
            (void)check_cd_image("c", *disk);
            break;
        }
    }
    return 0;
}
