// The lock of a machine whose processors have threads of their own: who is inside, and that a
// holder who has stopped the others is alone.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/machine_lock.h"

using namespace rm;

namespace {

// A processor's thread: inside, it adds to a counter of its own; kicked, it takes the lock once.
class Runner {
public:
    Runner(MachineLock& lock, unsigned seat) : lock_(lock), thread_([this, seat] { run(seat); }) {
        while (!steps) std::this_thread::yield();
    }
    ~Runner() {
        stop_ = true;
        thread_.join();
    }
    std::atomic<u64> steps{0};
    std::atomic<unsigned> kicks{0};

private:
    void run(unsigned seat) {
        lock_.lock();
        lock_.take_seat(seat, [this] { kicked_ = true; });
        lock_.unlock();  // inside
        while (!stop_) {
            ++steps;
            if (!kicked_.exchange(false)) continue;
            ++kicks;
            const MachineLock::Hold hold(&lock_);
        }
        lock_.lock();
        lock_.leave_seat();
        lock_.unlock();
    }
    MachineLock& lock_;
    std::atomic<bool> stop_{false}, kicked_{false};
    std::thread thread_;
};

}  // namespace

TEST_CASE("a null lock does nothing") {
    const MachineLock::Hold hold(nullptr);
    const MachineLock::Alone alone(nullptr);
    CHECK_FALSE(MachineLock::seated());
}

TEST_CASE("the lock is recursive and belongs to a thread") {
    MachineLock lock;
    CHECK_FALSE(lock.held());
    {
        const MachineLock::Hold outer(&lock);
        const MachineLock::Hold inner(&lock);
        CHECK(lock.held());
        bool elsewhere = true;
        std::thread([&] { elsewhere = lock.held(); }).join();
        CHECK_FALSE(elsewhere);
    }
    CHECK_FALSE(lock.held());
}

TEST_CASE("seats: whose is taken, and that it is free again") {
    MachineLock lock;
    lock.lock();
    lock.take_seat(3, [] {});
    CHECK(MachineLock::seated());
    CHECK(MachineLock::seat() == 3);
    CHECK_FALSE(lock.elsewhere(3));
    bool elsewhere = false;
    std::thread([&] { elsewhere = lock.elsewhere(3); }).join();
    CHECK(elsewhere);
    lock.leave_seat();
    CHECK_FALSE(MachineLock::seated());
    lock.unlock();
}

TEST_CASE("who is alone sees nobody move until it lets go") {
    MachineLock lock;
    std::vector<std::unique_ptr<Runner>> runners;
    for (unsigned n = 0; n < 3; ++n) runners.push_back(std::make_unique<Runner>(lock, n));
    for (unsigned round = 0; round < 20; ++round) {
        u64 before[3];
        {
            const MachineLock::Alone alone(&lock);
            for (unsigned n = 0; n < 3; ++n) before[n] = runners[n]->steps;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            for (unsigned n = 0; n < 3; ++n) CHECK(runners[n]->steps == before[n]);
        }
        for (unsigned n = 0; n < 3; ++n)
            while (runners[n]->steps == before[n]) std::this_thread::yield();
    }
    for (auto& runner : runners) CHECK(runner->kicks > 0);
}

TEST_CASE("a holder on a seat is not waited for, and two do not wait for each other") {
    MachineLock lock;
    constexpr unsigned kThreads = 3, kRounds = 200;
    u64 guarded = 0;
    std::vector<std::thread> threads;
    for (unsigned n = 0; n < kThreads; ++n)
        threads.emplace_back([&, n] {
            lock.lock();
            lock.take_seat(n, [] {});  // it takes the lock soon anyway
            lock.unlock();
            for (unsigned round = 0; round < kRounds; ++round) {
                const MachineLock::Alone alone(&lock);
                const u64 before = guarded;
                std::this_thread::yield();
                guarded = before + 1;
            }
            lock.lock();
            lock.leave_seat();
            lock.unlock();
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(guarded == kThreads * kRounds);
}

TEST_CASE("waiting gives the lock away, and has it again") {
    MachineLock lock;
    std::condition_variable wake;
    bool seen = false;
    lock.lock();
    std::thread other([&] {
        const MachineLock::Hold hold(&lock);
        seen = true;
        wake.notify_all();
    });
    while (!seen) lock.wait_until(wake, std::chrono::steady_clock::now() + std::chrono::seconds(5));
    CHECK(lock.held());
    lock.unlock();
    other.join();
    lock.lock();
    // Nobody wakes it now.
    lock.wait_until(wake, std::chrono::steady_clock::now() + std::chrono::milliseconds(2));
    CHECK(lock.held());
    lock.unlock();
}
