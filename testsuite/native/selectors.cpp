// The part of the generator that makes selectors and far pointers: null, outside the tables, of
// every privilege, and all kinds of segments of kLdt (SDM 3A 5.4 to 5.8).
#include <cstring>

#include "native/generator.h"
#include "native/host_cpu.h"

namespace rm::native {

namespace {

constexpr u16 kTi = 4;  // selector: local table

bool is_segment_register(const ZydisDecodedOperand& op) {
    return op.type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

// AMD has no m16:64.
unsigned far_offset_bytes(const ZydisDecodedOperand& op) {
    const unsigned bytes = op.size / 8 - 2;
    return bytes == 8 && HostCpu::is_amd() ? 4 : bytes;
}

}  // namespace

// The GDT's entries 8-15 are left out: the host's TSS, LDT, TLS and processor number.
u16 Generator::selector() {
    const u64 rpl = random_.percent(80) ? 3 : random_.below(4);
    switch (random_.below(12)) {
        case 0: return static_cast<u16>(random_.below(4));
        case 1: return static_cast<u16>((1 + random_.below(3)) << 3 | rpl);      // the kernel's
        case 2: return static_cast<u16>((16 + random_.below(1000)) << 3 | rpl);  // beyond the GDT
        case 3: return static_cast<u16>((kLdtEntries + random_.below(20)) << 3 | kTi | rpl);
        case 4:
        case 5: return static_cast<u16>((4 + random_.below(3)) << 3 | rpl);  // the user's
        default: return static_cast<u16>(random_.below(kLdtEntries) << 3 | kTi | rpl);
    }
}

u64 Generator::far_target(u16 selector) {
    if ((selector & kTi) && random_.percent(85)) return random_.below(kCodeBytes);
    return code_pointer();
}

// Loads that the host cannot undo again.
bool Generator::loads_thread_pointer() const {
    if (segment_bases_) return false;
    if (z_.mnemonic == ZYDIS_MNEMONIC_LFS || z_.mnemonic == ZYDIS_MNEMONIC_LGS) return true;
    const ZydisRegister r = operands_[0].reg.value;
    return is_segment_register(operands_[0]) &&
           (r == ZYDIS_REGISTER_FS || r == ZYDIS_REGISTER_GS) &&
           (z_.mnemonic == ZYDIS_MNEMONIC_MOV || z_.mnemonic == ZYDIS_MNEMONIC_POP);
}

// A selector as operand n: memory, or the low half of a register.
void Generator::put_selector(Case& c, unsigned n) {
    const u16 value = selector();
    const ZydisDecodedOperand& op = operands_[n];
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
        if (u8* at = memory_at(c, linear_of(c, op), 2)) std::memcpy(at, &value, 2);
    } else if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && !is_segment_register(op)) {
        u64& r = c.in.gpr[ZydisRegisterGetId(
            ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op.reg.value))];
        if (&r != &c.in.gpr[4]) r = (r & ~u64{0xFFFF}) | value;
    }
}

// An offset of `bytes` and a selector behind it. Not a call from legacy to 64-bit code: its pushes
// use all of RSP, and Linux repeats page faults of legacy code above 4 GiB for ever (erratum 100 of
// the first Opterons).
void Generator::put_far_pointer(u8* at, unsigned bytes) {
    u16 value = selector();
    if (z_.mnemonic == ZYDIS_MNEMONIC_CALL && encodings_.legacy() && (value | 3) == kUserCs)
        value = kUserCs32;
    const u64 target = far_target(value);
    std::memcpy(at, &target, bytes);
    std::memcpy(at + bytes, &value, 2);
}

// What IRET pops: RIP, CS, RFLAGS and in 64-bit mode RSP, SS (SDM 2, IRET). Without TF, which would
// end the case elsewhere.
void Generator::put_return_frame(Case& c) {
    const unsigned bytes = z_.operand_width / 8;
    u8* at = stack_at(c, 5 * bytes);
    if (!at) return;
    put_far_pointer(at, bytes);
    constexpr u64 kTf = 0x100;
    const u64 flags = random_.next() & ~kTf, sp = stack_offset();
    const u16 ss = random_.percent(50) ? kUserData : selector();
    std::memcpy(at + 2 * bytes, &flags, bytes);
    std::memcpy(at + 3 * bytes, &sp, bytes);
    std::memcpy(at + 4 * bytes, &ss, 2);
}

void Generator::shape_selectors(Case& c) {
    switch (z_.mnemonic) {
        case ZYDIS_MNEMONIC_MOV: put_selector(c, 1); break;
        case ZYDIS_MNEMONIC_POP: {
            const u16 value = selector();
            if (u8* at = stack_at(c, 2)) std::memcpy(at, &value, 2);
            break;
        }
        case ZYDIS_MNEMONIC_LAR:
        case ZYDIS_MNEMONIC_LSL: put_selector(c, 1); break;
        case ZYDIS_MNEMONIC_VERR:
        case ZYDIS_MNEMONIC_VERW: put_selector(c, 0); break;
        case ZYDIS_MNEMONIC_LDS:
        case ZYDIS_MNEMONIC_LES:
        case ZYDIS_MNEMONIC_LFS:
        case ZYDIS_MNEMONIC_LGS:
        case ZYDIS_MNEMONIC_LSS: {
            const unsigned bytes = far_offset_bytes(operands_[1]);
            if (u8* at = memory_at(c, c.operand, bytes + 2)) put_far_pointer(at, bytes);
            break;
        }
        case ZYDIS_MNEMONIC_IRET:
        case ZYDIS_MNEMONIC_IRETD:
        case ZYDIS_MNEMONIC_IRETQ: put_return_frame(c); break;
        case ZYDIS_MNEMONIC_RET: {
            const unsigned bytes = z_.operand_width / 8;
            if (u8* at = stack_at(c, 2 * bytes)) put_far_pointer(at, bytes);
            break;
        }
        case ZYDIS_MNEMONIC_PUSH: break;
        case ZYDIS_MNEMONIC_CALL:
            // Called from 64-bit code, legacy code finds its return address where the low half of
            // RSP points, or not (APM3 and SDM 2 differ).
            c.in.gpr[4] &= 0xFFFFFFFF;
            [[fallthrough]];
        default:  // JMP
            if (operands_[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
                const unsigned bytes = far_offset_bytes(operands_[0]);
                if (u8* at = memory_at(c, c.operand, bytes + 2)) put_far_pointer(at, bytes);
            } else {
                put_far_pointer(c.bytes + z_.raw.imm[0].offset, z_.raw.imm[0].size / 8);
                (void)encodings_.decode(c.bytes, c.length, c.in.rip, z_, operands_, insn_);
            }
    }
}

}  // namespace rm::native
