// Parsing of option values: sizes, numbers, dates, and QEMU's "head,key=value,flag" lists.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace rm::frontends {

// "a,b=c,,d" -> {"a",""}, {"b","c,d"}: a doubled comma is a literal one. The first element may be
// a bare word; its key is then the word and its value empty.
struct Property {
    std::string key, value;
    bool has_value = false;
};
std::vector<Property> split_properties(std::string_view text);

Result<u64> parse_number(std::string_view option, std::string_view text, u64 least, u64 most);
// "512", "512M", "2G": without a suffix in MiB. At least 1 MiB.
Result<u64> parse_memory_size(std::string_view option, std::string_view text);
// QEMU's "START+SIZE,START-SIZE,START..END": the addresses, first and last. START-SIZE are the SIZE
// bytes below START.
struct AddressRange {
    u64 first, last;
    bool operator==(const AddressRange&) const = default;
};
Result<std::vector<AddressRange>> parse_address_ranges(std::string_view option,
                                                       std::string_view text);
Result<bool> parse_on_off(std::string_view option, std::string_view text);
// "2024-01-01", "2024-01-01T12:00:00" (UTC) or seconds since 1970.
Result<u64> parse_date(std::string_view text);
// Of `names`, the one most like `word`: the same but for case, else one that begins with it, else
// the one at the smallest edit distance.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

}  // namespace rm::frontends
