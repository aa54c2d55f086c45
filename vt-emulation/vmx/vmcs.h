// The virtual-machine control structure: its fields by name and by encoding, and the form it has in
// guest memory. While a VMCS is current its data are in the processor (class Vmcs); VMCLEAR,
// VMPTRLD of another one and VMXOFF write them back to the region. Region layout
// (implementation-specific by the manual): revision identifier at 0, VMX-abort indicator at 4 (SDM
// 3C 24.2), launch state at 8, then 8 bytes a field in the order of vmcs_fields.def from 64 on.
// Source: SDM 3C chapter 24.
#pragma once
#include <array>
#include <optional>

#include "base/bits.h"
#include "base/types.h"

namespace rm::memory {
class PhysicalMemory;
}

namespace rm::vt::vmx {

enum class F : u8 {
#define RM_FIELD(name, encoding, generation) name,
#include "vt-emulation/vmx/vmcs_fields.def"
#undef RM_FIELD
    kCount
};
inline constexpr unsigned kFieldCount = static_cast<unsigned>(F::kCount);
// F::GUEST_ES_SELECTOR + n etc.: n-th field after one.
constexpr F operator+(F f, unsigned n) { return static_cast<F>(static_cast<unsigned>(f) + n); }

enum class FieldKind : u8 { kControl = 0, kReadOnly = 1, kGuest = 2, kHost = 3 };
enum class FieldWidth : u8 { k16 = 0, k64 = 1, k32 = 2, kNatural = 3 };

struct FieldRow {
    const char* name;
    u32 encoding;
    u8 generation;
    FieldKind kind() const { return static_cast<FieldKind>(bits(encoding, 11, 10)); }
    FieldWidth width() const { return static_cast<FieldWidth>(bits(encoding, 14, 13)); }
    u8 bytes() const {  // natural width: of a 64-bit processor
        constexpr u8 kBytes[] = {2, 8, 4, 8};
        return kBytes[static_cast<unsigned>(width())];
    }
};
extern const std::array<FieldRow, kFieldCount> kFields;
inline const FieldRow& row(F f) { return kFields[static_cast<unsigned>(f)]; }

// The field an encoding names, whatever the generation; `high`: its access type asks for bits
// 63:32.
std::optional<F> find_field(u64 encoding, bool& high);

inline constexpr u32 kRevision = 0x0000'0052;  // bits 30:0 of the first word of a region
inline constexpr u64 kNoVmcs = ~u64{0};
inline constexpr u64 kRegionBytes = kPageSize;

struct Vmcs {
    std::array<u64, kFieldCount> values{};
    bool launched = false;

    u64 operator[](F f) const { return values[static_cast<unsigned>(f)]; }
    u32 get32(F f) const { return static_cast<u32>((*this)[f]); }
    // Stores as much as the field holds.
    void set(F f, u64 value) {
        values[static_cast<unsigned>(f)] = value & low_mask(row(f).bytes() * 8u);
    }

    void load(memory::PhysicalMemory& memory, PhysAddr region);
    void store(memory::PhysicalMemory& memory, PhysAddr region) const;
};

// VMCLEAR of a VMCS that is not in the processor: launch state "clear" (SDM 3C 24.11.3).
void clear_launch_state(memory::PhysicalMemory& memory, PhysAddr region);
void set_abort_indicator(memory::PhysicalMemory& memory, PhysAddr region, u32 indicator);

}  // namespace rm::vt::vmx
