// Registers, calendar and flags of the MC146818; see rtc_cmos.h.
#include "platform/timer/rtc_cmos.h"

#include <algorithm>
#include <chrono>

#include "platform/clock/rates.h"

namespace rm::platform {

namespace {

// Registers.
constexpr u8 kSeconds = 0x00, kSecondsAlarm = 0x01, kMinutes = 0x02, kMinutesAlarm = 0x03,
             kHours = 0x04, kHoursAlarm = 0x05, kWeekday = 0x06, kDay = 0x07, kMonth = 0x08,
             kYear = 0x09, kA = 0x0A, kB = 0x0B, kC = 0x0C, kD = 0x0D, kCentury = 0x32;
// Register A.
constexpr u8 kUip = 0x80, kDividerHeld = 0x60, kRateMask = 0x0F;
// Register B.
constexpr u8 kSet = 0x80, kPie = 0x40, kAie = 0x20, kUie = 0x10, kSqwe = 0x08, kBinary = 0x04,
             k24Hours = 0x02;
// Register C.
constexpr u8 kIrqf = 0x80, kPf = 0x40, kAf = 0x20, kUf = 0x10;
constexpr u8 kVrt = 0x80;       // register D: RAM and time valid
constexpr u8 kPm = 0x80;        // hours, 12-hour mode
constexpr u8 kDontCare = 0xC0;  // alarm bytes from here match everything
constexpr u8 kResetA = 0x26;    // 32.768 kHz, 1024 Hz
constexpr u64 kDaySeconds = 86'400;
constexpr u64 kLastSecond = 253'402'300'799;  // 9999-12-31T23:59:59, all that four digits hold

// UIP rises 244 us before the update cycle, which takes 1984 us with a 32.768 kHz time base; the
// registers change at its end.
constexpr u64 kUipNs = 244'000 + 1'984'000;
// The first update follows half a second after the divider is released.
constexpr u64 kReleaseNs = kNsPerSecond / 2;

bool is_time(u8 index) {
    return index == kSeconds || index == kMinutes || index == kHours ||
           (index >= kWeekday && index <= kYear) || index == kCentury;
}

}  // namespace

CivilTime civil_from_seconds(u64 seconds) {
    using namespace std::chrono;
    const sys_seconds time{std::chrono::seconds{static_cast<i64>(seconds)}};
    const sys_days day = floor<days>(time);
    const year_month_day date{day};
    const u64 of_day = static_cast<u64>((time - day).count());
    return {.year = static_cast<int>(date.year()),
            .month = static_cast<unsigned>(date.month()),
            .day = static_cast<unsigned>(date.day()),
            .hour = static_cast<unsigned>(of_day / 3600),
            .minute = static_cast<unsigned>(of_day / 60 % 60),
            .second = static_cast<unsigned>(of_day % 60),
            .weekday = weekday{day}.c_encoding() + 1};
}

u64 seconds_from_civil(const CivilTime& time) {
    using namespace std::chrono;
    const sys_days first{year{time.year} / month{std::clamp(time.month, 1u, 12u)} / 1};
    const i64 day = first.time_since_epoch().count() + static_cast<i64>(time.day) - 1;
    return static_cast<u64>(day * static_cast<i64>(kDaySeconds)) + time.hour * u64{3600} +
           time.minute * u64{60} + time.second;
}

RtcCmos::RtcCmos(EventQueue& queue, IrqLine& irq8, u64 base_seconds)
    : queue_(queue),
      irq8_(irq8),
      event_(queue, [this] { update(); }),
      base_(std::min(base_seconds, kLastSecond)) {
    ram_[kA] = kResetA;
    ram_[kB] = k24Hours;
    ram_[kD] = kVrt;
    load_registers();
}

void RtcCmos::reset() {
    settle();
    ram_[kB] &= ~(kPie | kAie | kUie | kSqwe);
    ram_[kC] = 0;
    nmi_masked_ = false;
    update();
}

// --- time ---

bool RtcCmos::divider_held() const { return (ram_[kA] & kDividerHeld) == kDividerHeld; }
bool RtcCmos::updating() const { return !divider_held() && !(ram_[kB] & kSet); }

u64 RtcCmos::seconds_elapsed() const { return (queue_.now_ns() - chain_ns_) / kNsPerSecond; }
u64 RtcCmos::second_ns(u64 n) const { return chain_ns_ + n * kNsPerSecond; }

bool RtcCmos::update_in_progress() const {
    return updating() && second_ns(seconds_elapsed() + 1) - queue_.now_ns() <= kUipNs;
}

u64 RtcCmos::now_seconds() const {
    return updating() ? base_ + seconds_elapsed() : seconds_from_civil(registers());
}

u8 RtcCmos::encode(unsigned value) const {
    return static_cast<u8>(ram_[kB] & kBinary ? value : value / 10 % 10 << 4 | value % 10);
}

unsigned RtcCmos::decode(u8 value) const {
    return ram_[kB] & kBinary ? value : (value >> 4) * 10u + (value & 15);
}

u8 RtcCmos::encode_hour(unsigned hour) const {
    if (ram_[kB] & k24Hours) return encode(hour);
    return encode(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? kPm : 0);
}

unsigned RtcCmos::decode_hour(u8 value) const {
    if (ram_[kB] & k24Hours) return decode(value);
    return decode(value & ~kPm) % 12 + (value & kPm ? 12 : 0);
}

void RtcCmos::load_registers() {
    const CivilTime now = civil_from_seconds(base_ + seconds_elapsed());
    ram_[kSeconds] = encode(now.second);
    ram_[kMinutes] = encode(now.minute);
    ram_[kHours] = encode_hour(now.hour);
    ram_[kWeekday] = encode((now.weekday - 1 + weekday_shift_) % 7 + 1);
    ram_[kDay] = encode(now.day);
    ram_[kMonth] = encode(now.month);
    const unsigned year = static_cast<unsigned>(std::max(now.year, 0));
    ram_[kYear] = encode(year % 100);
    ram_[kCentury] = encode(year / 100 % 100);
}

CivilTime RtcCmos::registers() const {
    return {.year = static_cast<int>(decode(ram_[kCentury]) * 100 + decode(ram_[kYear])),
            .month = decode(ram_[kMonth]),
            .day = decode(ram_[kDay]),
            .hour = decode_hour(ram_[kHours]),
            .minute = decode(ram_[kMinutes]),
            .second = decode(ram_[kSeconds])};
}

void RtcCmos::store_registers() {
    const u64 seconds = seconds_from_civil(registers());
    base_ = seconds - seconds_elapsed();
    const unsigned natural = civil_from_seconds(seconds).weekday;
    weekday_shift_ = (decode(ram_[kWeekday]) + 7 - natural % 7) % 7;
    seen_second_ = seconds_elapsed();
}

// --- flags and interrupt ---

u64 RtcCmos::periodic_cycles() const {
    const unsigned rate = ram_[kA] & kRateMask;
    if (rate == 0 || divider_held()) return 0;
    return u64{1} << (rate <= 2 ? rate + 6 : rate - 1);
}

u64 RtcCmos::periods_elapsed() const {
    const u64 cycles = periodic_cycles();
    return cycles ? cycles_at_ns(queue_.now_ns() - chain_ns_, kRtcCrystalHz) / cycles : 0;
}

u64 RtcCmos::next_alarm(u64 from) const {
    const u8 h = ram_[kHoursAlarm], m = ram_[kMinutesAlarm], s = ram_[kSecondsAlarm];
    for (u64 t = from; t - from < kDaySeconds;) {
        const u64 of_day = t % kDaySeconds;
        if (h < kDontCare && decode_hour(h) != of_day / 3600)
            t += 3600 - of_day % 3600;
        else if (m < kDontCare && decode(m) != of_day / 60 % 60)
            t += 60 - of_day % 60;
        else if (s < kDontCare && decode(s) != of_day % 60)
            ++t;
        else
            return t;
    }
    return kNever;
}

void RtcCmos::settle() {
    if (const u64 periods = periods_elapsed(); periods > seen_period_) {
        ram_[kC] |= kPf;
        seen_period_ = periods;
    }
    if (!updating()) return;
    const u64 second = seconds_elapsed();
    if (second <= seen_second_) return;
    ram_[kC] |= kUf;
    if (next_alarm(base_ + seen_second_ + 1) <= base_ + second) ram_[kC] |= kAf;
    seen_second_ = second;
}

void RtcCmos::update() {
    settle();
    const u8 enabled = ram_[kB] & (kPie | kAie | kUie);
    const bool irq = ram_[kC] & enabled;
    ram_[kC] = (ram_[kC] & ~kIrqf) | (irq ? kIrqf : 0);
    irq8_.set(irq);
    event_.cancel();
    if (irq) return;  // nothing more to say until register C is read
    u64 next = kNever;
    if (const u64 cycles = periodic_cycles(); cycles && (enabled & kPie))
        next = chain_ns_ + ns_of_cycle((seen_period_ + 1) * cycles, kRtcCrystalHz);
    if (updating() && (enabled & kUie)) next = std::min(next, second_ns(seen_second_ + 1));
    if (updating() && (enabled & kAie)) {
        const u64 alarm = next_alarm(base_ + seen_second_ + 1);
        if (alarm != kNever) next = std::min(next, second_ns(alarm - base_));
    }
    if (next != kNever) event_.arm_at_ns(next);
}

// --- registers ---

u8 RtcCmos::read(u8 index) {
    if (is_time(index)) {
        if (updating()) load_registers();
    } else if (index == kA) {
        return ram_[kA] | (update_in_progress() ? kUip : 0);
    } else if (index == kC) {
        update();
        const u8 value = ram_[kC];
        ram_[kC] = 0;
        update();
        return value;
    }
    return ram_[index];
}

void RtcCmos::write_a(u8 value) {
    const bool was_held = divider_held();
    if (updating()) load_registers();
    ram_[kA] = value & ~kUip;
    if (was_held && !divider_held()) {
        chain_ns_ = queue_.now_ns() - kReleaseNs;
        seen_second_ = 0;
        if (updating()) store_registers();
    }
    seen_period_ = periods_elapsed();
}

void RtcCmos::write_b(u8 value) {
    const bool was_updating = updating();
    if (was_updating) load_registers();
    if (value & kSet) value &= ~kUie;
    // A change of format applies to what is in the registers only while they are stopped; a running
    // clock goes on and shows the same time in the new format.
    ram_[kB] = value;
    if (!was_updating && updating()) store_registers();
}

void RtcCmos::write(u8 index, u8 value) {
    settle();
    if (is_time(index)) {
        if (updating()) {
            load_registers();
            ram_[index] = value;
            store_registers();
        } else {
            ram_[index] = value;
        }
    } else if (index == kA) {
        write_a(value);
    } else if (index == kB) {
        write_b(value);
    } else if (index != kC && index != kD) {
        ram_[index] = value;
    }
    if (index <= kD || index == kCentury) update();
}

u32 RtcCmos::Ports::port_read(u16 offset, unsigned) {
    return offset == 1 ? owner_.read(bank_ | index_) : 0xFF;  // the index is write-only
}

void RtcCmos::Ports::port_write(u16 offset, unsigned, u32 value) {
    if (offset == 1) {
        owner_.write(bank_ | index_, static_cast<u8>(value));
        return;
    }
    index_ = value & 0x7F;
    if (bank_ == 0) owner_.nmi_masked_ = value & 0x80;
}

}  // namespace rm::platform
