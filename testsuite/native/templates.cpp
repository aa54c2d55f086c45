#include "native/templates.h"

#include <algorithm>

namespace rm::native {

namespace {

// The generator's decoder must see what the interpreter's sees (cpu/decode/decoder.cpp).
void configure(ZydisDecoder& d, const cpu::Model& model, Code code) {
    constexpr ZydisMachineMode kModes[] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_MACHINE_MODE_LEGACY_32,
                                           ZYDIS_MACHINE_MODE_LEGACY_16};
    constexpr ZydisStackWidth kStacks[] = {ZYDIS_STACK_WIDTH_64, ZYDIS_STACK_WIDTH_32,
                                           ZYDIS_STACK_WIDTH_16};
    ZydisDecoderInit(&d, kModes[static_cast<u8>(code)], kStacks[static_cast<u8>(code)]);
    for (ZydisDecoderMode off :
         {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_TZCNT,
          ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_CLDEMOTE})
        ZydisDecoderEnableMode(&d, off, ZYAN_FALSE);
    if (model.vendor == cpu::Vendor::kAmd)
        ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
}

bool is_prefix(u8 b, bool legacy) {
    switch (b) {
        case 0x26:
        case 0x2E:
        case 0x36:
        case 0x3E:
        case 0x64:
        case 0x65:
        case 0x66:
        case 0x67:
        case 0xF0:
        case 0xF2:
        case 0xF3: return true;
        default: return !legacy && (b & 0xF0) == 0x40;
    }
}

bool is_string(const ZydisDecodedInstruction& z) {
    return z.meta.category == ZYDIS_CATEGORY_STRINGOP ||
           z.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

u64 mix(u64 h, u64 v) { return (h ^ v) * 0x100000001B3; }

}  // namespace

unsigned write_opcode(const Template& t, u8 rex, u8* out) {
    u8* p = out;
    if (t.operand_size) *p++ = 0x66;
    if (t.repeat) *p++ = t.repeat;
    if (t.rex_w) rex |= 0x48;
    if (rex) *p++ = rex;
    if (t.map != Map::kOneByte) *p++ = 0x0F;
    if (t.map == Map::k0F38) *p++ = 0x38;
    if (t.map == Map::k0F3A) *p++ = 0x3A;
    *p++ = t.opcode;
    return static_cast<unsigned>(p - out);
}

Encodings::Encodings(const cpu::Model& model, cpu::Mode mode, Code code)
    : code_(code),
      mode_(mode),
      decoder_(model),
      by_row_(cpu::instruction_rows().size()),
      signatures_(by_row_.size()) {
    configure(zydis_, model, code_);
    struct Prefixes {
        bool operand_size;
        u8 repeat;
    };
    // Those with fewer prefixes come first, so that a redundant prefix is recognised as such.
    constexpr Prefixes kSets[] = {{false, 0},    {true, 0},    {false, 0xF3},
                                  {false, 0xF2}, {true, 0xF3}, {true, 0xF2}};
    for (Map map : {Map::kOneByte, Map::k0F, Map::k0F38, Map::k0F3A})
        for (unsigned opcode = 0; opcode < 256; ++opcode) {
            if (map == Map::kOneByte &&
                (opcode == 0x0F || is_prefix(static_cast<u8>(opcode), legacy())))
                continue;
            if (map == Map::k0F && (opcode == 0x38 || opcode == 0x3A || opcode == 0x0F)) continue;
            for (const Prefixes& p : kSets)
                for (bool w : {false, true})
                    if (!w || !legacy())
                        scan(map, static_cast<u8>(opcode), p.operand_size, p.repeat, w);
        }
}

bool Encodings::decode(const u8* bytes, unsigned size, u64 rip, ZydisDecodedInstruction& z,
                       ZydisDecodedOperand* operands, cpu::Insn& insn) {
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zydis_, bytes, size, &z, operands))) return false;
    if (decoder_.decode({bytes, size}, mode_, rip, 0, nullptr, insn) != cpu::Decoder::Status::kOk)
        return false;
    return insn.row != 0xFFFF;
}

void Encodings::scan(Map map, u8 opcode, bool operand_size, u8 repeat, bool rex_w) {
    Template base{.map = map,
                  .opcode = opcode,
                  .operand_size = operand_size,
                  .repeat = repeat,
                  .rex_w = rex_w};
    u8 bytes[16] = {};
    const unsigned at = write_opcode(base, 0, bytes);
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    cpu::Insn insn;
    auto try_one = [&](unsigned modrm, bool use_modrm) {
        bytes[at] = static_cast<u8>(modrm);
        if (!decode(bytes, sizeof bytes, 0x100, z, operands, insn)) return false;
        const bool has = z.attributes & ZYDIS_ATTRIB_HAS_MODRM;
        u64 signature = mix(opcode, static_cast<u64>(map));
        signature = mix(signature, insn.size_log2 | insn.kinds << 8 | insn.mem_size_log2 << 16);
        for (unsigned n = 0; n < z.operand_count_visible; ++n)
            signature = mix(mix(signature, operands[n].size),
                            operands[n].type == ZYDIS_OPERAND_TYPE_REGISTER
                                ? ZydisRegisterGetClass(operands[n].reg.value)
                                : 0);
        if (is_string(z)) signature = mix(signature, repeat);
        Template t = base;
        t.memory = has && modrm < 0xC0;
        if (use_modrm) t.modrm = {static_cast<u8>(modrm)};
        signature = mix(signature, has ? (t.memory ? 1 : 2) : 0);
        if (use_modrm == has) add(t, insn.row, signature);
        return !has;
    };
    if (try_one(0, false) || try_one(0xC0, false)) return;
    for (unsigned reg = 0; reg < 8; ++reg) try_one(reg << 3, true);
    for (unsigned modrm = 0xC0; modrm < 0x100; ++modrm) try_one(modrm, true);
}

// Merges ModRM bytes of one form into one template; drops a form whose prefixes change nothing.
void Encodings::add(const Template& t, unsigned row, const u64& signature) {
    auto& list = by_row_[row];
    auto& signatures = signatures_[row];
    for (std::size_t n = 0; n < list.size(); ++n) {
        Template& known = list[n];
        if (known.map != t.map || known.opcode != t.opcode || known.memory != t.memory ||
            signatures[n] != signature)
            continue;
        const bool same_prefixes = known.operand_size == t.operand_size &&
                                   known.repeat == t.repeat && known.rex_w == t.rex_w;
        if (same_prefixes) known.modrm.insert(known.modrm.end(), t.modrm.begin(), t.modrm.end());
        const bool covers =
            t.modrm.empty() || std::ranges::find(known.modrm, t.modrm[0]) != known.modrm.end();
        if (same_prefixes || covers) return;
    }
    list.push_back(t);
    signatures.push_back(signature);
}

}  // namespace rm::native
