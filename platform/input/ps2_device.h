// What PS/2 keyboard and mouse share: an output queue of bytes towards the controller.
// Owns: the queue (bounded; a full queue drops input whole, never half a packet).
// Assumes: I8042 takes bytes one by one and tells when it has room.
// Source: IBM PS/2 Hardware Interface TR, keyboard and auxiliary device protocol.
#pragma once
#include <array>
#include <functional>
#include <initializer_list>

#include "base/types.h"

namespace rm::platform {

class Ps2Device {
public:
    virtual ~Ps2Device() = default;
    // A byte the host sent to the device (commands and their arguments).
    virtual void write(u8 value) = 0;
    virtual void reset() = 0;

    bool has_output() const { return count_ != 0; }
    u8 take_output() {
        const u8 byte = queue_[head_];
        head_ = (head_ + 1) % kQueue;
        --count_;
        return byte;
    }
    void set_on_output(std::function<void()> f) { on_output_ = std::move(f); }

    // Answers of the protocol.
    static constexpr u8 kAck = 0xFA, kResend = 0xFE, kSelfTestPassed = 0xAA;

protected:
    static constexpr unsigned kQueue = 64;
    // Input events leave room for answers to commands.
    bool room_for_input(size_t bytes) const { return count_ + bytes <= kQueue - 16; }
    void send(std::initializer_list<u8> bytes) { send(bytes.begin(), bytes.size()); }
    void send(const u8* bytes, size_t size) {
        if (count_ + size > kQueue) return;
        for (size_t i = 0; i < size; ++i) queue_[(head_ + count_++) % kQueue] = bytes[i];
        if (size && on_output_) on_output_();
    }
    void clear_output() { head_ = count_ = 0; }

private:
    std::array<u8, kQueue> queue_{};
    unsigned head_ = 0, count_ = 0;
    std::function<void()> on_output_;
};

}  // namespace rm::platform
