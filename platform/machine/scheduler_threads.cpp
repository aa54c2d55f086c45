// thread=multi: a host thread per processor. Each runs guest code without the machine's lock, a
// slice at a time, and waits with the lock given back while its processor is halted. The thread
// that called run() serves events at the host's time, and the host.
#include <algorithm>
#include <thread>

#include "platform/machine/scheduler.h"

namespace rm::platform {

namespace {

using HostClock = EventQueue::HostClock;
using std::chrono::nanoseconds;

constexpr u64 kSliceTicks = u64{1} << 16;  // between two looks at what others want
constexpr auto kPollTime = std::chrono::milliseconds(10);
constexpr auto kWatchTime = std::chrono::microseconds(100);  // between looks at an MWAIT's memory
constexpr auto kForever = std::chrono::hours(1);

}  // namespace

void Scheduler::end(Outcome outcome) {
    if (!ended_) ended_ = outcome;
    event_thread_.notify_one();
}

// Until a pin moves, until the processor's own time has come, or for a moment if it watches memory.
void Scheduler::wait_halted(unsigned index) {
    Processor& processor = *processors_[index];
    const u64 ticks = processor.ticks(), due = processor.wake_at();
    const auto start = HostClock::now();
    auto until = start + kForever;
    if (processor.watches_memory()) until = start + kWatchTime;
    if (due != EventQueue::kNever)
        until =
            std::min(until, start + nanoseconds((std::max(due, ticks) - ticks) << events_.shift()));
    if (++waiting_ == processors_.size()) event_thread_.notify_one();
    lock_->wait_until(woken_[index], until);
    --waiting_;
    const auto waited = static_cast<u64>(nanoseconds(HostClock::now() - start).count());
    processor.skip_to(ticks + (waited >> events_.shift()));
}

void Scheduler::run_processor(unsigned index) {
    Processor& processor = *processors_[index];
    const MachineLock::Hold hold(lock_);
    lock_->take_seat(index, [&processor] { processor.kick(); });
    while (!ended_ && !stop_) {
        if (!wake_[index] && processor.halted() && processor.wake_at() > processor.ticks()) {
            wait_halted(index);
            continue;
        }
        wake_[index] = 0;
        // A processor that executes less than its share keeps up with the time all the same.
        processor.skip_to(events_.now_ticks());
        lock_->unlock();
        const Processor::Stop stop = processor.run(processor.ticks() + kSliceTicks);
        lock_->lock();
        if (stop == Processor::Stop::kTripleFault) end({Reason::kTripleFault, index});
        if (stop == Processor::Stop::kDebug) end({Reason::kDebug, index});
    }
    lock_->leave_seat();
}

Scheduler::Outcome Scheduler::serve_events(const std::atomic<bool>& interrupt) {
    auto poll_at = HostClock::now();
    for (;;) {
        events_.fire_due();
        const auto now = HostClock::now();
        if (now >= poll_at) {
            poll_at = now + kPollTime;
            if (poll_) poll_();
        }
        if (ended_) return *ended_;
        if (stop_ || interrupt.load(std::memory_order_relaxed)) return {Reason::kStopRequested};
        const bool all_wait = waiting_ == processors_.size() &&
                              std::none_of(wake_.begin(), wake_.end(), [](char w) { return w; });
        if (all_wait && events_.next_deadline_ticks() == EventQueue::kNever &&
            std::all_of(processors_.begin(), processors_.end(), [](const Processor* p) {
                return p->halted() && p->wake_at() == EventQueue::kNever;
            }))
            return {Reason::kIdleForever};
        lock_->wait_until(event_thread_, events_.next_deadline(poll_at));
    }
}

Scheduler::Outcome Scheduler::run_threads(const std::atomic<bool>& interrupt) {
    std::vector<std::thread> threads;
    Outcome outcome;
    {
        const MachineLock::Hold hold(lock_);
        events_.start_host_time();
        events_.set_on_earlier([this] { event_thread_.notify_one(); });
        ended_.reset();
        for (unsigned i = 0; i < processors_.size(); ++i)
            threads.emplace_back([this, i] { run_processor(i); });
        outcome = serve_events(interrupt);
        end(outcome);
        for (std::condition_variable& woken : woken_) woken.notify_one();
        lock_->stop_others();
    }
    for (std::thread& thread : threads) thread.join();
    events_.stop_host_time();
    stop_ = false;
    return outcome;
}

}  // namespace rm::platform
