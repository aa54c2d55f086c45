// Text and JSON rendering of one trace record. See line_builder.h; formats: docs/trace.md.
#include "frontends/trace/line_builder.h"

#include "frontends/trace/number_text.h"

namespace rm::frontends::trace {

void LineBuilder::begin(const char* event, unsigned vcpu, unsigned level, u64 insns, u64 ns) {
    line_.clear();
    first_ = true;
    if (format_ == Format::kJsonl) {
        line_ = "{";
        word("event", event);
        number("vcpu", vcpu);
        const char name[] = {'L', static_cast<char>('0' + level % 10), 0};
        word("level", name);
        number("insns", insns);
        number("ns", ns);
        return;
    }
    append_padded(line_, insns, 14, ' ');
    line_.push_back(' ');
    append_padded(line_, ns / 1'000'000'000, 1, ' ');
    line_.push_back('.');
    append_padded(line_, ns % 1'000'000'000, 9, '0');
    line_.append(" cpu");
    append_decimal(line_, vcpu);
    line_.append(" L");
    append_decimal(line_, level);
    line_.push_back(' ');
    line_.append(event);
    first_ = false;
}

std::string_view LineBuilder::end() {
    if (format_ == Format::kJsonl) line_.push_back('}');
    return line_;
}

void LineBuilder::key(const char* name) {
    if (format_ == Format::kText) {
        if (!first_) line_.push_back(' ');
        line_.append(name);
        line_.push_back('=');
    } else {
        if (!first_) line_.push_back(',');
        line_.push_back('"');
        line_.append(name);
        line_.append("\":");
    }
    first_ = false;
}

void LineBuilder::json_string(std::string_view value) {
    constexpr char kDigits[] = "0123456789abcdef";
    line_.push_back('"');
    for (const char c : value) {
        const u8 byte = static_cast<u8>(c);
        if (c == '"' || c == '\\') {
            line_.push_back('\\');
            line_.push_back(c);
        } else if (byte < 0x20 || byte >= 0x7F) {
            line_.append("\\u00");
            line_.push_back(kDigits[byte >> 4]);
            line_.push_back(kDigits[byte & 15]);
        } else {
            line_.push_back(c);
        }
    }
    line_.push_back('"');
}

void LineBuilder::number(const char* name, u64 value) {
    key(name);
    append_decimal(line_, value);
}

void LineBuilder::raw_hex(u64 value) { append_hex(line_, value); }

void LineBuilder::hex(const char* name, u64 value) {
    key(name);
    if (format_ == Format::kJsonl) line_.push_back('"');
    append_hex(line_, value);
    if (format_ == Format::kJsonl) line_.push_back('"');
}

void LineBuilder::word(const char* name, std::string_view value) {
    key(name);
    if (format_ == Format::kJsonl)
        json_string(value);
    else
        line_.append(value);
}

void LineBuilder::quoted(const char* name, std::string_view value) {
    key(name);
    json_string(value);
}

void LineBuilder::bytes(const char* name, std::span<const u8> value) {
    key(name);
    if (format_ == Format::kJsonl) line_.push_back('"');
    append_bytes(line_, value);
    if (format_ == Format::kJsonl) line_.push_back('"');
}

void LineBuilder::flag(const char* name) {
    key(name);
    if (format_ == Format::kJsonl)
        line_.append("true");
    else
        line_.pop_back();  // the '='
}

void LineBuilder::named(const char* name, std::string_view text, i64 value, bool text_hex) {
    word(name, text);
    if (format_ == Format::kText) {
        line_.push_back('(');
        if (text_hex && value >= 0)
            append_hex(line_, static_cast<u64>(value));
        else
            append_signed(line_, value);
        line_.push_back(')');
        return;
    }
    line_.append(",\"");
    line_.append(name);
    line_.append("_number\":");
    append_signed(line_, value);
}

void LineBuilder::code(const char* name, u64 value, LinearAddr linear, unsigned level) {
    hex(name, value);
    if (format_ == Format::kText) {
        const std::size_t mark = line_.size();
        line_.append(" <");
        if (symbols_.append(line_, level, linear))
            line_.push_back('>');
        else
            line_.resize(mark);
        return;
    }
    if (const std::string symbol = symbols_.describe(level, linear); !symbol.empty()) {
        line_.append(",\"");
        line_.append(name);
        line_.append("_symbol\":");
        json_string(symbol);
    }
}

void LineBuilder::open(const char* name) {
    key(name);
    line_.push_back('{');
    first_ = true;
}

void LineBuilder::close() {
    line_.push_back('}');
    first_ = false;
}

void LineBuilder::open_list(const char* name) {
    key(name);
    line_.push_back('[');
    first_ = true;
}

void LineBuilder::open_item() {
    if (!first_) line_.append(format_ == Format::kText ? "; " : ",");
    if (format_ == Format::kJsonl) line_.push_back('{');
    first_ = true;
}

void LineBuilder::close_item() {
    if (format_ == Format::kJsonl) line_.push_back('}');
    first_ = false;
}

void LineBuilder::close_list() {
    line_.push_back(']');
    first_ = false;
}

}  // namespace rm::frontends::trace
