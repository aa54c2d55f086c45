// The PC's two 8259A interrupt controllers: master at 20H/21H, slave at A0H/A1H behind the master's
// input 2, and PIIX3's edge/level control registers 4D0H/4D1H.
// Owns: request, in-service and mask registers, priorities, the INTR output. Assumes: 8086 mode and
// the fixed cascade of a PC (ICW3 is accepted and ignored). An edge request stays latched when its
// line falls before the acknowledge (a real 8259A would answer with the spurious level 7).
// Source: Intel 8259A datasheet (231468); 82371SB (PIIX3) datasheet 2.5.5 for ELCR.
#pragma once
#include <array>

#include "base/interfaces.h"
#include "memory/bus/io_bus.h"

namespace rm::platform {

class Pic8259Pair {
public:
    explicit Pic8259Pair(IrqLine& intr);
    Pic8259Pair(const Pic8259Pair&) = delete;
    Pic8259Pair& operator=(const Pic8259Pair&) = delete;

    static constexpr u16 kMasterPort = 0x20, kSlavePort = 0xA0, kElcrPort = 0x4D0;  // 2 ports each
    memory::PortWindow& master_ports() { return chips_[0]; }
    memory::PortWindow& slave_ports() { return chips_[1]; }
    memory::PortWindow& elcr_ports() { return elcr_; }

    IrqLine& input(unsigned irq) { return inputs_.at(irq); }  // 0..15; 2 is the cascade: ignored
    bool intr() const { return intr_level_; }
    // The two INTA cycles: vector of the highest request, or of the spurious level 7.
    u8 acknowledge();
    void reset();

private:
    class Chip final : public memory::PortWindow {
    public:
        u32 port_read(u16 offset, unsigned size) override;
        void port_write(u16 offset, unsigned size, u32 value) override;

        void set_input(unsigned n, bool level);
        void set_elcr(u8 value);
        int highest() const;  // input to be served next, or -1
        void acknowledge(unsigned n);
        u8 vector(unsigned n) const { return static_cast<u8>(base_ | n); }
        void reset();

        Pic8259Pair* pair = nullptr;
        bool is_master = false;
        u8 elcr = 0;

    private:
        unsigned priority(u8 set) const;  // 0 = highest; 8 = empty
        void write_icw1(u8 value);
        void write_ocw2(u8 value);
        void write_ocw3(u8 value);
        void write_data(u8 value);
        u8 poll();

        u8 irr_ = 0, isr_ = 0, imr_ = 0;
        u8 lines_ = 0;     // levels of the inputs
        u8 base_ = 0;      // ICW2
        u8 lowest_ = 7;    // input with the lowest priority
        u8 next_icw_ = 0;  // 2, 3 or 4 during initialisation
        bool expects_icw4_ = false, single_ = false;
        bool auto_eoi_ = false, rotate_on_auto_eoi_ = false;
        bool special_mask_ = false, special_fully_nested_ = false;
        bool read_isr_ = false, poll_ = false;
    };
    class Elcr final : public memory::PortWindow {
    public:
        u32 port_read(u16 offset, unsigned size) override;
        void port_write(u16 offset, unsigned size, u32 value) override;
        Pic8259Pair* pair = nullptr;
    };
    class Input final : public IrqLine {
    public:
        void set(bool level) override;
        Pic8259Pair* pair = nullptr;
        unsigned irq = 0;
    };

    void update();  // the slave's output to the master, the master's to INTR

    IrqLine& intr_;
    bool intr_level_ = false;
    std::array<Chip, 2> chips_;
    Elcr elcr_;
    std::array<Input, 16> inputs_;
};

}  // namespace rm::platform
