// Several sources on one interrupt line: the line is asserted while any source is.
// Owns: the sources. Assumes: the output outlives it. Level semantics; an edge input behind it sees
// an edge only when the first source rises, as on a wired line.
#pragma once
#include <deque>

#include "base/interfaces.h"

namespace rm::platform {

class IrqOr {
public:
    explicit IrqOr(IrqLine& output) : output_(output) {}
    IrqOr(const IrqOr&) = delete;
    IrqOr& operator=(const IrqOr&) = delete;

    // A new source, low at first; stays valid as long as this object.
    IrqLine& add() { return sources_.emplace_back(*this); }
    bool level() const { return asserted_ > 0; }

private:
    class Source final : public IrqLine {
    public:
        explicit Source(IrqOr& owner) : owner_(owner) {}
        void set(bool level) override {
            if (level == level_) return;
            level_ = level;
            const bool before = owner_.level();
            owner_.asserted_ += level ? 1 : -1;
            if (owner_.level() != before) owner_.output_.set(!before);
        }

    private:
        IrqOr& owner_;
        bool level_ = false;
    };

    IrqLine& output_;
    std::deque<Source> sources_;
    int asserted_ = 0;
};

}  // namespace rm::platform
