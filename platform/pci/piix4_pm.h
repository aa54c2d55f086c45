// Power management and SMBus function 00:01.3, Intel 82371AB PIIX4 (8086:7113 rev 3).
// Owns: the PM I/O block (PM1 event, PM1 control, PM timer, GLBCTL) at PMBASE, GPE0 at AFE0, the
// SMBus host controller at SMBBA (no slave device answers), the APM ports B2/B3, the SCI line.
// Assumes: callbacks only note what was asked and act after the current instruction.
// Source: 82371AB datasheet 7.1 (configuration), 7.2 (PM I/O), 7.3 (SMBus I/O); ACPI 2.0 4.7.3.
// As QEMU's `pc`: SLP_TYP 0 = S5, 1 = S3, 2 = S4; writes of F1h/F0h to B2 set/clear SCI_EN; other
// writes raise SMI# if DEVACTB.APMC_EN.
#pragma once
#include <functional>

#include "base/interfaces.h"
#include "platform/clock/event_queue.h"
#include "platform/pci/pci_device.h"
#include "platform/timer/acpi_pm_timer.h"

namespace rm::platform {

class Piix4Pm final : public PciDevice {
public:
    struct Config {
        memory::IoBus* io = nullptr;
        EventQueue* clock = nullptr;
        IrqLine* sci = nullptr;             // an input of ISA IRQ9
        std::function<void()> on_poweroff;  // S5, S4
        std::function<void()> on_suspend;   // S3; absent: logged, no effect
        std::function<void()> raise_smi;    // absent: B2 never raises SMI
        bool smm = true;   // false: firmware finds SMM already set up and leaves it alone
        bool com1 = true;  // reported in DEVRESJ and friends, where old ACPI tables look
        bool com2 = false;
    };
    explicit Piix4Pm(Config config);

    void press_power_button();
    void wake();  // out of S3: sets WAK_STS; the machine then resets its processors
    bool sci_enabled() const { return control_ & 1; }

    void config_write(u8 offset, unsigned size, u32 value) override;
    void reset() override;

private:
    // Each block of ports is one window, so that offsets stay relative to its base.
    template <u32 (Piix4Pm::*Read)(u16), void (Piix4Pm::*Write)(u16, u8)>
    struct Ports final : memory::PortWindow {
        explicit Ports(Piix4Pm& owner) : owner(owner) {}
        u32 port_read(u16 offset, unsigned) override { return (owner.*Read)(offset); }
        void port_write(u16 offset, unsigned, u32 value) override {
            (owner.*Write)(offset, static_cast<u8>(value));
        }
        Piix4Pm& owner;
    };
    // PM I/O takes all sizes: the timer must be read in one piece.
    struct PmPorts final : memory::PortWindow {
        explicit PmPorts(Piix4Pm& owner) : owner(owner) {}
        u32 port_read(u16 offset, unsigned size) override { return owner.pm_read(offset, size); }
        void port_write(u16 offset, unsigned size, u32 value) override {
            owner.pm_write(offset, size, value);
        }
        Piix4Pm& owner;
    };

    u32 pm_read(u16 offset, unsigned size);
    void pm_write(u16 offset, unsigned size, u32 value);
    u32 pm_dword(unsigned offset);
    void write_control(u16 value);
    u32 gpe_read(u16 offset);
    void gpe_write(u16 offset, u8 value);
    u32 smbus_read(u16 offset);
    void smbus_write(u16 offset, u8 value);
    u32 apm_read(u16 offset);
    void apm_write(u16 offset, u8 value);

    void update_status();  // sets TMR_STS if bit 23 has toggled
    void update_sci();
    void update_ports();

    Config config_area_;
    PmPorts pm_ports_{*this};
    Ports<&Piix4Pm::gpe_read, &Piix4Pm::gpe_write> gpe_ports_{*this};
    Ports<&Piix4Pm::smbus_read, &Piix4Pm::smbus_write> smbus_ports_{*this};
    Ports<&Piix4Pm::apm_read, &Piix4Pm::apm_write> apm_ports_{*this};
    AcpiPmTimer timer_;
    Timer overflow_;

    u16 status_ = 0, enable_ = 0, control_ = 0;
    u32 global_control_ = 0;
    u16 gpe_status_ = 0, gpe_enable_ = 0;
    u64 seen_toggles_ = 0;  // of the timer's bit 23, acknowledged by the guest
    u8 apm_control_ = 0, apm_status_ = 0;
    u8 smb_status_ = 0, smb_control_ = 0, smb_command_ = 0, smb_address_ = 0;
    u8 smb_data0_ = 0, smb_data1_ = 0;
    u16 pm_at_ = 0, smbus_at_ = 0;  // 0: not decoded
};

}  // namespace rm::platform
