// Zydis for display. See instruction_text.h.
#include "cpu/decode/instruction_text.h"

#include <Zydis/Zydis.h>

#include <iterator>

#include "base/assert.h"

namespace rm::cpu {

struct InstructionText::Impl {
    ZydisDecoder decoders[3];  // 16, 32, 64 bits
    ZydisFormatter formatter;
    Line line;

    Impl() {
        ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
        ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
        ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
        for (const auto padding :
             {ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_FORMATTER_PROP_IMM_PADDING,
              ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE})
            ZydisFormatterSetProperty(&formatter, padding, 0);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
    }

    void find_targets(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* operands,
                      u64 rip) {
        for (unsigned n = 0; n < z.operand_count_visible; ++n) {
            const ZydisDecodedOperand& op = operands[n];
            const bool relative =
                (op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op.imm.is_relative) ||
                (op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.mem.base == ZYDIS_REGISTER_RIP);
            ZyanU64 address = 0;
            if (relative && line.target_count < std::size(line.targets) &&
                ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&z, &op, rip, &address)))
                line.targets[line.target_count++] = address;
        }
    }
};

InstructionText::InstructionText() : impl_(std::make_unique<Impl>()) {}
InstructionText::~InstructionText() = default;

const InstructionText::Line& InstructionText::of(std::span<const u8> bytes, unsigned code_size_log2,
                                                 u64 rip) {
    RM_ASSERT(code_size_log2 >= 1 && code_size_log2 <= 3, "16, 32 or 64 bits");
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    Line& line = impl_->line;
    line.text = "(bad)";
    line.length = line.target_count = 0;
    char text[256];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&impl_->decoders[code_size_log2 - 1], bytes.data(),
                                             bytes.size(), &z, operands)) ||
        !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&impl_->formatter, &z, operands,
                                                      z.operand_count_visible, text, sizeof text,
                                                      rip, nullptr)))
        return line;
    line.text = text;
    line.length = z.length;
    impl_->find_targets(z, operands, rip);
    return line;
}

}  // namespace rm::cpu
