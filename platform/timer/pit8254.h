// The 8254 programmable interval timer at ports 40H-43H.
// Owns: three counters at 1.193182 MHz with all six modes; counter 0's OUT drives its interrupt
// line. Assumes: gates of counters 0 and 1 are wired high; counter 2's gate and OUT belong to port
// 61H. Counters are not stepped: value and OUT are computed from the oscillator cycle at which the
// count was loaded, exactly, so nothing drifts. A count is loaded in the cycle of its write.
// Source: Intel 8254 datasheet (231164).
#pragma once
#include <array>

#include "memory/bus/io_bus.h"
#include "platform/clock/event_queue.h"

namespace rm::platform {

// One counter; `t` is always the oscillator's cycle number, never decreasing.
class PitCounter {
public:
    static constexpr u64 kNever = ~u64{0};

    void write_control(u8 control);  // access, mode and BCD bits of a control word
    void write(u8 value, u64 t);
    u8 read(u64 t);
    void latch_count(u64 t);
    void latch_status(u64 t);
    void set_gate(bool level, u64 t);
    bool gate() const { return gate_; }
    bool out(u64 t);
    // First cycle after t at which OUT rises if nobody touches the counter; kNever if it will not.
    u64 next_rise(u64 t);

private:
    // Takes over a count that waits for the end of the period (modes 2 and 3).
    void settle(u64 t);
    void load(u64 t);
    u16 current(u64 t);
    bool out_at(u64 elapsed) const;
    u64 modulus() const { return bcd_ ? 10000 : 65536; }
    bool periodic() const { return mode_ == 2 || mode_ == 3; }
    bool triggered_by_gate() const { return mode_ == 1 || mode_ == 5; }
    u64 elapsed(u64 t) const { return gate_runs_ ? t - start_ : paused_; }
    u16 encode(u64 value) const;  // as the guest reads it: binary or BCD
    u64 decode(u16 value) const;  // 1 .. modulus()

    u8 control_ = 0;  // low 6 bits of the control word, for the status byte
    u8 mode_ = 0;
    u8 access_ = 3;  // 1 low byte, 2 high byte, 3 both
    bool bcd_ = false;
    bool gate_ = true;

    bool counting_ = false;  // a count has been loaded (and, modes 1 and 5, triggered)
    bool gate_runs_ = true;  // false: the gate holds the count at paused_ elapsed cycles
    u64 start_ = 0;          // cycle at which count_ was loaded
    u64 paused_ = 0;
    u64 count_ = 0;         // 1 .. modulus()
    bool waiting_ = false;  // next_count_ has been written but not loaded
    u64 next_count_ = 0;
    u64 switch_at_ = kNever;  // when it will be loaded

    u8 low_byte_ = 0;
    bool write_high_ = false, read_high_ = false;  // second byte of an access-3 pair is due
    u16 latched_ = 0;
    u8 latched_bytes_ = 0;
    u8 status_ = 0;
    bool status_latched_ = false;
};

class Pit8254 final : public memory::PortWindow {
public:
    static constexpr u16 kPort = 0x40;  // 4 ports

    Pit8254(EventQueue& queue, IrqLine& irq0);
    Pit8254(const Pit8254&) = delete;
    Pit8254& operator=(const Pit8254&) = delete;

    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    void reset();

    // For port 61H.
    bool gate2() const { return counters_[2].gate(); }
    void set_gate2(bool level);
    bool out2() { return counters_[2].out(now()); }
    // Oscillator cycles since the machine began.
    u64 now() const;

private:
    void update_irq();

    EventQueue& queue_;
    IrqLine& irq0_;
    Timer rise_;
    std::array<PitCounter, 3> counters_;
};

}  // namespace rm::platform
