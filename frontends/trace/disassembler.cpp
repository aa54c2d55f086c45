// Zydis for display. See disassembler.h.
#include "frontends/trace/disassembler.h"

#include <Zydis/Zydis.h>

namespace rm::frontends::trace {

struct Disassembler::Impl {
    ZydisDecoder decoders[3];  // 16, 32, 64 bits
    ZydisFormatter formatter;
    const Symbols& symbols;
    std::string out;

    explicit Impl(const Symbols& s) : symbols(s) {
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

    // Appends " <name+0x1>" for a branch target or RIP-relative operand that has a name.
    void name_target(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* operands,
                     LinearAddr rip, unsigned level) {
        for (unsigned n = 0; n < z.operand_count_visible; ++n) {
            const ZydisDecodedOperand& op = operands[n];
            const bool relative =
                (op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op.imm.is_relative) ||
                (op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.mem.base == ZYDIS_REGISTER_RIP);
            ZyanU64 address = 0;
            if (!relative || !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&z, &op, rip, &address)))
                continue;
            const std::size_t mark = out.size();
            out += " <";
            if (symbols.append(out, level, address))
                out += '>';
            else
                out.resize(mark);
        }
    }
};

Disassembler::Disassembler(const Symbols& symbols) : impl_(std::make_unique<Impl>(symbols)) {}
Disassembler::~Disassembler() = default;

Disassembler::Text Disassembler::disassemble(std::span<const u8> bytes, unsigned code_size,
                                             LinearAddr rip, unsigned level) {
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    const ZydisDecoder& decoder = impl_->decoders[code_size >= 8 ? 2 : code_size >= 4 ? 1 : 0];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &z, operands)))
        return {"(bad)", 0};
    char text[256];
    if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&impl_->formatter, &z, operands,
                                                      z.operand_count_visible, text, sizeof text,
                                                      rip, nullptr)))
        return {"(bad)", 0};
    impl_->out = text;
    impl_->name_target(z, operands, rip, level);
    return {impl_->out, z.length};
}

}  // namespace rm::frontends::trace
