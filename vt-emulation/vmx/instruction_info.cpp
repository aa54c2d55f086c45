// The VM-exit instruction-information field. Undefined bits are 0.
// Source: SDM 3C 27.2.5, tables 27-8 to 27-14.
#include "vt-emulation/common/instruction.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::vt::vmx {

namespace {

constexpr u32 kIndexInvalid = 1u << 22, kBaseInvalid = 1u << 27, kRegisterForm = 1u << 10;

}  // namespace

u32 memory_operand_info(const cpu::Cpu&, const cpu::Insn& i) {
    u32 info = common::address_size_code(i) << 7 | u32{i.seg} << 15;
    if (i.index < 16)
        info |= i.scale | u32{i.index} << 18;
    else
        info |= kIndexInvalid;
    if (i.base < 16)
        info |= u32{i.base} << 23;
    else
        info |= kBaseInvalid;
    return info;
}

u32 register_or_memory_info(const cpu::Cpu& cpu, const cpu::Insn& i, unsigned operand) {
    if (i.kind(operand) == cpu::OperandKind::kReg) return kRegisterForm | u32{i.gpr(operand)} << 3;
    return memory_operand_info(cpu, i);
}

u32 string_io_info(const cpu::Insn& i, bool outs, u8 segment) {
    return common::address_size_code(i) << 7 | (outs ? u32{segment} << 15 : 0);
}

}  // namespace rm::vt::vmx
