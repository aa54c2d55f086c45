#include "lockstep/generator.h"

#include <algorithm>
#include <cstring>

#include "jit/translate/rows.h"
#include "lockstep/machine.h"

namespace rm::lockstep {

using native::Code;
using native::Map;

namespace {

constexpr unsigned kMaxInsns = 24, kTries = 30;

u64 mix(u64 a, u64 b) { return native::Random(a * 0x9E3779B97F4A7C15 ^ b).next(); }

// Rows that are left out: they end the sequence at once or need a system around them.
bool unwanted(const cpu::Row& row) {
    using cpu::Variant;
    if (row.checks & cpu::kCpl0) return true;
    if (row.variant == Variant::kSegment || row.variant == Variant::kFar ||
        row.variant == Variant::kControl || row.variant == Variant::kDebug)
        return true;
    switch (row.mnemonic) {
        case ZYDIS_MNEMONIC_HLT:
        case ZYDIS_MNEMONIC_SYSCALL:
        case ZYDIS_MNEMONIC_SYSRET:
        case ZYDIS_MNEMONIC_SYSENTER:
        case ZYDIS_MNEMONIC_SYSEXIT:
        case ZYDIS_MNEMONIC_IRET:
        case ZYDIS_MNEMONIC_IRETD:
        case ZYDIS_MNEMONIC_IRETQ:
        case ZYDIS_MNEMONIC_RSM:
        case ZYDIS_MNEMONIC_INT:
        case ZYDIS_MNEMONIC_INT1:
        case ZYDIS_MNEMONIC_INT3:
        case ZYDIS_MNEMONIC_MONITOR:
        case ZYDIS_MNEMONIC_MWAIT:
        case ZYDIS_MNEMONIC_LDS:
        case ZYDIS_MNEMONIC_LES:
        case ZYDIS_MNEMONIC_LFS:
        case ZYDIS_MNEMONIC_LGS:
        case ZYDIS_MNEMONIC_LSS: return true;
        default:
            return std::ranges::any_of(
                cpu::vt_rows(), [&](const cpu::Row& r) { return r.mnemonic == row.mnemonic; });
    }
}

bool is_gpr(ZydisRegister r) {
    const ZydisRegisterClass c = ZydisRegisterGetClass(r);
    return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
           c == ZYDIS_REGCLASS_GPR64;
}
unsigned gpr_number(ZydisRegister r) {
    const ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
    return static_cast<unsigned>(ZydisRegisterGetId(full));
}

}  // namespace

Generator::Generator(u64 seed)
    : seed_(seed), random_(seed), system_(Machine::system_memory()), background_(8 * kPageSize) {
    for (unsigned k = 0; k < kKinds; ++k) fill_rows(static_cast<Kind>(k));
    for (unsigned at = 0; at < background_.size(); at += 64)
        native::fill(random_, native::random_element(random_), background_.data() + at, 64);
}

void Generator::fill_rows(Kind kind) {
    Rows& r = rows_[static_cast<unsigned>(kind)];
    const cpu::Model model = Machine::model(cpu::Vendor::kIntel);
    r.encodings = std::make_unique<native::Encodings>(model, Machine::mode(kind),
                                                      kind == Kind::k64 ? Code::k64 : Code::k32);
    const auto all = cpu::instruction_rows();
    for (u16 n = 0; n < all.size(); ++n) {
        if (r.encodings->of(n).empty() || unwanted(all[n])) continue;
        const bool vector =
            all[n].variant == cpu::Variant::kXmm || all[n].variant == cpu::Variant::kMmx;
        (!jit::build_rows()[n] ? r.others : vector ? r.vector : r.integer).push_back(n);
    }
}

bool Generator::only(const std::string& row) {
    bool any = false;
    restricted_ = true;
    for (Rows& r : rows_) {
        if (row == "integer") {
            r.vector.clear(), r.others.clear();
            // The x87's mnemonics, and no others, begin with F.
            std::erase_if(r.integer,
                          [&](u16 n) { return cpu::instruction_rows()[n].name[0] == 'F'; });
        } else if (row == "vector")
            r.integer.clear(), r.others.clear();
        else
            for (auto* list : {&r.integer, &r.vector, &r.others})
                std::erase_if(*list, [&](u16 n) { return cpu::instruction_rows()[n].name != row; });
        any |= !r.empty();
    }
    return any;
}

Sequence Generator::make(u64 index) {
    random_ = native::Random(mix(seed_, index));
    sequence_ = Sequence{};
    sequence_.seed = seed_;
    sequence_.index = index;
    const unsigned kind = static_cast<unsigned>(random_.below(100));
    sequence_.kind = kind < 60 ? Kind::k64 : kind < 80 ? Kind::kCompat : Kind::kLegacy;
    for (unsigned k = 0; rows().empty(); ++k) sequence_.kind = static_cast<Kind>(k);
    // Few changes of vendor: each has machines of its own.
    sequence_.vendor = (index >> 8) & 1 ? cpu::Vendor::kAmd : cpu::Vendor::kIntel;
    sequence_.cpl = random_.percent(70) ? 3 : 0;
    sequence_.memory = system_;
    std::memcpy(sequence_.memory.data() + kCodePage * kPageSize, background_.data(),
                background_.size());
    std::memcpy(sequence_.memory.data() + kReadOnlyPage * kPageSize, background_.data(),
                4 * kPageSize);
    choose_roles();
    palette_.clear();
    if (random_.percent(30))
        for (u64 n = 2 + random_.below(4); n; --n) palette_.push_back(choose_row());
    // Now and then over the border of the two code pages.
    start_ = used_ = static_cast<unsigned>(random_.percent(12) ? kPageSize - random_.below(60)
                                                               : random_.below(kPageSize / 2));
    branches_.clear();
    const u64 want = 1 + random_.below(kMaxInsns);
    const unsigned idioms = is64() && !restricted_ && random_.percent(25)
                                ? 20 + static_cast<unsigned>(random_.below(60))
                                : 0;
    for (unsigned tries = 0; sequence_.insns.size() < want && tries < 4 * kMaxInsns; ++tries) {
        if (random_.percent(idioms))
            append_idiom();
        else
            (void)append_instruction();
    }
    finish_code();
    fill_registers();
    fill_fpu();
    fill_memory();
    fill_stops();
    return sequence_;
}

void Generator::choose_roles() {
    std::fill(std::begin(roles_), std::end(roles_), Role::kValue);
    roles_[cpu::kRsp] = Role::kStack;
    const unsigned pointers = is64() ? 5 : 3;
    for (unsigned n = 0; n < pointers + 1; ++n) {
        unsigned r;
        do r = 3 + static_cast<unsigned>(random_.below(registers() - 3));
        while (roles_[r] != Role::kValue);
        roles_[r] = n < pointers ? Role::kPointer : Role::kIndex;
    }
    if (random_.percent(60)) roles_[cpu::kRcx] = Role::kIndex;
}

u16 Generator::choose_row() {
    if (!palette_.empty() && random_.percent(90)) return palette_[random_.below(palette_.size())];
    const Rows& r = rows();
    for (;;) {
        const u64 kind = random_.below(100);
        const auto& list = kind < 64 ? r.integer : kind < 93 ? r.vector : r.others;
        if (!list.empty()) return list[random_.below(list.size())];
    }
}

// --- one instruction ---

bool Generator::append_instruction() {
    const u16 row = choose_row();
    const auto& templates = rows().encodings->of(row);
    u8* code = sequence_.memory.data() + kCodePage * kPageSize + used_;
    u8 saved[16];
    std::memcpy(saved, code, sizeof saved);
    for (unsigned tries = 0; tries < kTries; ++tries) {
        if (!encode(row, templates[random_.below(templates.size())], code)) continue;
        if (clobbers_roles() && random_.percent(95)) continue;
        if (!align_operand(code) && random_.percent(90)) continue;
        fill_immediates(code);
        note_branch(used_);
        sequence_.insns.push_back({static_cast<u16>(used_), z_.length});
        used_ += z_.length;
        return true;
    }
    std::memcpy(code, saved, sizeof saved);
    return false;
}

bool Generator::encode(u16 row, const Template& t, u8* out) {
    u8* p = out;
    const bool string = t.map == Map::kOneByte && (t.opcode & 0xF4) == 0xA4;
    const bool address = random_.percent(is64() ? 4 : 1);
    if (random_.percent(4)) {
        constexpr u8 kSegments[] = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x64, 0x65};
        *p++ = kSegments[random_.below(8)];
    }
    if (address) *p++ = 0x67;
    if (t.memory && random_.percent(6)) *p++ = 0xF0;
    if (random_.percent(1)) *p++ = 0x66;
    if (!t.repeat && !string && random_.percent(1)) *p++ = random_.percent(50) ? 0xF2 : 0xF3;
    u8* end;
    if (t.memory && (is64() || !address)) {
        end = write_memory_form(t, p);
    } else {
        const u8 rex =
            is64() && random_.percent(40) ? 0x40 | static_cast<u8>(random_.below(8)) : u8{0};
        p += native::write_opcode(t, rex, p);
        end = t.modrm.empty() ? p : write_register_form(t, p);
    }
    while (end < out + 16) *end++ = random_.byte();
    const u64 rip = kCode + static_cast<u64>(out - sequence_.memory.data()) - kCodePage * kPageSize;
    if (!rows().encodings->decode(out, 15, rip, z_, operands_, insn_) || insn_.row != row)
        return false;
    if (z_.raw.disp.size == 32 && (z_.attributes & ZYDIS_ATTRIB_HAS_MODRM))
        fill_displacement(out, static_cast<unsigned>(rip - kCode));
    return true;
}

u8* Generator::write_register_form(const Template& t, u8* p) {
    u8 modrm = t.modrm[random_.below(t.modrm.size())];
    if (t.memory) modrm = static_cast<u8>(modrm | random_.below(3) << 6 | random_.below(8));
    *p++ = modrm;
    return p;
}

// ModRM, SIB and displacement that mostly use a pointer as base and an index as index.
u8* Generator::write_memory_form(const Template& t, u8* p) {
    auto pick = [&](Role role) {
        for (unsigned tries = 0; tries < 64; ++tries) {
            const unsigned r = static_cast<unsigned>(random_.below(registers()));
            if (roles_[r] == role || tries == 63) return r;
        }
        return 0u;
    };
    const unsigned base = random_.percent(5)    ? static_cast<unsigned>(random_.below(registers()))
                          : random_.percent(10) ? unsigned{cpu::kRsp}
                                                : pick(Role::kPointer);
    unsigned index = random_.percent(25) ? pick(Role::kIndex) : 4u;
    const bool absolute = random_.percent(4);
    const unsigned mod = absolute                                 ? 0
                         : random_.percent(20)                    ? 2
                         : random_.percent(60) || (base & 7) == 5 ? 1
                                                                  : 0;
    u8 rex = 0;
    if (is64()) {
        if (random_.percent(50)) rex |= 0x44;
        if (!absolute && base > 7) rex |= 0x41;
        if (index > 7) rex |= 0x42;
    }
    p += native::write_opcode(t, rex, p);
    const u8 reg = t.modrm.empty() ? u8{0} : t.modrm[random_.below(t.modrm.size())];
    const bool sib = absolute ? random_.percent(40) : (base & 7) == 4 || index != 4;
    if (absolute) {
        *p++ = static_cast<u8>(reg | (sib ? 4 : 5));
        if (sib) *p++ = static_cast<u8>(random_.below(4) << 6 | (index & 7) << 3 | 5);
        return p;
    }
    *p++ = static_cast<u8>(reg | mod << 6 | (sib ? 4u : base & 7));
    if (sib) *p++ = static_cast<u8>(random_.below(4) << 6 | (index & 7) << 3 | (base & 7));
    if (mod == 1) *p++ = static_cast<u8>(random_.percent(60) ? random_.below(64) : random_.byte());
    return p;
}

// Keeps the displacement of a 16-byte operand a multiple of 16, mostly: pointers are aligned. False
// if there is an index, which is not.
bool Generator::align_operand(u8* code) {
    if (insn_.mem_size_log2 != 4 || !(z_.attributes & ZYDIS_ATTRIB_HAS_MODRM) ||
        z_.raw.modrm.mod == 3)
        return true;
    if (z_.raw.disp.size && random_.percent(95)) code[z_.raw.disp.offset] &= 0xF0;
    return insn_.index == cpu::kZeroReg;
}

// True if it writes a register that is meant to keep its role.
bool Generator::clobbers_roles() const {
    for (unsigned n = 0; n < z_.operand_count; ++n) {
        const ZydisDecodedOperand& op = operands_[n];
        if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || !is_gpr(op.reg.value) ||
            !(op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        const Role role = roles_[gpr_number(op.reg.value)];
        const bool hidden = op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
        if (role == Role::kPointer || (role == Role::kStack && !hidden)) return true;
    }
    return false;
}

// 32-bit displacements: small, or an address where there is no base.
void Generator::fill_displacement(u8* code, unsigned at) {
    const auto& raw = z_.raw;
    u64 v = random_.below(256) - 128;
    if (random_.percent(5)) v = native::integer_value(random_);
    const bool rip_relative = is64() && raw.modrm.mod == 0 && raw.modrm.rm == 5;
    const bool absolute = raw.modrm.mod == 0 && (raw.modrm.rm == 5 || raw.modrm.rm == 4);
    if (rip_relative)
        v = data_address() - (kCode + at + z_.length);
    else if (absolute)
        v = data_address();
    const u32 disp = static_cast<u32>(v);
    std::memcpy(code + raw.disp.offset, &disp, 4);
}

void Generator::fill_immediates(u8* code) {
    for (const auto& imm : z_.raw.imm)
        if (imm.size && !imm.is_relative && random_.percent(50)) {
            const u64 v = native::integer_value(random_);
            std::memcpy(code + imm.offset, &v, imm.size / 8);
        }
}

// --- branches ---

void Generator::note_branch(unsigned at) {
    const auto& imm = z_.raw.imm[0];
    if (!imm.size || !imm.is_relative) return;
    branches_.push_back({static_cast<unsigned>(sequence_.insns.size()),
                         static_cast<u16>(at + imm.offset), static_cast<u8>(imm.size / 8)});
}

// The last instruction: mostly a jump to the first one.
void Generator::finish_code() {
    u8* code = sequence_.memory.data() + kCodePage * kPageSize + used_;
    if (random_.percent(88)) {
        code[0] = 0xE9;
        branches_.push_back(
            {static_cast<unsigned>(sequence_.insns.size()), static_cast<u16>(used_ + 1), 4});
        sequence_.insns.push_back({static_cast<u16>(used_), 5});
        const u32 back = start_ - (used_ + 5);
        std::memcpy(code + 1, &back, 4);
        used_ += 5;
        for (const Branch& b : branches_)
            if (b.insn + 1 != sequence_.insns.size()) resolve(b);
    } else {
        constexpr u8 kEnds[] = {0xCC, 0xF4, 0xC3};  // INT3, HLT, RET
        code[0] = kEnds[random_.below(3)];
        sequence_.insns.push_back({static_cast<u16>(used_), 1});
        used_ += 1;
        for (const Branch& b : branches_) resolve(b);
    }
    sequence_.rip = kCode + start_;
}

void Generator::resolve(const Branch& b) {
    if (random_.percent(3)) return;  // wherever it leads
    const auto& insns = sequence_.insns;
    const unsigned end = insns[b.insn].offset + insns[b.insn].length;
    for (unsigned tries = 0; tries < 8; ++tries) {
        u64 target = insns[random_.below(insns.size())].offset;
        if (random_.percent(2)) target += 1;  // into an instruction
        const u64 distance = target - end;
        if (b.size == 1 && distance + 0x80 > 0xFF) continue;
        std::memcpy(sequence_.memory.data() + kCodePage * kPageSize + b.at, &distance, b.size);
        return;
    }
}

}  // namespace rm::lockstep
