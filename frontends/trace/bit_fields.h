// Rows that describe how a word of exit information is cut into named fields, and the one function
// that walks them. Used by the VMX and SVM decoders so that their tables read like the manuals'.
#pragma once
#include <span>

#include "frontends/trace/line_builder.h"

namespace rm::frontends::trace {

enum class Show : u8 {
    kNumber,  // decimal
    kHex,     // hexadecimal
    kFlag,    // the key alone, if the bit is set
    kName,    // names[value]
    kGpr,     // register name
};

struct BitField {
    const char* key;
    u8 hi, lo;
    Show show;
    const char* const* names = nullptr;  // kName: one for every value of the field
    u64 mask = 0, match = 0;             // shown only if (word & mask) == match
};

void show_fields(LineBuilder& line, u64 word, std::span<const BitField> fields);

}  // namespace rm::frontends::trace
