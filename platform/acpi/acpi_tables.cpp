// Builds the ACPI tables. Every table is appended to one blob with its checksum byte zero; the
// table-loader script links them and sums them up. See acpi_tables.h.
#include "platform/acpi/acpi_tables.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "base/assert.h"
#include "platform/acpi/table_loader.h"

namespace rm::platform {
namespace {

constexpr u32 kChecksumAt = 9, kLengthAt = 4;
constexpr u32 kLocalApicBase = 0xFEE00000, kIoApicBase = 0xFEC00000, kHpetBase = 0xFED00000;
constexpr u16 kPmBase = 0x600, kGpeBase = 0xAFE0;
constexpr u8 kSci = 9;

class Blob {
public:
    Blob() { loader.allocate(kAcpiTablesFile, 64, TableLoader::Zone::kHigh); }

    // Starts a table (ACPI 6.4, 5.2.6) and gives its offset.
    u32 begin(const char* signature, u8 revision) {
        bytes.align(16);
        start_ = static_cast<u32>(bytes.size());
        bytes.padded(signature, 4).u32v(0).u8v(revision).u8v(0).padded("RMINUS", 6);
        bytes.padded("RMINUSPC", 8).u32v(1).padded("RMNS", 4).u32v(1);
        return start_;
    }
    void end() {
        const u32 length = static_cast<u32>(bytes.size()) - start_;
        bytes.patch<u32>(start_ + kLengthAt, length);
        loader.add_checksum(kAcpiTablesFile, start_ + kChecksumAt, start_, length);
    }
    // A pointer to another offset of the blob, appended here.
    void pointer(u64 target, u8 size) {
        const u32 at = static_cast<u32>(bytes.size());
        for (unsigned i = 0; i < size; ++i) bytes.u8v(static_cast<u8>(target >> (8 * i)));
        loader.add_pointer(kAcpiTablesFile, at, size, kAcpiTablesFile);
    }

    ByteBuffer bytes;
    TableLoader loader;

private:
    u32 start_ = 0;
};

// Replaces the DWord constant of the first `Name (name, ...)` in the table.
void patch_name(std::vector<u8>& aml, const char* name, u32 value) {
    const u8 pattern[] = {0x08,
                          static_cast<u8>(name[0]),
                          static_cast<u8>(name[1]),
                          static_cast<u8>(name[2]),
                          static_cast<u8>(name[3]),
                          0x0C};
    const auto at = std::search(aml.begin(), aml.end(), std::begin(pattern), std::end(pattern));
    RM_ASSERT(aml.end() - at >= 10, "dsdt.asl lost a name that the host patches");
    std::memcpy(&*at + sizeof pattern, &value, sizeof value);
}

u32 add_dsdt(Blob& blob, const AcpiConfig& config) {
    std::vector<u8> aml(dsdt_image().begin(), dsdt_image().end());
    patch_name(aml, "NCPU", config.cpus);
    patch_name(aml, "COMS", config.com_ports);
    patch_name(aml, "PMIN", config.pci_window);
    patch_name(aml, "PMAX", kIoApicBase - 1);
    aml[kChecksumAt] = 0;
    blob.bytes.align(16);
    const u32 at = static_cast<u32>(blob.bytes.size());
    blob.bytes.raw(aml);
    blob.loader.add_checksum(kAcpiTablesFile, at + kChecksumAt, at, static_cast<u32>(aml.size()));
    return at;
}

// 5.2.10: 64 bytes, 64-byte aligned, no checksum. It comes first in the blob.
u32 add_facs(Blob& blob) {
    const u32 at = static_cast<u32>(blob.bytes.size());
    blob.bytes.padded("FACS", 4).u32v(64).zeros(56);
    return at;
}

// 5.2.3.2: generic address structure, system I/O.
void io_gas(ByteBuffer& out, u8 bits, u8 access, u16 port) {
    if (bits == 0) {
        out.zeros(12);
        return;
    }
    out.u8v(1).u8v(bits).u8v(0).u8v(access).u64v(port);
}

// 5.2.9 table 5.9, in its order; revision 3 (ACPI 2.0c), so it ends after X_GPE1_BLK.
u32 add_fadt(Blob& blob, u32 facs, u32 dsdt) {
    enum Flag : u32 {
        kWbinvd = 1,
        kProcC1 = 1 << 2,
        kNoSleepButton = 1 << 5,
        kRtcS4 = 1 << 7,
        kResetReg = 1 << 10,
        kPlatformClock = 1 << 15
    };
    constexpr u16 kLegacyDevices = 1, k8042 = 2;
    const u32 at = blob.begin("FACP", 3);
    ByteBuffer& b = blob.bytes;
    blob.pointer(facs, 4);
    blob.pointer(dsdt, 4);
    b.u8v(0).u8v(1).u16v(kSci);                      // reserved, profile desktop, SCI_INT
    b.u32v(0xB2).u8v(0xF1).u8v(0xF0).u8v(0).u8v(0);  // SMI_CMD, enable, disable, S4BIOS, P-states
    b.u32v(kPmBase).u32v(0).u32v(kPmBase + 4).u32v(0);          // PM1a/b event, PM1a/b control
    b.u32v(0).u32v(kPmBase + 8).u32v(kGpeBase).u32v(0);         // PM2 control, timer, GPE0, GPE1
    b.u8v(4).u8v(2).u8v(0).u8v(4).u8v(4).u8v(0).u8v(0).u8v(0);  // lengths; GPE1 base, C-states
    b.u16v(0xFFF).u16v(0xFFF);                                  // no C2, no C3
    b.u16v(0).u16v(0).u8v(0).u8v(0);  // flush size/stride, duty offset/width
    b.u8v(0).u8v(0).u8v(0x32);        // day and month alarm, century in CMOS
    b.u16v(kLegacyDevices | k8042).u8v(0);
    b.u32v(kWbinvd | kProcC1 | kNoSleepButton | kRtcS4 | kResetReg | kPlatformClock);
    io_gas(b, 8, 1, 0xCF9);  // PIIX3 reset control: hard reset
    b.u8v(0x06).zeros(3);
    blob.pointer(facs, 8);  // both forms and equal, as revision 3 wants; Xen complains of a zero
    blob.pointer(dsdt, 8);
    io_gas(b, 32, 2, kPmBase);  // PM1a event
    io_gas(b, 0, 0, 0);
    io_gas(b, 16, 2, kPmBase + 4);  // PM1a control
    io_gas(b, 0, 0, 0);
    io_gas(b, 0, 0, 0);             // PM2 control
    io_gas(b, 32, 3, kPmBase + 8);  // timer
    io_gas(b, 32, 1, kGpeBase);     // GPE0
    io_gas(b, 0, 0, 0);
    blob.end();
    return at;
}

// 5.2.12. The PIT's interrupt arrives at pin 2; 5, 9, 10 and 11 serve PCI: active high, level.
u32 add_madt(Blob& blob, unsigned cpus) {
    struct Override {
        u8 irq;
        u32 gsi;
        u16 flags;
    };
    static constexpr u16 kConforms = 0, kHighLevel = 0x0D;
    static constexpr Override kOverrides[] = {{0, 2, kConforms},
                                              {5, 5, kHighLevel},
                                              {9, 9, kHighLevel},
                                              {10, 10, kHighLevel},
                                              {11, 11, kHighLevel}};
    const u32 at = blob.begin("APIC", 1);
    ByteBuffer& b = blob.bytes;
    b.u32v(kLocalApicBase).u32v(1);  // PCAT_COMPAT: a pair of 8259 exists
    for (unsigned i = 0; i < cpus; ++i)
        b.u8v(0).u8v(8).u8v(static_cast<u8>(i)).u8v(static_cast<u8>(i)).u32v(1);
    b.u8v(1).u8v(12).u8v(0).u8v(0).u32v(kIoApicBase).u32v(0);
    for (const Override& o : kOverrides)
        b.u8v(2).u8v(10).u8v(0).u8v(o.irq).u32v(o.gsi).u16v(o.flags);
    b.u8v(4).u8v(6).u8v(0xFF).u16v(0).u8v(1);  // NMI at LINT1 of all processors
    blob.end();
    return at;
}

u32 add_hpet(Blob& blob) {
    const u32 at = blob.begin("HPET", 1);
    blob.bytes.u32v(0x8086A201);  // the low half of the capability register
    blob.bytes.u8v(0).u8v(0).u8v(0).u8v(0).u64v(kHpetBase);
    blob.bytes.u8v(0).u16v(0).u8v(0);
    blob.end();
    return at;
}

// Windows ACPI Emulated Devices Table: the PM timer needs no read-twice workaround.
u32 add_waet(Blob& blob) {
    const u32 at = blob.begin("WAET", 1);
    blob.bytes.u32v(1 << 1);
    blob.end();
    return at;
}

u32 add_root(Blob& blob, const char* signature, u8 pointer_size,
             std::initializer_list<u32> tables) {
    const u32 at = blob.begin(signature, 1);
    for (u32 table : tables) blob.pointer(table, pointer_size);
    blob.end();
    return at;
}

// 5.2.5.3, revision 2.
std::vector<u8> build_rsdp(TableLoader& loader, u32 rsdt, u32 xsdt) {
    constexpr u32 kRsdtAt = 16, kXsdtAt = 24, kOldLength = 20, kLength = 36;
    ByteBuffer b;
    b.padded("RSD PTR ", 8).u8v(0).padded("RMINUS", 6).u8v(2);
    b.u32v(rsdt).u32v(kLength).u64v(xsdt).u8v(0).zeros(3);
    loader.allocate(kAcpiRsdpFile, 16, TableLoader::Zone::kFSegment);
    loader.add_pointer(kAcpiRsdpFile, kRsdtAt, 4, kAcpiTablesFile);
    loader.add_pointer(kAcpiRsdpFile, kXsdtAt, 8, kAcpiTablesFile);
    loader.add_checksum(kAcpiRsdpFile, 8, 0, kOldLength);
    loader.add_checksum(kAcpiRsdpFile, 32, 0, kLength);
    return b.take();
}

}  // namespace

AcpiFiles build_acpi(const AcpiConfig& config) {
    Blob blob;
    const u32 facs = add_facs(blob);
    const u32 dsdt = add_dsdt(blob, config);
    const u32 fadt = add_fadt(blob, facs, dsdt);
    const u32 madt = add_madt(blob, config.cpus);
    const u32 hpet = add_hpet(blob);
    const u32 waet = add_waet(blob);
    const u32 rsdt = add_root(blob, "RSDT", 4, {fadt, madt, hpet, waet});
    const u32 xsdt = add_root(blob, "XSDT", 8, {fadt, madt, hpet, waet});
    AcpiFiles out;
    out.rsdp = build_rsdp(blob.loader, rsdt, xsdt);
    out.tables = blob.bytes.take();
    out.loader = blob.loader.take();
    return out;
}

void add_acpi_files(FwCfg& fw_cfg, const AcpiConfig& config) {
    AcpiFiles files = build_acpi(config);
    fw_cfg.add_file(kAcpiTablesFile, std::move(files.tables));
    fw_cfg.add_file(kAcpiRsdpFile, std::move(files.rsdp));
    fw_cfg.add_file(kTableLoaderFile, std::move(files.loader));
}

}  // namespace rm::platform
