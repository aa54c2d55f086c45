// Drives the machine's processors, one at a time, on one host thread, and fires the event queue
// between their turns. Owns: whose turn it is, how long a turn lasts, idle time.
//
// Time is global and never runs backwards: a processor's turn begins at the machine's time (its
// tick count is skipped forward to it) and moves the time on by what it executes. So a value of the
// TSC, HPET or any device seen by one processor is never later than what the next one sees (Linux
// and Xen check exactly that when they bring up a processor), and a device never computes with a
// time before its own. Everything is decided by tick counts, so equal runs are equal on every host;
// the host's poll and the interrupt flag are looked at between turns and change nothing by
// themselves.
//
// With a machine lock (thread=multi) there are no turns: run() gives each processor a host thread
// of its own and keeps the calling one for events and the host's poll (scheduler_threads.cpp). Time
// is the host's then, and no two runs are equal.
//
// A turn ends at the next event, at its quantum (only with several processors), when the processor
// halts, and when it signals another one (IPI, device interrupt), which then need not wait.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/machine_lock.h"
#include "platform/clock/event_queue.h"

namespace rm::platform {

class Scheduler {
public:
    static constexpr u64 kDefaultQuantum = 20'000;   // ticks; 80 us at 4 ns per tick
    static constexpr u64 kPollTicks = u64{1} << 18;  // longest stretch without a look at the host
    static constexpr unsigned kPollIdleJumps = 64;   // the same, counted in skipped idle periods
    static constexpr unsigned kMaxProcessors = MachineLock::kMaxSeats;

    enum class Reason : u8 {
        kStopRequested,  // stop(), or the flag given to run()
        kTripleFault,    // processor `index` shut down; reset it or end
        kIdleForever,    // all halted and nothing is due: only input from outside can go on
        kDebug,          // processor `index` stopped for the debugger; run() resumes its turn
    };
    struct Outcome {
        Reason reason;
        unsigned index = 0;
    };

    // The processors must outlive the scheduler; 1..8 of them.
    Scheduler(EventQueue& events, std::vector<Processor*> processors, u64 quantum = kDefaultQuantum,
              MachineLock* lock = nullptr);
    ~Scheduler();

    // The pins of a processor, to be given to its local APIC: passes everything on and notices
    // signals to processors whose turn it is not.
    CpuPins& pins(unsigned index);

    // Called between turns at least every kPollTicks executed ticks or kPollIdleJumps jumps of idle
    // time. May feed input into devices.
    void set_host_poll(std::function<void()> poll) { poll_ = std::move(poll); }

    // Runs until something in Outcome happens. `interrupt` may be set by a signal handler; it is
    // looked at as often as the host poll and is left for the caller to clear.
    Outcome run(const std::atomic<bool>& interrupt);

    // Ends run() after the current instruction: power-off, reset, a device's exit request. Only
    // from the thread that is in run(), or before run(); with a lock, from its holder.
    void stop();

    // The processor whose turn it is (or was last); with a lock, the one whose thread asks.
    unsigned current() const {
        return lock_ && MachineLock::seated() ? MachineLock::seat() : current_;
    }

private:
    class Pins;
    void signalled(unsigned index);
    void poll_host();
    bool runnable(unsigned index) const;
    // Chooses the next processor; false if all are halted.
    bool choose();
    // Skips to the next event or wake-up; false if there is none.
    bool idle();
    Processor::Stop turn();
    Outcome finish(Reason reason);
    // thread=multi
    Outcome run_threads(const std::atomic<bool>& interrupt);
    Outcome serve_events(const std::atomic<bool>& interrupt);
    void run_processor(unsigned index);
    void wait_halted(unsigned index);
    void end(Outcome outcome);

    EventQueue& events_;
    std::vector<Processor*> processors_;
    std::vector<std::unique_ptr<Pins>> pins_;
    std::vector<char> wake_;  // signalled since its last turn: worth a try although halted
    std::function<void()> poll_;
    u64 quantum_;
    MachineLock* const lock_;
    std::deque<std::condition_variable> woken_;  // of each processor's thread
    std::condition_variable event_thread_;       // something for it to look at
    std::optional<Outcome> ended_;               // why the threads leave
    unsigned waiting_ = 0;                       // processors in wait_halted()
    u64 turn_end_ = 0;   // in ticks, of a turn that the debugger interrupted
    u64 polled_at_ = 0;  // executed_ at the last poll
    u64 executed_ = 0;
    unsigned idle_jumps_ = 0;
    unsigned current_ = 0;
    bool running_ = false;
    bool resume_turn_ = false;
    bool stop_ = false;
};

}  // namespace rm::platform
