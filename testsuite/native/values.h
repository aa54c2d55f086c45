// Random numbers, and random values that hit the borders of each data type more often than chance
// would. Deterministic: the same seed gives the same sequence on every machine.
#pragma once
#include "base/types.h"

namespace rm::native {

class Random {
public:
    // Seeds are scattered, or near ones would give the same sequence a few steps apart.
    explicit Random(u64 seed) : state_(scatter(seed)) {}
    u64 next() { return scatter(state_ += 0x9E3779B97F4A7C15); }  // splitmix64
    u64 below(u64 n) { return next() % n; }
    bool percent(unsigned p) { return below(100) < p; }
    u8 byte() { return static_cast<u8>(next()); }

private:
    static u64 scatter(u64 z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    u64 state_;
};

enum class Element : u8 { kInteger, kFloat16, kFloat32, kFloat64, kFloat80, kBcd };

u64 integer_value(Random& r);
u32 float32_value(Random& r);
u64 float64_value(Random& r);
void float80_value(Random& r, u8* out);  // 10 bytes
void bcd_value(Random& r, u8* out);      // 10 bytes
// Fills n bytes with elements of one type.
void fill(Random& r, Element type, u8* out, unsigned n);
Element random_element(Random& r);

}  // namespace rm::native
