#include "frontends/cli/option_values.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <numeric>

namespace rm::frontends {

std::vector<Property> split_properties(std::string_view text) {
    std::vector<std::string> parts(1);
    for (std::size_t n = 0; n < text.size(); ++n) {
        if (text[n] != ',') {
            parts.back() += text[n];
        } else if (n + 1 < text.size() && text[n + 1] == ',') {
            parts.back() += ',';
            ++n;
        } else {
            parts.emplace_back();
        }
    }
    std::vector<Property> out;
    for (const std::string& part : parts) {
        const auto equals = part.find('=');
        if (equals == std::string::npos)
            out.push_back({part, "", false});
        else
            out.push_back({part.substr(0, equals), part.substr(equals + 1), true});
    }
    return out;
}

Result<u64> parse_number(std::string_view option, std::string_view text, u64 least, u64 most) {
    u64 value = 0;
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    const std::string_view digits = hex ? text.substr(2) : text;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < least ||
        value > most)
        return fail("%.*s: '%.*s' is not a number from %llu to %llu",
                    static_cast<int>(option.size()), option.data(), static_cast<int>(text.size()),
                    text.data(), static_cast<unsigned long long>(least),
                    static_cast<unsigned long long>(most));
    return value;
}

Result<u64> parse_memory_size(std::string_view option, std::string_view text) {
    std::string_view digits = text;
    unsigned shift = 20;
    if (!digits.empty()) {
        switch (digits.back()) {
            case 'b':
            case 'B':
                if (digits.starts_with("0x")) break;
                shift = 0;
                digits.remove_suffix(1);
                break;
            case 'k':
            case 'K':
                shift = 10;
                digits.remove_suffix(1);
                break;
            case 'm':
            case 'M':
                shift = 20;
                digits.remove_suffix(1);
                break;
            case 'g':
            case 'G':
                shift = 30;
                digits.remove_suffix(1);
                break;
            default: break;
        }
    }
    auto number = parse_number(option, digits, 1, (u64{1} << 40) >> shift);
    const u64 bytes = number ? *number << shift : 0;
    if (!number || bytes < (u64{1} << 20) || bytes > (u64{64} << 30) || bytes % 4096)
        return fail("%.*s: '%.*s' is not a memory size from 1M to 64G (a number with K, M or G)",
                    static_cast<int>(option.size()), option.data(), static_cast<int>(text.size()),
                    text.data());
    return bytes;
}

namespace {

Result<AddressRange> parse_address_range(std::string_view option, std::string_view text) {
    const auto wrong = [&](const char* why) {
        return fail("%.*s: '%.*s' %s; use START+SIZE, START-SIZE or START..END",
                    static_cast<int>(option.size()), option.data(), static_cast<int>(text.size()),
                    text.data(), why);
    };
    const auto at = text.find_first_of("+-.");
    const bool dots = at != text.npos && text[at] == '.';
    if (at == text.npos || (dots && text.substr(at, 2) != ".."))
        return wrong("is not a range of addresses");
    const auto a = parse_number(option, text.substr(0, at), 0, ~u64{0});
    const auto b = parse_number(option, text.substr(at + (dots ? 2 : 1)), 0, ~u64{0});
    if (!a || !b) return wrong("has a number that is neither decimal nor 0x and hexadecimal");
    if (dots && *b < *a) return wrong("ends before it starts");
    if (dots) return AddressRange{*a, *b};
    if (*b == 0) return wrong("is empty");
    if (text[at] == '+' ? *a + (*b - 1) < *a : *b > *a)
        return wrong("reaches beyond the address space");
    return text[at] == '+' ? AddressRange{*a, *a + (*b - 1)} : AddressRange{*a - *b, *a - 1};
}

}  // namespace

Result<std::vector<AddressRange>> parse_address_ranges(std::string_view option,
                                                       std::string_view text) {
    std::vector<AddressRange> ranges;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        const auto range = parse_address_range(option, text.substr(at, end - at));
        if (!range) return std::unexpected(range.error());
        ranges.push_back(*range);
        at = end + 1;
    }
    return ranges;
}

Result<bool> parse_on_off(std::string_view option, std::string_view text) {
    if (text.empty() || text == "on" || text == "yes" || text == "true") return true;
    if (text == "off" || text == "no" || text == "false") return false;
    return fail("%.*s: '%.*s' is neither on nor off", static_cast<int>(option.size()),
                option.data(), static_cast<int>(text.size()), text.data());
}

Result<u64> parse_date(std::string_view text) {
    if (text.find('-') == std::string_view::npos)
        return parse_number("-rtc base=", text, 0, 4102444800ull);
    // Every character by its place: sscanf would take blanks, signs and anything behind the date.
    constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
    bool good = text.size() == 10 || text.size() == kForm.size();
    unsigned f[6] = {0, 1, 1, 0, 0, 0}, field = 0, value = 0;
    for (std::size_t n = 0; good && n < text.size(); ++n) {
        if (kForm[n] != 'd') {
            good = text[n] == kForm[n];
            value = 0;
            ++field;
            continue;
        }
        good = text[n] >= '0' && text[n] <= '9';
        f[field] = value = value * 10 + static_cast<unsigned>(text[n] - '0');
    }
    const std::chrono::year_month_day day{std::chrono::year{static_cast<int>(f[0])},
                                          std::chrono::month{f[1]}, std::chrono::day{f[2]}};
    if (!good || !day.ok() || f[0] < 1970 || f[0] > 2099 || f[3] > 23 || f[4] > 59 || f[5] > 59)
        return fail(
            "-rtc base=%.*s: use YYYY-MM-DD, YYYY-MM-DDThh:mm:ss (UTC, 1970 to 2099) or "
            "seconds since 1970",
            static_cast<int>(text.size()), text.data());
    const auto days = std::chrono::sys_days(day).time_since_epoch().count();
    return static_cast<u64>(days) * 86400 + f[3] * 3600 + f[4] * 60 + f[5];
}

namespace {

// Levenshtein distance, without regard to case.
std::size_t distance(std::string_view word, std::string_view name) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    std::vector<std::size_t> row(name.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t a = 1; a <= word.size(); ++a) {
        std::size_t diagonal = row[0];
        row[0] = a;
        for (std::size_t b = 1; b <= name.size(); ++b) {
            const std::size_t change = diagonal + (lower(word[a - 1]) != lower(name[b - 1]));
            diagonal = row[b];
            row[b] = std::min({row[b] + 1, row[b - 1] + 1, change});
        }
    }
    return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
    std::string best;
    std::size_t best_cost = ~std::size_t{0};
    for (const std::string& name : names) {
        // A word of more than 64 bytes is like nothing: no need to compare all of it.
        std::size_t cost = 2 * distance(word.substr(0, 64), name);
        if (word.size() > 1 && name.starts_with(word)) cost = std::min<std::size_t>(cost, 1);
        if (cost < best_cost) {
            best_cost = cost;
            best = name;
        }
    }
    return best;
}

}  // namespace rm::frontends
