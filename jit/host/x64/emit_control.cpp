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
    p.block = block_;
    p.owner = owner_;
    p.insn = static_cast<u8>(insn_);
    return context_.points.add(p);
}

// The instructions so far are done. The jump is taken when it is time to look up.
Emitter::Jump Emitter::count_ticks(unsigned n) {
    sub(sized(in_frame(Frame::kTicksLeft), 3), n);
    if (!cpu_.threads) return jump_if(kLessOrEqual);
    // Another thread wants something: the count is this one's alone to change.
    const Jump late = skip_if(kLessOrEqual);
    cmp(sized(state(&cpu_.kicked), 0), 0);
    const Jump on = skip_if(kEqual);
    land(late);
    const Jump event = jump();
    land(on);
    return event;
}

void Emitter::interpret_if(unsigned condition) {
    if (in_copy_) not_native();
    // Several checks of one instruction have one way out.
    const u32 recipe = current_recipe();
    const Point* last = leaves_.empty() ? nullptr : &context_.points[leaves_.back().number];
    const bool same = last && last->kind == Point::kInstruction && last->block == block_ &&
                      last->insn == insn_ && last->recipe == recipe &&
                      leaves_.back().note == x87_note_;
    u32 number = same ? leaves_.back().number : 0;
    if (!same) {
        Point p;
        p.kind = Point::kInstruction;
        p.recipe = recipe;
        number = point(p);
    }
    leaves_.push_back({jump_if(condition), number, x87_note_, false});
}

void Emitter::leave_by(u32 number) {
    mov(r12d, number);
    jmp(context_.thunks.leave);
}

void Emitter::load_unless(const u32& live, const void* load) {
    clobber_flags();
    cmp(sized(state(&live), 2), 0);
    const Jump skip = skip_if(kNotEqual);
    call_thunk(load);
    test(r12d, r12d);
    interpret_if(kNotEqual);
    land(skip);
}

// The block's only instruction reaches into the next page: is that still mapped where it was
// decoded? If not, or if the TLB does not know, the block is looked up again.
void Emitter::emit_second_page_guard() {
    const u64 mask = block_->mode.code64() ? ~u64{0} : 0xFFFFFFFF;
    const u64 page = ((block_->rip & kPageMask) + kPageSize) & mask;
    Point p;
    p.kind = Point::kAgain;
    p.recipe = kRecipeInMemory;
    const u32 number = point(p);
    leaves_.push_back(
        {compare_page(page, offsetof(memory::TlbEntry, exec), page, true), number, {}, false});
    leaves_.push_back({compare_page(page, offsetof(memory::TlbEntry, addend),
                                    reinterpret_cast<u64>(block_->host2) - page, false),
                       number,
                       {},
                       false});
}

void Emitter::emit_interp(unsigned index) {
    const bool last = index + 1 == block_->count;
    resolve_to_memory();  // it may look at them, and the runtime would compute them more slowly
    before_interp_x87(block_->insns[index]);
    const auto repeat = last ? std::nullopt : repeat_of(block_->insns[index], block_->mode);
    Jump done;
    if (repeat) {
        call_thunk(context_.thunks.repeats[repeat->number()]);
        test(r12d, r12d);
        done = jump_if(kEqual);
    }
    Point p;
    p.kind = Point::kCall;
    mov(r12d, point(p));
    call_thunk(context_.thunks.interpret);
    if (repeat) land(done);
    flags_ = {Flags::kMemory, {}, false, {}, 0};
    clobber_flags();
    vectors_ready_ = false;
    upper_clear_ = 0;
    left_ = last;  // the call does not come back from the last one
}

// An exit to `target`, where operation `at` leads: flags, ticks, event check, and a jump that is
// patched when the target is known.
void Emitter::emit_exit(u64 target, Value at) {
    flush_x87_note();
    const FlagUse use = flag_use_at_(target);
    if (!use.dead) save_flags_at_exit(use.overwritten);
    Point p;
    p.kind = Point::kExit;
    p.exit.target = target;
    p.recipe = current_recipe();
    p.cross_page = ((block_->rip ^ target) & kPageMask) != 0;
    if (trial_) count_exit(p);
    const u32 number = point(p);
    if (in_copy_) return_ticks(at);
    const Jump event = count_ticks(in_copy_ ? ticks_so_far() : insn_ + 1);
    left_ = true;
    if (loop_start_ != kNowhere && target == parts_[0].block->rip) {
        if (way_back_ != kNoValue && !in_copy_)
            ways_back_.push_back(jump());
        else
            jump_to(loop_start_);
        exits_.push_back({event, {}, number});
        return;
    }
    exits_.push_back({event, jump(), number});
}

// How often the trial's runs end here. The flags have been saved.
void Emitter::count_exit(Point& p) {
    auto* const site = reinterpret_cast<memory::PageSite*>(context_.memory.take_data(32));
    if (!site) return;
    p.site = new (site) memory::PageSite;
    clobber_flags();
    mov(r11, reinterpret_cast<u64>(&site->changes));
    inc(dword[r11]);
}

// On to the next part. Flags and what is known of them stay.
void Emitter::emit_way_on(Value v) {
    if (in_copy_) return;
    const Address ticks = sized(in_frame(Frame::kTicksLeft), 3);
    if (needed_after(v)) {
        mov(r11, ticks);
        lea(r11, ptr[r11 - static_cast<int>(insn_ + 1)]);
        mov(ticks, r11);
    } else {
        sub(ticks, insn_ + 1);
        clobber_flags();
    }
}

void Emitter::emit_cold_exit(const ColdExit& c) {
    land(c.event);
    if (c.unlinked.size) {
        land(c.unlinked);
        Point::Exit& exit = context_.points[c.number].exit;
        exit.jump = address(c.unlinked.end) - 5;
        exit.unlinked = position() - c.unlinked.end;
    }
    leave_by(c.number);
}

// In front of a block, for jumps from other pages: is its page still mapped as it was? If the TLB
// does not know, out by point `number`.
void Emitter::emit_page_guard(const cpu::Block& block, const u8* code, u32 number, void* memory,
                              std::size_t bytes) {
    start(memory, bytes);
    const Jump page =
        compare_page(block.rip, offsetof(memory::TlbEntry, exec), block.rip & kPageMask, true);
    const Jump frame = compare_page(block.rip, offsetof(memory::TlbEntry, addend),
                                    reinterpret_cast<u64>(block.host) - block.rip, false);
    jmp(code);
    land(page);
    land(frame);
    mov(r12d, number);
    jmp(context_.thunks.enter_page);
}

// A member of the TLB entry for code at rip with a constant: jumps if it is another.
Assembler::Jump Emitter::compare_page(u64 rip, std::size_t member, u64 value, bool load_table) {
    if (load_table) mov(r11, sized(state(cpu_.mmu.code_table()), 3));
    const std::size_t slot = (rip >> 12) & (memory::kTlbEntries - 1);
    mov(r12, value);
    cmp(qword[r11 + static_cast<int>(slot * sizeof(memory::TlbEntry) + member)], r12);
    return jump_if(kNotEqual);
}

void Emitter::emit_jump_to(Value v) {
    if (in_copy_ && v == way_back_) return emit_run_again();
    if (v == parts_[part_].on) return emit_way_on(v);
    emit_exit(op(v).imm, v);
}

void Emitter::emit_jump_if(Value v) {
    const Op& o = op(v);
    const Loc c = loc_[o.a];
    if (c.kind != Loc::kCondition) not_native();
    if (!c.imm) need_host_flags(ir::condition_flags(c.n));
    if (in_copy_ && v == way_back_) {
        const bool last = v + 1u < ir_.ops.size() && op(v + 1).code != Code::insn;
        const cpu::Insn& i = block_->insns[insn_];
        const u64 behind =
            (block_->rip + i.offset + i.length) & (block_->mode.code64() ? ~u64{0} : 0xFFFFFFFF);
        const u64 next = last ? op(v + 1).imm : behind;
        jump_later(jump_if(c.n ^ 1u), next, v);
        return emit_run_again();
    }
    if (v != parts_[part_].on) return jump_later(jump_if(c.n), o.imm, v);
    // The next part is the taken side.
    jump_later(jump_if(c.n ^ 1u), op(v + 1).imm, v);
    emit_way_on(v);
}

// The taken side is laid out later, with the flags as they are here.
void Emitter::jump_later(Jump taken, u64 target, Value at) {
    taken_.push_back({taken, target, part_, insn_, at, flags_, host_flags_, x87_note_});
}

void Emitter::emit_taken_side(const TakenSide& t) {
    land(t.from);
    enter_part(t.part);
    insn_ = t.insn;
    flags_ = t.flags;
    host_flags_ = t.host_flags;
    scratch_[0] = scratch_[1] = kNoValue;
    x87_note_ = t.note;
    emit_exit(t.target, t.at);
}

// What is behind the block: taken sides first, as they run too.
void Emitter::emit_cold() {
    for (const TakenSide& t : taken_) emit_taken_side(t);
    emit_copy();
    emit_cold_trial();
    for (const ColdAccess& c : accesses_) emit_cold_access(c);
    for (const ColdExit& c : exits_) emit_cold_exit(c);
    for (const ColdResolve& c : resolves_) emit_cold_resolve(c);
    for (const ColdTarget& c : targets_) {
        land(c.from);
        xor_(r11, sized(state(&cpu_.translated.salt), 3));
        mov(r12d, c.number);
        call_thunk(context_.thunks.find);
        jump_to(c.retry);
    }
    for (std::size_t n = 0; n < leaves_.size(); ++n) {
        const ColdLeave& c = leaves_[n];
        land(c.from);
        if (n + 1 < leaves_.size() && leaves_[n + 1].number == c.number) continue;
        store_x87_note(c.note);
        if (c.salted) xor_(r11, sized(state(&cpu_.translated.salt), 3));
        leave_by(c.number);
    }
}

// The target's code from the table of targets: r11 = key, r12 = its entry's offset. A target that
// is not there, or not canonical, is the interpreter's: nothing has been written yet.
void Emitter::emit_check_target(Value v) {
    const Op& o = op(v);
    bool certain = true;  // nothing of the instruction can fault any more
    for (Value w = v + 1; w < ir_.ops.size() && op(w).code != Code::insn; ++w)
        certain &= ir::info(op(w).code).effect != ir::Effect::kFaults;
    // The flags first: this needs the scratch registers, which then hold the target.
    const bool loaded = loc_[o.a].kind == Loc::kPlace || loc_[o.a].kind == Loc::kScratch;
    if (loc_[o.a].kind == Loc::kPlace) materialize_place();
    if (loaded && (flags_.kind == Flags::kRecipe || !certain)) {
        mov(sized(state(&cpu_.translated.spill[2]), 3), scratch_reg(loc_[o.a].n));
        for (Value& s : scratch_)
            if (s == o.a) s = kNoValue;
        loc_[o.a] = {Loc::kSpill, 2, 0};
        spilled_[2] = o.a;
    }
    save_flags_at_exit();
    with_source(o.a, o.size, [&](const Operand& s) {
        if (!(s.isREG() && s.getIdx() == r11.getIdx())) mov(sized_reg(r11, o.size), s);
    });
    if (loc_[o.a].kind == Loc::kScratch)
        for (Value& s : scratch_)
            if (s == o.a) s = kNoValue;
    const u32 key = position();
    emit_target_key();
    cmp(r11, qword[r13 + r12 + from_r13(cpu_, cpu_.translated.targets)]);
    Point p;
    p.kind = Point::kInstruction;
    p.recipe = current_recipe();
    p.certain = certain;
    const u32 number = point(p);
    targets_.push_back({jump_if(kNotEqual), number, key});
    clobber_flags();
    target_ready_ = true;
}

void Emitter::emit_target_key() {
    static_assert(sizeof(TranslatorState::Target) == 16);
    static_assert(TranslatorState::kTargets == 1 << 16);
    xor_(r11, sized(state(&cpu_.translated.salt), 3));
    movzx(r12d, r11w);  // TranslatorState::target_slot
    shl(r12d, 4);
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
    leaves_.push_back({count_ticks(insn_ + 1), number, {}, true});
    jmp(qword[r13 + r12 + from_r13(cpu_, &cpu_.translated.targets[0].code)]);
    left_ = true;
}

}  // namespace rm::jit::x64
