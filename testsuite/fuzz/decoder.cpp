// Guest bytes in every mode, for every model: the decoder and the text of instructions.
#include <memory>

#include "base/assert.h"
#include "cpu/decode/decoder.h"
#include "cpu/decode/instruction_text.h"
#include "fuzz.h"

using namespace rm;

std::vector<fuzz::Bytes> fuzz::seeds() {
    return {{0, 2, 0x48, 0x8B, 0x05, 1, 2, 3, 4, 0xF3, 0xA4, 0x66, 0x0F, 0x38, 0x00, 0xC1, 0x0F,
             0x01, 0xC2},
            {1, 1, 0x67, 0x66, 0xC8, 0x10, 0x00, 0x05, 0xEA, 1,
             2, 3, 4,    5,    6,    0xD9, 0xFE, 0x0F, 0xC7, 0x0E},
            {2, 0, 0xF0, 0x0F, 0xB0, 0x0F, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2,
             0xF3, 0xF0, 0x90}};
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    static const cpu::Model models[] = {*cpu::make_model("max"), *cpu::make_model("max,+svm"),
                                        *cpu::make_model("core2duo"),
                                        *cpu::make_model("opteron-f")};
    static cpu::Decoder decoders[] = {cpu::Decoder(models[0]), cpu::Decoder(models[1]),
                                      cpu::Decoder(models[2]), cpu::Decoder(models[3])};
    static cpu::InstructionText text;
    fuzz::Input in(data, size);
    cpu::Decoder& decoder = decoders[in.byte() % 4];
    // Any mode but guest mode, which asks a VT object.
    cpu::Mode mode{in.get<u16>() & ~cpu::Mode::kGuest & ((1u << cpu::Mode::kProfileShift) - 1)};
    if ((mode.word & 3) == 3) mode.word &= ~u32{1};
    const auto bytes = in.rest();
    for (size_t at = 0; at < bytes.size();) {
        cpu::Insn insn;
        const auto status = decoder.decode(bytes.subspan(at), mode, 0xFFFFFFFFFFFFFFF0,
                                           static_cast<u16>(at), nullptr, insn);
        const auto& line = text.of(bytes.subspan(at), mode.code_size_log2(), at);
        RM_ASSERT(line.length <= 15, "an instruction has 15 bytes at most");
        if (status == cpu::Decoder::Status::kNeedMore) {
            RM_ASSERT(bytes.size() - at < 15, "15 bytes are always enough");
            break;
        }
        RM_ASSERT(insn.fn && insn.length >= 1 && insn.length <= 15,
                  "every instruction has a handler and a length");
        at += insn.length;
    }
    return 0;
}
