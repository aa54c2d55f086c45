// Runs one instruction on the host's processor. The whole state is loaded by rt_sigreturn from a
// frame made here and taken back from the signal frame of the trap or fault that ends the run, so
// every register, RSP included, holds exactly what the case says.
// Assumes: Linux on x86-64. Source: SDM 2 for the instructions; rt_sigreturn(2), sigaction(2).
#pragma once
#include "native/state.h"

namespace rm::native {

class HostCpu {
public:
    // Reserves the address ranges of layout.h and installs the signal handlers. False, with a
    // message on stderr: the ranges are not free.
    bool open();
    bool has_ldt() const { return has_ldt_; }
    bool has_segment_bases() const;  // user code may execute WRFSBASE (CR4.FSGSBASE)
    // True if code of this kind runs here: 32-bit code in segment 23H, 16-bit code in LDT segments.
    bool has_code(Code code);
    static bool is_amd();
    // True if CPUID of the host has the bit; reg 0..3 = EAX..EDX.
    static bool cpuid_bit(u32 leaf, u32 subleaf, unsigned reg, unsigned bit);

    Outcome run(const Case& c);
    const u8* memory() const { return scratch_; }  // kScratchBytes after run()

private:
    u8* scratch_ = nullptr;  // the same pages as kScratch, all writable
    u8* code_ = nullptr;     // the same pages as kCode
    bool has_ldt_ = false;   // the segments of kLdt exist
};

}  // namespace rm::native
