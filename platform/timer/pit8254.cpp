// Counter arithmetic of the 8254; see pit8254.h. Mode numbers and terms as in its datasheet.
#include "platform/timer/pit8254.h"

#include "platform/clock/rates.h"

namespace rm::platform {

// --- one counter ---

void PitCounter::write_control(u8 control) {
    control_ = control & 0x3F;
    access_ = control >> 4 & 3;
    mode_ = control >> 1 & 7;
    if (mode_ > 5) mode_ -= 4;  // X10 and X11 are modes 2 and 3
    bcd_ = control & 1;
    counting_ = waiting_ = false;
    count_ = 0;
    switch_at_ = kNever;
    gate_runs_ = true;
    write_high_ = read_high_ = false;
    latched_bytes_ = 0;
    status_latched_ = false;
}

u64 PitCounter::decode(u16 value) const {
    u64 count = value;
    if (bcd_)
        count = (value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 +
                (value & 15);
    return count == 0 ? modulus() : count;
}

u16 PitCounter::encode(u64 value) const {
    if (!bcd_) return static_cast<u16>(value);
    return static_cast<u16>(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                            value % 10);
}

void PitCounter::write(u8 value, u64 t) {
    settle(t);
    u16 raw = 0;
    if (access_ == 3 && !write_high_) {
        low_byte_ = value;
        write_high_ = true;
        // Mode 0: the first byte stops the count and drives OUT low.
        if (mode_ == 0) counting_ = waiting_ = false;
        return;
    }
    if (access_ == 3)
        raw = static_cast<u16>(value << 8 | low_byte_);
    else
        raw = access_ == 2 ? static_cast<u16>(value << 8) : value;
    write_high_ = false;
    next_count_ = decode(raw);
    // Count 1 is illegal in modes 2 and 3; it behaves as a division by 2 here rather than as none.
    if (periodic() && next_count_ == 1) next_count_ = 2;
    waiting_ = true;
    switch_at_ = kNever;
    if (triggered_by_gate()) return;  // loaded by the next trigger
    if (!periodic() || !counting_) {
        load(t);
    } else if (gate_runs_) {
        // The current period (mode 2) or half period (mode 3) ends first.
        const u64 phase = (t - start_) % count_;
        const u64 half = (count_ + 1) / 2;
        const u64 left = mode_ == 3 && phase < half ? half - phase : count_ - phase;
        switch_at_ = t + left;
    }
}

void PitCounter::load(u64 t) {
    count_ = next_count_;
    waiting_ = false;
    switch_at_ = kNever;
    start_ = t;
    counting_ = true;
    // A low gate holds modes 0, 2, 3 and 4 at their start.
    gate_runs_ = gate_ || triggered_by_gate();
    paused_ = 0;
}

void PitCounter::settle(u64 t) {
    if (!waiting_ || switch_at_ > t) return;
    const u64 at = switch_at_;
    // Mode 3 goes on with the other half: if the high half ended, the low one begins now.
    const bool high_ended = mode_ == 3 && (at - start_) % count_ != 0;
    load(at);
    if (high_ended) start_ = at - (count_ + 1) / 2;
}

void PitCounter::set_gate(bool level, u64 t) {
    settle(t);
    const bool rising = level && !gate_;
    const bool falling = !level && gate_;
    gate_ = level;
    if (rising && triggered_by_gate()) {
        // (Re)trigger: from the newest count.
        if (!waiting_ && count_ == 0) return;
        if (!waiting_) next_count_ = count_;
        load(t);
    } else if (rising && counting_ && periodic()) {
        if (!waiting_) next_count_ = count_;  // the gate synchronises: a new period begins
        load(t);
    } else if (rising && counting_) {
        start_ = t - paused_;
        gate_runs_ = true;
    } else if (falling && counting_ && !triggered_by_gate()) {
        paused_ = elapsed(t);
        gate_runs_ = false;
        switch_at_ = kNever;
    }
}

bool PitCounter::out_at(u64 elapsed) const {
    switch (mode_) {
        case 0:
        case 1: return elapsed >= count_;
        case 2: return elapsed % count_ != count_ - 1;
        case 3: return elapsed % count_ < (count_ + 1) / 2;
        default: return elapsed != count_;
    }
}

bool PitCounter::out(u64 t) {
    settle(t);
    if (!counting_) return mode_ != 0;
    if (periodic() && !gate_runs_) return true;  // a low gate forces OUT high
    return out_at(elapsed(t));
}

u64 PitCounter::next_rise(u64 t) {
    settle(t);
    if (!counting_ || !gate_runs_) return kNever;
    const u64 e = elapsed(t);
    switch (mode_) {
        case 0:
        case 1: return e < count_ ? start_ + count_ : kNever;
        case 2:
        case 3: {
            const u64 end = start_ + (e / count_ + 1) * count_;
            if (!waiting_ || switch_at_ >= end) return end;
            // Mode 3, high half ends early at switch_at_: the low half has the new length.
            return switch_at_ + next_count_ / 2;
        }
        default: return e <= count_ ? start_ + count_ + 1 : kNever;
    }
}

u16 PitCounter::current(u64 t) {
    settle(t);
    if (!counting_) return encode(count_ % modulus());
    const u64 e = elapsed(t);
    if (mode_ == 2) return encode((count_ - e % count_) % modulus());
    if (mode_ == 3) {
        // Counts down by two; an odd count starts one lower.
        const u64 phase = e % count_, half = (count_ + 1) / 2;
        const u64 step = phase < half ? phase : phase - half;
        return encode(((count_ & ~u64{1}) - 2 * step) % modulus());
    }
    return encode((count_ + modulus() - e % modulus()) % modulus());
}

void PitCounter::latch_count(u64 t) {
    if (latched_bytes_) return;  // the first of several latch commands counts
    latched_ = current(t);
    latched_bytes_ = access_ == 3 ? 2 : 1;
    read_high_ = false;
}

void PitCounter::latch_status(u64 t) {
    if (status_latched_) return;
    const bool out_level = out(t);
    const bool null_count = waiting_ || !counting_;
    status_ = static_cast<u8>(out_level << 7 | null_count << 6 | control_);
    status_latched_ = true;
}

u8 PitCounter::read(u64 t) {
    if (status_latched_) {
        status_latched_ = false;
        return status_;
    }
    u16 value = latched_;
    if (latched_bytes_)
        --latched_bytes_;
    else
        value = current(t);
    bool high = access_ == 2;
    if (access_ == 3) {
        high = read_high_;
        read_high_ = !read_high_;
    }
    return static_cast<u8>(high ? value >> 8 : value);
}

// --- the chip ---

Pit8254::Pit8254(EventQueue& queue, IrqLine& irq0)
    : queue_(queue), irq0_(irq0), rise_(queue, [this] {
          irq0_.set(false);  // modes 2, 3, 4: OUT was low just before; its fall is no event
          update_irq();
      }) {
    reset();
}

void Pit8254::reset() {
    const bool gate2 = counters_[2].gate();
    counters_ = {};
    // Modes are undefined after power-up; mode 3 keeps OUT high and silent until programmed.
    for (PitCounter& counter : counters_) counter.write_control(0x36);
    counters_[2].set_gate(gate2, now());
    update_irq();
}

u64 Pit8254::now() const { return cycles_at_ns(queue_.now_ns(), kPitHz); }

void Pit8254::update_irq() {
    const u64 t = now();
    irq0_.set(counters_[0].out(t));
    const u64 next = counters_[0].next_rise(t);
    if (next == PitCounter::kNever)
        rise_.cancel();
    else
        rise_.arm_at_ns(ns_of_cycle(next, kPitHz));
}

void Pit8254::set_gate2(bool level) { counters_[2].set_gate(level, now()); }

u32 Pit8254::port_read(u16 offset, unsigned) {
    return offset < 3 ? counters_[offset].read(now()) : 0xFF;
}

void Pit8254::port_write(u16 offset, unsigned, u32 value) {
    const u64 t = now();
    const u8 v = static_cast<u8>(value);
    const unsigned select = v >> 6;
    if (offset < 3) {
        counters_[offset].write(v, t);
    } else if (select == 3) {  // read-back command: bits 5 and 4 are active low
        for (unsigned n = 0; n < 3; ++n) {
            if (!(v >> (n + 1) & 1)) continue;
            if (!(v & 0x20)) counters_[n].latch_count(t);
            if (!(v & 0x10)) counters_[n].latch_status(t);
        }
        return;
    } else if ((v & 0x30) == 0) {
        counters_[select].latch_count(t);
        return;
    } else {
        counters_[select].write_control(v);
    }
    update_irq();
}

}  // namespace rm::platform
