// -kernel images: each protocol's good case, and what is wrong with the bad ones, one row each.
#include "platform/firmware/kernel_loader.h"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <random>

#include "platform/firmware/firmware_images.h"
#include "platform/firmware/image_view.h"

using namespace rm;
using namespace rm::platform;

namespace {

using Bytes = std::vector<u8>;

void put32(Bytes& b, size_t at, u32 v) {
    if (b.size() < at + 4) b.resize(at + 4);
    std::memcpy(b.data() + at, &v, 4);
}
void put16(Bytes& b, size_t at, u16 v) {
    if (b.size() < at + 2) b.resize(at + 2);
    std::memcpy(b.data() + at, &v, 2);
}

struct Command {
    u32 op;
    std::array<u32, 15> field;
    Bytes data;
};
// Takes a script apart as the ROM would.
std::vector<Command> parse(const Bytes& script) {
    const ImageView view(script);
    REQUIRE(std::memcmp(script.data(), "RMBOOT1", 8) == 0);
    std::vector<Command> out;
    for (u64 at = 8; at < script.size();) {
        Command c{view.u32_at(at), {}, {}};
        for (unsigned i = 0; i < 15; ++i) c.field[i] = view.u32_at(at + 4 + 4 * i);
        at += 64;
        if (c.op == 1) {
            const auto data = view.slice(at, c.field[0]);
            REQUIRE(data.size() == c.field[0]);
            c.data.assign(data.begin(), data.end());
            at += data.size();
        }
        out.push_back(c);
    }
    return out;
}
const Command* find(const std::vector<Command>& list, u32 op) {
    for (const Command& c : list)
        if (c.op == op) return &c;
    return nullptr;
}
const Command* load_at(const std::vector<Command>& list, u32 address) {
    for (const Command& c : list)
        if (c.op == 1 && c.field[1] == address) return &c;
    return nullptr;
}

constexpr u32 kLoad = 0x200000;

// ELF32: header, one PT_LOAD, optionally a PT_NOTE with the PVH entry; `body` follows at 0x100.
Bytes make_elf32(const Bytes& body, u32 entry, u32 paddr = kLoad, u32 extra = 0x40,
                 bool note = false) {
    Bytes b(0x100);
    const u8 ident[] = {0x7F, 'E', 'L', 'F', 1, 1, 1};
    std::memcpy(b.data(), ident, sizeof ident);
    put16(b, 16, 2), put16(b, 18, 3), put32(b, 20, 1), put32(b, 24, entry), put32(b, 28, 52);
    put16(b, 40, 52), put16(b, 42, 32), put16(b, 44, note ? 2 : 1);
    const u32 load[] = {1,
                        0x100,
                        0xC0000000 + paddr,
                        paddr,
                        static_cast<u32>(body.size()),
                        static_cast<u32>(body.size()) + extra,
                        7,
                        4};
    std::memcpy(b.data() + 52, load, sizeof load);
    if (note) {
        const u32 header[] = {4, 0xC0, 0, 0, 20, 20, 4, 4};
        std::memcpy(b.data() + 84, header, sizeof header);
        put32(b, 0xC0, 4), put32(b, 0xC4, 4), put32(b, 0xC8, 18);
        std::memcpy(b.data() + 0xCC, "Xen", 4);
        put32(b, 0xD0, kLoad + 0x10);
    }
    b.insert(b.end(), body.begin(), body.end());
    return b;
}

Bytes mb1_header(u32 flags) {
    Bytes b;
    put32(b, 0, 0x1BADB002), put32(b, 4, flags), put32(b, 8, 0u - 0x1BADB002 - flags);
    return b;
}
Bytes mb1_elf() {
    Bytes body = mb1_header(3);
    body.resize(0x80, 0x90);
    return make_elf32(body, kLoad + 0x20);
}
Bytes mb1_raw() {  // not ELF: load addresses in the header
    Bytes b(16);
    Bytes h = mb1_header(0x10000);
    put32(h, 12, kLoad + 16), put32(h, 16, kLoad), put32(h, 20, kLoad + 0x40);
    put32(h, 24, kLoad + 0x60), put32(h, 28, kLoad + 0x30);
    b.insert(b.end(), h.begin(), h.end());
    b.resize(0x50, 0x90);
    return b;
}
Bytes mb2_elf(u16 tag = 0) {
    Bytes h;
    const u32 length = tag ? 32 : 24;
    put32(h, 0, 0xE85250D6), put32(h, 4, 0), put32(h, 8, length);
    put32(h, 12, 0u - 0xE85250D6 - length);
    if (tag) put16(h, 16, tag), put32(h, 20, 8);
    put32(h, length - 8, 0), put32(h, length - 4, 8);
    h.resize(0x80, 0x90);
    return make_elf32(h, kLoad + 0x40);
}
Bytes bzimage() {
    Bytes b(5 * 512 + 1600, 0xCC);
    std::memset(b.data(), 0, 5 * 512);
    b[0x1F1] = 4;
    put32(b, 0x1F4, 100), put16(b, 0x1FE, 0xAA55), std::memcpy(b.data() + 0x202, "HdrS", 4);
    put16(b, 0x206, 0x20F), b[0x211] = 1, put32(b, 0x214, 0x100000);
    b[0x201] = 0x6A, put32(b, 0x22C, 0x7FFFFFFF), put16(b, 0x236, 1), put32(b, 0x238, 2047);
    put32(b, 0x258, 0x1000000), put32(b, 0x260, 0x200000);
    return b;
}

KernelInput input(Bytes kernel, std::string append = "a b", u64 ram = 64 << 20) {
    return {"kern", std::move(kernel), std::move(append), {}, RamLayout::of(ram)};
}
Result<LoadedKernel> load(const KernelInput& in) {
    const auto kind = recognise_kernel(in.name, in.kernel);
    if (!kind) return std::unexpected(kind.error());
    return load_kernel_image(*kind, in);
}

}  // namespace

TEST_CASE("module lists") {
    CHECK(split_modules("").empty());
    CHECK(split_modules("a b,c") == std::vector<std::string>{"a b", "c"});
    CHECK(split_modules("vmlinuz steps=x,,y z,dom0") ==
          std::vector<std::string>{"vmlinuz steps=x,y z", "dom0"});
}

TEST_CASE("multiboot 1 ELF with modules") {
    KernelInput in = input(mb1_elf());
    in.modules = {{"m0", "m0 x", Bytes(5000, 1)}, {"m1", "m1", Bytes(10, 2)}};
    const auto kernel = load(in);
    REQUIRE(kernel);
    CHECK(kernel->kind == KernelKind::kMultiboot1);
    const auto script = parse(kernel->script);
    const Command* image = load_at(script, kLoad);
    REQUIRE(image);
    CHECK(image->data.size() == 0x80);
    const Command* bss = find(script, 6);
    REQUIRE(bss);
    CHECK(bss->field[0] == 0x40);
    CHECK(bss->field[1] == kLoad + 0x80);
    CHECK(load_at(script, kLoad + 0x1000));
    CHECK(load_at(script, kLoad + 0x3000));
    const Command* enter = find(script, 3);
    REQUIRE(enter);
    CHECK(enter->field[0] == kLoad + 0x20);
    CHECK(enter->field[1] == 0x2BADB002);
    const u32 info_at = enter->field[2];
    const Command* info = load_at(script, info_at);
    REQUIRE(info);
    const ImageView view(info->data);
    const auto text = [&](u32 address) {
        return std::string(reinterpret_cast<const char*>(info->data.data()) + (address - info_at));
    };
    CHECK(view.u32_at(0) == 0x24D);
    CHECK(text(view.u32_at(16)) == "kern a b");
    CHECK(view.u32_at(20) == 2);
    const u32 mods = view.u32_at(24) - info_at;
    CHECK(view.u32_at(mods) == kLoad + 0x1000);
    CHECK(view.u32_at(mods + 4) == kLoad + 0x1000 + 5000);
    CHECK(text(view.u32_at(mods + 8)) == "m0 x");
    CHECK(text(view.u32_at(mods + 24)) == "m1");
    CHECK(text(view.u32_at(64)) == "ringminus");
    const Command* map = find(script, 2);
    REQUIRE(map);
    CHECK(map->field[0] == 1);
    CHECK(map->field[1] == view.u32_at(48));
    CHECK(map->field[1] + E820Request::kRoom <= info_at + info->data.size());
    CHECK(map->field[5] == info_at + 44);
}

TEST_CASE("multiboot 1 by load addresses") {
    const auto kernel = load(input(mb1_raw()));
    REQUIRE(kernel);
    const auto script = parse(kernel->script);
    const Command* image = load_at(script, kLoad);
    REQUIRE(image);
    CHECK(image->data.size() == 0x40);
    CHECK(find(script, 6)->field[0] == 0x20);
    CHECK(find(script, 3)->field[0] == kLoad + 0x30);
}

TEST_CASE("multiboot 2") {
    const auto kernel = load(input(mb2_elf()));
    REQUIRE(kernel);
    CHECK(kernel->kind == KernelKind::kMultiboot2);
    const auto script = parse(kernel->script);
    CHECK(find(script, 3)->field[1] == 0x36D76289);
    const Command* info = load_at(script, find(script, 3)->field[2]);
    REQUIRE(info);
    const ImageView view(info->data);
    CHECK(view.u32_at(8) == 1);  // command line tag
    const Command* map = find(script, 2);
    CHECK(map->field[0] == 2);
    CHECK(load(input(mb2_elf(5)))->kind == KernelKind::kMultiboot2);  // framebuffer wish
    CHECK_FALSE(load(input(mb2_elf(99))));
}

TEST_CASE("an image with both headers is multiboot 1; multiboot wins over Linux") {
    Bytes both = mb2_elf();
    const Bytes h = mb1_header(0);
    std::copy(h.begin(), h.end(), both.begin() + 0x160);
    CHECK(*recognise_kernel("k", both) == KernelKind::kMultiboot1);
    Bytes linux_too = bzimage();
    CHECK(*recognise_kernel("k", linux_too) == KernelKind::kLinux);
    std::copy(h.begin(), h.end(), linux_too.begin() + 0x400);
    CHECK(*recognise_kernel("k", linux_too) == KernelKind::kMultiboot1);
}

TEST_CASE("Linux bzImage") {
    KernelInput in = input(bzimage(), "quiet vga=0x303");
    in.modules = {{"rd", "", Bytes(0x1800, 7)}};
    const auto kernel = load(in);
    REQUIRE(kernel);
    const auto script = parse(kernel->script);
    const Command* setup = load_at(script, 0x10000);
    REQUIRE(setup);
    const ImageView view(setup->data);
    CHECK(view.get<u8>(0x210) == 0xFF);
    CHECK(view.get<u8>(0x211) == 0x81);
    CHECK(view.u16_at(0x1FA) == 0x303);
    CHECK(view.u32_at(0x228) == 0x20000);
    const u32 initrd = (64 << 20) - (1 << 20) - 0x2000;
    CHECK(view.u32_at(0x218) == initrd);
    CHECK(view.u32_at(0x21C) == 0x1800);
    REQUIRE(load_at(script, initrd));
    CHECK(load_at(script, 0x100000)->data.size() == 1600);
    CHECK(load_at(script, 0x20000)->data ==
          Bytes{'q', 'u', 'i', 'e', 't', ' ', 'v', 'g', 'a', '=', '0', 'x', '3', '0', '3'});
    const Command* enter = find(script, 4);
    REQUIRE(enter);
    CHECK(enter->field[0] == 0x10200000);
    CHECK(enter->field[1] == 0xE0001000);
    REQUIRE(kernel->linux_parts);
    CHECK(kernel->linux_parts->payload.size() == 1600);
}

TEST_CASE("Linux bzImage by its 64-bit entry") {
    KernelInput in = input(bzimage(), "quiet");
    in.linux_entry64 = true;
    in.modules = {{"rd", "", Bytes(0x1800, 7)}};
    in.kernel[0x26B] = 0x55,
    in.kernel[0x26C] = 0x66;  // the header's last byte, the first behind it
    const auto kernel = load(in);
    REQUIRE(kernel);
    CHECK_FALSE(kernel->linux_parts);
    const auto script = parse(kernel->script);
    const Command* enter = find(script, 7);
    REQUIRE(enter);
    CHECK(enter->field[0] == 0x1000200);
    CHECK(load_at(script, 0x1000000)->data.size() == 1600);
    const u32 params_at = enter->field[1];
    const Command* params = load_at(script, params_at);
    REQUIRE(params);
    CHECK(params->data.size() == 4096);
    const ImageView view(params->data);
    CHECK(std::count(params->data.begin(), params->data.begin() + 0x1F1, 0) == 0x1F1);
    CHECK(view.u32_at(0x202) == 0x53726448);
    CHECK(view.get<u8>(0x26B) == 0x55);
    CHECK(view.get<u8>(0x26C) == 0);
    CHECK(view.get<u8>(0x210) == 0xFF);
    CHECK(view.u32_at(0x214) == 0x1000000);
    const u32 initrd = (64 << 20) - (1 << 20) - 0x2000;
    CHECK(view.u32_at(0x218) == initrd);
    CHECK(view.u32_at(0x21C) == 0x1800);
    CHECK(load_at(script, initrd)->data.size() == 0x1800);
    CHECK(load_at(script, view.u32_at(0x228))->data == Bytes{'q', 'u', 'i', 'e', 't'});
    const Command* map = find(script, 2);
    CHECK(map->field[0] == 3);
    CHECK(map->field[1] == params_at + 0x2D0);
    CHECK(map->field[4] == params_at + 0x1E8);
    CHECK(find(script, 5)->field[0] == params_at + 0x70);
    CHECK(find(script, 8)->field[0] == params_at);

    // Page tables: any address below 4 GiB maps to itself.
    const u32 cr3 = enter->field[2];
    const Command* tables = load_at(script, cr3);
    REQUIRE(tables);
    const ImageView entries(tables->data);
    for (const u64 at : {u64{0}, u64{0x10000}, u64{0x1000200}, u64{initrd}, u64{0xFFFFF000}}) {
        const u64 pml4e = entries.get<u64>(0);
        const u64 pdpte = entries.get<u64>((pml4e & ~u64{0xFFF}) - cr3 + (at >> 30) * 8);
        const u64 pde = entries.get<u64>((pdpte & ~u64{0xFFF}) - cr3 + (at >> 21 & 511) * 8);
        CHECK((pml4e & 0xFFF) == 3);
        CHECK((pdpte & 0xFFF) == 3);
        CHECK(pde == ((at & ~u64{0x1FFFFF}) | 0x83));
    }
}

TEST_CASE("the 64-bit entry needs a kernel that has one") {
    const auto message = [](u32 offset, u32 value, u64 ram = 64 << 20) {
        KernelInput in = input(bzimage(), "", ram);
        put16(in.kernel, offset, static_cast<u16>(value));
        in.linux_entry64 = true;
        const auto kernel = load(in);
        return kernel ? std::string("loaded") : kernel.error().message;
    };
    CHECK(message(0x236, 1) == "loaded");
    CHECK(message(0x236, 0x7E).find("kernel 'kern': no 64-bit entry") == 0);
    CHECK(message(0x206, 0x20B).find("no 64-bit entry") != std::string::npos);
    CHECK(message(0x25C, 1).find("raise -m") != std::string::npos);  // wants to run above 4 GiB
    CHECK(message(0x25E, 0xFFFF).find("raise -m") != std::string::npos);  // wraps
    CHECK(message(0x262, 0x1000).find("raise -m") != std::string::npos);  // init_size
    KernelInput small = input(bzimage());
    small.linux_entry64 = true;
    put32(small.kernel, 0x1F4, 32), small.kernel.resize(5 * 512 + 512);
    CHECK(load(small).error().message.find("truncated") != std::string::npos);
}

TEST_CASE("the initrd stays below the kernel's limit") {
    Bytes b = bzimage();
    put32(b, 0x22C, 0x1FFFFFF);
    KernelInput in = input(b, "", u64{2} << 30);
    in.modules = {{"rd", "", Bytes(0x1000, 7)}};
    CHECK(load_at(parse(load(in)->script), 0x1FFF000));
}

TEST_CASE("PVH ELF") {
    KernelInput in = input(make_elf32(Bytes(0x80, 0x90), kLoad, kLoad, 0x40, true), "cmd");
    in.modules = {{"rd", "", Bytes(100, 7)}};
    const auto kernel = load(in);
    REQUIRE(kernel);
    CHECK(kernel->kind == KernelKind::kPvh);
    const auto script = parse(kernel->script);
    CHECK(find(script, 3)->field[0] == kLoad + 0x10);
    const u32 info_at = find(script, 3)->field[2];
    const Command* info = load_at(script, info_at);
    const ImageView view(info->data);
    CHECK(view.u32_at(0) == 0x336EC578);
    CHECK(view.u32_at(4) == 1);
    CHECK(view.u32_at(12) == 1);
    CHECK(view.get<u64>(16) == info_at + 56);
    CHECK(view.get<u64>(56 + 8) == 100);
    CHECK(load_at(script, static_cast<u32>(view.get<u64>(56))));
    CHECK(find(script, 5)->field[0] == info_at + 32);
    CHECK(find(script, 2)->field[4] == info_at + 48);
}

TEST_CASE("an entry given as a virtual address becomes physical") {
    Bytes body = mb1_header(0);
    body.resize(0x80);
    const auto kernel = load(input(make_elf32(body, 0xC0000000 + kLoad + 0x20)));
    CHECK(find(parse(kernel->script), 3)->field[0] == kLoad + 0x20);
}

TEST_CASE("bad images: an error that names the file, never a crash") {
    struct Row {
        const char* what;
        std::function<KernelInput()> make;
        const char* says;
    };
    const Row rows[] = {
        {"empty", [] { return input({}); }, "not a multiboot"},
        {"text", [] { return input(Bytes(5000, 'x')); }, "not a multiboot"},
        {"ELF without either", [] { return input(make_elf32(Bytes(64), kLoad)); }, "neither"},
        {"ELF header cut",
         [] {
             Bytes b = make_elf32(Bytes(64), kLoad);
             b.resize(30);
             return input(b);
         },
         "ELF"},
        {"ELF headers cut",
         [] {
             Bytes b = make_elf32(Bytes(64), kLoad);
             b.resize(60);
             return input(b);
         },
         "ELF"},
        {"ELF segment cut",
         [] {
             Bytes b = mb1_elf();
             b.resize(0x140);
             return input(b);
         },
         "truncated"},
        {"ELF for another machine",
         [] {
             Bytes b = mb1_elf();
             put16(b, 18, 8);
             return input(b);
         },
         "another machine"},
        {"ELF object file",
         [] {
             Bytes b = mb1_elf();
             put16(b, 16, 1);
             return input(b);
         },
         "executable"},
        {"segment above RAM",
         [] { return input(make_elf32(mb1_header(0), 0x20000000, 0x20000000)); }, "raise -m"},
        {"segment in the video hole",
         [] { return input(make_elf32(mb1_header(0), 0xB8000, 0xB8000)); }, "overlaps"},
        {"segment on BIOS data", [] { return input(make_elf32(mb1_header(0), 0x400, 0x400)); },
         "overlaps"},
        {"segment wraps", [] { return input(make_elf32(mb1_header(0), kLoad, kLoad, 0xFFFFFF00)); },
         "raise -m"},
        {"unknown mandatory flag",
         [] {
             Bytes b = mb1_header(0x10);
             b.resize(64);
             return input(b);
         },
         "features 0x10"},
        {"multiboot flat without addresses",
         [] {
             Bytes b = mb1_header(0);
             b.resize(64);
             return input(b);
         },
         "no load addresses"},
        {"load address after the header",
         [] {
             Bytes b = mb1_raw();
             put32(b, 16 + 16, kLoad + 0x100);
             return input(b);
         },
         "load address"},
        {"multiboot truncated image",
         [] {
             Bytes b = mb1_raw();
             put32(b, 16 + 20, kLoad + 0x4000);
             return input(b);
         },
         "truncated"},
        {"module too large",
         [] {
             KernelInput in = input(mb1_elf());
             in.modules = {{"big", "big", Bytes(63 << 20)}};
             return in;
         },
         "initrd 'big'"},
        {"zImage",
         [] {
             Bytes b = bzimage();
             b[0x211] = 0;
             return input(b);
         },
         "zImage"},
        {"old protocol",
         [] {
             Bytes b = bzimage();
             put16(b, 0x206, 0x100);
             return input(b);
         },
         "older"},
        {"setup cut",
         [] {
             Bytes b = bzimage();
             b.resize(1500);
             return input(b);
         },
         "truncated"},
        {"payload cut",
         [] {
             Bytes b = bzimage();
             b.resize(b.size() - 800);
             return input(b);
         },
         "truncated"},
        {"command line too long", [] { return input(bzimage(), std::string(3000, 'x')); },
         "command line"},
        {"initrd on the kernel",
         [] {
             KernelInput in = input(bzimage(), "", 24 << 20);
             in.modules = {{"rd", "", Bytes(8 << 20)}};
             return in;
         },
         "initrd 'rd'"},
        {"no memory", [] { return input(bzimage(), "", 1 << 20); }, "raise -m"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        const auto kernel = load(row.make());
        REQUIRE_FALSE(kernel);
        CAPTURE(kernel.error().message);
        CHECK(kernel.error().message.find(row.says) != std::string::npos);
        CHECK(kernel.error().message.find('\n') == std::string::npos);
    }
}

TEST_CASE("random damage never crashes") {
    std::mt19937 random(1);
    const Bytes images[] = {mb1_elf(), mb1_raw(), mb2_elf(5), bzimage(),
                            make_elf32(Bytes(0x80, 0x90), kLoad, kLoad, 0x40, true)};
    for (unsigned round = 0; round < 20000; ++round) {
        Bytes b = images[round % std::size(images)];
        for (unsigned i = 0; i < 1 + random() % 6; ++i)
            b[random() % b.size()] = static_cast<u8>(random());
        if (random() % 4 == 0) b.resize(random() % b.size());
        KernelInput in = input(std::move(b));
        in.modules = {{"m", "m", Bytes(100)}};
        in.linux_entry64 = random() % 2;
        const auto kernel = load(in);
        if (kernel) parse(kernel->script);
    }
}

TEST_CASE("missing files and firmware: the error names them") {
    const RamLayout ram = RamLayout::of(64 << 20);
    CHECK(load_kernel_files("/nonexistent/vmlinuz", "", "", ram).error().message ==
          "kernel '/nonexistent/vmlinuz': No such file or directory");
    CHECK(load_kernel_files("/", "", "", ram).error().message.find("directory") !=
          std::string::npos);
    CHECK(find_firmware("no-such-firmware.bin", "").error().message.find("`seabios`") !=
          std::string::npos);
    CHECK(read_system_bios("/nonexistent/bios").error().message.find("-bios") != std::string::npos);
}
