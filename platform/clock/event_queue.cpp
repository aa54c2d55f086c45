// The event queue: a binary heap of armed timers. Each timer knows its slot, so cancelling is
// O(log n) and never leaves dead entries behind. Order: (deadline, arming order), both exact, so a
// run does not depend on the heap's shape.
#include "platform/clock/event_queue.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace rm::platform {

Timer::Timer(EventQueue& queue, std::function<void()> fire)
    : queue_(queue), fire_(std::move(fire)) {}

Timer::~Timer() { cancel(); }

void Timer::arm_at_ns(u64 deadline_ns) {
    cancel();
    deadline_ns_ = deadline_ns;
    queue_.armed(*this);
}

void Timer::arm_in_ns(u64 delay_ns) {
    const u64 now = queue_.now_ns();
    arm_at_ns(delay_ns > ~u64{0} - now ? ~u64{0} : now + delay_ns);
}

void Timer::cancel() {
    if (armed_) queue_.disarmed(*this);
}

EventQueue::EventQueue(unsigned shift, Time time) : shift_(shift), time_(time) {
    RM_ASSERT(shift < 32, "a tick is shorter than 4 s");
}

void EventQueue::set_running(Processor* processor, u64 limit) {
    if (running_) at_ = std::max(at_, running_->ticks());
    running_ = processor;
    limit_ = limit;
}

void EventQueue::stop_running() {
    if (!running_) return;
    limit_ = running_->ticks();
    running_->stop_at(limit_);
}

void EventQueue::advance_to(u64 ticks) {
    RM_ASSERT(!running_, "time is advanced only between runs");
    at_ = std::max(at_, ticks);
}

u64 EventQueue::next_deadline_ticks() const {
    return heap_.empty() ? kNever : to_ticks_up(heap_.front()->deadline_ns_);
}

EventQueue::HostClock::time_point EventQueue::next_deadline(HostClock::time_point latest) const {
    if (heap_.empty()) return latest;
    const std::chrono::nanoseconds left = latest - start_;
    const u64 ns = heap_.front()->deadline_ns_;
    if (left.count() < 0 || ns >= static_cast<u64>(left.count())) return latest;
    return start_ + std::chrono::nanoseconds(ns);
}

void EventQueue::fire_due() {
    while (!heap_.empty() && heap_.front()->deadline_ns_ <= now_ns()) {
        Timer& timer = *heap_.front();
        disarmed(timer);
        timer.fire_();
    }
}

void EventQueue::armed(Timer& timer) {
    timer.order_ = next_order_++;
    timer.armed_ = true;
    heap_.push_back(&timer);
    timer.slot_ = heap_.size() - 1;
    sift_up(timer.slot_);
    if (on_earlier_ && timer.slot_ == 0) on_earlier_();
    if (!running_) return;
    const u64 ticks = to_ticks_up(timer.deadline_ns_);
    if (ticks < limit_) {
        limit_ = std::max(ticks, running_->ticks());
        running_->stop_at(limit_);
    }
}

void EventQueue::disarmed(Timer& timer) {
    const std::size_t slot = timer.slot_;
    timer.armed_ = false;
    Timer* last = heap_.back();
    heap_.pop_back();
    if (last == &timer) return;
    place(slot, last);
    sift_up(slot);
    sift_down(last->slot_);
}

bool EventQueue::before(const Timer& a, const Timer& b) {
    return a.deadline_ns_ != b.deadline_ns_ ? a.deadline_ns_ < b.deadline_ns_ : a.order_ < b.order_;
}

void EventQueue::place(std::size_t slot, Timer* timer) {
    heap_[slot] = timer;
    timer->slot_ = slot;
}

void EventQueue::sift_up(std::size_t slot) {
    Timer* timer = heap_[slot];
    while (slot > 0) {
        const std::size_t parent = (slot - 1) / 2;
        if (!before(*timer, *heap_[parent])) break;
        place(slot, heap_[parent]);
        slot = parent;
    }
    place(slot, timer);
}

void EventQueue::sift_down(std::size_t slot) {
    Timer* timer = heap_[slot];
    for (;;) {
        std::size_t child = 2 * slot + 1;
        if (child >= heap_.size()) break;
        if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
        if (!before(*heap_[child], *timer)) break;
        place(slot, heap_[child]);
        slot = child;
    }
    place(slot, timer);
}

}  // namespace rm::platform
