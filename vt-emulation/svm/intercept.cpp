// Instruction intercepts: which exit an instruction takes in the guest, with what information, and
// after which of its own exceptions (APM2 15.7, table 15-7: exceptions that need no memory operand
// come first; where that is the body's business, kNext leaves it to the body).
// Sources: APM2 15.8 (decode assists), 15.9, 15.10 (IOIO), 15.11 (MSR), 15.12-15.14.
#include "cpu/system/system.h"
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/svm/svm.h"

namespace rm::vt::svm {

using cpu::Cpu;
using cpu::Insn;
using cpu::Intercept;
using cpu::Step;

namespace {

struct InterceptRow {
    Intercept id;
    F word;
    u64 bits;
    u64 code;
};
constexpr InterceptRow kRows[] = {
#define RM_SVM_INTERCEPT(id, word, bits, code) {Intercept::k##id, F::word, bits, exit_code::code},
#include "vt-emulation/svm/intercepts.def"
#undef RM_SVM_INTERCEPT
};

constexpr u64 kSelectiveCr0 = bit(5), kMwaitAlways = bit(11), kMwaitArmed = bit(12);

bool svm_instruction(Intercept id) {
    switch (id) {
        case Intercept::kVMRUN:
        case Intercept::kVMLOAD:
        case Intercept::kVMSAVE:
        case Intercept::kSTGI:
        case Intercept::kCLGI:
        case Intercept::kINVLPGA: return true;
        default: return false;
    }
}

// True: the instruction faults for reasons of its own before the intercept is looked at.
bool faults_first(const Cpu& cpu, Intercept id) {
    const bool user = cpu.cpl != 0;
    switch (id) {
        case Intercept::kRDTSC:
        case Intercept::kRDTSCP: return user && (cpu.cr4 & cpu::kCr4Tsd);
        case Intercept::kRDPMC: return user && !(cpu.cr4 & cpu::kCr4Pce);
        case Intercept::kPUSHF:
        case Intercept::kPOPF:
        case Intercept::kINTN: return cpu.v86() && cpu.iopl() < 3 && !(cpu.cr4 & cpu::kCr4Vme);
        case Intercept::kIRET: return cpu.v86() && cpu.iopl() < 3;
        default: return false;
    }
}

// The value checks of MOV to CRn.
bool cr_value_faults(const Cpu& cpu, unsigned cr, u64 value) {
    switch (cr) {
        case 0:
            return (value >> 32) || ((value & cpu::kCr0Pg) && !(value & cpu::kCr0Pe)) ||
                   ((value & cpu::kCr0Nw) && !(value & cpu::kCr0Cd));
        case 3: return cpu.long_mode() && (value & ~bit(63) & ~low_mask(cpu.model.physical_bits));
        case 4: return value & ~cpu::cr4_allowed(cpu.model);
        case 8: return value > 15;
        default: return false;
    }
}

}  // namespace

Step Svm::exit_at(Cpu& cpu, const Insn& insn, u64 code, u64 info1, u64 info2) {
    vm_exit(cpu, {.code = code, .info1 = info1, .info2 = info2, .next_rip = cpu.next_rip(insn)});
    return Step::kVmExit;
}

Step Svm::intercept(Cpu& cpu, const Insn& insn, Intercept id) {
    if (svm_instruction(id)) {
        if (!(cpu.efer & cpu::kEferSvme)) return cpu.raise_ud();
        if (cpu.cpl != 0) return cpu.raise_gp(0);
    }
    if (faults_first(cpu, id)) return Step::kNext;
    switch (id) {
        case Intercept::kMOV_CR: return intercept_cr(cpu, insn);
        case Intercept::kLMSW: return intercept_lmsw(cpu, insn);
        case Intercept::kMOV_DR: return intercept_dr(cpu, insn);
        case Intercept::kIO: return intercept_io(cpu, insn);
        case Intercept::kRDMSR: return intercept_msr(cpu, insn, false);
        case Intercept::kWRMSR: return intercept_msr(cpu, insn, true);
        case Intercept::kPAUSE: return intercept_pause(cpu, insn);
        case Intercept::kMWAIT: return intercept_mwait(cpu, insn);
        default: break;
    }
    u64 info1 = 0;
    if (decode_assists_ && id == Intercept::kINTN) info1 = static_cast<u8>(insn.imm);
    if (decode_assists_ && id == Intercept::kINVLPG)
        info1 = common::segment_linear(cpu, static_cast<cpu::SegReg>(insn.seg),
                                       common::memory_offset(cpu, insn));
    for (const InterceptRow& row : kRows)
        if (row.id == id && on(row.word, row.bits)) return exit_at(cpu, insn, row.code, info1);
    return Step::kNext;
}

Step Svm::intercept_cr(Cpu& cpu, const Insn& insn) {
    const bool write = insn.imm == 1;
    const unsigned cr = insn.reg[write ? 0 : 1] & 15, gpr = insn.gpr(write ? 1 : 0);
    const u64 info1 = decode_assists_ ? bit(63) | gpr : 0;
    if (!write)
        return on(F::INTERCEPT_CR, bit(cr)) ? exit_at(cpu, insn, exit_code::CR_READ + cr, info1)
                                            : Step::kNext;
    const u64 value = cpu.code64() ? cpu.gpr[gpr] : cpu.gpr[gpr] & 0xFFFFFFFF;
    if (cr_value_faults(cpu, cr, value)) return Step::kNext;
    if (on(F::INTERCEPT_CR, bit(16 + cr)))
        return exit_at(cpu, insn, exit_code::CR_WRITE + cr, info1);
    const u64 changed = (value ^ cpu.cr0) & ~(cpu::kCr0Ts | cpu::kCr0Mp | cpu::kCr0Et);
    if (cr == 0 && on(F::INTERCEPT_1, kSelectiveCr0) && changed)
        return exit_at(cpu, insn, exit_code::CR0_SEL_WRITE, info1);
    return Step::kNext;
}

// For LMSW the selective intercept acts on any value (APM2 15.9).
Step Svm::intercept_lmsw(Cpu& cpu, const Insn& insn) {
    if (on(F::INTERCEPT_CR, bit(16))) return exit_at(cpu, insn, exit_code::CR_WRITE);
    return exit_at(cpu, insn, exit_code::CR0_SEL_WRITE);
}

Step Svm::intercept_dr(Cpu& cpu, const Insn& insn) {
    const bool write = insn.imm == 1;
    const unsigned dr = insn.reg[write ? 0 : 1] & 15;
    const bool undefined = (dr == 4 || dr == 5) && (cpu.cr4 & cpu::kCr4De);
    const bool detected = cpu.dr7 & bit(13);  // GD: #DB
    if (undefined || detected || !on(F::INTERCEPT_DR, bit(dr + (write ? 16 : 0))))
        return Step::kNext;
    const u64 code = (write ? exit_code::DR_WRITE : exit_code::DR_READ) + dr;
    return exit_at(cpu, insn, code, decode_assists_ ? insn.gpr(write ? 1 : 0) : 0);
}

// EXITINFO1: direction 0, string 2, REP 3, operand size 6:4, address size 9:7, segment 12:10, port
// 31:16. EXITINFO2: rIP of the next instruction.
Step Svm::intercept_io(Cpu& cpu, const Insn& insn) {
    const common::IoAccess io = common::decode_io(cpu, insn);
    if (!cpu::check_io(cpu, io.port, io.size)) return Step::kFault;
    if (io.rep && io.count == 0) return Step::kNext;  // no port is touched
    const PhysAddr map = vmcb_[F::IOPM_BASE_PA] & kPageMask;
    const u64 word = cpu.memory.load((map + io.port / 8) & cpu.a20_mask, 2);
    if (!((word >> (io.port & 7)) & low_mask(io.size))) return Step::kNext;
    u64 info1 = io.in | u64{io.string} << 2 | u64{io.rep} << 3 | u64{io.size} << 4 |
                bit(7 + common::address_size_code(insn)) | u64{io.port} << 16;
    if (decode_assists_ && io.string) info1 |= u64{io.segment} << 10;
    return exit_at(cpu, insn, exit_code::IOIO, info1, cpu.next_rip(insn));
}

// Two bits an MSR (read, write), three ranges of 2000H MSRs; those outside always exit.
Step Svm::intercept_msr(Cpu& cpu, const Insn& insn, bool write) {
    constexpr u32 kRanges[] = {0, 0xC0000000, 0xC0010000};
    constexpr u32 kRangeMsrs = 0x2000, kRangeBytes = 0x800;
    const u32 msr = static_cast<u32>(cpu.gpr[cpu::kRcx]);
    bool exits = true;
    for (u32 n = 0; n < std::size(kRanges); ++n) {
        const u32 index = msr - kRanges[n];
        if (index >= kRangeMsrs) continue;
        const PhysAddr at = (vmcb_[F::MSRPM_BASE_PA] & kPageMask) + n * kRangeBytes + index / 4;
        const unsigned shift = (index & 3) * 2 + (write ? 1 : 0);
        exits = (cpu.memory.load(at & cpu.a20_mask, 1) >> shift) & 1;
    }
    return exits ? exit_at(cpu, insn, exit_code::MSR, write) : Step::kNext;
}

// PAUSE filter (APM2 15.14.4): the counter of VMRUN counts down; a PAUSE further from the last one
// than the threshold only starts it afresh.
Step Svm::intercept_pause(Cpu& cpu, const Insn& insn) {
    const u64 count = vmcb_[F::PAUSE_COUNT];
    if (pause_filter_ && count) {
        const u64 now = cpu.tsc(), threshold = vmcb_[F::PAUSE_THRESHOLD];
        const bool new_series = pause_threshold_ && threshold && now - pause_last_ > threshold;
        pause_last_ = now;
        if (new_series) {
            pause_left_ = count;
            return Step::kNext;
        }
        if (pause_left_ > 1) {
            --pause_left_;
            return Step::kNext;
        }
    }
    return exit_at(cpu, insn, exit_code::PAUSE);
}

Step Svm::intercept_mwait(Cpu& cpu, const Insn& insn) {
    if (on(F::INTERCEPT_2, kMwaitAlways)) return exit_at(cpu, insn, exit_code::MWAIT);
    if (on(F::INTERCEPT_2, kMwaitArmed) && cpu.monitor_armed)
        return exit_at(cpu, insn, exit_code::MWAIT_COND);
    return Step::kNext;
}

}  // namespace rm::vt::svm
