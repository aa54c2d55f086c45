// Host accesses to memory that several guest processors use at once (thread=multi): single copies
// that no other thread can see half done, and compare-and-exchange of any size and alignment, as a
// guest's LOCK prefix promises (SDM 3A 9.1). On x86-64 hosts both are what the guest expects of its
// own processor, also across cache lines.
#pragma once
#include <cstring>

#include "base/types.h"

namespace rm {

// As memcpy; 1, 2, 4, 8, 16 bytes in one access each, so that a store is made once and whole.
[[gnu::always_inline]] inline void copy_access(void* to, const void* from, u64 size) {
    switch (size) {
        case 1: std::memcpy(to, from, 1); break;
        case 2: std::memcpy(to, from, 2); break;
        case 4: std::memcpy(to, from, 4); break;
        case 8: std::memcpy(to, from, 8); break;
        case 16: std::memcpy(to, from, 16); break;
        default: std::memcpy(to, from, size); break;
    }
}

// *at = desired if it is `expected`, in one step. T: 1, 2, 4, 8 or 16 bytes; 16 bytes must be
// aligned, the others need not.
template <class T>
inline bool compare_exchange(u8* at, const T& expected, const T& desired) {
    bool done;
    if constexpr (sizeof(T) == 16) {
        u64 old[2], with[2];
        std::memcpy(old, &expected, 16);
        std::memcpy(with, &desired, 16);
#if defined(__x86_64__)
        asm volatile("lock cmpxchg16b (%[at])"
                     : "=@ccz"(done), "+a"(old[0]), "+d"(old[1])
                     : [at] "r"(at), "b"(with[0]), "c"(with[1])
                     : "memory");
#else
        unsigned __int128 a, b;
        std::memcpy(&a, old, 16);
        std::memcpy(&b, with, 16);
        done = __atomic_compare_exchange_n(reinterpret_cast<unsigned __int128*>(at), &a, b, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#endif
    } else {
        T old = expected;
#if defined(__x86_64__)  // the builtin promises nothing where the address is not aligned
        asm volatile("lock cmpxchg %[with], (%[at])"
                     : "=@ccz"(done), "+a"(old)
                     : [at] "r"(at), [with] "q"(desired)
                     : "memory");
#else
        done = __atomic_compare_exchange_n(reinterpret_cast<T*>(at), &old, desired, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#endif
    }
    return done;
}

}  // namespace rm
