// Tables of fields and exit codes by name, and segments in the VMCB.
// Source: APM2 appendix B and C.
#include "vt-emulation/svm/vmcb.h"

#include <algorithm>

#include "base/assert.h"

namespace rm::vt::svm {

namespace {

constexpr FieldRow kFields[] = {
#define RM_FIELD(name, offset, bytes, clean) {F::name, bytes, Clean::clean, #name},
#include "vt-emulation/svm/vmcb_fields.def"
#undef RM_FIELD
};

// Names of the members of ranges, so that names can be static strings.
#define RM_NUMBERS_16(p, s)                                                                   \
    p "0" s, p "1" s, p "2" s, p "3" s, p "4" s, p "5" s, p "6" s, p "7" s, p "8" s, p "9" s, \
        p "10" s, p "11" s, p "12" s, p "13" s, p "14" s, p "15" s
constexpr const char* kCrReads[] = {RM_NUMBERS_16("CR", "_READ")};
constexpr const char* kCrWrites[] = {RM_NUMBERS_16("CR", "_WRITE")};
constexpr const char* kDrReads[] = {RM_NUMBERS_16("DR", "_READ")};
constexpr const char* kDrWrites[] = {RM_NUMBERS_16("DR", "_WRITE")};
constexpr const char* kExceptions[] = {
    "EXCP0 (#DE)",  "EXCP1 (#DB)",  "EXCP2",        "EXCP3 (#BP)", "EXCP4 (#OF)",  "EXCP5 (#BR)",
    "EXCP6 (#UD)",  "EXCP7 (#NM)",  "EXCP8 (#DF)",  "EXCP9",       "EXCP10 (#TS)", "EXCP11 (#NP)",
    "EXCP12 (#SS)", "EXCP13 (#GP)", "EXCP14 (#PF)", "EXCP15",      "EXCP16 (#MF)", "EXCP17 (#AC)",
    "EXCP18 (#MC)", "EXCP19 (#XF)", "EXCP20",       "EXCP21",      "EXCP22",       "EXCP23",
    "EXCP24",       "EXCP25",       "EXCP26",       "EXCP27",      "EXCP28",       "EXCP29",
    "EXCP30 (#SX)", "EXCP31"};

struct ExitRow {
    u64 code;
    unsigned count;
    const char* name;
};
constexpr ExitRow kExits[] = {
#define RM_EXIT(name, code, count) {code, count, #name},
#include "vt-emulation/svm/exit_codes.def"
#undef RM_EXIT
};

}  // namespace

std::span<const FieldRow> vmcb_fields() { return kFields; }

const FieldRow& field_row(F field) {
    const auto* row = std::find_if(std::begin(kFields), std::end(kFields),
                                   [field](const FieldRow& r) { return r.field == field; });
    RM_ASSERT(row != std::end(kFields), "every F has a row");
    return *row;
}

const char* exit_name(u64 code) {
    for (const ExitRow& row : kExits) {
        if (code - row.code >= row.count) continue;
        const u64 n = code - row.code;
        switch (row.code) {
            case exit_code::CR_READ: return kCrReads[n];
            case exit_code::CR_WRITE: return kCrWrites[n];
            case exit_code::DR_READ: return kDrReads[n];
            case exit_code::DR_WRITE: return kDrWrites[n];
            case exit_code::EXCP: return kExceptions[n];
            default: return row.name;
        }
    }
    return "?";
}

cpu::Segment Vmcb::segment(F selector) const {
    const u8* at = &raw_[static_cast<unsigned>(selector)];
    u16 sel, attr;
    cpu::Segment s;
    std::memcpy(&sel, at, 2);
    std::memcpy(&attr, at + 2, 2);
    std::memcpy(&s.limit, at + 4, 4);
    std::memcpy(&s.base, at + 8, 8);
    s.selector = sel;
    s.attr = attributes_from_vmcb(attr);
    return s;
}

void Vmcb::set_segment(F selector, const cpu::Segment& s) {
    u8* at = &raw_[static_cast<unsigned>(selector)];
    const u16 attr = static_cast<u16>(attributes_to_vmcb(s.attr));
    std::memcpy(at, &s.selector, 2);
    std::memcpy(at + 2, &attr, 2);
    std::memcpy(at + 4, &s.limit, 4);
    std::memcpy(at + 8, &s.base, 8);
}

void Vmcb::set_fetched(std::span<const u8> bytes) {
    const std::size_t n = std::min<std::size_t>(bytes.size(), 15);
    u8* at = &raw_[static_cast<unsigned>(F::FETCHED_COUNT)];
    std::memset(at, 0, 16);
    at[0] = static_cast<u8>(n);
    std::memcpy(at + 1, bytes.data(), n);
}

void Vmcb::write_fetched(memory::PhysicalMemory& memory, PhysAddr at) const {
    const unsigned begin = static_cast<unsigned>(F::FETCHED_COUNT);
    memory.write(at + begin, std::span(raw_).subspan(begin, 16));
}

}  // namespace rm::vt::svm
