#include "base/machine_lock.h"

#include "base/assert.h"

namespace rm {

namespace {

// Where the calling thread sits. Its address names the thread.
struct Self {
    const MachineLock* lock = nullptr;
    unsigned seat = 0;
};
thread_local Self t_self;

}  // namespace

MachineLock::Seat* MachineLock::my_seat() const {
    return t_self.lock == this ? const_cast<Seat*>(&seats_[t_self.seat]) : nullptr;
}

bool MachineLock::held() const { return owner_.load(std::memory_order_relaxed) == &t_self; }
bool MachineLock::elsewhere(unsigned seat) const {
    return seats_[seat].taken.load(std::memory_order_relaxed) && my_seat() != &seats_[seat];
}
unsigned MachineLock::seat() { return t_self.seat; }
bool MachineLock::seated() { return t_self.lock; }

void MachineLock::lock() {
    if (held()) {
        ++depth_;
        return;
    }
    if (Seat* seat = my_seat()) {
        seat->inside.store(false, std::memory_order_release);
        seat->inside.notify_all();
    }
    mutex_.lock();
    owner_.store(&t_self, std::memory_order_relaxed);
    depth_ = 1;
}

void MachineLock::unlock() {
    if (--depth_) return;
    owner_.store(nullptr, std::memory_order_relaxed);
    if (Seat* seat = my_seat()) seat->inside.store(true, std::memory_order_relaxed);
    mutex_.unlock();
}

void MachineLock::take_seat(unsigned seat, std::function<void()> kick) {
    RM_ASSERT(held() && seat < kMaxSeats && !seated(), "a seat is taken with the lock, once");
    seats_[seat].kick = std::move(kick);
    seats_[seat].taken = true;
    t_self.lock = this;
    t_self.seat = seat;
}

void MachineLock::leave_seat() {
    RM_ASSERT(held() && my_seat(), "a seat is left with the lock");
    my_seat()->taken = false;
    t_self.lock = nullptr;
}

void MachineLock::stop_others() {
    RM_ASSERT(held(), "only the lock's holder may stop the others");
    const Seat* const mine = my_seat();
    for (Seat& seat : seats_)
        if (&seat != mine && seat.inside.load(std::memory_order_acquire)) seat.kick();
    for (Seat& seat : seats_)
        if (&seat != mine) seat.inside.wait(true, std::memory_order_acquire);
}

void MachineLock::wait_until(std::condition_variable& cv,
                             std::chrono::steady_clock::time_point deadline) {
    RM_ASSERT(held() && depth_ == 1, "waiting gives the lock back");
    owner_.store(nullptr, std::memory_order_relaxed);
    std::unique_lock lock(mutex_, std::adopt_lock);
#ifdef __SANITIZE_THREAD__  // gcc 12's does not know of waits by the steady clock
    cv.wait_until(lock, std::chrono::system_clock::now() +
                            std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                deadline - std::chrono::steady_clock::now()));
#else
    cv.wait_until(lock, deadline);
#endif
    lock.release();
    owner_.store(&t_self, std::memory_order_relaxed);
    depth_ = 1;
}

}  // namespace rm
