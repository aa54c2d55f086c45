// Intercept profiles (docs/architecture.md, decision 7): the answers never / always / ask for every
// intercept id, interned so that equal answers share one id. The id is part of the mode word and so
// of every decoded block's key. Ids are given in order of first use, which is deterministic; they
// are never given back: the control settings of a hypervisor's life make a few dozen.
#pragma once
#include <array>
#include <vector>

#include "cpu/hooks.h"

namespace rm::vt::common {

using Answers = std::array<cpu::InterceptAnswer, static_cast<unsigned>(cpu::Intercept::kCount)>;

class ProfileTable {
public:
    // Mode::word has 18 bits for the id. Beyond that, the last id answers "ask" for everything,
    // which is always right, only slower.
    static constexpr u32 kMaxProfiles = 1u << 18;

    u32 intern(const Answers& answers);
    cpu::InterceptAnswer answer(u32 profile, cpu::Intercept id) const {
        return profile < profiles_.size() ? profiles_[profile][static_cast<unsigned>(id)]
                                          : cpu::InterceptAnswer::kAsk;
    }

private:
    std::vector<Answers> profiles_;
};

}  // namespace rm::vt::common
