// The block for a refused VM entry. See failure_report.h.
#include "frontends/trace/failure_report.h"

#include <bit>

#include "frontends/trace/decode.h"
#include "frontends/trace/number_text.h"

namespace rm::frontends::trace {

using vt::common::EntryFailure;
using vt::common::Vendor;

namespace {

constexpr u64 kSvmInvalid = ~u64{0};  // VMEXIT_INVALID, APM2 15.5.1

void append_field(std::string& out, const char* name, u32 field, Vendor vendor, u64 value) {
    out += name;
    out += vendor == Vendor::kVmx ? " (encoding " : " (VMCB offset ";
    append_hex(out, field);
    out += ") = ";
    append_hex(out, value);
}

// "0x2000 (bit 13)", "0x6 (bits 1, 2)".
void append_bit_list(std::string& out, u64 mask) {
    append_hex(out, mask);
    out += std::has_single_bit(mask) ? " (bit " : " (bits ";
    for (bool first = true; mask; mask &= mask - 1, first = false) {
        if (!first) out += ", ";
        append_decimal(out, static_cast<u64>(std::countr_zero(mask)));
    }
    out += ')';
}

void append_code(std::string& out, const Symbols& symbols, unsigned level, u64 rip) {
    append_hex(out, rip);
    if (const std::string name = symbols.describe(level, rip); !name.empty())
        out += " <" + name + ">";
}

void append_outcome(std::string& out, const EntryFailure& f) {
    if (f.instruction_error) {
        out += "VMfailValid, VM-instruction error ";
        append_decimal(out, f.instruction_error);
        out += std::string(" (") + vm_instruction_error_text(f.instruction_error) + ")";
    } else if (f.reason == kSvmInvalid) {
        out += "#VMEXIT(-1) VMEXIT_INVALID";
    } else if (f.reason) {
        out += "VM exit, reason ";
        append_hex(out, f.reason);
        if (f.vendor == Vendor::kVmx)
            out += std::string(" (") + vmx_reason_name(f.reason & 0xFFFF) + ")";
        out += ", qualification ";
        append_hex(out, f.qualification);
    } else {
        out += "VMfailInvalid";
    }
}

}  // namespace

std::string FailureReport::block(const EntryFailure& f) const {
    const unsigned hypervisor = f.level ? f.level - 1 : 0;
    std::string out = "ringminus: VM entry refused: ";
    out += f.instruction;
    out += " on vCPU ";
    append_decimal(out, f.vcpu);
    out += ", instruction ";
    append_decimal(out, f.tick);
    out += "\n  at          ";
    append_code(out, symbols_, hypervisor, f.hypervisor_rip);
    out += "\n  check       ";
    out += f.check;
    out += "\n  field       ";
    append_field(out, f.field_name, f.field, f.vendor, f.value);
    if (f.offending_bits) {
        out += "\n  offending   ";
        append_bit_list(out, f.offending_bits);
    }
    if (f.other_field_name) {
        out += "\n  compare     ";
        append_field(out, f.other_field_name, f.other_field, f.vendor, f.other_value);
    }
    out += "\n  manual      ";
    out += f.section;
    out += "\n  last write  ";
    if (f.writer_known) {
        append_hex(out, f.writer_value);
        out += " by ";
        append_code(out, symbols_, hypervisor, f.writer_rip);
    } else {
        out += f.vendor == Vendor::kVmx ? "none seen" : "not recorded (the VMCB is plain memory)";
    }
    out += "\n  guest sees  ";
    append_outcome(out, f);
    out += '\n';
    return out;
}

void FailureReport::report(const EntryFailure& f) {
    const bool same = last_check_ == f.check && last_field_ == f.field && last_value_ == f.value &&
                      last_rip_ == f.hypervisor_rip;
    repeats_ = same ? repeats_ + 1 : 1;
    last_check_ = f.check;
    last_field_ = f.field;
    last_value_ = f.value;
    last_rip_ = f.hypervisor_rip;
    if (!same)
        std::fputs(block(f).c_str(), out_);
    else if (std::has_single_bit(repeats_))
        std::fprintf(out_, "ringminus: VM entry refused: the same again, %llu times by now\n",
                     static_cast<unsigned long long>(repeats_));
    std::fflush(out_);
}

}  // namespace rm::frontends::trace
