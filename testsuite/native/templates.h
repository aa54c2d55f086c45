// All encodings of every instruction row, found by decoding every opcode of every map under every
// prefix set: independent of an encoder, and complete for what the decoder knows.
#pragma once
#include <Zydis/Zydis.h>

#include <vector>

#include "cpu/decode/decoder.h"
#include "native/state.h"

namespace rm::native {

enum class Map : u8 { kOneByte, k0F, k0F38, k0F3A };

// One opcode under one prefix set, in memory or register form.
struct Template {
    Map map = Map::kOneByte;
    u8 opcode = 0;
    bool operand_size = false;  // 66H
    u8 repeat = 0;              // 0, F2H or F3H
    bool rex_w = false;
    bool memory = false;    // ModRM names memory: mod, rm and what follows are free
    std::vector<u8> modrm;  // ModRM bytes that belong to the row; memory: with mod = rm = 0
};

class Encodings {
public:
    Encodings(const cpu::Model& model, cpu::Mode mode, Code code);
    const std::vector<Template>& of(unsigned row) const { return by_row_[row]; }
    // Decodes as the interpreter does; false if undecodable or without a row.
    bool decode(const u8* bytes, unsigned size, u64 rip, ZydisDecodedInstruction& z,
                ZydisDecodedOperand* operands, cpu::Insn& insn);
    Code code() const { return code_; }
    bool legacy() const { return code_ != Code::k64; }

private:
    void scan(Map map, u8 opcode, bool operand_size, u8 repeat, bool rex_w);
    void add(const Template& t, unsigned row, const u64& signature);

    Code code_;
    cpu::Mode mode_;
    cpu::Decoder decoder_;
    ZydisDecoder zydis_;
    std::vector<std::vector<Template>> by_row_;
    // What an encoding means, to drop those whose prefixes change nothing.
    std::vector<std::vector<u64>> signatures_;
};

// Bytes of `t` before the ModRM byte, with `rex` (0 = none unless the template needs one).
unsigned write_opcode(const Template& t, u8 rex, u8* out);

}  // namespace rm::native
