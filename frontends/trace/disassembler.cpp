// Zydis for display. See disassembler.h.
#include "frontends/trace/disassembler.h"

#include <Zydis/Zydis.h>

namespace rm::frontends::trace {

struct Disassembler::Impl {
    ZydisDecoder decoders[3];  // 16, 32, 64 bits
    ZydisFormatter formatter;
    ZydisFormatterFunc print_address = nullptr;  // Zydis' own
    const Symbols& symbols;
    unsigned level = 0;
    std::string symbol;
    char text[256] = {};

    explicit Impl(const Symbols& s) : symbols(s) {
        ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
        ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
        ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING, 0);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING, 0);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, 0);
        const void* function = reinterpret_cast<const void*>(&with_symbol);
        ZydisFormatterSetHook(&formatter, ZYDIS_FORMATTER_FUNC_PRINT_ADDRESS_ABS, &function);
        print_address = reinterpret_cast<ZydisFormatterFunc>(const_cast<void*>(function));
    }

    // Prints an absolute address and, if there is one, its symbol.
    static ZyanStatus with_symbol(const ZydisFormatter* formatter, ZydisFormatterBuffer* buffer,
                                  ZydisFormatterContext* context) {
        Impl& self = *static_cast<Impl*>(context->user_data);
        const ZyanStatus status = self.print_address(formatter, buffer, context);
        ZyanU64 address = 0;
        if (!ZYAN_SUCCESS(status) ||
            !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(context->instruction, context->operand,
                                                   context->runtime_address, &address)))
            return status;
        self.symbol = " <";
        if (!self.symbols.append(self.symbol, self.level, address)) return status;
        self.symbol += '>';
        ZyanString* out = nullptr;
        ZYAN_CHECK(ZydisFormatterBufferGetString(buffer, &out));
        ZyanStringView view;
        ZYAN_CHECK(ZyanStringViewInsideBufferEx(&view, self.symbol.data(), self.symbol.size()));
        ZyanStringAppend(out, &view);  // a name too long for the line is left out
        return ZYAN_STATUS_SUCCESS;
    }
};

Disassembler::Disassembler(const Symbols& symbols) : impl_(std::make_unique<Impl>(symbols)) {}
Disassembler::~Disassembler() = default;

Disassembler::Text Disassembler::disassemble(std::span<const u8> bytes, unsigned code_size,
                                             LinearAddr rip, unsigned level) {
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    const ZydisDecoder& decoder = impl_->decoders[code_size >= 8 ? 2 : code_size >= 4 ? 1 : 0];
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &z, operands)))
        return {"(bad)", 0};
    impl_->level = level;
    if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&impl_->formatter, &z, operands,
                                                      z.operand_count_visible, impl_->text,
                                                      sizeof impl_->text, rip, impl_.get())))
        return {"(bad)", 0};
    return {impl_->text, z.length};
}

}  // namespace rm::frontends::trace
