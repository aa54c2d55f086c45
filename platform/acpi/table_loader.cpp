// Writes table-loader commands; layout in table_loader.h.
// Assumes: names are shorter than 56 bytes.
#include "platform/acpi/table_loader.h"

namespace rm::platform {

void TableLoader::finish() { out_.align(kCommandBytes); }

void TableLoader::allocate(std::string_view file, u32 align, Zone zone) {
    out_.u32v(1).padded(file, kNameBytes).u32v(align).u8v(static_cast<u8>(zone));
    finish();
}

void TableLoader::add_pointer(std::string_view dest, u32 offset, u8 size, std::string_view source) {
    out_.u32v(2).padded(dest, kNameBytes).padded(source, kNameBytes).u32v(offset).u8v(size);
    finish();
}

void TableLoader::add_checksum(std::string_view file, u32 offset, u32 start, u32 length) {
    out_.u32v(3).padded(file, kNameBytes).u32v(offset).u32v(start).u32v(length);
    finish();
}

}  // namespace rm::platform
