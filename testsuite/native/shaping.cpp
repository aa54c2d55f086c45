// The part of the generator that knows what operands mean: values of the operand's element type,
// and per-mnemonic inputs without which nearly every case would fault or do the same thing.
#include <cstring>

#include "base/bits.h"
#include "native/generator.h"

namespace rm::native {

namespace {

enum : unsigned { kRaxN, kRcxN, kRdxN, kRbxN, kRspN, kRbpN, kRsiN, kRdiN };

Element element_of(const ZydisDecodedOperand& op) {
    switch (op.element_type) {
        case ZYDIS_ELEMENT_TYPE_FLOAT32: return Element::kFloat32;
        case ZYDIS_ELEMENT_TYPE_FLOAT64: return Element::kFloat64;
        case ZYDIS_ELEMENT_TYPE_FLOAT80: return Element::kFloat80;
        case ZYDIS_ELEMENT_TYPE_LONGBCD: return Element::kBcd;
        default: return Element::kInteger;
    }
}

// Bytes of a small alphabet with zeros, for the string comparisons.
void text(Random& r, u8* out, unsigned n) {
    for (unsigned i = 0; i < n; ++i) out[i] = r.percent(8) ? 0 : static_cast<u8>('a' + r.below(4));
}

}  // namespace

void Generator::type_operands(Case& c) {
    FxImage& fx = c.in.fx;
    for (unsigned n = 0; n < z_.operand_count; ++n) {
        const ZydisDecodedOperand& op = operands_[n];
        if (random_.percent(30)) continue;
        if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
            u8* at = memory_at(c, linear_of(c, op), op.size / 8);
            if (at) fill(random_, element_of(op), at, op.size / 8);
        } else if (op.type == ZYDIS_OPERAND_TYPE_REGISTER) {
            const unsigned id = static_cast<unsigned>(ZydisRegisterGetId(op.reg.value));
            const unsigned top = (fx.fsw >> 11) & 7;
            switch (ZydisRegisterGetClass(op.reg.value)) {
                case ZYDIS_REGCLASS_XMM: fill(random_, element_of(op), fx.xmm[id], 16); break;
                case ZYDIS_REGCLASS_MMX:
                    fill(random_, element_of(op), fx.st[(id - top) & 7], 8);
                    break;
                default: break;
            }
        }
    }
}

void Generator::shape_branch(Case& c) {
    const ZydisDecodedOperand& op = operands_[0];
    const u64 target = code_pointer();
    if (z_.mnemonic == ZYDIS_MNEMONIC_RET) {
        if (u8* at = stack_at(c, 8)) std::memcpy(at, &target, z_.operand_width / 8);
    } else if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
        if (u8* at = memory_at(c, linear_of(c, op), 8)) std::memcpy(at, &target, op.size / 8);
    } else if (op.type == ZYDIS_OPERAND_TYPE_REGISTER &&
               ZydisRegisterGetId(op.reg.value) != kRspN) {
        c.in.gpr[ZydisRegisterGetId(op.reg.value)] = target;
    }
}

// Makes the comparison succeed in half of the cases.
void Generator::shape_compare_exchange(Case& c) {
    if (random_.percent(50)) return;
    const ZydisDecodedOperand& op = operands_[0];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER) {
        const u64 v = register_value(c, op.reg.value);
        if (op.size >= 32) c.in.gpr[kRaxN] = v;
        return;
    }
    const u64 linear = linear_of(c, op);
    u8* at = memory_at(c, linear, op.size / 8);
    if (!at) return;
    // The accumulator may be part of the address: change memory then.
    const bool wide = z_.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B,
               pair = z_.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B;
    const unsigned half = wide ? 8 : pair ? 4 : op.size / 8;
    std::memcpy(at, &c.in.gpr[kRaxN], half);
    if (wide || pair) std::memcpy(at + half, &c.in.gpr[kRdxN], half);
}

// An FXSAVE or XSAVE image in memory that can mostly be loaded (SDM 1 10.5.1, 13.4).
void Generator::shape_image(Case& c) {
    constexpr unsigned kMxcsrAt = 24, kHeaderAt = 512, kHeaderBytes = 64;
    u8* at = memory_at(c, c.operand, kHeaderAt + kHeaderBytes);
    if (!at || random_.percent(10)) return;
    at[kMxcsrAt + 2] = at[kMxcsrAt + 3] = 0;
    if (z_.mnemonic == ZYDIS_MNEMONIC_FXRSTOR || z_.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64) return;
    std::memset(at + kHeaderAt, 0, kHeaderBytes);
    at[kHeaderAt] = static_cast<u8>(random_.below(4));  // XSTATE_BV
    // Bits that no processor has yet; bit 63 of XCOMP_BV would ask for the compacted form.
    if (random_.percent(5)) at[kHeaderAt + 3 + random_.below(12)] ^= 1u << random_.below(7);
}

void Generator::shape_inputs(Case& c) {
    u64* g = c.in.gpr;
    const bool often = random_.percent(65);
    auto operand_uses = [&](unsigned number) {  // the register forms part of an address
        for (unsigned n = 0; n < z_.operand_count; ++n) {
            if (operands_[n].type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
            for (ZydisRegister r : {operands_[n].mem.base, operands_[n].mem.index})
                if (r != ZYDIS_REGISTER_NONE && r != ZYDIS_REGISTER_RIP &&
                    r != ZYDIS_REGISTER_EIP &&
                    static_cast<unsigned>(ZydisRegisterGetId(
                        ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r))) == number)
                    return true;
        }
        return false;
    };
    if (z_.meta.category == ZYDIS_CATEGORY_STRINGOP) {
        g[kRcxN] = often                 ? random_.below(40)
                   : random_.percent(50) ? random_.below(3)
                                         : random_.below(6000);
        if (c.repeats && random_.percent(60)) {  // long equal runs for CMPS and SCAS
            u64 v = g[kRaxN];
            for (unsigned n = 0; n + 8 <= kScratchBytes; n += 8) std::memcpy(c.memory + n, &v, 8);
            for (unsigned n = 0; n < 40; ++n) c.memory[random_.below(kScratchBytes)] ^= 1;
        }
        return;
    }
    const cpu::Variant variant = cpu::instruction_rows()[insn_.row].variant;
    if (variant == cpu::Variant::kFar || variant == cpu::Variant::kSegment) {
        shape_selectors(c);
        return;
    }
    switch (z_.mnemonic) {
        case ZYDIS_MNEMONIC_LAR:
        case ZYDIS_MNEMONIC_LSL:
        case ZYDIS_MNEMONIC_VERR:
        case ZYDIS_MNEMONIC_VERW:
        case ZYDIS_MNEMONIC_LDS:
        case ZYDIS_MNEMONIC_LES:
        case ZYDIS_MNEMONIC_LFS:
        case ZYDIS_MNEMONIC_LGS:
        case ZYDIS_MNEMONIC_LSS:
        case ZYDIS_MNEMONIC_IRET:
        case ZYDIS_MNEMONIC_IRETD:
        case ZYDIS_MNEMONIC_IRETQ: shape_selectors(c); break;
        case ZYDIS_MNEMONIC_INT:  // vectors that Linux lets user code call
            if (u8& v = c.bytes[z_.raw.imm[0].offset]; v == 3 || v == 4 || v == 0x80) v = 0x81;
            break;
        case ZYDIS_MNEMONIC_XGETBV: g[kRcxN] |= 2; break;  // no such register; XCR0 is the host's
        case ZYDIS_MNEMONIC_DIV:
        case ZYDIS_MNEMONIC_IDIV:
            if (!often || operand_uses(kRdxN)) break;
            g[kRdxN] = random_.percent(50) ? 0
                       : random_.percent(50)
                           ? random_.below(256)
                           : static_cast<u64>(static_cast<i64>(g[kRaxN] << 32) >> 63);
            if (operands_[0].size == 8 && !operand_uses(kRaxN)) g[kRaxN] &= 0xFFFF'FFFF'FFFF'0FFF;
            break;
        case ZYDIS_MNEMONIC_SHL:
        case ZYDIS_MNEMONIC_SHR:
        case ZYDIS_MNEMONIC_SAR:
        case ZYDIS_MNEMONIC_ROL:
        case ZYDIS_MNEMONIC_ROR:
        case ZYDIS_MNEMONIC_RCL:
        case ZYDIS_MNEMONIC_RCR:
        case ZYDIS_MNEMONIC_SHLD:
        case ZYDIS_MNEMONIC_SHRD:
            if (often && !operand_uses(kRcxN))
                g[kRcxN] = (g[kRcxN] & ~u64{0xFF}) | random_.below(70);
            break;
        case ZYDIS_MNEMONIC_LOOP:
        case ZYDIS_MNEMONIC_LOOPE:
        case ZYDIS_MNEMONIC_LOOPNE:
        case ZYDIS_MNEMONIC_JCXZ:
        case ZYDIS_MNEMONIC_JECXZ:
        case ZYDIS_MNEMONIC_JRCXZ:
            if (often)
                g[kRcxN] = random_.below(3) | (random_.percent(30) ? random_.next() << 32 : 0);
            break;
        case ZYDIS_MNEMONIC_RET:
        case ZYDIS_MNEMONIC_JMP:
        case ZYDIS_MNEMONIC_CALL:
            if (random_.percent(80)) shape_branch(c);
            break;
        case ZYDIS_MNEMONIC_CMPXCHG:
        case ZYDIS_MNEMONIC_CMPXCHG8B:
        case ZYDIS_MNEMONIC_CMPXCHG16B: shape_compare_exchange(c); break;
        case ZYDIS_MNEMONIC_ENTER:
            if (often) c.bytes[z_.raw.imm[0].offset + 1] &= 3;
            if (often) c.bytes[z_.raw.imm[1].offset] &= 7;
            [[fallthrough]];
        case ZYDIS_MNEMONIC_LEAVE: g[kRbpN] = stack_offset(); break;
        case ZYDIS_MNEMONIC_BOUND:  // a wide range, so that some indexes are inside
            if (u8* at = memory_at(c, c.operand, 8); at && often) {
                const unsigned half = operands_[0].size / 8;
                at[half - 1] = 0x80 | random_.byte();
                at[2 * half - 1] &= 0x7F;
            }
            break;
        case ZYDIS_MNEMONIC_PCMPESTRI:
        case ZYDIS_MNEMONIC_PCMPESTRM:
        case ZYDIS_MNEMONIC_PCMPISTRI:
        case ZYDIS_MNEMONIC_PCMPISTRM: {
            if (often && !operand_uses(kRaxN)) g[kRaxN] = random_.below(40) - 20;
            if (often && !operand_uses(kRdxN)) g[kRdxN] = random_.below(40) - 20;
            if (random_.percent(40)) break;
            for (auto& xmm : c.in.fx.xmm) text(random_, xmm, 16);
            if (u8* at = memory_at(c, c.operand, 16)) text(random_, at, 16);
            break;
        }
        // Images that can be loaded: reserved bits of MXCSR and of the header are 0.
        case ZYDIS_MNEMONIC_FXRSTOR:
        case ZYDIS_MNEMONIC_FXRSTOR64: shape_image(c); break;
        // The components the interpreter has, and those in use, so that both save the same.
        case ZYDIS_MNEMONIC_XSAVE:
        case ZYDIS_MNEMONIC_XSAVE64:
        case ZYDIS_MNEMONIC_XSAVEOPT:
        case ZYDIS_MNEMONIC_XSAVEOPT64:
        case ZYDIS_MNEMONIC_XRSTOR:
        case ZYDIS_MNEMONIC_XRSTOR64:
            g[kRaxN] &= ~u64{0xFFFFFFFC};
            g[kRdxN] &= ~u64{0xFFFFFFFF};
            c.in.fx.tags |= 1;
            shape_image(c);
            break;
        case ZYDIS_MNEMONIC_LDMXCSR:
            if (u8* at = memory_at(c, c.operand, 4); at && often) at[2] = at[3] = 0;
            break;
        default: break;
    }
}

}  // namespace rm::native
