// A local APIC as its processor sees it when processors have host threads of their own: every
// access holds the machine's lock (thread=multi). Owns nothing.
#pragma once
#include "base/interfaces.h"
#include "base/machine_lock.h"

namespace rm::platform {

class LockedApic final : public LocalApicPort {
public:
    LockedApic(LocalApicPort& apic, MachineLock& lock) : apic_(apic), lock_(&lock) {}

    u8 acknowledge() override {
        const MachineLock::Hold hold(lock_);
        return apic_.acknowledge();
    }
    u8 tpr() const override {
        const MachineLock::Hold hold(lock_);
        return apic_.tpr();
    }
    void set_tpr(u8 value) override {
        const MachineLock::Hold hold(lock_);
        apic_.set_tpr(value);
    }
    u64 apic_base() const override {
        const MachineLock::Hold hold(lock_);
        return apic_.apic_base();
    }
    bool set_apic_base(u64 value) override {
        const MachineLock::Hold hold(lock_);
        return apic_.set_apic_base(value);
    }
    bool msr_read(u32 msr, u64& value) override {
        const MachineLock::Hold hold(lock_);
        return apic_.msr_read(msr, value);
    }
    bool msr_write(u32 msr, u64 value) override {
        const MachineLock::Hold hold(lock_);
        return apic_.msr_write(msr, value);
    }
    u64 mmio_read(u64 offset, unsigned size) override {
        const MachineLock::Hold hold(lock_);
        return apic_.mmio_read(offset, size);
    }
    void mmio_write(u64 offset, unsigned size, u64 value) override {
        const MachineLock::Hold hold(lock_);
        apic_.mmio_write(offset, size, value);
    }
    void reset(bool init) override {
        const MachineLock::Hold hold(lock_);
        apic_.reset(init);
    }
    void tsc_offset_changed(u64 offset) override {
        const MachineLock::Hold hold(lock_);
        apic_.tsc_offset_changed(offset);
    }

private:
    LocalApicPort& apic_;
    MachineLock* const lock_;
};

}  // namespace rm::platform
