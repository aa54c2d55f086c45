// Recording stand-ins for pins and lines, shared by the interrupt tests.
#pragma once
#include <vector>

#include "base/interfaces.h"

namespace rm::platform::test {

class FakeLine final : public IrqLine {
public:
    void set(bool l) override {
        if (l && !level) ++rises;
        level = l;
    }
    bool level = false;
    int rises = 0;
};

class FakePins final : public CpuPins {
public:
    void set_intr(bool asserted) override { intr = asserted; }
    void pulse_nmi() override { ++nmi; }
    void pulse_smi() override { ++smi; }
    void pulse_init() override { ++init; }
    void startup_ipi(u8 vector) override { sipi.push_back(vector); }
    bool intr = false;
    int nmi = 0, smi = 0, init = 0;
    std::vector<u8> sipi;
};

}  // namespace rm::platform::test
