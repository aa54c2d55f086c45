// The walk over the IR, values and registers. The operations: emit_alu.cpp, emit_memory.cpp,
// emit_control.cpp; flags: flags.cpp; vectors: vectors.cpp.
#include "jit/host/x64/emitter.h"

#include "jit/host/x64/vectors.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Cc;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;

namespace {
// Host register number of each guest register; -1: in the frame, number kHomeOf.
constexpr i8 kHostOf[16] = {0, 1, 2, 3, 15, 5, 6, 7, 8, 9, -1, -1, 10, 14, -1, -1};
constexpr i8 kHomeOf[16] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, -1, -1, 2, 3};

// What the walks over a block look for in its operations, by code: most have nothing of it.
enum Trait : u8 {
    kLeaves = 1 << 0,
    kFaults = 1 << 1,
    kVector = 1 << 2,      // the result is one
    kWhole = 1 << 3,       // emitted with its whole instruction as vectors are
    kTarget = 1 << 4,      // check_target
    kTakesCarry = 1 << 5,  // adds it, or rotates through it
    kReadsFlags = 1 << 6,  // but for shifts, which may keep them
    kPattern = 1 << 7,     // emit_pattern() may know its instruction
};
constexpr u8 traits(Code code, ir::Kind result, ir::Effect effect) {
    u8 t = 0;
    if (effect == ir::Effect::kLeaves) t |= kLeaves;
    if (effect == ir::Effect::kFaults) t |= kFaults;
    if (result == ir::Kind::X) t |= kVector | kWhole;
    switch (code) {
        case Code::crc32: return t | kWhole;
        case Code::check_target: return t | kTarget;
        case Code::adc:
        case Code::sbb:
        case Code::rcl:
        case Code::rcr: return t | kTakesCarry | kReadsFlags;
        case Code::condition:
        case Code::flags_image:
        case Code::x87: return t | kReadsFlags;
        case Code::rmw:
        case Code::equal:
        case Code::set_carry: return t | kPattern;
        default: return t;
    }
}
constexpr u8 kTraits[] = {
#define RM_IR(name, a, b, c, result, effect) \
    traits(Code::name, ir::Kind::result, ir::Effect::effect),
#include "jit/ir/ops.def"
#undef RM_IR
};
u8 traits(const Op& op) { return kTraits[static_cast<unsigned>(op.code)]; }
// Its 32-bit result, if in a scratch register, is in a whole one with zeros above: the host's
// operation of that size has made it.
bool clears_upper(const Op& op) {
    switch (op.code) {
        case Code::load:
        case Code::add:
        case Code::sub:
        case Code::adc:
        case Code::sbb:
        case Code::and_:
        case Code::or_:
        case Code::xor_:
        case Code::shl:
        case Code::shr:
        case Code::sar:
        case Code::rol:
        case Code::ror:
        case Code::imul:
        case Code::not_:
        case Code::bswap:
        case Code::popcnt:
        case Code::lzcnt:
        case Code::zero_extend:
        case Code::sign_extend:
        case Code::select: return op.size == 2;
        default: return false;
    }
}
bool faults(const Op& op) { return traits(op) & kFaults; }
}  // namespace

Reg64 Emitter::register_or(const Reg64& scratch, unsigned guest) {
    if (host_of(guest) >= 0) return Reg64(host_of(guest));
    mov(scratch, sized(gpr_home(guest), 3));
    return scratch;
}

bool Emitter::reads_flags(const Op& op) const {
    return (traits(op) & kReadsFlags) && ir::flags_read(ir_, op);
}

int Emitter::host_of(unsigned guest) { return guest < 16 ? kHostOf[guest] : -1; }
int Emitter::home_of(unsigned guest) {
    return guest < 16 && kHomeOf[guest] >= 0 ? Frame::kHomes + 8 * kHomeOf[guest] : -1;
}
RegExp Emitter::gpr_home(unsigned guest) const {
    const int home = home_of(guest);
    return home >= 0 ? in_frame(home) : state(&cpu_.gpr[guest]);
}

Reg Emitter::sized_reg(const Reg64& r, unsigned size) {
    switch (size) {
        case 0: return r.cvt8();
        case 1: return r.cvt16();
        case 2: return r.cvt32();
        default: return r;
    }
}

// Not an access whose page another one has checked.
bool Emitter::may_fault(Value v) const {
    if (in_copy_) return false;
    const Op& o = op(v);
    if (!faults(o)) return false;
    const bool access = o.code == Code::load || o.code == Code::store || o.code == Code::rmw;
    return !(access && page_uses_.of(o.a).role == PageUse::kLater);
}

// Uses of each value, and where the complete state of the flags may be looked at.
void Emitter::analyse() {
    const std::size_t n = ir_.ops.size();
    uses_.resize(n);
    last_.resize(n);
    loc_.resize(n);
    needed_after_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
        uses_[i] = 0;
        last_[i] = -1;
        loc_[i] = {};
        const Op& o = ir_.ops[i];
        for (const Value v : {o.a, o.b, o.c})
            if (v != kNoValue) {
                ++uses_[v];
                last_[v] = static_cast<int>(i);
            }
    }
    bool needed = true;
    unsigned part = static_cast<unsigned>(parts_.size());
    for (std::size_t i = n; i-- > 0;) {
        while (part > 0 && i < parts_[part - 1].end) --part;
        const Op& o = ir_.ops[i];
        // An address is used where its access is made, not where it is named.
        if (o.code == Code::address)
            for (const Value v : {o.a, o.b, o.c})
                if (v != kNoValue) last_[v] = std::max(last_[v], last_[i]);
        needed_after_[i] = needed;
        if (o.writes == cpu::kCcAll && ir::flags_replaced(ir_, o) == cpu::kCcAll) needed = false;
        if (needed || !(traits(o) & (kFaults | kLeaves | kReadsFlags))) continue;
        // What an operation leaves or keeps of the old flags is wanted as far as its own are.
        const bool goes_on = o.code == Code::jump_to && parts_[part].on == i;
        needed = may_fault(static_cast<Value>(i)) || (leaves(o) && !goes_on) || reads_flags(o);
    }
}

void Emitter::start_block(std::span<const Part> parts, FlagUseAt flag_use_at, u32 owner) {
    parts_ = parts;
    owner_ = owner;
    loop_start_ = kNowhere;
    way_back_ = kNoValue;
    ways_back_.clear();
    in_copy_ = false;
    enter_part(0);
    flag_use_at_ = flag_use_at;
    flags_ = {};
    host_flags_ = 0;
    next_pair_ = 0;
    taken_.clear();
    leaves_.clear();
    exits_.clear();
    accesses_.clear();
    targets_.clear();
    resolves_.clear();
    left_ = target_ready_ = vectors_ready_ = x87_ready_ = false;
    upper_clear_ = 0;
    x87_note_ = {};
    for (Value& s : scratch_) s = kNoValue;
    for (Value& s : spilled_) s = kNoValue;
    now_ = 0;
}

void Emitter::enter_part(unsigned part) {
    part_ = part;
    block_ = parts_[part].block;
    insn_ = 0;
}

void Emitter::run(std::span<const Part> parts, FlagUseAt flag_use_at, u64 trial_runs, u32 owner,
                  void* memory, std::size_t bytes) {
    start(memory, bytes);
    start_block(parts, flag_use_at, owner);
    // A processor with a thread of its own may wait for the lock between two accesses, and the
    // page's permission may go meanwhile: each access looks by itself then.
    using Checks = cpu::Block::Checks;
    Checks checks = cpu_.threads ? Checks::kSingle : Checks::kTables;
    for (const Part& p : parts) checks = std::max(checks, p.block->checks);
    page_uses_.find(ir_, checks >= Checks::kSingle ? PageUses::kNoGroups
                         : checks == Checks::kTables && block_->sites != cpu::Block::Sites::kNo
                             ? PageUses::kTables
                             : PageUses::kFields);
    analyse();
    trial_ = nullptr;
    if (block_->sites == cpu::Block::Sites::kTried) emit_trial(trial_runs);
    if (block_->host2) emit_second_page_guard();
    if (block_->sites == cpu::Block::Sites::kYes && !block_->host2) emit_loop_start();
    way_back_ = way_back();
    emit_parts(ir_.ops.size());
    emit_cold();
}

// The instructions that begin before operation `limit`.
void Emitter::emit_parts(std::size_t limit) {
    std::size_t first = 0;
    for (unsigned part = 0; part < parts_.size() && !left_; ++part) {
        enter_part(part);
        const std::size_t part_end = std::min(parts_[part].end, limit);
        while (first < part_end && !left_) {
            std::size_t end = first + 1;
            while (end < part_end && ir_.ops[end].code != Code::insn) ++end;
            emit_instruction(static_cast<Value>(first), static_cast<Value>(end));
            first = end;
        }
    }
}

// Where the trace begins anew if it leads back to its first block: behind what has to be done once.
void Emitter::emit_loop_start() {
    // Up to the last way there; the other side of a jump that a trace goes on by is a constant.
    const auto leads_back = [this](const Op& o) {
        return o.imm == block_->rip && (leaves(o) || o.code == Code::constant);
    };
    std::size_t end = ir_.ops.size();
    while (end > 0 && !leads_back(ir_.ops[end - 1])) --end;
    if (end == 0) return;
    bool vectors = false, x87 = false, calls = false;
    for (const Op& o : std::span(ir_.ops).first(end)) {
        vectors |= ir::info(o.code).result == ir::Kind::X;
        x87 |= o.code == Code::x87;
        calls |= o.code == Code::interp;
    }
    if (!calls && vectors) {
        load_unless(cpu_.translated.vector_live, context_.thunks.load_vectors);
        vectors_ready_ = true;
    }
    if (!calls && x87) ready_x87();
    vectors_at_start_ = vectors_ready_;
    x87_at_start_ = x87_ready_;
    loop_start_ = position();
    upper_clear_ = 0;
}

void Emitter::emit_instruction(Value first, Value end) {
    insn_ = static_cast<unsigned>(op(first).imm);
    scratch_[0] = scratch_[1] = kNoValue;
    for (Value& s : spilled_) s = kNoValue;
    target_ready_ = false;
    // Replaced before anybody can see them: nothing needs to be kept for them any more.
    if (flags_.kind == Flags::kRecipe && !needed_after(first)) {
        flags_.recipe = {};
        flags_.has_before = false;
    }
    u8 has = 0;  // any of its operations
    bool flags = false;
    for (Value v = first + 1; v < end; ++v) {
        has |= traits(op(v));
        flags |= op(v).writes != 0;
    }
    if (has & kTarget) flush_x87_note();  // the ways out of other jumps write it themselves
    if (has & kWhole) {
        if (!vectors_ready_ && (has & kVector)) {
            load_unless(cpu_.translated.vector_live, context_.thunks.load_vectors);
            vectors_ready_ = true;
        }
        now_ = first;
        Value own = end;  // without the jump behind the block's last instruction
        while (leaves(op(own - 1))) --own;
        for (Value w = first + 1; w < own; ++w)
            if (op(w).code == Code::get || op(w).code == Code::constant) emit(w);
        if (!emit_vector(*this, ir_, static_cast<Value>(first + 1), own)) not_native();
        for (now_ = own; now_ < end && !left_; ++now_) emit(now_);
        return;
    }
    // Flags that the instruction keeps a part of: known before the scratch registers are in use.
    bool asked = false;  // for the flags from before, if it faults
    for (Value v = first + 1; v < end && flags; ++v) {
        asked |= may_fault(v);
        const Cc replaced = ir::flags_replaced(ir_, op(v));
        if (!op(v).writes || replaced == cpu::kCcAll || !needed_after(v)) continue;
        if (flags_.kind == Flags::kInherited ||
            (flags_.kind == Flags::kRecipe && flags_.recipe.keeps &&
             (flags_.recipe.writes & ~replaced))) {
            // A shift by CL keeps all or nothing.
            const Code c = op(v).code;
            if (!asked && (c == Code::shl || c == Code::shr || c == Code::sar) &&
                !is_constant(op(v).b))
                resolve_if_count_is_zero(op(v).size);
            else
                resolve_to_memory();
        }
    }
    // An indirect branch needs the scratch registers for its target, and changes no flags.
    if (has & kTarget) save_flags_at_exit();
    // A carry read after an access, whose check needs the host's flags.
    bool access = false;
    for (Value v = first + 1; v < end && (has & kTakesCarry); ++v) {
        access |= faults(op(v));
        if (access && (traits(op(v)) & kTakesCarry)) resolve_to_memory();
    }
    if ((has & kPattern) && emit_pattern(static_cast<Value>(first + 1), end)) return;
    for (Value v = first + 1; v < end && !left_; ++v) {
        now_ = v;
        emit(v);
        drop_dead(v);
    }
}

void Emitter::emit(Value v) {
    const Op& o = op(v);
    switch (o.code) {
        case Code::insn:
        case Code::address: break;  // used by what accesses it
        case Code::constant: loc_[v] = {Loc::kConstant, 0, o.imm}; break;
        case Code::immediate: emit_immediate(v); break;
        case Code::get: loc_[v] = {Loc::kGpr, o.n, 0}; break;
        case Code::condition: loc_[v] = {Loc::kCondition, o.n, 0}; break;
        case Code::interp: emit_interp(static_cast<unsigned>(o.imm)); break;
        case Code::x87: emit_x87(v); break;
        case Code::put:
            emit_put(v);
            if (o.size == 2) upper_clear_ |= static_cast<u16>(1u << (o.n >> 3));
            break;
        case Code::put_if: emit_put_if(v); break;
        case Code::set_direction:
            clobber_flags();
            if (o.imm)
                or_(sized(state(&cpu_.flags_other), 2), static_cast<u32>(cpu::kFlagDf));
            else
                and_(sized(state(&cpu_.flags_other), 2), ~static_cast<u32>(cpu::kFlagDf));
            break;
        case Code::offset: emit_offset(v); break;
        case Code::load:
        case Code::rmw:
            // Locked, and other processors at work: what no single host instruction does is the
            // interpreter's (cpu/interpreter/locked.h).
            if (o.code == Code::rmw && o.n && cpu_.threads) not_native();
            place_ = checked(o.a, 1u << o.size, o.code == Code::rmw);
            loc_[v] = {Loc::kPlace, 0, 0};
            scratch_[0] = v;
            if (o.code == Code::load) load_in_place(v);
            break;
        case Code::store: emit_store(v); break;
        case Code::commit: emit_commit(v); break;
        case Code::add:
        case Code::sub:
        case Code::adc:
        case Code::sbb:
        case Code::and_:
        case Code::or_:
        case Code::xor_: emit_binary(v); break;
        case Code::shl:
        case Code::shr:
        case Code::sar:
        case Code::rol:
        case Code::ror: emit_shift(v); break;
        case Code::rcl:
        case Code::rcr: emit_rotate_carry(v); break;
        case Code::shld:
        case Code::shrd: emit_double_shift(v); break;
        case Code::mul:
        case Code::imul: emit_multiply(v); break;
        case Code::div:
        case Code::idiv: emit_divide(v); break;
        case Code::high: break;  // placed by its first half
        case Code::bsf:
        case Code::bsr: emit_scan(v); break;
        case Code::not_:
        case Code::bswap:
        case Code::popcnt:
        case Code::lzcnt: emit_unary(v); break;
        case Code::zero_extend:
        case Code::sign_extend: emit_extend(v); break;
        case Code::truncate:
            loc_[v] = loc_[o.a];
            for (Value& s : scratch_)
                if (s == o.a) s = v;
            for (Value& s : spilled_)
                if (s == o.a) s = v;
            break;
        case Code::equal: emit_equal(v); break;
        case Code::bit_of: emit_bit_of(v); break;
        case Code::not_bool: {
            const Loc a = loc_[o.a];
            if (a.kind != Loc::kCondition) not_native();
            loc_[v] = {Loc::kCondition, static_cast<u8>(a.n ^ 1), a.imm};
            break;
        }
        case Code::select: emit_select(v); break;
        case Code::set_carry: emit_set_carry(v); break;
        case Code::check_target: emit_check_target(v); break;
        case Code::jump: emit_jump(v); break;
        case Code::tsc: emit_tsc(v); break;
        case Code::flags_image: emit_flags_image(v); break;
        case Code::mask_interrupts: emit_mask_interrupts(); break;
        case Code::allow_interrupts: emit_allow_interrupts(); break;
        case Code::swap_gs_base: emit_swap_gs_base(); break;
        case Code::jump_to: emit_jump_to(v); break;
        case Code::jump_if: emit_jump_if(v); break;
        default: not_native();
    }
}

// Stores may change it between two runs of the code (cpu::BlockCache::overwrite).
void Emitter::emit_immediate(Value v) {
    const unsigned n = take_scratch(v);
    mov(scratch_reg(n), reinterpret_cast<u64>(&block_->insns[op(v).imm].imm));
    mov(scratch_reg(n), qword[scratch_reg(n)]);
    loc_[v] = {Loc::kScratch, static_cast<u8>(n), 0};
}

// --- values ---

bool Emitter::is_gpr(Value v, unsigned guest) const {
    return v != kNoValue && loc_[v].kind == Loc::kGpr && loc_[v].n >> 3 == guest;
}

void Emitter::drop_dead(Value now) {
    for (Value& s : scratch_)
        if (s != kNoValue && last_[s] <= now) s = kNoValue;
    for (Value& s : spilled_)
        if (s != kNoValue && last_[s] <= now) s = kNoValue;
}

// A load that has been checked but not made: makes it, so that r11 keeps the value only.
void Emitter::materialize_place() {
    const Value v = scratch_[0];
    if (v == kNoValue || loc_[v].kind != Loc::kPlace) return;
    if (op(v).code == Code::rmw) not_native();
    const unsigned size = op(v).size;
    if (size == 0)
        movzx(r11d, byte[place_]);
    else if (size == 1)
        movzx(r11d, word[place_]);
    else
        mov(sized_reg(r11, size), sized(place_, size));
    loc_[v] = {Loc::kScratch, 0, 0};
}

// A load whose value only goes to a guest register is made at once.
void Emitter::load_in_place(Value v) {
    Value put = kNoValue;
    const int target = put_target(v, put);
    if (target < 0 || host_of(static_cast<unsigned>(target)) < 0) return;
    const unsigned guest = static_cast<unsigned>(target);
    before_write(guest);
    mov(sized_reg(Reg64(host_of(guest)), op(v).size), sized(place_, op(v).size));
    loc_[v] = {Loc::kGpr, static_cast<u8>(guest * 8), 1};
    scratch_[0] = kNoValue;
}

// The host register of a guest register is about to change: a place that is addressed through it
// must not be.
void Emitter::protect_place(unsigned guest) {
    const Value v = scratch_[0];
    if (v == kNoValue || loc_[v].kind != Loc::kPlace || host_of(guest) < 0) return;
    const int host = host_of(guest);
    const auto &base = place_.getBase(), &index = place_.getIndex();
    if (!(base.getBit() && base.getIdx() == host) && !(index.getBit() && index.getIdx() == host))
        return;
    if (op(v).code == Code::load) return materialize_place();
    lea(r11, ptr[place_]);
    place_ = RegExp(r11);
}

void Emitter::spill(unsigned n) {
    const Value v = scratch_[n];
    if (v == kNoValue) return;
    if (n == 0) materialize_place();
    if (loc_[v].kind != Loc::kScratch) not_native();  // being computed there right now
    for (u8 word = 0; word < 4; ++word)
        if (spilled_[word] == kNoValue) {
            mov(sized(state(&cpu_.translated.spill[word]), 3), scratch_reg(n));
            spilled_[word] = v;
            loc_[v] = {Loc::kSpill, word, 0};
            scratch_[n] = kNoValue;
            return;
        }
    not_native();
}

void Emitter::spill_all() {
    spill(0);
    spill(1);
}

// A free scratch register for `user`; `keep` must stay as it is.
unsigned Emitter::take_scratch(Value user, int keep) {
    for (unsigned n : {1u, 0u})
        if (static_cast<int>(n) != keep && scratch_[n] == kNoValue) {
            scratch_[n] = user;
            return n;
        }
    for (unsigned n : {1u, 0u}) {
        if (static_cast<int>(n) == keep) continue;
        if (n == 0 && loc_[scratch_[0]].kind == Loc::kPlace && op(scratch_[0]).code == Code::rmw)
            continue;
        spill(n);
        scratch_[n] = user;
        return n;
    }
    not_native();
}

// The guest register that v's only fate is to be put into at the same size, if it can be computed
// there: nothing between looks at the old content or may fault.
int Emitter::put_target(Value v, Value& put) const {
    for (Value j = v + 1; j < ir_.ops.size() && op(j).code != Code::insn; ++j) {
        const Op& o = op(j);
        if (faults(o) || leaves(o)) return -1;
        if (o.code == Code::put && o.a == v) {
            if (o.size != op(v).size || (o.n & 7)) return -1;
            const unsigned guest = o.n >> 3;
            for (Value w = v; w-- > 0 && op(w).code != Code::insn;)
                if (is_gpr(w, guest) && last_[w] > v) return -1;
            for (Value w = v + 1; w < j; ++w)
                if ((op(w).code == Code::get || op(w).code == Code::put) && op(w).n >> 3 == guest)
                    return -1;
            put = j;
            return static_cast<int>(guest);
        }
    }
    return -1;
}

// Where to compute v: its guest register, else a scratch register (the first operand's, if it dies
// here). `operands` after the first must not be in the register chosen.
Emitter::Destination Emitter::destination(Value v, std::initializer_list<Value> operands) {
    Value put = kNoValue;
    const int guest = put_target(v, put);
    const Value* others = operands.begin() + (operands.size() ? 1 : 0);
    if (guest >= 0 && host_of(static_cast<unsigned>(guest)) >= 0) {
        bool clash = false;
        for (const Value* o = others; o != operands.end(); ++o)
            clash |= is_gpr(*o, static_cast<unsigned>(guest));
        // The address of a deferred load may need the register's old content.
        const bool place = scratch_[0] != kNoValue && loc_[scratch_[0]].kind == Loc::kPlace;
        if (place) {
            const Reg64 host(host_of(static_cast<unsigned>(guest)));
            for (int b = 0; b < 2; ++b) {
                const auto& r = b ? place_.getIndex() : place_.getBase();
                const bool in_place = r.getBit() && r.getIdx() == host.getIdx();
                const bool only_second = operands.size() == 2 && *operands.begin() != scratch_[0] &&
                                         is_gpr(*operands.begin(), static_cast<unsigned>(guest));
                if (in_place && !only_second) clash = true;
            }
        }
        if (!clash) return {Reg64(host_of(static_cast<unsigned>(guest))), guest, -1, false};
    }
    if (operands.size()) {
        const Value first = *operands.begin();
        const Loc& l = loc_[first];
        if (l.kind == Loc::kScratch && last_[first] <= static_cast<int>(v)) {
            scratch_[l.n] = v;
            return {scratch_reg(l.n), -1, l.n, false};
        }
    }
    const unsigned n = take_scratch(v);
    return {scratch_reg(n), -1, static_cast<int>(n), false};
}

void Emitter::finish(Value v, const Destination& d) {
    loc_[v] = d.guest >= 0 ? Loc{Loc::kGpr, static_cast<u8>(d.guest * 8), 1}
                           : Loc{Loc::kScratch, static_cast<u8>(d.scratch), 0};
}

// Calls f with the value as a register or memory operand of `size`; constants that fit an immediate
// go to `constant`, if given.
void Emitter::with_source(Value v, unsigned size, FunctionRef<void(const Operand&)> f,
                          FunctionRef<void(u64)> constant, bool high) {
    const Loc l = loc_[v];
    switch (l.kind) {
        case Loc::kConstant: {
            const u64 mask = size == 3 ? ~u64{0} : (u64{1} << (8u << size)) - 1;
            if (constant && (size < 3 || fits32(l.imm))) return constant(extended(l.imm, size));
            const unsigned n = take_scratch(v);
            mov(scratch_reg(n), l.imm & mask);
            f(sized_reg(scratch_reg(n), size));
            release(n);
            return;
        }
        case Loc::kGpr: {
            const unsigned guest = l.n >> 3;
            const int host = host_of(guest);
            if (l.n & 7) {
                if (host < 0 || host > 3 || size != 0) not_native();
                if (high) return f(Reg8(host + 4));
                const unsigned n = take_scratch(v);
                load_high_byte(scratch_reg(n), static_cast<unsigned>(host));
                f(scratch_reg(n).cvt8());
                release(n);
                return;
            }
            if (host >= 0) return f(sized_reg(Reg64(host), size));
            return f(sized(gpr_home(guest), size));
        }
        case Loc::kScratch: return f(sized_reg(scratch_reg(l.n), size));
        case Loc::kPlace: return f(sized(place_, size));
        case Loc::kSpill: return f(sized(state(&cpu_.translated.spill[l.n]), size));
        default: not_native();
    }
}

void Emitter::with_operand(Value v, unsigned size, FunctionRef<void(const Operand&)> f,
                           FunctionRef<void(u64)> constant, bool high) {
    const Loc l = loc_[v];
    const bool home = size >= 2 && l.kind == Loc::kGpr && !(l.n & 7) && host_of(l.n >> 3) < 0;
    const int n = !home ? -1 : scratch_[1] == kNoValue ? 1 : scratch_[0] == kNoValue ? 0 : -1;
    if (n < 0) return with_source(v, size, f, constant, high);
    const unsigned free = static_cast<unsigned>(n);
    scratch_[free] = v;
    const Reg r = sized_reg(scratch_reg(free), size);
    mov(r, sized(gpr_home(l.n >> 3), size));
    f(r);
    release(free);
}

// AH..BH to a register that only instructions with a REX prefix can name. Keeps the flags.
void Emitter::load_high_byte(const Reg64& to, unsigned host) {
    const Reg8 low(static_cast<int>(host)), high(static_cast<int>(host) + 4);
    xchg(low, high);
    movzx(to.cvt32(), low);
    xchg(low, high);
}

void Emitter::move_constant(const Reg64& to, unsigned size, u64 c) {
    if (size == 0)
        mov(to.cvt8(), static_cast<u32>(c & 0xFF));
    else if (size == 1)
        mov(to.cvt16(), static_cast<u32>(c & 0xFFFF));
    else if (size == 2 || c <= 0xFFFFFFFF)
        mov(to.cvt32(), static_cast<u32>(c));
    else
        mov(to, c);
}

void Emitter::move_to(const Reg64& to, Value v, unsigned size) {
    with_source(
        v, size,
        [&](const Operand& s) {
            const Reg d = sized_reg(to, size);
            if (s.isREG() && s.getIdx() == d.getIdx() && !(loc_[v].n & 7)) return;
            mov(d, s);
        },
        [&](u64 c) { move_constant(to, size, c); });
}

Reg64 Emitter::in_register(Value v, unsigned size) {
    const Loc l = loc_[v];
    if (l.kind == Loc::kScratch) return scratch_reg(l.n);
    if (l.kind == Loc::kGpr && !(l.n & 7) && host_of(l.n >> 3) >= 0)
        return Reg64(host_of(l.n >> 3));
    if (l.kind == Loc::kPlace && op(v).code != Code::rmw) {
        materialize_place();
        return r11;
    }
    const unsigned n = take_scratch(v);
    if (l.kind == Loc::kConstant) {
        mov(scratch_reg(n), l.imm);
    } else if (l.kind == Loc::kGpr && (l.n & 7)) {
        load_high_byte(scratch_reg(n), static_cast<unsigned>(host_of(l.n >> 3)));
    } else if (size < 2) {
        with_source(v, size, [&](const Operand& s) { movzx(scratch_reg(n).cvt32(), s); });
    } else {
        move_to(scratch_reg(n), v, size);
    }
    loc_[v] = {Loc::kScratch, static_cast<u8>(n), 0};
    return scratch_reg(n);
}

void Emitter::write_gpr(u8 offset, unsigned size, const Reg64& from) {
    const unsigned guest = offset >> 3;
    const int host = host_of(guest);
    before_write(guest);
    if (offset & 7) {
        if (host < 0 || host > 3 || from.getIdx() == host) not_native();
        xchg(Reg8(host), Reg8(host + 4));
        mov(Reg8(host), from.cvt8());
        xchg(Reg8(host), Reg8(host + 4));
    } else if (host >= 0) {
        mov(sized_reg(Reg64(host), size), sized_reg(from, size));
    } else if (size == 2) {  // zero-extends; the register itself may hold more
        const Reg64 r = from.getIdx() >= 11 && from.getIdx() <= 12 ? from : Reg64(11);
        if (r != from && scratch_[0] != kNoValue) not_native();
        mov(r.cvt32(), from.cvt32());
        mov(sized(gpr_home(guest), 3), r);
    } else if (const Reg64 t(from.getIdx() == 11 ? 12 : 11);
               size < 2 && scratch_[t.getIdx() - 11] == kNoValue) {
        // Whole: a load would have to wait for two stores that are each a part of it.
        mov(t, sized(gpr_home(guest), 3));
        mov(sized_reg(t, size), sized_reg(from, size));
        mov(sized(gpr_home(guest), 3), t);
    } else {
        mov(sized(gpr_home(guest), size), sized_reg(from, size));
    }
}

void Emitter::emit_put(Value v) {
    const Op& o = op(v);
    const unsigned guest = o.n >> 3;
    const int host = host_of(guest);
    const Loc l = loc_[o.a];
    if (l.kind == Loc::kGpr && l.n == o.n && l.imm) return;  // computed in place
    // Values that are this register and still wanted move away first.
    for (Value w = v; w-- > 0 && op(w).code != Code::insn;)
        if (w != o.a && is_gpr(w, guest) && last_[w] > static_cast<int>(v) &&
            ir::info(op(w).code).result == ir::Kind::V) {
            const Loc old = loc_[w];
            if (old.n & 7) not_native();
            const unsigned n = take_scratch(w);
            if (host >= 0)
                mov(scratch_reg(n), Reg64(host));
            else
                mov(scratch_reg(n), sized(gpr_home(guest), 3));
            loc_[w] = {Loc::kScratch, static_cast<u8>(n), 0};
        }
    if (op(v).a != scratch_[0] || last_[scratch_[0]] > static_cast<int>(v)) protect_place(guest);
    const bool byte_high = o.n & 7;
    if (byte_high) {
        if (host < 0 || host > 3) not_native();
        materialize_place();
        before_write(guest);
        with_source(
            o.a, 0,
            [&](const Operand& s) {
                if (s.isREG() && s.getIdx() < 8 && !static_cast<const Reg&>(s).isExt8bit())
                    return mov(Reg8(host + 4), s);
                // No encoding has AH..BH and a REX prefix.
                xchg(Reg8(host), Reg8(host + 4));
                mov(Reg8(host), s);
                xchg(Reg8(host), Reg8(host + 4));
            },
            [&](u64 c) { mov(Reg8(host + 4), static_cast<u32>(c & 0xFF)); }, true);
        return;
    }
    if (host >= 0) {
        before_write(guest);
        with_source(
            o.a, o.size,
            [&](const Operand& s) {
                const Reg d = sized_reg(Reg64(host), o.size);
                if (s.isREG() && s.getIdx() == d.getIdx() && o.size == 3) return;
                mov(d, s);
            },
            [&](u64 c) { move_constant(Reg64(host), o.size, c); });
        return;
    }
    if (l.kind == Loc::kConstant &&
        (o.size < 2 || (o.size == 3 ? fits32(l.imm) : (l.imm & 0xFFFFFFFF) < 0x80000000))) {
        before_write(guest);
        const u64 c = o.size == 2 ? l.imm & 0xFFFFFFFF : extended(l.imm, o.size);
        mov(sized(gpr_home(guest), o.size < 2 ? o.size : 3), c);
        return;
    }
    if (o.size == 2 && l.kind == Loc::kGpr && !(l.n & 7) && host_of(l.n >> 3) >= 0 &&
        ((upper_clear_ >> (l.n >> 3)) & 1)) {
        before_write(guest);
        mov(sized(gpr_home(guest), 3), Reg64(host_of(l.n >> 3)));
        return;
    }
    const bool extended =
        o.size == 2 &&
        (clears_upper(op(o.a)) || (op(o.a).code == Code::get && l.kind == Loc::kGpr && !(l.n & 7)));
    const Reg64 r = in_register(o.a, o.size);
    if (extended && (r.getIdx() == 11 || r.getIdx() == 12)) {
        before_write(guest);
        mov(sized(gpr_home(guest), 3), r);
        return;
    }
    if (o.size == 2 && r.getIdx() != 11 && r.getIdx() != 12) {
        before_write(guest);
        const unsigned n = take_scratch(v);
        mov(scratch_reg(n).cvt32(), r.cvt32());
        mov(sized(gpr_home(guest), 3), scratch_reg(n));
        release(n);
        return;
    }
    write_gpr(o.n, o.size, r);
}

}  // namespace rm::jit::x64
