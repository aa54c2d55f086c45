// The ACPI files as firmware processes them: the table-loader script is executed here, then every
// table is reached from the root pointer and its checksum, links and main values are checked.
#include "platform/acpi/acpi_tables.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "platform/acpi/table_loader.h"
#include "platform/firmware/image_view.h"

using namespace rm;
using namespace rm::platform;

namespace {

// Firmware: files get addresses, pointers are filled, checksums fixed.
struct Placed {
    std::map<std::string, std::vector<u8>> file;
    std::map<std::string, u32> address;
    unsigned pointers = 0, checksums = 0;

    explicit Placed(const AcpiFiles& files) {
        file["etc/acpi/tables"] = files.tables;
        file["etc/acpi/rsdp"] = files.rsdp;
        REQUIRE(files.loader.size() % 128 == 0);
        const ImageView view(files.loader);
        const auto name = [&](u64 at) {
            return std::string(reinterpret_cast<const char*>(files.loader.data()) + at);
        };
        for (u64 at = 0; at < files.loader.size(); at += 128) {
            const u32 command = view.u32_at(at);
            if (command == 1) {
                const std::string f = name(at + 4);
                REQUIRE(file.contains(f));
                const u32 align = view.u32_at(at + 60);
                address[f] = view.get<u8>(at + 64) == 2 ? 0xF5000 : 0x3FFE0000;
                CHECK(address[f] % align == 0);
            } else if (command == 2) {
                const std::string dest = name(at + 4), source = name(at + 60);
                REQUIRE(address.contains(source));
                const u32 offset = view.u32_at(at + 116), size = view.get<u8>(at + 120);
                REQUIRE(offset + size <= file[dest].size());
                u64 value = 0;
                std::memcpy(&value, &file[dest][offset], size);
                REQUIRE(value < file[source].size());
                value += address[source];
                std::memcpy(&file[dest][offset], &value, size);
                ++pointers;
            } else if (command == 3) {
                auto& bytes = file[name(at + 4)];
                const u32 offset = view.u32_at(at + 60), start = view.u32_at(at + 64),
                          length = view.u32_at(at + 68);
                REQUIRE(start + length <= bytes.size());
                REQUIRE(bytes[offset] == 0);
                u8 sum = 0;
                for (u32 i = 0; i < length; ++i) sum += bytes[start + i];
                bytes[offset] = static_cast<u8>(-sum);
                ++checksums;
            } else {
                FAIL("unknown loader command");
            }
        }
    }
    ImageView table(u64 at) {
        const auto& bytes = file["etc/acpi/tables"];
        const u64 offset = at - address["etc/acpi/tables"];
        REQUIRE(offset + 36 <= bytes.size());
        u32 length = 0;
        std::memcpy(&length, &bytes[offset + 4], 4);
        REQUIRE(offset + length <= bytes.size());
        return ImageView(std::span(bytes).subspan(offset, length));
    }
};

std::string signature(const ImageView& t) {
    const auto s = t.slice(0, 4);
    return {s.begin(), s.end()};
}
bool sums_to_zero(const ImageView& t) {
    u8 sum = 0;
    for (u8 b : t.slice(0, t.size())) sum += b;
    return sum == 0;
}

}  // namespace

TEST_CASE("every table is linked and sums to zero") {
    Placed acpi(build_acpi({.cpus = 3, .com_ports = 1, .pci_window = 0xC0000000}));
    const ImageView rsdp(acpi.file["etc/acpi/rsdp"]);
    CHECK(rsdp.size() == 36);
    CHECK(std::memcmp(acpi.file["etc/acpi/rsdp"].data(), "RSD PTR ", 8) == 0);
    CHECK(sums_to_zero(ImageView(rsdp.slice(0, 20))));
    CHECK(sums_to_zero(rsdp));
    const ImageView rsdt = acpi.table(rsdp.u32_at(16)), xsdt = acpi.table(rsdp.get<u64>(24));
    CHECK(signature(rsdt) == "RSDT");
    CHECK(signature(xsdt) == "XSDT");
    CHECK(sums_to_zero(rsdt));
    CHECK(sums_to_zero(xsdt));
    const char* const names[] = {"FACP", "APIC", "HPET", "WAET"};
    REQUIRE(rsdt.size() == 36 + 4 * 4);
    for (unsigned i = 0; i < 4; ++i) {
        CHECK(rsdt.u32_at(36 + 4 * i) == xsdt.get<u64>(36 + 8 * i));
        const ImageView t = acpi.table(rsdt.u32_at(36 + 4 * i));
        CHECK(signature(t) == names[i]);
        CHECK(sums_to_zero(t));
    }
}

TEST_CASE("FADT") {
    Placed acpi(build_acpi({}));
    const ImageView rsdp(acpi.file["etc/acpi/rsdp"]);
    const ImageView fadt = acpi.table(acpi.table(rsdp.u32_at(16)).u32_at(36));
    CHECK(fadt.size() == 244);
    const u32 facs = fadt.u32_at(36);
    CHECK(facs % 64 == 0);
    CHECK(fadt.get<u64>(132) == facs);
    CHECK(fadt.get<u64>(140) == fadt.u32_at(40));
    const ImageView dsdt = acpi.table(fadt.u32_at(40));
    CHECK(signature(dsdt) == "DSDT");
    CHECK(sums_to_zero(dsdt));
    struct Row {
        u32 at, bytes;
        u64 value;
    };
    for (const Row& row :
         {Row{46, 2, 9}, Row{48, 4, 0xB2}, Row{52, 1, 0xF1}, Row{53, 1, 0xF0}, Row{56, 4, 0x600},
          Row{64, 4, 0x604}, Row{76, 4, 0x608}, Row{80, 4, 0xAFE0}, Row{92, 1, 4}, Row{88, 1, 4},
          Row{89, 1, 2}, Row{91, 1, 4}, Row{108, 1, 0x32}, Row{128, 1, 6}, Row{120, 8, 0xCF9},
          Row{152, 8, 0x600}, Row{176, 8, 0x604}, Row{212, 8, 0x608}, Row{224, 8, 0xAFE0}}) {
        CAPTURE(row.at);
        u64 value = fadt.get<u64>(row.at);
        if (row.at == 120) value = fadt.get<u64>(120);
        if (row.bytes < 8) value &= (u64{1} << (8 * row.bytes)) - 1;
        CHECK(value == row.value);
    }
}

TEST_CASE("MADT: processors, I/O APIC, overrides") {
    Placed acpi(build_acpi({.cpus = 4}));
    const ImageView rsdp(acpi.file["etc/acpi/rsdp"]);
    const ImageView madt = acpi.table(acpi.table(rsdp.u32_at(16)).u32_at(40));
    CHECK(madt.u32_at(36) == 0xFEE00000);
    unsigned processors = 0, io_apics = 0, overrides = 0, nmis = 0;
    for (u64 at = 44; at < madt.size(); at += madt.get<u8>(at + 1)) {
        REQUIRE(madt.get<u8>(at + 1) >= 6);
        switch (madt.get<u8>(at)) {
            case 0:
                CHECK(madt.get<u8>(at + 3) == processors);
                ++processors;
                break;
            case 1:
                CHECK(madt.u32_at(at + 4) == 0xFEC00000);
                ++io_apics;
                break;
            case 2:
                if (madt.get<u8>(at + 3) == 0) CHECK(madt.u32_at(at + 4) == 2);
                ++overrides;
                break;
            case 4: ++nmis; break;
            default: FAIL("unexpected MADT entry");
        }
    }
    CHECK(processors == 4);
    CHECK(io_apics == 1);
    CHECK(overrides == 5);
    CHECK(nmis == 1);
}

TEST_CASE("the DSDT takes the machine's facts") {
    const AcpiFiles a = build_acpi({.cpus = 5, .com_ports = 3, .pci_window = 0xE0000000});
    const auto value = [&](const char* name) {
        const std::string text(a.tables.begin(), a.tables.end());
        const size_t at = text.find(std::string("\x08") + name + "\x0C");
        REQUIRE(at != std::string::npos);
        u32 v = 0;
        std::memcpy(&v, text.data() + at + 6, 4);
        return v;
    };
    CHECK(value("NCPU") == 5);
    CHECK(value("COMS") == 3);
    CHECK(value("PMIN") == 0xE0000000);
    CHECK(value("PMAX") == 0xFEBFFFFF);
}
