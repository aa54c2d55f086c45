// Interning of intercept profiles. A linear search: hypervisors use few, and callers keep the last
// answer by their own control words.
#include "vt-emulation/common/profile.h"

#include <algorithm>

namespace rm::vt::common {

u32 ProfileTable::intern(const Answers& answers) {
    const auto at = std::find(profiles_.begin(), profiles_.end(), answers);
    if (at != profiles_.end()) return static_cast<u32>(at - profiles_.begin());
    if (profiles_.size() == kMaxProfiles - 1) return kMaxProfiles - 1;
    profiles_.push_back(answers);
    return static_cast<u32>(profiles_.size() - 1);
}

}  // namespace rm::vt::common
