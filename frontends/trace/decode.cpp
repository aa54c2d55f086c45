// What both vendors' decoders share: field rows, event information, names of vectors and registers.
// See decode.h and bit_fields.h.
#include "frontends/trace/decode.h"

#include "base/bits.h"
#include "frontends/trace/bit_fields.h"

namespace rm::frontends::trace {

namespace {

// SDM 3A table 6-1; #SX: APM2 8.2.
constexpr const char* kExceptionNames[32] = {
    "#DE",   "#DB",   "NMI",   "#BP",   "#OF",   "#BR",   "#UD",   "#NM",   "#DF", nullptr, "#TS",
    "#NP",   "#SS",   "#GP",   "#PF",   nullptr, "#MF",   "#AC",   "#MC",   "#XM", "#VE",   "#CP",
    nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, "#SX"};

// SDM 3C 24.8.3; SVM uses 0, 2, 3 and 4 of them (APM2 15.20).
constexpr const char* kEventTypes[8] = {
    "external-interrupt", "reserved-1",         "nmi",
    "hardware-exception", "software-interrupt", "privileged-software-exception",
    "software-exception", "other-event"};

constexpr const char* kGprNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr const char* kSegmentNames[6] = {"es", "cs", "ss", "ds", "fs", "gs"};

bool is_exception(unsigned type) { return type == 3 || type == 5 || type == 6; }

void show_field(LineBuilder& line, u64 value, const BitField& field) {
    switch (field.show) {
        case Show::kNumber: line.number(field.key, value); break;
        case Show::kHex: line.hex(field.key, value); break;
        case Show::kFlag:
            if (value) line.flag(field.key);
            break;
        case Show::kName: line.word(field.key, field.names[value]); break;
        case Show::kGpr: line.word(field.key, gpr_name(static_cast<unsigned>(value))); break;
    }
}

}  // namespace

const char* exception_name(unsigned vector) {
    return vector < 32 ? kExceptionNames[vector] : nullptr;
}
const char* gpr_name(unsigned number) { return kGprNames[number & 15]; }
const char* segment_name(unsigned number) { return number < 6 ? kSegmentNames[number] : "?"; }

void show_fields(LineBuilder& line, u64 word, std::span<const BitField> fields) {
    for (const BitField& f : fields)
        if ((word & f.mask) == f.match) show_field(line, bits(word, f.hi, f.lo), f);
}

void decode_event(LineBuilder& line, const char* key, const vt::common::EventInfo& event) {
    if (!event.valid()) return;
    line.open(key);
    const char* name = is_exception(event.type()) ? exception_name(event.vector()) : nullptr;
    if (name) line.word("name", name);
    line.number("vector", event.vector());
    line.word("type", kEventTypes[event.type()]);
    if (event.has_error()) line.hex("error", event.error);
    if (has_bit(event.info, 12)) line.flag("nmi_unblocking_by_iret");
    if (event.instruction_length) line.number("length", event.instruction_length);
    line.hex("info", event.info);
    line.close();
}

void decode_exit(LineBuilder& line, const vt::common::ExitRecord& exit,
                 const GuestRegisters& registers) {
    if (exit.vendor == vt::common::Vendor::kVmx)
        decode_vmx_exit(line, exit, registers);
    else
        decode_svm_exit(line, exit, registers);
}

}  // namespace rm::frontends::trace
