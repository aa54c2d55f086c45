// Builds the SMBIOS structures, one function a type, in the specification's field order.
// See smbios.h for the source.
#include "platform/acpi/smbios.h"

#include <algorithm>
#include <initializer_list>
#include <string>

#include "base/bits.h"
#include "platform/firmware/byte_buffer.h"

namespace rm::platform {
namespace {

// Handles: one block of 256 per type.
constexpr u16 handle_of(u8 type, unsigned index) { return static_cast<u16>(type << 8 | index); }

class Structures {
public:
    // Formatted area without the 4-byte header, then the strings (numbered from 1).
    void add(u8 type, u16 handle, ByteBuffer&& area, std::initializer_list<std::string> strings) {
        const size_t start = out.size();
        out.u8v(type).u8v(static_cast<u8>(4 + area.size())).u16v(handle).raw(area.bytes());
        for (const std::string& s : strings) out.ctext(s);
        if (strings.size() == 0) out.u8v(0);
        out.u8v(0);
        largest = std::max(largest, out.size() - start);
        ++count;
    }
    ByteBuffer out;
    size_t largest = 0;
    u16 count = 0;
};

void add_system(Structures& s) {  // type 1, 7.2
    ByteBuffer a;
    a.u8v(1).u8v(2).u8v(3).u8v(0).zeros(16).u8v(6).u8v(0).u8v(0);  // UUID absent; power switch
    s.add(1, handle_of(1, 0), std::move(a),
          {"Ringminus", "Standard PC (i440FX + PIIX, 1996)", "1.0"});
}

void add_chassis(Structures& s) {  // type 3, 7.4
    ByteBuffer a;
    a.u8v(1).u8v(1).u8v(2).u8v(0).u8v(0);   // type other, version, serial, asset tag
    a.u8v(3).u8v(3).u8v(3).u8v(2).u32v(0);  // states safe, security unknown, OEM
    a.u8v(0).u8v(0).u8v(0).u8v(0).u8v(0);   // height, cords, no elements, SKU
    s.add(3, handle_of(3, 0), std::move(a), {"Ringminus", "1.0"});
}

void add_processor(Structures& s, unsigned index) {  // type 4, 7.5
    ByteBuffer a;
    a.u8v(1).u8v(3).u8v(1).u8v(2).u64v(0).u8v(3).u8v(0);  // socket, CPU, family other, id, version
    a.u16v(0).u16v(2000).u16v(2000).u8v(0x41).u8v(1);     // clocks in MHz, enabled, upgrade other
    a.u16v(0xFFFF).u16v(0xFFFF).u16v(0xFFFF);             // caches not given
    a.u8v(0).u8v(0).u8v(0).u8v(1).u8v(1).u8v(1).u16v(0x0004).u16v(1);  // 1 core, 64-bit capable
    s.add(4, handle_of(4, index), std::move(a),
          {"CPU " + std::to_string(index), "Ringminus", "1.0"});
}

// One DIMM of the whole size: 16, 17, and 19 for each range.
void add_memory(Structures& s, const RamLayout& ram) {
    const u64 mib = ram.total() >> 20;
    ByteBuffer array;            // type 16, 7.17
    array.u8v(1).u8v(3).u8v(6);  // other, system memory, multi-bit ECC
    const u64 kib = ram.total() >> 10;
    array.u32v(kib < 0x80000000 ? static_cast<u32>(kib) : 0x80000000).u16v(0xFFFE).u16v(1);
    array.u64v(kib < 0x80000000 ? 0 : ram.total());
    s.add(16, handle_of(16, 0), std::move(array), {});
    ByteBuffer dimm;  // type 17, 7.18
    dimm.u16v(handle_of(16, 0)).u16v(0xFFFE).u16v(0xFFFF).u16v(0xFFFF);
    dimm.u16v(mib < 0x7FFF ? static_cast<u16>(mib) : 0x7FFF).u8v(9).u8v(0).u8v(1).u8v(0);
    dimm.u8v(7).u16v(2).u16v(0).u8v(2).u8v(0).u8v(0).u8v(0).u8v(0);  // RAM, other detail
    dimm.u32v(mib < 0x7FFF ? 0 : static_cast<u32>(mib)).u16v(0).u16v(0).u16v(0).u16v(0);
    s.add(17, handle_of(17, 0), std::move(dimm), {"DIMM 0", "Ringminus"});
    unsigned index = 0;
    const auto range = [&](u64 start, u64 size) {  // type 19, 7.20
        if (!size) return;
        ByteBuffer a;
        a.u32v(static_cast<u32>(start >> 10)).u32v(static_cast<u32>((start + size) / 1024 - 1));
        a.u16v(handle_of(16, 0)).u8v(1).u64v(0).u64v(0);
        s.add(19, handle_of(19, index++), std::move(a), {});
    };
    range(0, ram.below_4g);
    range(RamLayout::kFourGiB, ram.above_4g);
}

}  // namespace

SmbiosFiles build_smbios(const SmbiosConfig& config) {
    Structures s;
    add_system(s);
    add_chassis(s);
    for (unsigned i = 0; i < config.cpus; ++i) add_processor(s, i);
    add_memory(s, config.ram);
    s.add(32, handle_of(32, 0), std::move(ByteBuffer().zeros(7)), {});  // type 32, 7.33: no error
    s.add(127, handle_of(127, 0), ByteBuffer(), {});                    // end of table

    ByteBuffer anchor;  // 5.2.1; address and checksums by the firmware
    anchor.padded("_SM_", 4).u8v(0).u8v(0x1F).u8v(2).u8v(8).u16v(static_cast<u16>(s.largest));
    anchor.u8v(0).zeros(5).padded("_DMI_", 5).u8v(0);
    anchor.u16v(static_cast<u16>(s.out.size())).u32v(0).u16v(s.count).u8v(0x28);
    return {s.out.take(), anchor.take()};
}

void add_smbios_files(FwCfg& fw_cfg, const SmbiosConfig& config) {
    SmbiosFiles files = build_smbios(config);
    fw_cfg.add_file("etc/smbios/smbios-tables", std::move(files.tables));
    fw_cfg.add_file("etc/smbios/smbios-anchor", std::move(files.anchor));
}

}  // namespace rm::platform
