// Descriptor checks shared by segment loads, far transfers, event delivery and task switches.
// Functions that return bool: false = cpu.raised is set. Error codes carry the EXT bit of the event
// being delivered, if any (SDM 3A 6.13).
#pragma once
#include "cpu/cpu.h"

namespace rm::cpu {

inline u32 selector_error(const Cpu& cpu, u16 selector) { return (selector & 0xFFFCu) | cpu.ext; }

Segment null_segment(u16 selector);

// Linear address of a selector's descriptor; false if its `size` bytes exceed the table.
bool descriptor_address(const Cpu& cpu, u16 selector, unsigned size, LinearAddr& at);
// TSS or LDT descriptor, 16 bytes in long mode. `type` = type field, + 10H for code and data.
[[nodiscard]] bool read_system_descriptor(Cpu& cpu, u16 selector, Segment& out, LinearAddr& at,
                                          u8 vector, unsigned& type);
// Sets the accessed bit in the descriptor at `at` and in s.
[[nodiscard]] bool mark_accessed(Cpu& cpu, LinearAddr at, Segment& s);
// Reads and checks a stack (data) segment for privilege level `level`; bad selectors raise `vector`
// (#GP or #TS), absent ones #SS (#NP). Not for null selectors.
[[nodiscard]] bool check_stack_segment(Cpu& cpu, u16 selector, unsigned level, u8 vector,
                                       Segment& out);
[[nodiscard]] bool check_data_segment(Cpu& cpu, u16 selector, u8 vector, Segment& out);

// Stores and derives the ranges. Inline: a segment that the caller has just put together then comes
// from registers; copied from memory as a whole it would wait for the stores of its parts.
inline void set_segment(Cpu& cpu, SegReg r, const Segment& s) {
    cpu.seg[r] = s;
    cpu.update_segment(r);
}
// After a return to an outer level: data segments it may not see become null (SDM 2, RET).
void drop_inaccessible_segments(Cpu& cpu);

}  // namespace rm::cpu
