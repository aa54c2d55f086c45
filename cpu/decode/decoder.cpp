#include "cpu/decode/decoder.h"

#include <Zydis/Zydis.h>

#include <cstring>
#include <vector>

#include "base/log.h"
#include "cpu/cpu.h"
#include "cpu/decode/instruction_text.h"

namespace rm::cpu {

namespace {

// --- handlers of instructions that cannot run ---
Step raise_ud_handler(Cpu& cpu, const Insn&) { return cpu.raise_ud(); }
Step raise_nm_handler(Cpu& cpu, const Insn&) { return cpu.raise_nm(); }
Step raise_gp_handler(Cpu& cpu, const Insn&) { return cpu.raise_gp(0); }

// Runs an instruction whose class the current profile intercepts, always or sometimes.
Step intercept_handler(Cpu& cpu, const Insn& i) {
    const Row& row = instruction_rows()[i.row];
    if (Step s = cpu.vt->intercept(cpu, i, row.intercept); s != Step::kNext) return s;
    // The body must see the block left afterwards only where its own row says so.
    return row.select(i)(cpu, i);
}
// As above where the intercept comes before the privilege check.
Step intercept_before_cpl_handler(Cpu& cpu, const Insn& i) {
    const Row& row = instruction_rows()[i.row];
    if (Step s = cpu.vt->intercept(cpu, i, row.intercept); s != Step::kNext) return s;
    if (cpu.cpl != 0) return cpu.raise_gp(0);
    return row.select(i)(cpu, i);
}

// The mode checks of a row, in the order of enum Check. Null: none fails.
Handler failing_check(u16 checks, Mode mode) {
    const bool em = mode.has(Mode::kEm), ts = mode.has(Mode::kTs), mp = mode.has(Mode::kMp);
    if ((checks & kProtectedOnly) && mode.real_or_v86()) return raise_ud_handler;
    if ((checks & kMmxCheck) && em) return raise_ud_handler;
    if ((checks & kSseCheck) && (em || !mode.has(Mode::kOsfxsr))) return raise_ud_handler;
    if ((checks & (kXsaveCheck | kOsxsaveOnly)) && !mode.has(Mode::kOsxsave))
        return raise_ud_handler;
    if ((checks & (kX87 | kFxsaveCheck)) && (em || ts)) return raise_nm_handler;
    if ((checks & (kMmxCheck | kSseCheck | kXsaveCheck)) && ts) return raise_nm_handler;
    if ((checks & kWaitCheck) && mp && ts) return raise_nm_handler;
    return nullptr;
}

u8 gpr8_offset(ZydisRegister r) {
    const unsigned n = r - ZYDIS_REGISTER_AL;
    if (n < 4) return static_cast<u8>(n * 8);
    if (n < 8) return static_cast<u8>((n - 4) * 8 + 1);
    return static_cast<u8>((n - 4) * 8);
}

u8 gpr_number(ZydisRegister r) {
    return r == ZYDIS_REGISTER_NONE ? u8{kZeroReg} : static_cast<u8>(ZydisRegisterGetId(r));
}

// Register operand as Insn::reg wants it; raises the variant to the most special class seen.
u8 register_operand(ZydisRegister r, Variant& variant) {
    auto at_least = [&](Variant v) {
        if (v > variant) variant = v;
    };
    switch (ZydisRegisterGetClass(r)) {
        case ZYDIS_REGCLASS_GPR8: return gpr8_offset(r);
        case ZYDIS_REGCLASS_GPR16:
        case ZYDIS_REGCLASS_GPR32:
        case ZYDIS_REGCLASS_GPR64: return static_cast<u8>(ZydisRegisterGetId(r) * 8);
        case ZYDIS_REGCLASS_SEGMENT: at_least(Variant::kSegment); break;
        case ZYDIS_REGCLASS_CONTROL: at_least(Variant::kControl); break;
        case ZYDIS_REGCLASS_DEBUG: at_least(Variant::kDebug); break;
        case ZYDIS_REGCLASS_X87: at_least(Variant::kX87); break;
        case ZYDIS_REGCLASS_MMX: at_least(Variant::kMmx); break;
        case ZYDIS_REGCLASS_XMM: at_least(Variant::kXmm); break;
        default: break;
    }
    return static_cast<u8>(ZydisRegisterGetId(r));
}

u8 segment_number(ZydisRegister r) {
    switch (r) {
        case ZYDIS_REGISTER_ES: return kEs;
        case ZYDIS_REGISTER_CS: return kCs;
        case ZYDIS_REGISTER_SS: return kSs;
        case ZYDIS_REGISTER_FS: return kFs;
        case ZYDIS_REGISTER_GS: return kGs;
        default: return kDs;
    }
}

u8 size_code(unsigned bits) {
    switch (bits) {
        case 8: return 0;
        case 16: return 1;
        case 32: return 2;
        case 64: return 3;
        case 128: return 4;
        case 80: return 5;
        default: return 6;
    }
}

bool is_gpr(ZydisRegister r) {
    const ZydisRegisterClass c = ZydisRegisterGetClass(r);
    return c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64;
}

bool is_string(const ZydisDecodedInstruction& z) {
    return z.meta.category == ZYDIS_CATEGORY_STRINGOP ||
           z.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

// Does it name an address by its distance, as a branch does or an operand [rip + n]?
bool is_relative(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* ops) {
    for (unsigned n = 0; n < z.operand_count_visible; ++n) {
        const ZydisDecodedOperand& op = ops[n];
        if (op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op.imm.is_relative) return true;
        if (op.type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (op.mem.base == ZYDIS_REGISTER_RIP || op.mem.base == ZYDIS_REGISTER_EIP))
            return true;
    }
    return false;
}

bool is_near_branch(const ZydisDecodedInstruction& z) {
    return z.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT ||
           z.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;
}

// 0F 0D with a register: a reserved NOP at Intel, undefined at AMD (APM3 PREFETCH).
bool is_register_prefetch(const ZydisDecodedInstruction& z) {
    return z.opcode_map == ZYDIS_OPCODE_MAP_0F && z.opcode == 0x0D && z.raw.modrm.mod == 3;
}

}  // namespace

// What 64-bit instructions have been decoded to, by their bytes: programs repeat a few of them.
class RecentInsns {
public:
    struct alignas(64) Entry {
        Insn insn;  // fn null: none
        Mode mode;
        u8 bytes[15];
        bool relative;  // imm is, to the instruction's pointer
    };
    static_assert(sizeof(Entry) == 64);

    Entry& of(u32 first_bytes, Mode mode) {
        const u32 key = (first_bytes & mask(first_bytes)) ^ mode.word << 8;
        return entries_[key * 0x9E3779B1u >> (32 - kBits)];
    }

private:
    static constexpr unsigned kBits = 11;
    std::vector<Entry> entries_ = std::vector<Entry>(1u << kBits);

    // The bytes that tell instructions apart: no more than it has, or the next one would as well.
    // Only a guess, the bytes are compared.
    static u32 mask(u32 w) {
        const bool rex = (w & 0xF0) == 0x40;
        const u32 opcode = rex ? w >> 8 & 0xFF : w & 0xFF, modrm = (rex ? w >> 16 : w >> 8) & 0xFF;
        unsigned n = rex ? 2 : 1;
        if ((opcode & 0xF0) == 0x70 || opcode == 0xEB)  // short jumps
            n += 1;
        else if ((opcode & 0xF0) != 0x50 && opcode != 0xC3)  // not PUSH, POP, RET
            n += modrm >= 0xC0 && (opcode & 0xFC) != 0x80 ? 1 : 2;
        return n >= 4 ? ~u32{0} : (1u << 8 * n) - 1;
    }
};

struct Decoder::Impl {
    const Model& model;
    ZydisDecoder zydis[3];  // 16, 32, 64 bits
    InstructionText text;   // of -d in_asm
    RecentInsns recent;

    explicit Impl(const Model& m) : model(m) {
        const ZydisMachineMode modes[3] = {
            ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64};
        const ZydisStackWidth widths[3] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
                                           ZYDIS_STACK_WIDTH_64};
        for (unsigned n = 0; n < 3; ++n) {
            ZydisDecoderInit(&zydis[n], modes[n], widths[n]);
            // Without the feature, F3 0F BC/BD and the MPX and CET opcodes mean what they meant
            // before.
            ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
            ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
            ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_LZCNT,
                                   m.features.has(Feature::k_abm));
            ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
            ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
            ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
            if (m.vendor == Vendor::kAmd)
                ZydisDecoderEnableMode(&zydis[n], ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
        }
    }

    static void set_operands(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* ops,
                             u64 rip, Insn& out, Variant& variant);
    static void set_memory(const ZydisDecodedInstruction& z, const ZydisDecodedOperand& op, u64 rip,
                           Insn& out);
    static void set_immediate(const ZydisDecodedInstruction& z, const ZydisDecodedOperand& op,
                              u64 rip, Insn& out, bool first);
    void choose_handler(const Row& row, Mode mode, const Virtualization* vt, Insn& out) const;
    void decode_xchg_r8(std::span<const u8> bytes, ZydisDecodedInstruction& z,
                        ZydisDecodedOperand* ops) const;
    void log_text(std::span<const u8> bytes, Mode mode, u64 rip);
};

Decoder::Decoder(const Model& model) : impl_(std::make_unique<Impl>(model)) {}
Decoder::~Decoder() = default;

void Decoder::Impl::set_memory(const ZydisDecodedInstruction& z, const ZydisDecodedOperand& op,
                               u64 rip, Insn& out) {
    out.seg = segment_number(op.mem.segment);
    out.mem_size_log2 = size_code(op.size);
    out.disp = op.mem.disp.has_displacement ? static_cast<u64>(op.mem.disp.value) : 0;
    if (op.mem.base == ZYDIS_REGISTER_RIP || op.mem.base == ZYDIS_REGISTER_EIP) {
        out.disp += rip + z.length;
    } else if (z.address_width != 16 && z.raw.modrm.mod == 0 && z.raw.modrm.rm == 4 &&
               z.raw.sib.base == 5 && (z.attributes & ZYDIS_ATTRIB_HAS_SIB)) {
        // No base, disp32: Zydis 4.0 reads r13d here if there are a 67H prefix and REX.B.
        out.disp = static_cast<u64>(z.raw.disp.value);
    } else {
        out.base = gpr_number(op.mem.base);
        // POP computes its destination with the incremented stack pointer (SDM 2, POP).
        if (z.mnemonic == ZYDIS_MNEMONIC_POP && out.base == kRsp) out.disp += z.operand_width / 8;
    }
    if (op.mem.index != ZYDIS_REGISTER_NONE) {
        out.index = gpr_number(op.mem.index);
        out.scale = static_cast<u8>(std::countr_zero(op.mem.scale));
    }
}

void Decoder::Impl::set_immediate(const ZydisDecodedInstruction& z, const ZydisDecodedOperand& op,
                                  u64 rip, Insn& out, bool first) {
    if (op.imm.is_relative) {
        const u64 mask = low_mask(z.operand_width);
        out.imm = (rip + z.length + static_cast<u64>(op.imm.value.s)) & mask;
    } else if (first) {
        out.imm = op.imm.is_signed ? static_cast<u64>(op.imm.value.s) : op.imm.value.u;
    } else {
        out.imm |= op.imm.value.u << 32;  // ENTER's level, EXTRQ/INSERTQ's second byte
    }
}

void Decoder::Impl::set_operands(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* ops,
                                 u64 rip, Insn& out, Variant& variant) {
    bool immediate_seen = false, memory_seen = false;
    for (unsigned n = 0; n < z.operand_count_visible && n < 4; ++n) {
        const ZydisDecodedOperand& op = ops[n];
        OperandKind kind = OperandKind::kNone;
        switch (op.type) {
            case ZYDIS_OPERAND_TYPE_REGISTER:
                kind = OperandKind::kReg;
                if (n < 3) out.reg[n] = register_operand(op.reg.value, variant);
                if (n == 1 && !memory_seen) out.mem_size_log2 = size_code(op.size);
                break;
            case ZYDIS_OPERAND_TYPE_MEMORY:
                kind = OperandKind::kMem;
                memory_seen = true;
                set_memory(z, op, rip, out);
                break;
            case ZYDIS_OPERAND_TYPE_IMMEDIATE:
                kind = OperandKind::kImm;
                set_immediate(z, op, rip, out, !immediate_seen);
                immediate_seen = true;
                break;
            case ZYDIS_OPERAND_TYPE_POINTER:
                kind = OperandKind::kImm;
                out.imm = op.ptr.offset;
                out.disp = op.ptr.segment;
                break;
            default: break;
        }
        out.kinds |= static_cast<u8>(static_cast<u8>(kind) << (2 * n));
    }
}

void Decoder::Impl::choose_handler(const Row& row, Mode mode, const Virtualization* vt,
                                   Insn& out) const {
    const Handler body = model.features.has(row.feature) ? row.select(out) : nullptr;
    if (!body) {
        out.fn = raise_ud_handler;
        return;
    }
    if (Handler h = failing_check(row.checks, mode)) {
        out.fn = h;
        return;
    }
    const bool intercepted = mode.guest() && row.intercept != Intercept::kNone &&
                             vt->answer(mode.profile(), row.intercept) != InterceptAnswer::kNever;
    const bool needs_cpl0 = (row.checks & kCpl0) && mode.cpl() != 0;
    if (intercepted && (row.checks & kInterceptBeforeCpl) && (row.checks & kCpl0))
        out.fn = intercept_before_cpl_handler;
    else if (needs_cpl0)
        out.fn = raise_gp_handler;
    else
        out.fn = intercepted ? intercept_handler : body;
}

// F3 90 with REX.B is XCHG R8, RAX under a repeat prefix that means nothing, not PAUSE (SDM 2B 4.3,
// NOP and PAUSE): decoded again without its F3 bytes.
void Decoder::Impl::decode_xchg_r8(std::span<const u8> bytes, ZydisDecodedInstruction& z,
                                   ZydisDecodedOperand* ops) const {
    u8 plain[15];
    unsigned size = 0;
    for (u8 byte : bytes.first(z.length))
        if (byte != 0xF3) plain[size++] = byte;
    const unsigned dropped = z.length - size;
    (void)ZydisDecoderDecodeFull(&zydis[2], plain, size, &z, ops);
    z.length = static_cast<ZyanU8>(z.length + dropped);
}

void Decoder::Impl::log_text(std::span<const u8> bytes, Mode mode, u64 rip) {
    const InstructionText::Line& line = text.of(bytes, mode.code_size_log2(), rip);
    if (line.length == 0 && bytes.size() < 15) return;  // asked again with the rest of its bytes
    log::write(log::Item::kInAsm, "%llx: %s\n", static_cast<unsigned long long>(rip),
               line.text.c_str());
}

Decoder::Status Decoder::decode(std::span<const u8> bytes, Mode mode, u64 block_rip, u16 offset,
                                const Virtualization* vt, Insn& out) {
    const u64 rip = block_rip + offset;
    if (log::enabled(log::Item::kInAsm) && log::in_address_ranges(rip, rip))
        impl_->log_text(bytes, mode, rip);
    Again again = Again::kNowhere;
    if (!mode.code64() || bytes.size() < 15) {
        const Status status = decode_anew(bytes, mode, rip, vt, out, again);
        out.offset = offset;
        return status;
    }
    u32 first;
    std::memcpy(&first, bytes.data(), sizeof first);
    RecentInsns::Entry& e = impl_->recent.of(first, mode);
    if (e.insn.fn && e.mode == mode && !std::memcmp(e.bytes, bytes.data(), e.insn.length)) {
        out = e.insn;
        out.offset = offset;
        if (e.relative) out.imm += rip;
        return Status::kOk;
    }
    const Status status = decode_anew(bytes, mode, rip, vt, out, again);
    out.offset = offset;
    if (again == Again::kNowhere) return status;
    e.insn = out;
    e.mode = mode;
    std::memcpy(e.bytes, bytes.data(), sizeof e.bytes);
    e.relative = again == Again::kRelative;
    if (e.relative) e.insn.imm -= rip;
    return status;
}

Decoder::Status Decoder::decode_anew(std::span<const u8> bytes, Mode mode, u64 rip,
                                     const Virtualization* vt, Insn& out, Again& again) {
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    out = Insn{};
    const unsigned available = bytes.size() < 15 ? static_cast<unsigned>(bytes.size()) : 15;
    const ZydisDecoder& zydis = impl_->zydis[mode.code_size_log2() - 1];
    ZydisDecoderContext zydis_context;
    ZyanStatus status =
        ZydisDecoderDecodeInstruction(&zydis, &zydis_context, bytes.data(), available, &z);
    // Operands that are not written in the instruction are its body's business.
    if (ZYAN_SUCCESS(status))
        status =
            ZydisDecoderDecodeOperands(&zydis, &zydis_context, &z, ops, z.operand_count_visible);
    out.row = 0xFFFF;
    out.length = 1;
    if (status == ZYDIS_STATUS_NO_MORE_DATA) {
        if (available < 15) return Status::kNeedMore;
        out.fn = raise_gp_handler;  // longer than 15 bytes (SDM 3A 6.15, #GP)
        return Status::kOk;
    }
    if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) {
        out.fn = raise_gp_handler;
        return Status::kOk;
    }
    if (!ZYAN_SUCCESS(status)) {
        out.fn = raise_ud_handler;
        return Status::kOk;
    }
    if (z.mnemonic == ZYDIS_MNEMONIC_PAUSE && z.raw.rex.B) impl_->decode_xchg_r8(bytes, z, ops);
    // AMD: an operand-size prefix makes a near branch in 64-bit code a 16-bit one (APM3 1.2.4).
    if (impl_->model.vendor == Vendor::kAmd && mode.code64() && is_near_branch(z) &&
        (z.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) && !z.raw.rex.W)
        z.operand_width = 16;
    out.length = z.length;
    out.size_log2 = size_code(z.operand_width ? z.operand_width : 32);
    out.addr = z.address_width == 64   ? AddrMode::k64
               : mode.code64()         ? AddrMode::k64In32
               : z.address_width == 32 ? AddrMode::kLegacy32
                                       : AddrMode::kLegacy16;
    for (unsigned n = 0; n < z.raw.prefix_count; ++n) {
        switch (z.raw.prefixes[n].value) {
            case 0xF3: out.prefixes = (out.prefixes & ~kPrefixRepne) | kPrefixRep; break;
            case 0xF2: out.prefixes = (out.prefixes & ~kPrefixRep) | kPrefixRepne; break;
            case 0xF0: out.prefixes |= kPrefixLock; break;
            case 0x66: out.prefixes |= kPrefixOpSize; break;
            case 0x26:
                if (!mode.code64()) out.seg = kEs;
                break;
            case 0x2E:
                if (!mode.code64()) out.seg = kCs;
                break;
            case 0x36:
                if (!mode.code64()) out.seg = kSs;
                break;
            case 0x3E:
                if (!mode.code64()) out.seg = kDs;
                break;
            case 0x64: out.seg = kFs; break;
            case 0x65: out.seg = kGs; break;
            default: break;
        }
    }
    Variant variant = Variant::kGeneral;
    if (!is_string(z)) {
        Impl::set_operands(z, ops, rip, out, variant);
        if (z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) variant = Variant::kFar;
        // Both operands can be registers: only the opcode tells the direction (0F 20-23, 8C, 8E).
        if (variant == Variant::kControl || variant == Variant::kDebug ||
            variant == Variant::kSegment)
            out.imm = (z.opcode >> 1) & 1;
    }
    // XCHG with memory locks without being told to (SDM 2, XCHG).
    if (z.mnemonic == ZYDIS_MNEMONIC_XCHG &&
        (out.kind(0) == OperandKind::kMem || out.kind(1) == OperandKind::kMem))
        out.prefixes |= kPrefixLock;
    // The last x87 opcode as FNSTENV shows it (SDM 1 8.1.9): low 3 bits of the first byte, ModRM.
    if ((z.opcode & 0xF8) == 0xD8 && z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
        out.imm =
            (u64{z.opcode} & 7) << 8 | z.raw.modrm.mod << 6 | z.raw.modrm.reg << 3 | z.raw.modrm.rm;
    // MOVSXD to a 16-bit register: a word on Intel's processors (SDM 2, MOVSXD: "r16, r/m16").
    if (impl_->model.vendor == Vendor::kIntel && z.mnemonic == ZYDIS_MNEMONIC_MOVSXD &&
        z.operand_width == 16)
        out.mem_size_log2 = 1;
    // MOVD and MOVQ: which operand is a general register (bit n = operand n).
    if (z.mnemonic == ZYDIS_MNEMONIC_MOVD || z.mnemonic == ZYDIS_MNEMONIC_MOVQ)
        for (unsigned n = 0; n < 2; ++n)
            if (ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(ops[n].reg.value))
                out.imm |= u64{1} << n;
    if (impl_->model.vendor == Vendor::kAmd && is_register_prefetch(z)) {
        out.fn = raise_ud_handler;
        return Status::kOk;
    }
    const Row* row = find_row(z.mnemonic, variant);
    if (!row) {
        log::write(log::Item::kUnimp, "%s at rip %llx is not in the instruction table: #UD\n",
                   ZydisMnemonicGetString(z.mnemonic), static_cast<unsigned long long>(rip));
        out.fn = raise_ud_handler;
        return Status::kOk;
    }
    out.row = static_cast<u16>(row - instruction_rows().data());
    impl_->choose_handler(*row, mode, vt, out);
    if (!is_relative(z, ops))
        again = Again::kAnywhere;
    else if (is_near_branch(z) && z.operand_width == 64 && out.kind(0) == OperandKind::kImm)
        again = Again::kRelative;
    return Status::kOk;
}

Decoder::ImmediateField Decoder::immediate_field(std::span<const u8> bytes, Mode mode) const {
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&impl_->zydis[mode.code_size_log2() - 1], bytes.data(),
                                             bytes.size(), &z, ops)))
        return {};
    const auto& imm = z.raw.imm[0];
    const bool whole = (imm.size == 32 || imm.size == 64) && !imm.is_relative &&
                       z.raw.imm[1].size == 0 && imm.offset + imm.size / 8u == z.length;
    if (!whole || z.length != bytes.size()) return {};
    for (unsigned n = 0; n < z.operand_count_visible; ++n)
        if (ops[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
            return {static_cast<u8>(imm.size / 8), static_cast<bool>(ops[n].imm.is_signed)};
    return {};
}

Ending ending_of(const Insn& insn) {
    return insn.row == 0xFFFF ? Ending::kBranch : instruction_rows()[insn.row].ending;
}

bool orders_threads(const Insn& insn) {
    if (insn.row == 0xFFFF) return false;
    const u16 mnemonic = instruction_rows()[insn.row].mnemonic;
    return mnemonic == ZYDIS_MNEMONIC_MFENCE || mnemonic == ZYDIS_MNEMONIC_PAUSE;
}

PortForm port_form(const Insn& insn) {
    if (insn.row == 0xFFFF) return {};
    switch (instruction_rows()[insn.row].mnemonic) {
        case ZYDIS_MNEMONIC_IN: return {true, false, 0};
        case ZYDIS_MNEMONIC_INSB: return {true, true, 1};
        case ZYDIS_MNEMONIC_INSW: return {true, true, 2};
        case ZYDIS_MNEMONIC_INSD: return {true, true, 4};
        case ZYDIS_MNEMONIC_OUTSB: return {false, true, 1};
        case ZYDIS_MNEMONIC_OUTSW: return {false, true, 2};
        case ZYDIS_MNEMONIC_OUTSD: return {false, true, 4};
        default: return {};
    }
}

}  // namespace rm::cpu
