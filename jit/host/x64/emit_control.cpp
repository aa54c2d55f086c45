// Leaving a block: exits that link, indirect branches, calls of the interpreter, and ways out
// before an instruction.
#include "jit/host/x64/emitter.h"
#include "memory/tlb/tlb.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::TranslatorState;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

u32 Emitter::point(Point p) {
    p.block = &block_;
    p.insn = static_cast<u16>(insn_);
    context_.points.push_back(p);
    return static_cast<u32>(context_.points.size() - 1);
}

void Emitter::add_ticks(unsigned n) { lea(r14, ptr[r14 + static_cast<int>(n)]); }

Label& Emitter::slow_instruction() {
    Point p;
    p.kind = Point::kInstruction;
    p.recipe = current_recipe();
    const u32 number = point(p);
    slow_labels_.push_back(std::make_unique<Label>());
    Label& label = *slow_labels_.back();
    cold_.push_back([this, &label, number, note = x87_note_] {
        L(label);
        store_x87_note(note);
        mov(r12d, number);
        jmp(context_.thunks.leave);
    });
    return label;
}

// The block's only instruction reaches into the next page: is that still mapped where it was
// decoded? If not, or if the TLB does not know, the block is looked up again.
void Emitter::emit_second_page_guard() {
    const u64 mask = block_.mode.code64() ? ~u64{0} : 0xFFFFFFFF;
    const u64 page = ((block_.rip & kPageMask) + kPageSize) & mask;
    const u64 addend = reinterpret_cast<u64>(block_.host2) - page;
    const int at =
        static_cast<int>(((page >> 12) & (memory::kTlbEntries - 1)) * sizeof(memory::TlbEntry));
    Point p;
    p.kind = Point::kAgain;
    p.recipe = kRecipeInMemory;
    const u32 number = point(p);
    auto again = std::make_shared<Label>();
    mov(r11, sized(state(cpu_.mmu.code_table()), 3));
    mov(r12, page);
    cmp(qword[r11 + at + static_cast<int>(offsetof(memory::TlbEntry, exec))], r12);
    jne(*again);
    mov(r12, addend);
    cmp(qword[r11 + at + static_cast<int>(offsetof(memory::TlbEntry, addend))], r12);
    jne(*again);
    cold_.push_back([this, again, number] {
        L(*again);
        mov(r12d, number);
        jmp(context_.thunks.leave);
    });
}

void Emitter::emit_interp(unsigned index) {
    const bool last = index + 1 == block_.count;
    before_interp_x87(block_.insns[index]);
    Point p;
    p.kind = Point::kCall;
    p.recipe = current_recipe();
    mov(r12d, point(p));
    call_thunk(context_.thunks.interpret);
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    clobber_flags();
    vectors_ready_ = false;
    left_ = last;  // the call does not come back from the last one
}

// An exit to `target`: flags, ticks, event check, and a jump that is patched when the target is
// known.
void Emitter::emit_exit(u64 target) {
    flush_x87_note();
    const bool dead = context_.flags_dead_at(target);
    if (!dead) save_flags_at_exit();
    Point p;
    p.kind = Point::kExit;
    p.target = target;
    p.recipe = current_recipe();
    p.cross_page = ((block_.rip ^ target) & kPageMask) != 0;
    const u32 number = point(p);
    add_ticks(insn_ + 1);
    cmp(r14, sized(state(&cpu_.translated.stop_at), 3));
    auto leave = std::make_shared<Label>();
    jae(*leave);
    const std::size_t jump = getSize();
    jmp(*leave, T_NEAR);
    left_ = true;
    cold_.push_back([this, leave, number, jump] {
        Point& q = context_.points[number];
        L(*leave);
        q.jump = const_cast<u8*>(getCode()) + jump;
        q.stub = const_cast<u8*>(getCurr());
        mov(r12d, number);
        jmp(context_.thunks.leave);
        if (!q.cross_page) return;
        // Linked, it must first see that the target page is still mapped as it was: the constants
        // are patched by the runtime (write_guard).
        q.guard = const_cast<u8*>(getCurr());
        const int at = static_cast<int>(((q.target >> 12) & (memory::kTlbEntries - 1)) *
                                        sizeof(memory::TlbEntry));
        mov(r11, sized(state(cpu_.mmu.code_table()), 3));
        // Constants too wide for the short form, so that they have eight bytes to patch.
        constexpr u64 kWide = 0x1111111111111111;
        mov(r12, kWide);
        q.guard_page = const_cast<u8*>(getCurr()) - 8;
        cmp(qword[r11 + at + static_cast<int>(offsetof(memory::TlbEntry, exec))], r12);
        jne(*leave);
        mov(r12, kWide);
        q.guard_addend = const_cast<u8*>(getCurr()) - 8;
        cmp(qword[r11 + at + static_cast<int>(offsetof(memory::TlbEntry, addend))], r12);
        jne(*leave);
        q.guard_jump = const_cast<u8*>(getCurr());
        jmp(*leave, T_NEAR);
    });
}

void Emitter::emit_jump_if(Value v) {
    const Op& o = op(v);
    const Loc c = loc_[o.a];
    if (c.kind != Loc::kCondition) not_native();
    if (!c.imm) need_host_flags(ir::condition_flags(c.n));
    auto taken = std::make_shared<Label>();
    switch (c.n) {
        case 0: jo(*taken); break;
        case 1: jno(*taken); break;
        case 2: jb(*taken); break;
        case 3: jae(*taken); break;
        case 4: je(*taken); break;
        case 5: jne(*taken); break;
        case 6: jbe(*taken); break;
        case 7: ja(*taken); break;
        case 8: js(*taken); break;
        case 9: jns(*taken); break;
        case 10: jp(*taken); break;
        case 11: jnp(*taken); break;
        case 12: jl(*taken); break;
        case 13: jge(*taken); break;
        case 14: jle(*taken); break;
        default: jg(*taken); break;
    }
    jump_later(taken, o.imm);
}

// The taken side is laid out later, with the flags as they are here.
void Emitter::jump_later(const std::shared_ptr<Label>& taken, u64 target) {
    cold_.push_back([this, taken, target, insn = insn_, flags = flags_, host = host_flags_] {
        L(*taken);
        insn_ = insn;
        flags_ = flags;
        host_flags_ = host;
        scratch_[0] = scratch_[1] = kNoValue;
        x87_note_ = {};
        emit_exit(target);
    });
}

// The target's code from the table of targets: r11 = key, r12 = its entry's offset. A target that
// is not there, or not canonical, is the interpreter's: nothing has been written yet.
void Emitter::emit_check_target(Value v) {
    const Op& o = op(v);
    // The flags first: this needs the scratch registers, which then hold the target.
    if (loc_[o.a].kind == Loc::kPlace || loc_[o.a].kind == Loc::kScratch) {
        if (loc_[o.a].kind == Loc::kPlace) materialize_place();
        mov(sized(state(&cpu_.translated.spill[2]), 3), scratch_reg(loc_[o.a].n));
        for (Value& s : scratch_)
            if (s == o.a) s = kNoValue;
        loc_[o.a] = {Loc::kSpill, 2, 0};
        spilled_[2] = o.a;
    }
    save_flags_at_exit();
    with_source(o.a, o.size, [&](const Operand& s) { mov(sized_reg(r11, o.size), s); });
    emit_target_key();
    cmp(r11, qword[r13 + r12 +
                   static_cast<int>(reinterpret_cast<const u8*>(cpu_.translated.targets) -
                                    reinterpret_cast<const u8*>(&cpu_))]);
    jne(slow_instruction());
    clobber_flags();
    target_ready_ = true;
}

void Emitter::emit_target_key() {
    static_assert(sizeof(TranslatorState::Target) == 16);
    mov(r12d, r11d);  // TranslatorState::target_slot
    shr(r12d, 12);
    xor_(r12d, r11d);
    and_(r12d, TranslatorState::kTargets - 1);
    shl(r12d, 4);
    xor_(r11, sized(state(&cpu_.translated.salt), 3));
}

void Emitter::emit_jump(Value v) {
    const Op& o = op(v);
    if (!target_ready_) {
        with_source(o.a, o.size, [&](const Operand& s) { mov(sized_reg(r11, o.size), s); });
        emit_target_key();
    }
    Point p;
    p.kind = Point::kIndirect;
    p.recipe = kRecipeInMemory;
    const u32 number = point(p);
    add_ticks(insn_ + 1);
    cmp(r14, sized(state(&cpu_.translated.stop_at), 3));
    auto event = std::make_shared<Label>();
    jae(*event);
    jmp(qword[r13 + r12 +
              static_cast<int>(reinterpret_cast<const u8*>(&cpu_.translated.targets[0].code) -
                               reinterpret_cast<const u8*>(&cpu_))]);
    left_ = true;
    cold_.push_back([this, event, number] {
        L(*event);
        xor_(r11, sized(state(&cpu_.translated.salt), 3));
        mov(r12d, number);
        jmp(context_.thunks.leave);
    });
}

}  // namespace rm::jit::x64
