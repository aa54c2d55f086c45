#include "jit/host/x64/x87.h"

#include <cstring>

#include "cpu/instructions/row.h"
#include "cpu/semantics/x87_state.h"
#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::FpuState;
using cpu::Insn;
using ir::Value;
using ir::X87Form;

namespace {

// The image of FNSAVE and FRSTOR in 64-bit code: words in the low halves of doublewords, ST(0) to
// ST(7) of ten bytes each behind 28 bytes.
constexpr int kControlAt = 0, kStatusAt = 4, kTagsAt = 8, kRegistersAt = 28, kRegisterBytes = 10;

class StateWriter {
public:
    StateWriter(CodeGenerator& code, const cpu::Cpu& cpu) : c(code), cpu_(cpu) {}

    void load() {
        Label refused;
        c.movzx(c.r12d, c.word[at(&cpu_.fpu.fcw)]);
        c.not_(c.r12d);
        c.and_(c.r12d, cpu::x87::kExceptions);
        c.jnz(refused);
        c.movzx(c.r12d, c.word[at(&cpu_.fpu.fsw)]);
        c.and_(c.r12d, cpu::x87::kSummary | cpu::x87::kBusy);
        c.jnz(refused);
        c.movzx(c.r12d, c.byte[at(&cpu_.ignne)]);
        c.test(c.r12d, c.r12d);
        c.jnz(refused);
        c.push(c.rax);
        c.push(c.rcx);
        word_to_image(&cpu_.fpu.fcw, kControlAt);
        word_to_image(&cpu_.fpu.ftw, kTagsAt);
        word_to_image(&cpu_.fpu.fsw, kStatusAt);
        registers([this](const RegExp& image, const RegExp& state) {
            c.mov(c.rcx, c.qword[state]);
            c.mov(c.qword[image], c.rcx);
            c.movzx(c.ecx, c.word[state + 8]);
            c.mov(c.word[image + 8], c.cx);
        });
        c.frstor(c.ptr[image(0)]);
        c.mov(c.dword[at(&cpu_.translated.x87_live)], 1);
        c.pop(c.rcx);
        c.pop(c.rax);
        c.L(refused);
        c.ret();
    }

    void retire() {
        Label none;
        c.cmp(c.dword[at(&cpu_.translated.x87_live)], 0);
        c.je(none);
        c.push(c.rax);
        c.push(c.rcx);
        c.fnsave(c.ptr[image(0)]);
        c.mov(c.dword[at(&cpu_.translated.x87_live)], 0);
        word_from_image(&cpu_.fpu.fcw, kControlAt);
        // Of the tags only "empty", 3, is kept.
        c.movzx(c.eax, c.word[image(kTagsAt)]);
        c.mov(c.ecx, c.eax);
        c.shr(c.ecx, 1);
        c.and_(c.eax, c.ecx);
        c.and_(c.eax, 0x5555);
        c.lea(c.eax, c.ptr[c.rax + c.rax * 2]);
        c.mov(c.word[at(&cpu_.fpu.ftw)], c.ax);
        word_from_image(&cpu_.fpu.fsw, kStatusAt);
        registers([this](const RegExp& image, const RegExp& state) {
            c.mov(c.rcx, c.qword[image]);
            c.mov(c.qword[state], c.rcx);
            c.movzx(c.ecx, c.word[image + 8]);
            c.mov(c.word[state + 8], c.cx);
        });
        pointers();
        c.pop(c.rcx);
        c.pop(c.rax);
        c.L(none);
        c.ret();
    }

private:
    // What Emitter::store_x87_note() has left to do.
    void pointers() {
        const cpu::TranslatorState& t = cpu_.translated;
        Label no_opcode, no_segment;
        c.mov(c.eax, c.dword[at(&t.x87_opcode)]);
        c.test(c.eax, c.eax);
        c.jz(no_opcode);
        c.mov(c.word[at(&cpu_.fpu.fop)], c.ax);
        c.movzx(c.eax, c.word[at(&cpu_.seg[cpu::kCs].selector)]);
        c.mov(c.word[at(&cpu_.fpu.fcs)], c.ax);
        c.mov(c.dword[at(&t.x87_opcode)], 0);
        c.L(no_opcode);
        c.mov(c.eax, c.dword[at(&t.x87_segment)]);
        c.test(c.eax, c.eax);
        c.jz(no_segment);
        constexpr int kStride = static_cast<int>(sizeof(cpu::Segment));
        c.imul(c.eax, c.eax, kStride);
        c.movzx(c.eax, c.word[at(&cpu_.seg[0].selector) + c.rax - kStride]);
        c.mov(c.word[at(&cpu_.fpu.fds)], c.ax);
        c.mov(c.dword[at(&t.x87_segment)], 0);
        c.L(no_segment);
    }
    RegExp at(const void* member) const { return c.r13 + from_r13(cpu_, member); }
    RegExp image(int offset) const { return at(&cpu_.translated.x87_image[offset]); }
    void word_to_image(const u16* member, int offset) {
        c.movzx(c.eax, c.word[at(member)]);
        c.mov(c.dword[image(offset)], c.eax);
    }
    void word_from_image(const u16* member, int offset) {
        c.movzx(c.eax, c.word[image(offset)]);
        c.mov(c.word[at(member)], c.ax);
    }
    // Each stack register's place in the image and in CpuState; eax is the status word.
    template <class F>
    void registers(F&& each) {
        static_assert(sizeof(FpuState::Reg80) == 16 && cpu::x87::kTopMask >> 7 == 0x70);
        c.shr(c.eax, 7);
        c.and_(c.eax, 0x70);
        for (int n = 0; n < 8; ++n) {
            each(image(kRegistersAt + kRegisterBytes * n), at(cpu_.fpu.st) + c.rax);
            c.add(c.eax, 16);
            c.and_(c.eax, 0x70);
        }
    }

    CodeGenerator& c;
    const cpu::Cpu& cpu_;
};

// Do FCOMI and kin leave C1 alone on the host? SDM 2 (FCOMI) has them clear it, and AMD's leave it
// alone, but so do Intel's processors of today (seen on Emerald Rapids), so the vendor does not
// tell.
bool host_compare_keeps_c1() {
    static const bool keeps = [] {
        u16 status;
        u8 state[108];
        // -1: FXAM sets C1. Whoever calls may have the unit in use.
        asm volatile("fnsave %1; fld1; fchs; fxam; fcomi %%st(0), %%st; fnstsw %0; frstor %1"
                     : "=m"(status), "=m"(state)::"cc");
        return (status & cpu::x87::kC1) != 0;
    }();
    return keeps;
}

// Can the interpreter run this instruction while the x87 unit is live? It can if neither its body
// nor what it may set off (a device, a VM exit, another mode) looks at x87 state.
bool ignores_x87(const Insn& i) {
    using namespace cpu;
    if (i.row >= string_rows_at() + string_rows().size()) return false;
    const Row& row = instruction_rows()[i.row];
    const bool io = row.name[0] == 'I' || row.name[0] == 'O';
    const bool is_string = i.row >= string_rows_at();
    return row.ending != Ending::kStop && i.fn == row.select(i) && !(is_string && io);
}

}  // namespace

void write_load_x87(CodeGenerator& c, const cpu::Cpu& cpu) { StateWriter(c, cpu).load(); }
void write_retire_x87(CodeGenerator& c, const cpu::Cpu& cpu) { StateWriter(c, cpu).retire(); }

// Once in a block. Exceptions stay masked from here: FLDCW sees to that.
void Emitter::ready_x87() {
    if (x87_ready_) return;
    load_unless(cpu_.translated.x87_live, context_.thunks.load_x87);
    x87_ready_ = true;
}

void Emitter::before_interp_x87(const Insn& i) {
    flush_x87_note();
    if (ignores_x87(i)) return;
    call_thunk(context_.thunks.retire_x87);
    x87_ready_ = false;
}

// The pointers of the last x87 instruction (SDM 1 8.1.8) are written where somebody may look at
// them, but FDP at once, as its registers may change; the selectors when the unit is retired or
// the interpreter is called: no instruction that changes one runs before. Changes r11, no flags.
void Emitter::store_x87_note(const X87Note& note) {
    const cpu::TranslatorState& t = cpu_.translated;
    if (note.insn >= 0) {
        const Insn& i = note.block->insns[note.insn];
        const u64 rip =
            (note.block->rip + i.offset) & (block_->mode.code64() ? ~u64{0} : 0xFFFFFFFF);
        if (fits32(rip)) {
            mov(sized(state(&cpu_.fpu.fip), 3), rip);
        } else {
            mov(r11, rip);
            mov(sized(state(&cpu_.fpu.fip), 3), r11);
        }
        const u32 opcode = static_cast<u32>(i.imm & 0x7FF);
        mov(sized(state(&t.x87_opcode), 2), opcode | cpu::TranslatorState::kX87Noted);
    }
    if (note.segment >= 0) mov(sized(state(&t.x87_segment), 2), static_cast<u32>(note.segment) + 1);
}

void Emitter::flush_x87_note() {
    store_x87_note(x87_note_);
    x87_note_ = {};
}

// The guest's instruction, its memory operand now at `place`.
void Emitter::encode_x87(const Insn& i, const RegExp* place) {
    const u8 opcode = static_cast<u8>(0xD8 | ((i.imm >> 8) & 7)), modrm = static_cast<u8>(i.imm);
    if (!place) {
        db(opcode);
        db(modrm);
        return;
    }
    // The operand as the assembler encodes it for D8 /0, then the opcode's own bytes.
    const std::size_t start = getSize();
    fadd(dword[*place]);
    u8* p = const_cast<u8*>(getCode()) + start;
    if ((*p & 0xF0) == 0x40) ++p;  // REX
    p[0] = opcode;
    p[1] = static_cast<u8>(p[1] | (modrm & 0x38));
}

// FCOMI and kin: ZF, PF, CF; the others are cleared.
void Emitter::compare_x87(Value v) {
    const bool intel = cpu_.model.vendor == cpu::Vendor::kIntel;
    if (!intel && !host_compare_keeps_c1()) not_native();
    if (intel && host_compare_keeps_c1()) {
        fdecstp();  // clears C1
        fincstp();
    }
    encode_x87(block_->insns[insn_], nullptr);
    if (!needed_after(v)) {
        flags_ = {Flags::kMemory, {}, false, {}, 0};
        return set_host_flags(cpu::kCcAll);
    }
    mov(r12, rax);
    lahf();
    seto(al);
    mov(sized(state(&cpu_.cc), 1), ax);
    mov(rax, r12);
    flags_in_memory();
    set_host_flags(cpu::kCcAll);
}

void Emitter::emit_x87(Value v) {
    const ir::Op& o = op(v);
    const Insn& i = block_->insns[insn_];
    const auto form = static_cast<X87Form>(o.m);
    ready_x87();
    if (form == X87Form::kCompareFlags) {
        compare_x87(v);
    } else if (o.a == ir::kNoValue) {
        if (form == X87Form::kWait) return;
        if (form == X87Form::kMove) need_host_flags(ir::condition_flags(o.n));
        if (x87_writes_ax(o)) before_write(cpu::kRax);
        encode_x87(i, nullptr);
    } else {
        if (o.size > 5) not_native();
        const RegExp place = checked(o.a, x87_bytes(o.size), x87_writes_memory(o));
        if (form == X87Form::kLoadControl) {
            movzx(r12d, word[place]);
            not_(r12d);
            test(r12d, cpu::x87::kExceptions);
            interpret_if(kNotEqual);
        } else if (form != X87Form::kStoreControl) {
            load_address_again(op(o.a));
            mov(sized(state(&cpu_.fpu.fdp), 3), r12);
            x87_note_.segment = op(o.a).m;
        }
        encode_x87(i, &place);
    }
    if (form <= X87Form::kMove) {
        x87_note_.block = block_;
        x87_note_.insn = static_cast<int>(insn_);
    }
}

}  // namespace rm::jit::x64
