// Where the host's time goes, for -accel jit,stats: one part is running at any time, and scopes say
// which. Reads the host's time stamp counter at each change when it is on, nothing when it is off.
// What the guest sees never depends on it.
#pragma once
#include <array>
#include <chrono>

#include "base/types.h"
#include "jit/host/x64/time_stamp.h"

namespace rm::jit {

enum class Part : u8 {
    kElsewhere,     // outside of the translator: run loop, cold code, devices, other processors
    kTranslated,    // in translated code
    kTranslating,   // making it
    kRefilling,     // TLB misses of translated code, stores beside code
    kInterpreting,  // instructions that translated code gives to the interpreter
    kDispatching,   // looking up and linking blocks
    kFlags,         // flags computed late
};
inline constexpr unsigned kParts = 7;

class PartClock {
public:
    explicit PartClock(bool on) : on_(on) {
        if (!on) return;
        began_ = std::chrono::steady_clock::now();
        first_ = last_ = x64::time_stamp();
    }

    // `part` runs in this scope.
    class [[nodiscard]] In {
    public:
        In(PartClock& clock, Part part) : clock_(clock), before_(clock.now_) {
            if (clock_.on_) clock_.change(part);
        }
        ~In() {
            if (clock_.on_) clock_.change(before_);
        }
        In(const In&) = delete;
        In& operator=(const In&) = delete;

    private:
        PartClock& clock_;
        const Part before_;
    };

    // Seconds of each part since the beginning; all 0 if it is off.
    std::array<double, kParts> seconds() const {
        std::array<double, kParts> s = {};
        if (!on_) return s;
        const std::chrono::duration<double> all = std::chrono::steady_clock::now() - began_;
        const u64 now = x64::time_stamp();
        auto stamps = stamps_;
        stamps[static_cast<unsigned>(now_)] += now - last_;
        for (unsigned p = 0; p < kParts; ++p)
            s[p] = all.count() * static_cast<double>(stamps[p]) / static_cast<double>(now - first_);
        return s;
    }

private:
    void change(Part to) {
        const u64 now = x64::time_stamp();
        stamps_[static_cast<unsigned>(now_)] += now - last_;
        last_ = now;
        now_ = to;
    }

    const bool on_;
    Part now_ = Part::kElsewhere;
    u64 first_ = 0, last_ = 0;
    std::array<u64, kParts> stamps_ = {};
    std::chrono::steady_clock::time_point began_;
};

}  // namespace rm::jit
