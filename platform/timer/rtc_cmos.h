// The MC146818 real-time clock with its CMOS RAM: ports 70H/71H (128 bytes) and the extended bank
// at 72H/73H (128 more, PIIX3 RTC extension). Owns: date and time as seconds that go on with
// virtual time, alarm, periodic and update interrupts on IRQ 8, the RAM that firmware reads memory
// sizes and boot settings from, the NMI mask bit. Assumes: the frontend gives the starting time
// (seconds since 1970, -rtc base=); the host's clock is never read. Flags that cannot interrupt are
// worked out when register C is read, so that a clock nobody listens to arms no event. Source:
// Motorola MC146818A datasheet.
#pragma once
#include <array>

#include "memory/bus/io_bus.h"
#include "platform/clock/event_queue.h"

namespace rm::platform {

// A calendar date and time of day, proleptic Gregorian.
struct CivilTime {
    int year = 1970;
    unsigned month = 1, day = 1, hour = 0, minute = 0, second = 0;
    unsigned weekday = 5;  // 1 = Sunday
};
CivilTime civil_from_seconds(
    u64 seconds);  // since 1970-01-01T00:00:00, before it as two's complement
// Weekday is ignored; days, hours, minutes and seconds past their end carry over.
u64 seconds_from_civil(const CivilTime& time);

class RtcCmos {
public:
    static constexpr u16 kPort = 0x70, kExtendedPort = 0x72;  // 2 ports each
    // 2024-01-01T00:00:00, the default of `-rtc base=`: a fixed date keeps runs repeatable.
    static constexpr u64 kDefaultBase = 1'704'067'200;

    RtcCmos(EventQueue& queue, IrqLine& irq8, u64 base_seconds = kDefaultBase);
    RtcCmos(const RtcCmos&) = delete;
    RtcCmos& operator=(const RtcCmos&) = delete;

    memory::PortWindow& ports() { return low_; }
    memory::PortWindow& extended_ports() { return high_; }

    // CMOS RAM for the machine's set-up; index 0EH..7FH (not the clock's registers), 80H..FFH
    // extended.
    void set_byte(u8 index, u8 value) { ram_.at(index) = value; }
    u8 byte(u8 index) const { return ram_.at(index); }

    bool nmi_masked() const { return nmi_masked_; }
    u64 now_seconds() const;  // what the guest's clock shows, seconds since 1970
    void reset();             // machine reset: time and RAM stay

private:
    class Ports final : public memory::PortWindow {
    public:
        Ports(RtcCmos& owner, u8 bank) : owner_(owner), bank_(bank) {}
        u32 port_read(u16 offset, unsigned size) override;
        void port_write(u16 offset, unsigned size, u32 value) override;

    private:
        RtcCmos& owner_;
        u8 bank_;  // 0 or 80H
        u8 index_ = 0;
    };

    u8 read(u8 index);
    void write(u8 index, u8 value);
    bool divider_held() const;
    bool updating() const;  // seconds advance: divider runs and SET is clear
    bool update_in_progress() const;
    u64 seconds_elapsed() const;  // second boundaries passed since chain_ns_
    u64 second_ns(u64 n) const;   // time of boundary n
    u64 periodic_cycles() const;  // crystal cycles per periodic interrupt; 0 = off
    u64 periods_elapsed() const;
    void load_registers();   // time -> register file
    void store_registers();  // register file -> time; the divider's phase stays
    CivilTime registers() const;
    void write_a(u8 value);
    void write_b(u8 value);
    u8 encode(unsigned value) const;
    unsigned decode(u8 value) const;
    u8 encode_hour(unsigned hour) const;
    unsigned decode_hour(u8 value) const;
    // First second in [from, from + one day) whose time of day the alarm matches; kNever if none.
    u64 next_alarm(u64 from) const;
    void settle();  // brings the flags of register C up to now
    void update();  // settles, then IRQ line and the next event

    EventQueue& queue_;
    IrqLine& irq8_;
    Timer event_;
    Ports low_{*this, 0}, high_{*this, 0x80};
    std::array<u8, 256> ram_{};
    bool nmi_masked_ = false;

    static constexpr u64 kNever = ~u64{0};

    // The divider's second boundaries are chain_ns_ + n s; after boundary n the clock shows base_ +
    // n. Both are modulo 2^64: chain_ns_ may lie before the machine's start.
    u64 chain_ns_ = 0;
    u64 base_;
    unsigned weekday_shift_ = 0;  // the weekday register counts by itself
    u64 seen_second_ = 0;         // boundary up to which flags are settled
    u64 seen_period_ = 0;         // the same for periodic interrupts
};

}  // namespace rm::platform
