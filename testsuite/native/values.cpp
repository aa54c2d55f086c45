#include "native/values.h"

#include <cstring>
#include <iterator>

namespace rm::native {

namespace {

// A number with the given fraction width and exponent bias, special in one way or another.
// Sign and exponent in the returned pair's high part.
struct Parts {
    u64 fraction;
    u32 exponent;
};

Parts special_parts(Random& r, unsigned fraction_bits, unsigned exponent_bits) {
    const u64 fraction_mask = (u64{1} << fraction_bits) - 1;
    const u32 max = (1u << exponent_bits) - 1, bias = max >> 1;
    const u64 random = r.next() & fraction_mask;
    // Fractions with few significant bits make exact results, ties and carries likely.
    const u64 sparse =
        r.percent(50) ? 0 : (r.next() << (fraction_bits - 1 - r.below(8))) & fraction_mask;
    switch (r.below(16)) {
        case 0: return {0, 0};
        case 1: return {0, max};
        case 2: return {random | (u64{1} << (fraction_bits - 1)), max};   // quiet NaN
        case 3: return {(random & (fraction_mask >> 1)) | 1, max};        // signalling NaN
        case 4: return {random >> r.below(fraction_bits), 0};             // denormal
        case 5: return {random, 1 + static_cast<u32>(r.below(3))};        // tiny
        case 6: return {random, max - 1 - static_cast<u32>(r.below(3))};  // huge
        case 7: return {fraction_mask, bias + static_cast<u32>(r.below(3)) - 1};
        case 8: return {sparse, bias};  // 1, 1.5 ...
        case 9:
        case 10: return {sparse, bias + static_cast<u32>(r.below(72)) - 4};
        case 11: return {fraction_mask & ~(r.next() & 3), bias + static_cast<u32>(r.below(66))};
        case 12: return {random, bias + static_cast<u32>(r.below(40)) - 20};
        default: return {random, static_cast<u32>(r.next()) & max};
    }
}

}  // namespace

u64 integer_value(Random& r) {
    constexpr u64 kBorders[] = {0,
                                1,
                                2,
                                0x7F,
                                0x80,
                                0xFF,
                                0x100,
                                0x7FFF,
                                0x8000,
                                0xFFFF,
                                0x10000,
                                0x7FFFFFFF,
                                0x80000000,
                                0xFFFFFFFF,
                                0x100000000,
                                0x7FFFFFFFFFFFFFFF,
                                0x8000000000000000,
                                ~u64{0}};
    switch (r.below(8)) {
        case 0: return kBorders[r.below(std::size(kBorders))];
        case 1: return kBorders[r.below(std::size(kBorders))] + r.below(5) - 2;
        case 2: return r.below(64);
        case 3: return static_cast<u64>(static_cast<i64>(r.next()) >> r.below(64));
        case 4: return u64{1} << r.below(64);
        default: return r.next();
    }
}

u32 float32_value(Random& r) {
    if (r.percent(20)) return static_cast<u32>(r.next());
    const Parts p = special_parts(r, 23, 8);
    return static_cast<u32>(p.fraction) | (p.exponent & 0xFF) << 23 |
           static_cast<u32>(r.below(2)) << 31;
}

u64 float64_value(Random& r) {
    if (r.percent(20)) return r.next();
    const Parts p = special_parts(r, 52, 11);
    return p.fraction | u64{p.exponent & 0x7FF} << 52 | r.below(2) << 63;
}

void float80_value(Random& r, u8* out) {
    const Parts p = special_parts(r, 63, 15);
    u64 mantissa = p.fraction | (p.exponent ? u64{1} << 63 : 0);
    if (r.percent(5)) mantissa ^= u64{1} << 63;  // pseudo-denormals and unsupported forms
    const u16 top = static_cast<u16>((p.exponent & 0x7FFF) | r.below(2) << 15);
    std::memcpy(out, &mantissa, 8);
    std::memcpy(out + 8, &top, 2);
}

void bcd_value(Random& r, u8* out) {
    for (unsigned n = 0; n < 9; ++n) out[n] = static_cast<u8>(r.below(10) << 4 | r.below(10));
    if (r.percent(20)) std::memset(out + r.below(9), 0, 1);
    if (r.percent(10)) out[r.below(9)] = r.byte();
    out[9] = r.percent(50) ? 0x80 : 0;
}

Element random_element(Random& r) {
    constexpr Element kTypes[] = {Element::kInteger, Element::kInteger, Element::kFloat32,
                                  Element::kFloat64};
    return kTypes[r.below(4)];
}

void fill(Random& r, Element type, u8* out, unsigned n) {
    u8 value[16];
    while (n) {
        unsigned size = 8;
        switch (type) {
            case Element::kFloat32: {
                const u32 v = float32_value(r);
                std::memcpy(value, &v, size = 4);
                break;
            }
            case Element::kFloat64: {
                const u64 v = float64_value(r);
                std::memcpy(value, &v, 8);
                break;
            }
            case Element::kFloat80: float80_value(r, value), size = 10; break;
            case Element::kBcd: bcd_value(r, value), size = 10; break;
            case Element::kFloat16:
            case Element::kInteger: {
                const u64 v = integer_value(r);
                std::memcpy(value, &v, size = 1u << r.below(4));
                break;
            }
        }
        if (size > n) size = n;
        std::memcpy(out, value, size);
        out += size;
        n -= size;
    }
}

}  // namespace rm::native
