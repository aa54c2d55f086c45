// The second copy of a loop, without checks. Where a trace leads back to its first block and each
// of its accesses moves by a constant in a run, or not at all (loop_groups.h), the way back looks
// how many runs certainly stay on the pages that the TLB holds, and before the next event. These
// are made by the copy, in which nothing can fault: its accesses are the guest's own, flags are
// kept for nobody, ticks have been counted before. What it looks up in each run is in host
// registers of guest registers that the loop does not name. Whatever the look ahead does not like
// is left to the loop itself, for one run. No mapping changes meanwhile: the copy calls nobody, and
// a page that holds code has no write tag.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "jit/host/x64/emitter.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

namespace {
// x / d, or somewhat less, as (x * reciprocal(d)) >> 16; x < 2^15.
constexpr u32 reciprocal(u64 d) { return static_cast<u32>(65536 / d); }
constexpr u32 kMostTicksAhead = 32767;
}  // namespace

// The operation that the copy's runs end with: the jump back that the trial has seen nearly always
// taken. kNoValue: none.
Value Emitter::way_back() const {
    if (loop_start_ == kNowhere || cpu_.threads) return kNoValue;
    for (const Part& p : parts_)
        if (!p.block->likely_mostly) return kNoValue;
    const unsigned last = static_cast<unsigned>(parts_.size()) - 1;
    const cpu::Block& block = *parts_[last].block;
    if (block.likely != parts_[0].block->rip) return kNoValue;
    unsigned insn = 0;
    for (std::size_t n = last ? parts_[last - 1].end : 0; n < parts_[last].end; ++n) {
        const Op& o = ir_.ops[n];
        if (o.code == Code::insn) insn = static_cast<unsigned>(o.imm);
        if (insn != block.likely_insn || !leaves(o) || o.imm != block.likely) continue;
        if (o.code == Code::jump_to || op(o.a).code == Code::condition)
            return static_cast<Value>(n);
    }
    return kNoValue;
}

// Which flags operations of the copy have to leave for others. False: those from before the loop
// are wanted, or those of the run before.
bool Emitter::analyse_copy() {
    bool needed = true;
    for (Value v = static_cast<Value>(way_back_ + 1u); v-- > 0;) {
        const Op& o = op(v);
        needed_after_[v] = needed;
        if (o.writes == cpu::kCcAll && ir::flags_replaced(ir_, o) == cpu::kCcAll) needed = false;
        const bool goes_on = o.code == Code::jump_to && v != way_back_;
        if ((leaves(o) && !goes_on) || reads_flags(o)) needed = true;
    }
    return !needed;
}

// Behind the loop. Its jumps back come here, ticks counted and flags saved as for its begin.
void Emitter::emit_copy() {
    if (way_back_ == kNoValue || ways_back_.empty()) return;
    const std::size_t begin = getSize(), taken = taken_.size(), exits = exits_.size(),
                      resolves = resolves_.size();
    const u32 points = context_.points.end();
    for (const Jump& j : ways_back_) land(j);
    bool done = false;
    try {
        done = loop_.find(ir_, way_back_) && analyse_copy();
        if (done) {
            find_lent_registers();
            emit_look_ahead();
            emit_runs();
            for (std::size_t n = taken; n < taken_.size(); ++n) emit_taken_side(taken_[n]);
        }
    } catch (const NotNative&) {  // a form that may fault, or needs more registers
        done = false;
    } catch (const Xbyak::Error&) {
        done = false;
    }
    in_copy_ = false;
    if (done) {
        ++copies_;
        return;
    }
    setSize(begin);
    taken_.resize(taken);
    exits_.resize(exits);
    resolves_.resize(resolves);
    context_.points.cut(points);
    jump_to(loop_start_);
}

u64 Emitter::ticks_of_run() const {
    u64 n = 0;
    for (Value v = 0; v <= way_back_; ++v) n += op(v).code == Code::insn;
    return n;
}

// Of the copy's run, which no way on from part to part has counted.
unsigned Emitter::ticks_so_far() const {
    unsigned n = insn_ + 1;
    for (unsigned part = 0; part < part_; ++part) n += parts_[part].block->likely_insn + 1u;
    return n;
}

// How many runs: to the frame. If none, on to the loop itself.
void Emitter::emit_look_ahead() {
    const auto runs = sized(in_frame(Frame::kLoopRuns), 3);
    const auto ticks = sized(in_frame(Frame::kTicksLeft), 3);
    const u32 length = static_cast<u32>(ticks_of_run());
    std::vector<Jump> none;
    mov(r11, ticks);
    sub(r11, 1);
    cmp(r11, kMostTicksAhead);
    const Jump few = skip_if(kBelowOrEqual);
    mov(r11d, kMostTicksAhead);
    land(few);
    imul(r11d, r11d, static_cast<int>(reciprocal(length)));
    shr(r11d, 16);
    none.push_back(jump_if(kEqual));
    mov(runs, r11);
    unsigned slot = 0;
    for (const LoopGroups::Group& g : loop_.groups()) {
        const int span = static_cast<int>(g.end - g.first), first = static_cast<int>(g.first);
        RegExp e;
        if (g.base >= 0) e = e + register_or(r11, static_cast<unsigned>(g.base));
        if (g.index >= 0) e = e + register_or(r12, static_cast<unsigned>(g.index)) * (1 << g.scale);
        if (g.base >= 0 || g.index >= 0)
            lea(r11, ptr[e + first]);
        else
            mov(r11, static_cast<u64>(g.first));
        if (g.alignment) {
            lea(r12, ptr[r11 + static_cast<int>(g.aligned - g.first)]);
            test(r12d, g.alignment);
            none.push_back(jump_if(kNotEqual));
        }
        // Runs until the group, which is on one page, leaves it.
        if (g.stride) {
            mov(r12, r11);
            if (g.stride > 0) {
                or_(r12, -4096);
                neg(r12);
                sub(r12, span);
                none.push_back(jump_if(kNegative));
            } else {
                and_(r12d, 4095);
            }
            const u64 stride = static_cast<u64>(std::abs(g.stride));
            if (std::has_single_bit(stride)) {
                shr(r12d, std::countr_zero(stride));
            } else {
                imul(r12d, r12d, static_cast<int>(reciprocal(stride)));
                shr(r12d, 16);
            }
            add(r12d, 1);
            cmp(r12, runs);
            const Jump more = skip_if(kAboveOrEqual);
            mov(runs, r12);
            land(more);
        }
        none.push_back(check_page(static_cast<unsigned>(span), g.write, false));
        if (g.base >= 0 && !loop_.moved(g.base))
            add(r11, register_or(r12, static_cast<unsigned>(g.base)));
        if (g.index >= 0 && !loop_.moved(g.index))
            lea(r11, ptr[r11 + register_or(r12, static_cast<unsigned>(g.index)) * (1 << g.scale)]);
        mov(sized(in_frame(loop_place(slot++)), 3), r11);
    }
    mov(r11, runs);
    imul(r12, r11, static_cast<int>(length));
    sub(ticks, r12);
    imul(r11, r11, static_cast<int>(loop_.step()));
    add(r11, register_or(r12, loop_.counter()));
    mov(sized(in_frame(Frame::kLoopEnd), 3), r11);
    for (const Lent& l : lent_) {
        mov(r11, sized(in_frame(l.at), 3));
        mov(sized(in_frame(l.at), 3), l.reg);
        mov(l.reg, r11);
    }
    const Jump on = jump();
    for (const Jump& j : none) land(j);
    jump_to(loop_start_);
    land(on);
}

// Which host registers the copy has instead of which words of the frame. The words have the guest's
// values meanwhile. The other host registers serve instructions that need them.
void Emitter::find_lent_registers() {
    lent_.clear();
    u32 named = 1u << cpu::kRax | 1u << cpu::kRcx | 1u << cpu::kRdx | 1u << cpu::kRsp;
    std::array<unsigned, LoopGroups::kMost> uses{};
    for (Value v = 0; v <= way_back_; ++v) {
        const Op& o = op(v);
        if (o.code == Code::get || o.code == Code::put || o.code == Code::put_if)
            named |= 1u << (o.n >> 3);
        if (o.code == Code::address && loop_.use(v).group >= 0)
            ++uses[static_cast<unsigned>(loop_.use(v).group)];
    }
    std::vector<int> words;  // the ones looked up most first
    for (unsigned g = 0; g < loop_.groups().size(); ++g) words.push_back(loop_place(g));
    std::stable_sort(words.begin(), words.end(), [&](int a, int b) {
        const auto of = [&](int at) { return uses[static_cast<unsigned>(at - loop_place(0)) / 8]; };
        return of(a) > of(b);
    });
    words.push_back(Frame::kLoopEnd);
    unsigned guest = 0;
    for (const int at : words) {
        while (guest < 16 && (named >> guest & 1 || host_of(guest) < 0)) ++guest;
        if (guest == 16) return;
        lent_.push_back({Reg64(host_of(guest++)), at});
    }
}

// Before anybody but the copy can look.
void Emitter::return_registers() {
    for (const Lent& l : lent_) mov(l.reg, sized(in_frame(l.at), 3));
}

// A word of the frame that the copy looks up, or its register.
void Emitter::with_looked_up(int at, FunctionRef<void(const Operand&)> f) {
    for (const Lent& l : lent_)
        if (l.at == at) return f(l.reg);
    f(sized(in_frame(at), 3));
}

void Emitter::emit_runs() {
    in_copy_ = true;
    upper_clear_ = 0;
    copy_start_ = position();
    loc_.assign(ir_.ops.size(), {});
    flags_ = {};
    host_flags_ = 0;
    next_pair_ = 0;
    vectors_ready_ = vectors_at_start_;
    x87_ready_ = x87_at_start_;
    x87_note_ = {};
    left_ = false;
    emit_parts(way_back_ + std::size_t{1});
}

// The copy's last operation: once more, or out to the loop itself.
void Emitter::emit_run_again() {
    flush_x87_note();
    const Reg64 counter = register_or(r11, loop_.counter());
    const u64 head = parts_[0].block->rip;
    with_looked_up(Frame::kLoopEnd, [&](const Operand& end) { cmp(counter, end); });
    clobber_flags();
    jump_to_if(kNotEqual, copy_start_);
    return_registers();
    const FlagUse use = flag_use_at_(head);
    if (!use.dead) save_flags_at_exit(use.overwritten);
    jump_to(loop_start_);
    left_ = true;
}

// Before an exit from the middle of the runs: the ticks of this one and of those not made are to be
// counted yet, and what has been lent goes back.
void Emitter::return_ticks(Value at) {
    const u64 step = static_cast<u64>(loop_.step());
    const int shift = std::countr_zero(step);
    // Divides exactly: by the power of two, then by the odd rest's inverse modulo 2^64.
    const u64 odd = static_cast<u64>(loop_.step() >> shift);
    u64 inverse = odd;
    for (int n = 0; n < 6; ++n) inverse *= 2 - odd * inverse;
    with_looked_up(Frame::kLoopEnd, [&](const Operand& end) { mov(r11, end); });
    return_registers();
    if (const i64 ahead = loop_.counted(at)) add(r11, static_cast<u32>(ahead));
    sub(r11, register_or(r12, loop_.counter()));
    if (shift) sar(r11, shift);
    if (inverse != 1) {
        mov(r12, inverse * ticks_of_run());
        imul(r11, r12);
    } else {
        imul(r11, r11, static_cast<int>(ticks_of_run()));
    }
    add(sized(in_frame(Frame::kTicksLeft), 3), r11);
    clobber_flags();
}

// An access of the copy.
RegExp Emitter::checked_ahead(Value a) {
    const LoopGroups::Use& use = loop_.use(a);
    const Op& address = op(a);
    if (use.group < 0) not_native();
    Reg64 place = r11;
    with_looked_up(loop_place(static_cast<unsigned>(use.group)), [&](const Operand& at) {
        if (at.isREG())
            place = Reg64(at.getIdx());
        else
            mov(r11, at);
    });
    const int behind = static_cast<int>(use.behind);
    if (!use.base && !use.index) return place + behind;
    if (!use.index) return with_index(place, address_part(address.a, r12), 0, behind);
    if (use.base) {
        lea(r11, ptr[place + address_part(address.a, r12)]);
        place = r11;
    }
    return with_index(place, address_part(address.b, r12), address.n, behind);
}

}  // namespace rm::jit::x64
