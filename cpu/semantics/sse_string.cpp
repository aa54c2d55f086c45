// See sse_string.h. The tables in comments are the manual's: SDM 2 4.1.2 to 4.1.7.
#include "cpu/semantics/sse_string.h"

#include <bit>
#include <cstdlib>

namespace rm::cpu::sse_string {

namespace {

enum Aggregation : unsigned { kEqualAny, kRanges, kEqualEach, kEqualOrdered };

bool words(unsigned imm) { return imm & 1; }
unsigned element_count(unsigned imm) { return words(imm) ? 8 : 16; }

// Element n, sign-extended if imm8[1] says signed.
int element(V128 v, unsigned n, unsigned imm) {
    const bool is_signed = imm & 2;
    if (words(imm)) {
        const u16 w = Lanes<u16>(v)[n];
        return is_signed ? static_cast<i16>(w) : w;
    }
    const u8 b = Lanes<u8>(v)[n];
    return is_signed ? static_cast<i8>(b) : b;
}

struct Comparison {
    V128 a, b;
    unsigned la, lb, imm, count;

    bool valid_a(unsigned n) const { return n < la; }
    bool valid_b(unsigned n) const { return n < lb; }
    int at_a(unsigned n) const { return element(a, n, imm); }
    int at_b(unsigned n) const { return element(b, n, imm); }

    // Is element j of b any of a's elements?
    bool equal_any(unsigned j) const {
        if (!valid_b(j)) return false;
        for (unsigned n = 0; n < la; ++n)
            if (at_a(n) == at_b(j)) return true;
        return false;
    }
    // Is it in one of the ranges a0..a1, a2..a3, ...? A pair whose second half is missing does not
    // count.
    bool ranges(unsigned j) const {
        if (!valid_b(j)) return false;
        for (unsigned n = 0; n + 1 < la; n += 2)
            if (at_b(j) >= at_a(n) && at_b(j) <= at_a(n + 1)) return true;
        return false;
    }
    // Beyond the end of both strings elements count as equal, beyond the end of one as different.
    bool equal_each(unsigned j) const {
        if (!valid_a(j) || !valid_b(j)) return valid_a(j) == valid_b(j);
        return at_a(j) == at_b(j);
    }
    // Does a, as far as it goes, stand in b at j? What lies beyond the vector's end is not
    // compared.
    bool equal_ordered(unsigned j) const {
        for (unsigned n = 0; n < la && j + n < count; ++n)
            if (!valid_b(j + n) || at_a(n) != at_b(j + n)) return false;
        return true;
    }
    bool operator()(unsigned j) const {
        switch ((imm >> 2) & 3) {
            case kEqualAny: return equal_any(j);
            case kRanges: return ranges(j);
            case kEqualEach: return equal_each(j);
            default: return equal_ordered(j);
        }
    }
};

}  // namespace

unsigned implicit_length(V128 v, unsigned imm) {
    unsigned n = 0;
    while (n < element_count(imm) && element(v, n, imm) != 0) ++n;
    return n;
}

unsigned explicit_length(i64 length, unsigned imm) {
    const u64 magnitude = length < 0 ? u64{0} - static_cast<u64>(length) : static_cast<u64>(length);
    return magnitude > element_count(imm) ? element_count(imm) : static_cast<unsigned>(magnitude);
}

Result compare(V128 a, unsigned la, V128 b, unsigned lb, unsigned imm) {
    const Comparison match{a, b, la, lb, imm, element_count(imm)};
    Result r{0, match.count, kCcFixed};
    for (unsigned j = 0; j < r.count; ++j)
        if (match(j)) r.bits |= 1u << j;
    // Polarity: imm8[4] negates, imm8[5] only where b is valid.
    if (imm & 0x10) r.bits ^= (imm & 0x20) ? (1u << lb) - 1 : (1u << r.count) - 1;
    if (r.bits) r.flags |= kCcCf;
    if (lb < r.count) r.flags |= kCcZf;
    if (la < r.count) r.flags |= kCcSf;
    if (r.bits & 1) r.flags |= kCcOf;
    return r;
}

u32 index_of(const Result& r, unsigned imm) {
    if (!r.bits) return r.count;
    return static_cast<u32>(imm & 0x40 ? 31 - std::countl_zero(r.bits) : std::countr_zero(r.bits));
}

V128 mask_of(const Result& r, unsigned imm) {
    if (!(imm & 0x40)) return vec_u64(r.bits);
    if (words(imm)) {
        Lanes<u16> out;
        for (unsigned n = 0; n < 8; ++n) out[n] = (r.bits >> n) & 1 ? 0xFFFF : 0;
        return out;
    }
    Lanes<u8> out;
    for (unsigned n = 0; n < 16; ++n) out[n] = (r.bits >> n) & 1 ? 0xFF : 0;
    return out;
}

}  // namespace rm::cpu::sse_string
