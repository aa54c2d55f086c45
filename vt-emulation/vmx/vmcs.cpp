// Field table, encoding lookup and the VMCS region's form in memory.
#include "vt-emulation/vmx/vmcs.h"

#include <cstring>

#include "memory/physical/physical.h"

namespace rm::vt::vmx {

const std::array<FieldRow, kFieldCount> kFields = {{
#define RM_FIELD(name, encoding, generation) {#name, encoding, generation},
#include "vt-emulation/vmx/vmcs_fields.def"
#undef RM_FIELD
}};

namespace {

constexpr PhysAddr kLaunchOffset = 8, kDataOffset = 64, kAbortOffset = 4;
static_assert(kDataOffset + kFieldCount * 8 <= kRegionBytes);

// Index of an encoding whose reserved bits are zero: width, kind, index (SDM 3C table 24-21).
constexpr unsigned kIndexes = 64;
constexpr unsigned slot(u32 encoding) {
    const unsigned width = bits(encoding, 14, 13), kind = bits(encoding, 11, 10);
    return static_cast<unsigned>((width * 4 + kind) * kIndexes + bits(encoding, 9, 1) % kIndexes);
}

struct EncodingMap {
    std::array<u8, 16 * kIndexes> field{};  // field + 1; 0 = none
    constexpr EncodingMap() {
        unsigned n = 0;
#define RM_FIELD(name, encoding, generation) field[slot(encoding)] = static_cast<u8>(++n);
#include "vt-emulation/vmx/vmcs_fields.def"
#undef RM_FIELD
    }
};
constexpr EncodingMap kByEncoding;

}  // namespace

std::optional<F> find_field(u64 encoding, bool& high) {
    high = encoding & 1;
    if (encoding >> 15 || bits(encoding, 9, 1) >= kIndexes) return std::nullopt;
    const u8 at = kByEncoding.field[slot(static_cast<u32>(encoding))];
    if (!at) return std::nullopt;
    const F f = static_cast<F>(at - 1);
    if (row(f).encoding != (encoding & ~u64{1})) return std::nullopt;
    if (high && row(f).width() != FieldWidth::k64) return std::nullopt;
    return f;
}

void Vmcs::load(memory::PhysicalMemory& memory, PhysAddr region) {
    std::array<u8, kFieldCount * 8> raw;
    memory.read(region + kDataOffset, raw);
    for (unsigned n = 0; n < kFieldCount; ++n) {
        u64 value;
        std::memcpy(&value, raw.data() + n * 8, 8);
        set(static_cast<F>(n), value);  // software may have scribbled on the region: keep the width
    }
    launched = memory.load(region + kLaunchOffset, 4) == 1;
}

void Vmcs::store(memory::PhysicalMemory& memory, PhysAddr region) const {
    std::array<u8, kFieldCount * 8> raw;
    std::memcpy(raw.data(), values.data(), raw.size());
    memory.write(region + kDataOffset, raw);
    memory.store(region + kLaunchOffset, 4, launched);
}

void clear_launch_state(memory::PhysicalMemory& memory, PhysAddr region) {
    memory.store(region + kLaunchOffset, 4, 0);
}

void set_abort_indicator(memory::PhysicalMemory& memory, PhysAddr region, u32 indicator) {
    memory.store(region + kAbortOffset, 4, indicator);
}

}  // namespace rm::vt::vmx
