// The one lock of a machine whose processors have host threads of their own (-accel
// ...,thread=multi; docs/architecture.md section 12). It guards whatever they share: devices, the
// event queue, marks of decoded code, what processors post to each other. A machine of one thread
// has none: everybody holds a null pointer then, and Hold does nothing.
//
// A processor's thread is `inside` while it runs guest code without the lock. It goes outside when
// it takes the lock and inside when it gives it back. So the holder who has also seen all other
// threads outside (stop_others) is alone until it lets go, and may change even what they read
// without the lock: TLBs, the address map.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "base/types.h"

namespace rm {

class MachineLock {
public:
    static constexpr unsigned kMaxSeats = 8;  // processors

    // Recursive. A thread that sits on a seat goes outside and comes back inside with it.
    void lock();
    void unlock();
    bool held() const;

    // This thread runs processor `seat` from here to leave_seat(); the lock is held at both.
    // kick(), called by others with the lock held, makes it take the lock soon.
    void take_seat(unsigned seat, std::function<void()> kick);
    void leave_seat();
    // Is the seat taken, but not by the calling thread?
    bool elsewhere(unsigned seat) const;
    static unsigned seat();  // of the calling thread; it has one
    static bool seated();

    // With the lock held: returns when no other processor's thread is inside. That stays so as long
    // as the lock is held. Those waiting for the lock stand in the middle of an instruction that
    // accesses a device, stores beside code or sets a page's A and D bits.
    void stop_others();
    // With the lock held once: gives it back until `cv` is notified or the deadline has come.
    void wait_until(std::condition_variable& cv, std::chrono::steady_clock::time_point deadline);

    class [[nodiscard]] Hold {
    public:
        explicit Hold(MachineLock* lock) : lock_(lock) {
            if (lock_) lock_->lock();
        }
        ~Hold() {
            if (lock_) lock_->unlock();
        }
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

    private:
        MachineLock* lock_;
    };
    // Hold and stop_others().
    class [[nodiscard]] Alone {
    public:
        explicit Alone(MachineLock* lock) : hold_(lock) {
            if (lock) lock->stop_others();
        }

    private:
        Hold hold_;
    };

private:
    struct alignas(64) Seat {
        std::atomic<bool> inside = false, taken = false;
        std::function<void()> kick;
    };
    Seat* my_seat() const;

    std::mutex mutex_;
    std::atomic<const void*> owner_ = nullptr;
    unsigned depth_ = 0;  // guarded by the lock itself
    std::array<Seat, kMaxSeats> seats_;
};

}  // namespace rm
