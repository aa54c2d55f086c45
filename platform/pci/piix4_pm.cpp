// 82371AB power management. Sections as in piix4_pm.h.
#include "platform/pci/piix4_pm.h"

#include "base/assert.h"
#include "base/log.h"

namespace rm::platform {
namespace {

// Configuration registers (datasheet 7.1).
constexpr u8 kPmBase = 0x40, kDevActB = 0x58, kPmRegMisc = 0x80, kSmbBase = 0x90,
             kSmbHostCfg = 0xD2;
constexpr u32 kApmcEnable = 1 << 25;
constexpr u16 kGpeBase = 0xAFE0, kApmBase = 0xB2;
constexpr u16 kPmSize = 64, kSmbSize = 16;

// PM1 status and enable (ACPI 2.0 4.7.3.1).
constexpr u16 kTimer = 1 << 0, kGlobal = 1 << 5, kPowerButton = 1 << 8, kRtc = 1 << 10;
constexpr u16 kBusMasterStatus = 1 << 4, kWake = 1 << 15;
constexpr u16 kSciSources = kTimer | kGlobal | kPowerButton | kRtc;
constexpr u16 kStatusBits = kSciSources | kBusMasterStatus | kWake;
// PM1 control (4.7.3.2).
constexpr u16 kSciEnable = 1, kSleepEnable = 1 << 13;
constexpr u16 kControlStored = kSciEnable | 2 | 7 << 10;
enum SleepType : unsigned { kSoftOff = 0, kSuspendToRam = 1, kSuspendToDisk = 2 };

constexpr u8 kAcpiEnable = 0xF1, kAcpiDisable = 0xF0;  // values in the FADT
// SMBHSTSTS (7.3.1) and SMBHSTCNT.
constexpr u8 kSmbDeviceError = 1 << 2, kSmbStart = 1 << 6;

}  // namespace

Piix4Pm::Piix4Pm(Config config)
    : PciDevice({.vendor = 0x8086,
                 .device = 0x7113,
                 .revision = 3,
                 .class_code = 0x068000,
                 .status = 0x0280,
                 .interrupt_pin = 1}),
      config_area_(std::move(config)),
      timer_(*config_area_.clock),
      overflow_(*config_area_.clock, [this] { update_sci(); }) {
    RM_ASSERT(config_area_.io && config_area_.sci, "PIIX4 PM needs ports and an SCI line");
    set_default(kPmBase, 1, 0x01);
    if (!config_area_.smm) set_default(kDevActB, 4, kApmcEnable);
    set_default(0x5F, 1, 0x10);  // keyboard controller decoded
    set_default(0x63, 1, 0x60);
    set_default(0x67, 1, (config_area_.com1 ? 0x08 : 0) | (config_area_.com2 ? 0x90 : 0));
    set_default(kSmbBase, 4, 0xB101);
    set_default(kSmbHostCfg, 1, 0x09);
    config_area_.io->add(kGpeBase, 4, &gpe_ports_);
    config_area_.io->add(kApmBase, 2, &apm_ports_);
    seen_toggles_ = timer_.toggles();
    update_ports();
}

void Piix4Pm::update_status() {
    if (timer_.toggles() != seen_toggles_) status_ |= kTimer;
}

void Piix4Pm::update_sci() {
    update_status();
    config_area_.sci->set((status_ & enable_ & kSciSources) || (gpe_status_ & gpe_enable_));
    if ((enable_ & kTimer) && !(status_ & kTimer))
        overflow_.arm_at_ns(timer_.next_toggle_ns());
    else
        overflow_.cancel();
}

void Piix4Pm::update_ports() {
    auto& io = *config_area_.io;
    const u16 pm = config8(kPmRegMisc) & 1 ? config16(kPmBase) & 0xFFC0 : 0;
    const u16 smbus = config8(kSmbHostCfg) & 1 ? config16(kSmbBase) & 0xFFC0 : 0;
    if (pm != pm_at_) {
        if (pm_at_) io.remove(pm_at_, kPmSize);
        pm_at_ = pm;
        if (pm_at_) io.add(pm_at_, kPmSize, &pm_ports_, memory::IoBus::kAny);
    }
    if (smbus != smbus_at_) {
        if (smbus_at_) io.remove(smbus_at_, kSmbSize);
        smbus_at_ = smbus;
        if (smbus_at_) io.add(smbus_at_, kSmbSize, &smbus_ports_);
    }
}

void Piix4Pm::config_write(u8 offset, unsigned size, u32 value) {
    PciDevice::config_write(offset, size, value);
    if (offset >= kPmBase) update_ports();
}

void Piix4Pm::reset() {
    PciDevice::reset();
    status_ = enable_ = control_ = 0;
    global_control_ = 0;
    gpe_status_ = gpe_enable_ = 0;
    apm_control_ = apm_status_ = 0;
    smb_status_ = smb_control_ = smb_command_ = smb_address_ = smb_data0_ = smb_data1_ = 0;
    seen_toggles_ = timer_.toggles();
    update_ports();
    update_sci();
}

// --- PM I/O -----------------------------------------------------------------------------------

u32 Piix4Pm::pm_dword(unsigned offset) {
    switch (offset) {
        case 0x00: update_status(); return status_ | u32{enable_} << 16;
        case 0x04: return control_;
        case 0x08: return timer_.read();
        case 0x28: return global_control_;
        default: return 0;
    }
}

u32 Piix4Pm::pm_read(u16 offset, unsigned size) {
    // Accesses across a dword boundary are put together from two registers.
    const unsigned base = offset & ~3u, shift = 8 * (offset & 3u);
    u64 value = pm_dword(base);
    if ((offset & 3u) + size > 4) value |= u64{pm_dword(base + 4)} << 32;
    return static_cast<u32>(value >> shift);
}

void Piix4Pm::pm_write(u16 offset, unsigned size, u32 value) {
    if (size > 1 && (offset & 1)) {
        for (unsigned i = 0; i < size; ++i)
            pm_write(static_cast<u16>(offset + i), 1, value >> (8 * i) & 0xFF);
        return;
    }
    // A byte store touches its half of a register only: status is write-one-to-clear, so the
    // other half is written as zeros there and as its old value elsewhere.
    for (unsigned i = 0; i < size; i += 2) {
        const unsigned reg = (offset + i) & ~1u;
        const unsigned shift = 8 * ((offset + i) & 1u);
        const u16 mask = static_cast<u16>((size == 1 ? 0xFF : 0xFFFF) << shift);
        const u16 part = static_cast<u16>((value >> (8 * i)) << shift);
        switch (reg) {
            case 0x00:
                update_status();
                if (part & kTimer) seen_toggles_ = timer_.toggles();
                status_ &= static_cast<u16>(~(part & mask & kStatusBits));
                break;
            case 0x02:
                enable_ = static_cast<u16>(((enable_ & ~mask) | (part & mask)) & kSciSources);
                break;
            case 0x04: write_control(static_cast<u16>((control_ & ~mask) | (part & mask))); break;
            case 0x28: global_control_ = (global_control_ & ~u32{mask}) | (part & mask); break;
            case 0x2A:
                global_control_ = (global_control_ & ~(u32{mask} << 16)) | u32(part & mask) << 16;
                break;
            default: break;
        }
    }
    update_sci();
}

void Piix4Pm::write_control(u16 value) {
    control_ = value & kControlStored;
    if (!(value & kSleepEnable)) return;
    switch (value >> 10 & 7) {
        case kSoftOff:
        case kSuspendToDisk:
            if (config_area_.on_poweroff) config_area_.on_poweroff();
            break;
        case kSuspendToRam:
            if (config_area_.on_suspend)
                config_area_.on_suspend();
            else
                log::write(log::Item::kUnimp, "piix4: S3 asked for, machine has no suspend\n");
            break;
        default:
            log::write(log::Item::kGuestErrors, "piix4: sleep type %u does not exist\n",
                       value >> 10 & 7u);
            break;
    }
}

void Piix4Pm::press_power_button() {
    status_ |= kPowerButton;
    update_sci();
}

void Piix4Pm::wake() {
    status_ |= kWake;
    update_sci();
}

// --- GPE0: two status bytes, two enable bytes; no source is wired
// ---------------------------------

u32 Piix4Pm::gpe_read(u16 offset) {
    const u16 reg = offset < 2 ? gpe_status_ : gpe_enable_;
    return reg >> (8 * (offset & 1)) & 0xFF;
}

void Piix4Pm::gpe_write(u16 offset, u8 value) {
    const unsigned shift = 8 * (offset & 1u);
    if (offset < 2)
        gpe_status_ &= static_cast<u16>(~(value << shift));
    else
        gpe_enable_ = static_cast<u16>((gpe_enable_ & ~(0xFF << shift)) | value << shift);
    update_sci();
}

// --- APM ports
// ------------------------------------------------------------------------------------

u32 Piix4Pm::apm_read(u16 offset) { return offset ? apm_status_ : apm_control_; }

void Piix4Pm::apm_write(u16 offset, u8 value) {
    if (offset) {
        apm_status_ = value;
        return;
    }
    apm_control_ = value;
    if (value == kAcpiEnable) {
        control_ |= kSciEnable;
    } else if (value == kAcpiDisable) {
        control_ &= static_cast<u16>(~kSciEnable);
    } else if (config_area_.smm && config_area_.raise_smi && (config32(kDevActB) & kApmcEnable)) {
        config_area_.raise_smi();
    }
}

// --- SMBus host: every transaction ends with "no device"
// ------------------------------------------

u32 Piix4Pm::smbus_read(u16 offset) {
    switch (offset) {
        case 0: return smb_status_;
        case 2: return smb_control_ & 0x1F;  // START reads as zero
        case 3: return smb_command_;
        case 4: return smb_address_;
        case 5: return smb_data0_;
        case 6: return smb_data1_;
        default: return 0;
    }
}

void Piix4Pm::smbus_write(u16 offset, u8 value) {
    switch (offset) {
        case 0: smb_status_ &= static_cast<u8>(~value); break;
        case 2:
            smb_control_ = value;
            if (value & kSmbStart) smb_status_ = kSmbDeviceError;
            break;
        case 3: smb_command_ = value; break;
        case 4: smb_address_ = value; break;
        case 5: smb_data0_ = value; break;
        case 6: smb_data1_ = value; break;
        default: break;
    }
}

}  // namespace rm::platform
