// What an exit has to say about the instruction that caused it, shared by both vendors: its memory
// operand, its port access, and the guest's surroundings for a record.
// Sources: SDM 1 3.7.5 (addresses), 19 (I/O); SDM 3C 27.2.5; APM2 15.10.2.
#pragma once
#include "cpu/cpu.h"
#include "vt-emulation/common/exit_record.h"

namespace rm::vt::common {

// Address size of the instruction: 0 = 16 bits, 1 = 32, 2 = 64 (the exit fields' encoding).
constexpr unsigned address_size_code(const cpu::Insn& i) {
    return i.addr == cpu::AddrMode::k64 ? 2 : i.addr == cpu::AddrMode::kLegacy16 ? 0 : 1;
}
constexpr u64 address_mask(const cpu::Insn& i) {
    return i.addr == cpu::AddrMode::k64         ? ~u64{0}
           : i.addr == cpu::AddrMode::kLegacy16 ? 0xFFFF
                                                : 0xFFFFFFFF;
}

// Offset of the memory operand in its segment, truncated to the address size.
u64 memory_offset(const cpu::Cpu& cpu, const cpu::Insn& i);
// Segment base applied, without limit or canonicality checks.
LinearAddr segment_linear(const cpu::Cpu& cpu, cpu::SegReg s, u64 offset);

struct IoAccess {
    u16 port = 0;
    u8 size = 1;  // bytes: 1, 2, 4
    bool in = false, string = false, rep = false, immediate = false;
    u8 segment = cpu::kDs;  // memory side of a string instruction
    LinearAddr linear = 0;  // string instructions: current address of the memory operand
    u64 count = 1;          // REP: current count, truncated to the address size
};
// insn is IN, OUT, INS or OUTS (intercept id IO).
IoAccess decode_io(const cpu::Cpu& cpu, const cpu::Insn& i);

// The guest-side members of a record as the state is now: rip .. code_size, and with `bytes` the
// instruction bytes, read without side effects.
void capture_guest(const cpu::Cpu& cpu, ExitRecord& record, bool bytes);
// vCPU, tick and time.
void fill_head(const cpu::Cpu& cpu, RecordHead& head);

}  // namespace rm::vt::common
