// One trace record as one line, in either format: text (`key=value` for eyes and grep) or a JSON
// object (for programs). The functions that describe records call the same methods for both, so the
// formats never drift apart; docs/trace.md is their contract. Key order is call order.
//
// Text:  <insns, 14 columns> <seconds.nanoseconds> cpu<n> L<level> <event> key=value ...
// JSON:  {"event":...,"vcpu":n,"level":"L2","insns":n,"ns":n,"key":value,...}
// In JSON, addresses, bit masks and other 64-bit values are strings "0x..." because JSON readers
// keep only 53 bits of a number.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/types.h"
#include "frontends/trace/symbol_table.h"

namespace rm::frontends::trace {

enum class Format : u8 { kText, kJsonl };

class LineBuilder {
public:
    LineBuilder(Format format, const Symbols& symbols) : symbols_(symbols), format_(format) {}

    bool text_format() const { return format_ == Format::kText; }
    void begin(const char* event, unsigned vcpu, unsigned level, u64 insns, u64 ns);
    std::string_view end();  // the line, without its end; valid until begin()

    void number(const char* key, u64 value);
    void hex(const char* key, u64 value);
    void word(const char* key, std::string_view value);    // bare in text
    void quoted(const char* key, std::string_view value);  // "..." in text
    void bytes(const char* key, std::span<const u8> value);
    void flag(const char* key);  // key alone in text, true in JSON
    // A named number: reason=HLT(12); JSON "reason":"HLT","reason_number":12. Negative numbers
    // (SVM's -1) stay so; text_hex prints the number of text lines in hexadecimal.
    void named(const char* key, std::string_view name, i64 value, bool text_hex);
    // A code address with its symbol: rip=0x1f <name+0x2>; JSON adds "rip_symbol". `linear` is what
    // symbols are looked up by, `value` is what is printed.
    void code(const char* key, u64 value, LinearAddr linear, unsigned level);
    void open(const char* key);  // key={...}
    void close();
    void open_list(const char* key);  // key=[... ...]
    void open_item();                 // an object in a list
    void close_item();
    void close_list();
    // Text only: raw continuation of the current value.
    void raw(std::string_view text) { line_.append(text); }
    void raw_hex(u64 value);
    const Symbols& symbols() const { return symbols_; }

private:
    void key(const char* name);
    void json_string(std::string_view value);

    const Symbols& symbols_;
    std::string line_;
    Format format_;
    bool first_ = true;  // no separator before the next key
};

}  // namespace rm::frontends::trace
