// A number that another thread may write at any time, used like a plain one: every access is one
// host instruction, nothing is ordered by it (thread=multi, docs/architecture.md section 12).
#pragma once
#include <atomic>

namespace rm {

template <class T>
class Relaxed {
public:
    Relaxed(T v = {}) : value_(v) {}
    Relaxed& operator=(T v) {
        value_.store(v, std::memory_order_relaxed);
        return *this;
    }
    operator T() const { return value_.load(std::memory_order_relaxed); }
    // In one order with all other ordered accesses of all threads.
    void store_ordered(T v) { value_.store(v, std::memory_order_seq_cst); }

private:
    std::atomic<T> value_;
    static_assert(std::atomic<T>::is_always_lock_free && sizeof(std::atomic<T>) == sizeof(T));
};

}  // namespace rm
