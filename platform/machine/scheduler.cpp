// Turns, idle time and outcomes; see scheduler.h for the rules.
#include "platform/machine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace rm::platform {

// Forwards to the processor; a rising signal to a processor whose turn it is not ends the turn.
class Scheduler::Pins final : public CpuPins {
public:
    Pins(Scheduler& scheduler, unsigned index, CpuPins& target)
        : scheduler_(scheduler), index_(index), target_(target) {}

    void set_intr(bool asserted) override {
        target_.set_intr(asserted);
        if (asserted && !intr_) scheduler_.signalled(index_);
        intr_ = asserted;
    }
    void pulse_nmi() override {
        target_.pulse_nmi();
        scheduler_.signalled(index_);
    }
    void pulse_smi() override {
        target_.pulse_smi();
        scheduler_.signalled(index_);
    }
    void pulse_init() override {
        target_.pulse_init();
        scheduler_.signalled(index_);
    }
    void startup_ipi(u8 vector) override {
        target_.startup_ipi(vector);
        scheduler_.signalled(index_);
    }

private:
    Scheduler& scheduler_;
    unsigned index_;
    CpuPins& target_;
    bool intr_ = false;
};

Scheduler::Scheduler(EventQueue& events, std::vector<Processor*> processors, u64 quantum,
                     MachineLock* lock)
    : events_(events),
      processors_(std::move(processors)),
      wake_(processors_.size(), 0),
      quantum_(quantum),
      lock_(lock),
      woken_(processors_.size()) {
    RM_ASSERT(!processors_.empty() && processors_.size() <= kMaxProcessors, "1 to 8 processors");
    RM_ASSERT(quantum > 0, "a turn must make progress");
    for (unsigned i = 0; i < processors_.size(); ++i)
        pins_.push_back(std::make_unique<Pins>(*this, i, processors_[i]->pins()));
    current_ = static_cast<unsigned>(processors_.size()) - 1;  // processor 0 gets the first turn
}

Scheduler::~Scheduler() = default;

CpuPins& Scheduler::pins(unsigned index) { return *pins_.at(index); }

void Scheduler::signalled(unsigned index) {
    wake_[index] = 1;
    if (lock_) return woken_[index].notify_one();
    if (running_ && index != current_) events_.stop_running();
}

void Scheduler::stop() {
    stop_ = true;
    if (!lock_) return events_.stop_running();
    // The processor that asked for it goes no further.
    if (MachineLock::seated()) processors_[current()]->kick();
    event_thread_.notify_one();
}

void Scheduler::poll_host() {
    if (executed_ - polled_at_ < kPollTicks && idle_jumps_ < kPollIdleJumps) return;
    polled_at_ = executed_;
    idle_jumps_ = 0;
    if (poll_) poll_();
}

bool Scheduler::runnable(unsigned index) const {
    return wake_[index] || !processors_[index]->halted() ||
           processors_[index]->wake_at() <= events_.now_ticks();
}

bool Scheduler::choose() {
    if (resume_turn_) return true;
    const unsigned n = static_cast<unsigned>(processors_.size());
    for (unsigned step = 1; step <= n; ++step) {
        const unsigned index = (current_ + step) % n;
        if (!runnable(index)) continue;
        current_ = index;
        return true;
    }
    return false;
}

bool Scheduler::idle() {
    u64 next = events_.next_deadline_ticks();
    for (const Processor* processor : processors_) next = std::min(next, processor->wake_at());
    if (next == EventQueue::kNever) return false;
    events_.advance_to(next);
    ++idle_jumps_;
    return true;
}

Processor::Stop Scheduler::turn() {
    Processor& processor = *processors_[current_];
    const u64 start = events_.now_ticks();
    if (processor.ticks() < start) processor.skip_to(start);
    if (!resume_turn_) turn_end_ = processors_.size() == 1 ? EventQueue::kNever : start + quantum_;
    resume_turn_ = false;
    wake_[current_] = 0;
    const u64 limit = std::min({events_.next_deadline_ticks(), turn_end_, start + kPollTicks});
    events_.set_running(&processor, limit);
    running_ = true;
    const Processor::Stop stop = processor.run(limit);
    running_ = false;
    events_.set_running(nullptr);
    executed_ += events_.now_ticks() - start;
    return stop;
}

Scheduler::Outcome Scheduler::finish(Reason reason) {
    const u64 now = events_.now_ticks();
    for (Processor* processor : processors_)
        if (processor->ticks() < now) processor->skip_to(now);
    return {reason, current_};
}

Scheduler::Outcome Scheduler::run(const std::atomic<bool>& interrupt) {
    if (lock_) return run_threads(interrupt);
    for (;;) {
        events_.fire_due();
        poll_host();
        if (std::exchange(stop_, false) || interrupt.load(std::memory_order_relaxed))
            return finish(Reason::kStopRequested);
        if (!choose()) {
            if (!idle()) return finish(Reason::kIdleForever);
            continue;
        }
        switch (turn()) {
            case Processor::Stop::kDeadline:
            case Processor::Stop::kHalted: break;
            case Processor::Stop::kTripleFault: return finish(Reason::kTripleFault);
            case Processor::Stop::kDebug:
                resume_turn_ = events_.now_ticks() < turn_end_;
                return finish(Reason::kDebug);
        }
    }
}

}  // namespace rm::platform
