// Register behaviour of the 8259A pair; see pic8259.h. The section names in comments are those of
// the 8259A datasheet.
#include "platform/interrupt/pic8259.h"

#include <utility>

#include "base/log.h"

namespace rm::platform {

namespace {

constexpr unsigned kCascade = 2;  // master's input that carries the slave
constexpr unsigned kSpurious = 7;
// Inputs whose trigger mode may be changed (PIIX3 2.5.5): not 0, 1, 2, 8 and 13.
constexpr u8 kElcrWritable[2] = {0xF8, 0xDE};

constexpr u8 mask_of(unsigned n) { return static_cast<u8>(1u << n); }

}  // namespace

// --- one chip ---

unsigned Pic8259Pair::Chip::priority(u8 set) const {
    for (unsigned p = 0; p < 8; ++p)
        if (set & mask_of((lowest_ + 1 + p) & 7)) return p;
    return 8;
}

int Pic8259Pair::Chip::highest() const {
    const unsigned request = priority(irr_ & ~imr_);
    if (request == 8) return -1;
    u8 blocking = isr_;
    if (special_mask_) blocking &= ~imr_;  // "Special Mask Mode"
    // "Special Fully Nested Mode": a slave in service may interrupt again.
    if (special_fully_nested_ && is_master) blocking &= ~mask_of(kCascade);
    return request < priority(blocking) ? static_cast<int>((lowest_ + 1 + request) & 7) : -1;
}

void Pic8259Pair::Chip::set_input(unsigned n, bool level) {
    const u8 mask = mask_of(n);
    // The cascade follows the slave's output: the slave withdraws its request by itself.
    const bool level_triggered = (elcr & mask) || (is_master && n == kCascade);
    if (level_triggered)
        irr_ = level ? irr_ | mask : irr_ & ~mask;
    else if (level && !(lines_ & mask))
        irr_ |= mask;
    lines_ = level ? lines_ | mask : lines_ & ~mask;
}

void Pic8259Pair::Chip::set_elcr(u8 value) {
    const u8 became_level = value & ~elcr;
    elcr = value;
    irr_ = (irr_ & ~became_level) | (lines_ & became_level);
}

void Pic8259Pair::Chip::acknowledge(unsigned n) {
    const u8 mask = mask_of(n);
    if (auto_eoi_) {
        if (rotate_on_auto_eoi_) lowest_ = static_cast<u8>(n);
    } else {
        isr_ |= mask;
    }
    if (!(elcr & mask) && !(is_master && n == kCascade)) irr_ &= ~mask;
}

void Pic8259Pair::Chip::reset() {
    irr_ = isr_ = imr_ = 0;
    base_ = 0;
    lowest_ = 7;
    next_icw_ = 0;
    expects_icw4_ = single_ = auto_eoi_ = rotate_on_auto_eoi_ = false;
    special_mask_ = special_fully_nested_ = read_isr_ = poll_ = false;
    elcr = 0;
}

// "Initialization Command Words": edge sense is cleared, IMR cleared, IR7 lowest, special mask off,
// status read set to IRR; without ICW4 all its functions are off.
void Pic8259Pair::Chip::write_icw1(u8 value) {
    if (value & 0x08)
        log::write(log::Item::kUnimp, "8259: ICW1 level mode ignored, ELCR decides\n");
    irr_ = lines_ & elcr;
    isr_ = imr_ = 0;
    lowest_ = 7;
    special_mask_ = special_fully_nested_ = false;
    auto_eoi_ = rotate_on_auto_eoi_ = false;
    read_isr_ = poll_ = false;
    expects_icw4_ = value & 0x01;
    single_ = value & 0x02;
    next_icw_ = 2;
}

void Pic8259Pair::Chip::write_ocw2(u8 value) {
    const unsigned level = value & 7;
    const bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
    if (!eoi) {
        if (specific) {
            if (rotate) lowest_ = static_cast<u8>(level);  // set priority; 40H alone: no operation
        } else {
            rotate_on_auto_eoi_ = rotate;
        }
        return;
    }
    unsigned target = level;
    if (!specific) {
        // In special mask mode a masked in-service bit is not cleared by a non-specific EOI.
        const unsigned p = priority(special_mask_ ? isr_ & ~imr_ : isr_);
        if (p == 8) return;
        target = (lowest_ + 1 + p) & 7;
    }
    isr_ &= ~mask_of(target);
    if (rotate) lowest_ = static_cast<u8>(target);
}

void Pic8259Pair::Chip::write_ocw3(u8 value) {
    if (value & 0x04) poll_ = true;
    if (value & 0x02) read_isr_ = value & 0x01;
    if (value & 0x40) special_mask_ = value & 0x20;
}

void Pic8259Pair::Chip::write_data(u8 value) {
    switch (next_icw_) {
        case 2:
            base_ = value & 0xF8;
            next_icw_ = single_ ? (expects_icw4_ ? 4 : 0) : 3;
            return;
        case 3: next_icw_ = expects_icw4_ ? 4 : 0; return;
        case 4:
            special_fully_nested_ = value & 0x10;
            auto_eoi_ = value & 0x02;
            next_icw_ = 0;
            return;
        default: imr_ = value;
    }
}

void Pic8259Pair::Chip::port_write(u16 offset, unsigned, u32 value) {
    const u8 v = static_cast<u8>(value);
    if (offset == 1)
        write_data(v);
    else if (v & 0x10)
        write_icw1(v);
    else if (v & 0x08)
        write_ocw3(v);
    else
        write_ocw2(v);
    pair->update();
}

// "Poll Command": the next read is the interrupt acknowledge.
u8 Pic8259Pair::Chip::poll() {
    poll_ = false;
    const int n = highest();
    if (n < 0) return 0;
    acknowledge(static_cast<unsigned>(n));
    pair->update();
    return static_cast<u8>(0x80 | n);
}

u32 Pic8259Pair::Chip::port_read(u16 offset, unsigned) {
    if (poll_) return poll();
    if (offset == 1) return imr_;
    return read_isr_ ? isr_ : irr_;
}

// --- the pair ---

Pic8259Pair::Pic8259Pair(IrqLine& intr) : intr_(intr) {
    chips_[0].is_master = true;
    for (Chip& chip : chips_) chip.pair = this;
    elcr_.pair = this;
    for (unsigned n = 0; n < inputs_.size(); ++n) {
        inputs_[n].pair = this;
        inputs_[n].irq = n;
    }
}

void Pic8259Pair::Input::set(bool level) {
    if (irq == kCascade) return;
    pair->chips_[irq / 8].set_input(irq & 7, level);
    pair->update();
}

u32 Pic8259Pair::Elcr::port_read(u16 offset, unsigned) { return pair->chips_[offset & 1].elcr; }

void Pic8259Pair::Elcr::port_write(u16 offset, unsigned, u32 value) {
    pair->chips_[offset & 1].set_elcr(static_cast<u8>(value & kElcrWritable[offset & 1]));
    pair->update();
}

void Pic8259Pair::update() {
    chips_[0].set_input(kCascade, chips_[1].highest() >= 0);
    const bool level = chips_[0].highest() >= 0;
    if (std::exchange(intr_level_, level) != level) intr_.set(level);
}

u8 Pic8259Pair::acknowledge() {
    const int n = chips_[0].highest();
    if (n < 0) return chips_[0].vector(kSpurious);
    u8 vector = chips_[0].vector(static_cast<unsigned>(n));
    chips_[0].acknowledge(static_cast<unsigned>(n));
    if (n == kCascade) {
        const int m = chips_[1].highest();
        vector = chips_[1].vector(m < 0 ? kSpurious : static_cast<unsigned>(m));
        if (m >= 0) chips_[1].acknowledge(static_cast<unsigned>(m));
    }
    update();
    return vector;
}

void Pic8259Pair::reset() {
    for (Chip& chip : chips_) chip.reset();
    update();
}

}  // namespace rm::platform
