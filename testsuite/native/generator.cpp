#include "native/generator.h"

#include <cstring>

#include "base/bits.h"

namespace rm::native {

namespace {

constexpr u64 kCf = 1, kPf = 4, kAf = 16, kZf = 64, kSf = 128, kIf = 0x200, kDf = 0x400,
              kOf = 0x800, kNt = 1 << 14, kAc = 1 << 18, kId = 1 << 21;
constexpr unsigned kRspNumber = 4;
constexpr unsigned kTries = 40;

// Where a meaningless repeat prefix is not ignored by all processors: BSF and BSR become TZCNT and
// LZCNT, and AMD's LOOPE and LOOPNE take their condition from it.
bool reserved_repeat(const Template& t) {
    if (t.map == Map::k0F) return t.opcode == 0xBC || t.opcode == 0xBD;
    return t.map == Map::kOneByte && (t.opcode == 0xE0 || t.opcode == 0xE1);
}

bool is_gpr(ZydisRegister r) {
    const ZydisRegisterClass c = ZydisRegisterGetClass(r);
    return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
           c == ZYDIS_REGCLASS_GPR64;
}
// Number in State::gpr; the high byte registers count as the register they are part of.
unsigned gpr_number(ZydisRegister r) {
    const ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
    return static_cast<unsigned>(ZydisRegisterGetId(full));
}
bool is_memory(const ZydisDecodedOperand& op) {
    return op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.mem.type == ZYDIS_MEMOP_TYPE_MEM;
}
bool is_bit_string(ZydisMnemonic m) {
    return m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR ||
           m == ZYDIS_MNEMONIC_BTC;
}

bool is_interrupt_return(ZydisMnemonic m) {
    return m == ZYDIS_MNEMONIC_IRET || m == ZYDIS_MNEMONIC_IRETD || m == ZYDIS_MNEMONIC_IRETQ;
}

}  // namespace

Generator::Generator(Encodings& encodings, u64 seed, bool segment_bases)
    : encodings_(encodings), random_(seed), segment_bases_(segment_bases) {
    for (unsigned at = 0; at < kScratchBytes; at += 64)
        fill(random_, random_element(random_), background_ + at, 64);
}

bool Generator::make(unsigned row, Case& c) {
    const auto& templates = encodings_.of(row);
    if (templates.empty()) return false;
    for (unsigned tries = 0; tries < kTries; ++tries) {
        if (!encode(row, templates[random_.below(templates.size())], c)) continue;
        fill_state(c);
        std::memcpy(c.memory, background_, kScratchBytes);
        if (!place_operands(c)) continue;
        type_operands(c);
        shape_inputs(c);
        if (c.legacy())
            for (u64& r : c.in.gpr) r &= 0xFFFFFFFF;
        // Whether a misaligned 16-byte operand or FXSAVE image raises #AC is the processor's choice
        // (SDM 2, MOVUPS, FXSAVE).
        for (unsigned n = 0; n < z_.operand_count; ++n)
            if (is_memory(operands_[n]) && (operands_[n].size == 128 || operands_[n].size >= 4096))
                c.in.rflags &= ~kAc;
        note_operand(c);  // the shaping may have changed a register it depends on
        if (operands_harmless(c)) return true;
    }
    return false;
}

// --- encoding ---

bool Generator::encode(unsigned row, const Template& t, Case& c) {
    u8* p = c.bytes;
    const bool legacy = encodings_.legacy();
    if (random_.percent(8)) {
        constexpr u8 kLegacy[] = {0x26, 0x2E, 0x36, 0x3E}, kBased[] = {0x64, 0x65};
        // In 32- and 16-bit code FS and GS are null segments.
        if (legacy ? random_.percent(5) : segment_bases_ && random_.percent(70))
            *p++ = kBased[random_.below(2)];
        else
            *p++ = kLegacy[random_.below(4)];
    }
    if (random_.percent(8)) *p++ = 0x67;
    if (t.memory && random_.percent(8)) *p++ = 0xF0;
    if (random_.percent(3)) *p++ = 0x66;
    if (!t.repeat && !reserved_repeat(t) && random_.percent(2))
        *p++ = random_.percent(50) ? 0xF2 : 0xF3;
    const u8 rex = !legacy && random_.percent(50) ? 0x40 | static_cast<u8>(random_.below(8)) : 0;
    p += write_opcode(t, rex, p);
    if (!t.modrm.empty()) {
        u8 modrm = t.modrm[random_.below(t.modrm.size())];
        if (t.memory) modrm = static_cast<u8>(modrm | random_.below(3) << 6 | random_.below(8));
        *p++ = modrm;
    }
    while (p < c.bytes + sizeof c.bytes) *p++ = random_.byte();
    c.code = encodings_.code();
    if (!encodings_.decode(c.bytes, 15, 0x100, z_, operands_, insn_) || insn_.row != row)
        return false;
    for (const auto& imm : z_.raw.imm)
        if (imm.size && random_.percent(30)) {
            const u64 v = integer_value(random_);
            std::memcpy(c.bytes + imm.offset, &v, imm.size / 8);
        }
    c.length = z_.length;
    c.steps = z_.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || is_interrupt_return(z_.mnemonic);
    c.repeats =
        z_.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
    c.in = State{};
    const u64 room = kCodeBytes - 64;
    c.in.rip =
        kCode - c.code_base() +
        (random_.percent(10) ? kPageSize - random_.below(c.length) : 32 + random_.below(room - 32));
    return encodings_.decode(c.bytes, 15, c.in.rip, z_, operands_, insn_) && insn_.row == row &&
           !loads_thread_pointer();
}

// --- registers ---

void Generator::fill_state(Case& c) {
    State& s = c.in;
    for (u64& r : s.gpr) r = integer_value(random_);
    s.rflags = 2 | kIf | (random_.next() & (kCf | kPf | kAf | kZf | kSf | kOf));
    if (random_.percent(30)) s.rflags |= kDf;
    if (random_.percent(10)) s.rflags |= kId;
    if (random_.percent(5)) s.rflags |= kNt;
    if (random_.percent(2)) s.rflags |= kAc;
    if (segment_bases_ && !c.legacy()) {
        s.fs_base = random_.below(0x4000) << 12 | (random_.percent(30) ? random_.below(4096) : 0);
        s.gs_base = random_.below(0x4000) << 12;
    }
    s.gpr[kRspNumber] = stack_offset();
    fill_fx(s.fx);
}

void Generator::fill_fx(FxImage& fx) {
    fx.fcw = random_.percent(60) ? 0x37F : static_cast<u16>((random_.next() & 0x1F3F) | 0x40);
    if (random_.percent(80)) fx.fcw |= 0x3F;
    fx.fsw = static_cast<u16>(random_.next() & 0x7F00);  // TOP and condition codes
    if (random_.percent(30)) fx.fsw |= static_cast<u16>(random_.next() & 0x7F);
    if ((fx.fsw & ~fx.fcw & 0x3F) && random_.percent(80)) fx.fsw &= fx.fcw | 0xFFC0;
    if (fx.fsw & ~fx.fcw & 0x3F) fx.fsw |= 0x8080;  // ES and B
    fx.tags = random_.percent(65) ? 0xFF : random_.percent(30) ? 0 : random_.byte();
    for (auto& st : fx.st) float80_value(random_, st);
    for (auto& xmm : fx.xmm) fill(random_, random_element(random_), xmm, 16);
    fx.mxcsr = random_.percent(60) ? 0x1F80 : static_cast<u32>(random_.next() & 0xFFFF);
    if (random_.percent(80)) fx.mxcsr |= 0x1F80;
}

// --- addresses ---

// An offset in SS; only the low 16 bits matter to a 16-bit stack.
u64 Generator::stack_offset() {
    if (encodings_.code() != Code::k16) return stack_address();
    return ((stack_address() - kStack16.base) & 0xFFFF) | (random_.next() & 0xFFFF0000);
}

u64 Generator::stack_address() {
    const u64 base = !encodings_.legacy() && random_.percent(20) ? kHighScratch : kScratch;
    const u64 inside = kPageSize + random_.below(kWritableBytes - 2 * kPageSize);
    switch (random_.below(24)) {
        case 0: return base + random_.below(64);                   // pushes leave the area
        case 1: return base + kScratchBytes - random_.below(64);   // pops leave it
        case 2: return base + kWritableBytes + random_.below(64);  // pushes end in read-only
        case 3: return base + kPageSize + random_.below(16);       // page border
        case 4:
            return encodings_.legacy() ? random_.below(16)
                                       : 0x8000'0000'0000 + random_.below(32) - 16;
        case 5: return base + inside;
        default: return base + (inside & ~u64{15});
    }
}

// Address for an operand of `size` bytes; low_only: must be below 2 GiB.
u64 Generator::target_address(unsigned size, bool low_only) {
    const u64 base = !low_only && random_.percent(30) ? kHighScratch : kScratch;
    if (size == 0) size = 1;
    const bool locked =
        (z_.attributes & ZYDIS_ATTRIB_HAS_LOCK) || z_.mnemonic == ZYDIS_MNEMONIC_XCHG;
    u64 mask = ~u64{0};
    if (locked) {
        mask = ~u64{size - 1};
    } else if (random_.percent(65)) {
        mask = size >= 64 ? ~u64{63} : ~u64{15};
    }
    if (!locked && random_.percent(4)) return base + kPageSize - random_.below(size + 1);
    if (!locked && random_.percent(2)) return base + kWritableBytes - random_.below(size + 1);
    if (!locked && random_.percent(2)) return base + kScratchBytes - random_.below(size + 1);
    if (random_.percent(2))
        return base + ((kWritableBytes + random_.below(kPageSize - size)) & mask);
    if (random_.percent(2)) return base - 0x8000 + (random_.below(0x4000) & mask);
    if (!low_only && random_.percent(3))
        return (random_.percent(50) ? 0x8000'0000'0000 : 0xFFFF'8000'0000'1000) +
               (random_.below(0x1000) & mask);
    return base + (random_.below(kWritableBytes - size) & mask);
}

u64 Generator::register_value(const Case& c, ZydisRegister r) const {
    if (r == ZYDIS_REGISTER_NONE) return 0;
    if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP) return c.in.rip + c.length;
    return c.in.gpr[gpr_number(r)] & low_mask(ZydisRegisterGetWidth(z_.machine_mode, r));
}

u64 Generator::segment_base(const Case& c, const ZydisDecodedOperand& op) const {
    const bool segmented = c.code == Code::k16;
    switch (op.mem.segment) {
        case ZYDIS_REGISTER_FS: return c.in.fs_base;
        case ZYDIS_REGISTER_GS: return c.in.gs_base;
        case ZYDIS_REGISTER_CS: return segmented ? kCode16.base : 0;
        case ZYDIS_REGISTER_SS: return segmented ? kStack16.base : 0;
        case ZYDIS_REGISTER_ES: return segmented ? kExtra16.base : 0;
        default: return segmented ? kData16.base : 0;
    }
}

u64 Generator::offset_of(const Case& c, const ZydisDecodedOperand& op) const {
    u64 offset = register_value(c, op.mem.base) + register_value(c, op.mem.index) * op.mem.scale;
    if (op.mem.disp.has_displacement) offset += static_cast<u64>(op.mem.disp.value);
    return offset & low_mask(z_.address_width);
}

u64 Generator::linear_of(const Case& c, const ZydisDecodedOperand& op) const {
    u64 linear = offset_of(c, op) + segment_base(c, op);
    if (c.legacy()) linear &= 0xFFFFFFFF;
    if (!is_bit_string(z_.mnemonic) || operands_[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
        return linear;
    const unsigned bits = operands_[1].size;
    const i64 index =
        static_cast<i64>(sign_extend(register_value(c, operands_[1].reg.value), bits));
    return linear + static_cast<u64>((index >> 3) & -static_cast<i64>(bits / 8));
}

bool Generator::patch_displacement(Case& c, u64 value) {
    const auto& disp = z_.raw.disp;
    if (!disp.size || disp.size == 8) return false;
    const u64 kept = sign_extend(value, disp.size);
    if (disp.size < z_.address_width && kept != value &&
        sign_extend(value, z_.address_width) != kept)
        return false;
    std::memcpy(c.bytes + disp.offset, &value, disp.size / 8);
    return encodings_.decode(c.bytes, c.length, c.in.rip, z_, operands_, insn_);
}

// Makes a memory operand's address what target_address() says, through whatever is still free.
bool Generator::place(Case& c, const ZydisDecodedOperand& op, u32& pinned) {
    const auto& m = op.mem;
    const bool has_base = m.base != ZYDIS_REGISTER_NONE, has_index = m.index != ZYDIS_REGISTER_NONE;
    const bool rip = m.base == ZYDIS_REGISTER_RIP || m.base == ZYDIS_REGISTER_EIP;
    const unsigned bits = z_.address_width;
    // With a segment base the offset stays canonical: AMD looks at it as well as at the sum.
    const bool low =
        bits != 64 || segment_base(c, op) || ((!has_base || rip) && z_.raw.disp.size == 32);
    const u64 want = target_address(op.size / 8, low) - segment_base(c, op);
    const u64 disp = m.disp.has_displacement ? static_cast<u64>(m.disp.value) : 0;
    auto set = [&](ZydisRegister r, u64 value) {
        const unsigned n = gpr_number(r);
        // Bits beyond the address size must not matter.
        const u64 mask = low_mask(ZydisRegisterGetWidth(z_.machine_mode, r) < bits
                                      ? ZydisRegisterGetWidth(z_.machine_mode, r)
                                      : bits);
        c.in.gpr[n] = (value & mask) | (random_.next() & ~mask);
        pinned |= 1u << n;
    };
    auto is_pinned = [&](ZydisRegister r) { return (pinned >> gpr_number(r)) & 1; };
    auto pin = [&](ZydisRegister r) {
        if (r != ZYDIS_REGISTER_NONE && is_gpr(r)) pinned |= 1u << gpr_number(r);
    };
    if (rip) return patch_displacement(c, want - (c.in.rip + c.length));
    if (!has_base && !has_index) return patch_displacement(c, want);
    if (!has_base) {
        if (!is_pinned(m.index)) set(m.index, integer_value(random_) & 0xFFFF);
        return patch_displacement(c, want - register_value(c, m.index) * m.scale);
    }
    if (m.base == m.index) {
        if (!is_pinned(m.base)) set(m.base, (want - disp) / (1u + m.scale));
        return true;
    }
    if (!is_pinned(m.base)) {
        set(m.base, want - disp - register_value(c, m.index) * m.scale);
        pin(m.index);
        return true;
    }
    if (has_index && !is_pinned(m.index)) {
        const i64 distance = static_cast<i64>(want - disp - register_value(c, m.base));
        set(m.index, static_cast<u64>(distance / static_cast<i64>(m.scale)));
        return true;
    }
    pin(m.index);
    if (op.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
        (void)patch_displacement(
            c, want - register_value(c, m.base) - register_value(c, m.index) * m.scale);
    return true;
}

bool Generator::place_operands(Case& c) {
    u32 pinned = 1u << kRspNumber;
    c.operand = 0;
    // A bit index in a register reaches memory around the operand: keep it near.
    if (is_bit_string(z_.mnemonic) && operands_[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        is_memory(operands_[0]))
        c.in.gpr[gpr_number(operands_[1].reg.value)] =
            static_cast<u64>(static_cast<i64>(random_.next()) >> 48);
    for (unsigned n = 0; n < z_.operand_count; ++n)
        if (is_memory(operands_[n]) && !place(c, operands_[n], pinned)) return false;
    note_operand(c);
    return true;
}

void Generator::note_operand(Case& c) const {
    for (unsigned n = 0; n < z_.operand_count_visible; ++n)
        if (is_memory(operands_[n])) c.operand = linear_of(c, operands_[n]);
}

bool Generator::operands_harmless(const Case& c) const {
    for (unsigned n = 0; n < z_.operand_count; ++n)
        if (is_memory(operands_[n])) {
            const u64 size = operands_[n].size / 8;
            if (!harmless(linear_of(c, operands_[n]), size ? size : 1)) return false;
        }
    return true;
}

u8* Generator::memory_at(Case& c, u64 linear, u64 size) const {
    for (u64 base : {kScratch, kHighScratch})
        if (linear - base < kScratchBytes && linear - base + size <= kScratchBytes)
            return c.memory + (linear - base);
    return nullptr;
}

u8* Generator::stack_at(Case& c, u64 size) const {
    const u64 sp = c.in.gpr[kRspNumber];
    return memory_at(c, c.code == Code::k16 ? kStack16.base + (sp & 0xFFFF) : sp, size);
}

u64 Generator::code_pointer() {
    switch (random_.below(8)) {
        case 0:
            return encodings_.legacy() ? random_.next() & 0xFFFFFFFF
                                       : 0x8000'0000'0000 + (random_.next() & 0xFFFF) - 0x8000;
        case 1: return kScratch + random_.below(kScratchBytes);
        case 2: return encodings_.legacy() ? random_.below(0x20000) : random_.next() >> 17;
        default: return (encodings_.code() == Code::k16 ? 0 : kCode) + random_.below(kCodeBytes);
    }
}

}  // namespace rm::native
