// A clock to turn by hand and a recording line, shared by the timer tests.
#pragma once
#include <vector>

#include "platform/clock/event_queue.h"

namespace rm::platform::test {

// Advances virtual time, firing events exactly when they are due.
class Bench {
public:
    EventQueue queue;

    void run_to_ns(u64 ns) {
        const u64 target = ns >> queue.shift();
        while (queue.next_deadline_ticks() <= target) {
            queue.advance_to(queue.next_deadline_ticks());
            queue.fire_due();
        }
        queue.advance_to(target);
    }
    void run_for_ns(u64 ns) { run_to_ns(queue.now_ns() + ns); }
    bool silent() const { return queue.next_deadline_ticks() == EventQueue::kNever; }
};

class TimedLine final : public IrqLine {
public:
    explicit TimedLine(EventQueue& queue) : queue_(queue) {}
    void set(bool l) override {
        if (l && !level) rises.push_back(queue_.now_ns());
        level = l;
    }
    bool level = false;
    std::vector<u64> rises;  // times in ns

private:
    EventQueue& queue_;
};

}  // namespace rm::platform::test
