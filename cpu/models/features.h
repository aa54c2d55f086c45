// A set of CPUID features, named as in features.def; asked by the decoder (#UD) and by cpu/system.
#pragma once
#include <bitset>

#include "base/types.h"

namespace rm::cpu {

enum class Feature : u8 {
    kAlways,  // needs no CPUID bit
#define RM_FEATURE(name, leaf, subleaf, reg, bit) k_##name,
#include "cpu/models/features.def"
#undef RM_FEATURE
    kCount
};

class FeatureSet {
public:
    bool has(Feature f) const { return f == Feature::kAlways || set_[static_cast<u8>(f)]; }
    void add(Feature f) { set_[static_cast<u8>(f)] = true; }
    void remove(Feature f) { set_[static_cast<u8>(f)] = false; }
    bool operator==(const FeatureSet&) const = default;

private:
    std::bitset<static_cast<unsigned>(Feature::kCount)> set_;
};

}  // namespace rm::cpu
