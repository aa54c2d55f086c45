// The VMCB as data: fields by name, the conversion of segments, and reading and writing one in
// physical memory. Fields keep the offsets and names of APM2 appendix B.
#pragma once
#include <array>
#include <cstring>
#include <span>

#include "cpu/state/cpu_state.h"
#include "memory/physical/physical.h"

namespace rm::vt::svm {

// Byte offset of each field.
enum class F : u16 {
#define RM_FIELD(name, offset, bytes, clean) name = offset,
#include "vt-emulation/svm/vmcb_fields.def"
#undef RM_FIELD
};

// VMCB clean bits (APM2 15.15.3).
enum class Clean : u8 {
    kI,
    kIopm,
    kAsid,
    kTpr,
    kNp,
    kCrx,
    kDrx,
    kDt,
    kSeg,
    kCr2,
    kLbr,
    kNone = 255
};

struct FieldRow {
    F field;
    u8 bytes;
    Clean clean;
    const char* name;
};
std::span<const FieldRow> vmcb_fields();
const FieldRow& field_row(F field);

constexpr unsigned field_bytes(F field) {
    switch (field) {
#define RM_FIELD(name, offset, bytes, clean) \
    case F::name:                            \
        return bytes;
#include "vt-emulation/svm/vmcb_fields.def"
#undef RM_FIELD
    }
    return 0;
}

// #VMEXIT codes.
namespace exit_code {
#define RM_EXIT(name, code, count) inline constexpr u64 name = code;
#include "vt-emulation/svm/exit_codes.def"
#undef RM_EXIT
}  // namespace exit_code
// "IOIO", "CR0_READ", "EXCP14" ... A static string; "?" for codes the manual does not have.
const char* exit_name(u64 code);

// V_INTR (VMCB 60H).
inline constexpr u64 kVTpr = 0xF, kVIrq = bit(8), kVIgnoreTpr = bit(20), kVIntrMasking = bit(24);
inline constexpr unsigned kVIntrPrioShift = 16, kVIntrVectorShift = 32;

// VM_CR.R_INIT: INIT becomes #SX (APM2 15.30.1).
inline constexpr u64 kVmCrRedirectInit = bit(1);

// EVENTINJ and EXITINTINFO: low half as VMX interruption information, error code in 63:32.
inline constexpr u64 kEventValid = bit(31), kEventErrorValid = bit(11);

// The part of the page that has fields.
class Vmcb {
public:
    static constexpr unsigned kBytes = 0x698;

    u64 get(F field) const {
        u64 v = 0;
        std::memcpy(&v, &raw_[static_cast<unsigned>(field)], field_bytes(field));
        return v;
    }
    u64 operator[](F field) const { return get(field); }
    void set(F field, u64 value) {
        std::memcpy(&raw_[static_cast<unsigned>(field)], &value, field_bytes(field));
    }
    // A segment by its *_SELECTOR field. Not present is what the architecture has instead of null.
    cpu::Segment segment(F selector) const;
    void set_segment(F selector, const cpu::Segment& s);
    void set_fetched(std::span<const u8> bytes);  // count and at most 15 guest instruction bytes

    // TLB-free physical accesses, machine addresses.
    void read_from(memory::PhysicalMemory& memory, PhysAddr at) { memory.read(at, raw_); }
    // Fields from `first` up to and including `last`.
    void write_to(memory::PhysicalMemory& memory, PhysAddr at, F first, F last) const {
        const unsigned begin = static_cast<unsigned>(first),
                       end = static_cast<unsigned>(last) + field_bytes(last);
        memory.write(at + begin, std::span(raw_).subspan(begin, end - begin));
    }
    void write_fetched(memory::PhysicalMemory& memory, PhysAddr at) const;

private:
    std::array<u8, kBytes> raw_{};
};

// VMCB attribute word (descriptor bits 55:52 and 47:40) and the emulator's layout.
constexpr u32 attributes_from_vmcb(u64 a) {
    const u32 attr = static_cast<u32>((a & 0xFF) | ((a & 0xF00) << 4));
    return attr & cpu::Segment::kP ? attr : attr | cpu::Segment::kUnusable;
}
constexpr u32 attributes_to_vmcb(u32 attr) {
    const u32 a = (attr & 0xFF) | ((attr >> 4) & 0xF00);
    return attr & cpu::Segment::kUnusable ? a & ~cpu::Segment::kP : a;
}

}  // namespace rm::vt::svm
