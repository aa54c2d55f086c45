#include "jit/run/translator.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/guest_memory.h"
#include "base/log.h"
#include "cpu/instructions/row.h"
#include "jit/ir/print.h"
#include "jit/run/disassemble.h"
#include "jit/translate/build_ir.h"

namespace rm::jit {

using cpu::Block;
using cpu::BlockCache;
using cpu::Cpu;
using cpu::Mode;
using cpu::Step;
using memory::Access;

namespace {

constexpr u32 kNeverHot = ~u32{0};

// Nothing for the run loop to look at, and nothing that looks at single instructions.
bool undisturbed(const Cpu& cpu) {
    return !cpu.attention && !cpu.shadow && !cpu.mem_checks && !cpu.insn_observer &&
           !(cpu.flags_other & (cpu::kFlagTf | cpu::kFlagRf)) && !(cpu.dr7 & 0xFF) &&
           cpu.activity == cpu::Activity::kActive;
}

Translator& self(Cpu* cpu) { return *static_cast<Translator*>(cpu->translated.engine); }

// The x87 pointers' selectors, before an instruction that may change segments (by an event, too)
// runs while the unit is in the host's registers.
void settle_x87_pointers(Cpu& cpu) {
    cpu::TranslatorState& t = cpu.translated;
    if (t.x87_opcode) {
        cpu.fpu.fop = static_cast<u16>(t.x87_opcode);
        cpu.fpu.fcs = cpu.seg[cpu::kCs].selector;
        t.x87_opcode = 0;
    }
    if (t.x87_segment) {
        cpu.fpu.fds = cpu.seg[t.x87_segment - 1].selector;
        t.x87_segment = 0;
    }
}

u64 address_of(const Cpu& cpu, const Point::Access& a) {
    u64 va = a.displacement;
    if (a.computed) return cpu.translated.spill[3];
    if (a.base != Point::kNoRegister) va += cpu.gpr[a.base];
    if (a.index != Point::kNoRegister) va += cpu.gpr[a.index] << a.scale;
    if (a.narrow) va = static_cast<u32>(va);
    return a.segment == cpu::kFs || a.segment == cpu::kGs ? va + cpu.seg_base64[a.segment] : va;
}

u64 value_of(const Cpu& cpu, const Point::Access& a) {
    switch (a.value) {
        case Point::Access::kRegister: {
            u64 v;  // more than the operand's bytes may be foreign: the store cuts it to its size
            std::memcpy(&v, reinterpret_cast<const u8*>(cpu.gpr) + a.number, sizeof v);
            return v;
        }
        case Point::Access::kSpilled: return cpu.translated.spill[a.number];
        default: return a.constant;
    }
}

void put32(u8* at, i64 value) {
    const i32 v = static_cast<i32>(value);
    std::memcpy(at, &v, 4);
}
// Where the jump instruction `E9 rel32` at `jump` leads.
void set_jump(u8* jump, const u8* to) { put32(jump + 1, to - (jump + 5)); }

}  // namespace

Result<std::unique_ptr<Translator>> Translator::create(Cpu& cpu, const Options& options) {
    auto code = CodeMemory::create(options.code_bytes);
    if (!code) return std::unexpected(code.error());
    return std::unique_ptr<Translator>(new Translator(cpu, options, std::move(*code)));
}

Translator::Translator(Cpu& cpu, const Options& options, std::unique_ptr<CodeMemory> code)
    : cpu_(cpu),
      options_(options),
      code_(std::move(code)),
      emitter_({cpu, thunks_, recipes_, points_, *code_}),
      clock_(options.times) {
    const x64::Callbacks callbacks{
        [](Cpu* c, u32 point) { return self(c).touch(point); },
        [](Cpu* c, u64 rip, u32 point) { return self(c).find_target(rip, point); },
        [](Cpu* c, u32 point) { return self(c).enter_page(point); },
        [](Cpu* c, u32 point) { return self(c).judge(point); },
        [](Cpu* c, u32 point) { return self(c).interpret(point); },
        [](Cpu* c, u32 recipe) { self(c).resolve(recipe); }};
    thunks_ =
        x64::make_thunks(cpu, callbacks, code_->next(), code_->left(), code_->executable_delta());
    const u8* end = code_->next() + thunks_.bytes;
    for (std::size_t n = thunks_.names.size(); n-- > 0;) {
        const u8* const begin = static_cast<const u8*>(thunks_.names[n].begin);
        name_for_perf(begin + code_->executable_delta(), static_cast<std::size_t>(end - begin),
                      thunks_.names[n].name);
        end = begin;
    }
    code_->take(thunks_.bytes);
    code_->divide();
    generic_resolver_ = static_cast<const u8*>(thunks_.resolve) + code_->executable_delta();
    resolvers_ = std::make_unique_for_overwrite<const void*[]>(kMaxRecipes);
    std::fill_n(resolvers_.get(), kMaxRecipes, generic_resolver_);
    thunks_.resolvers = resolvers_.get();
    enter_ = reinterpret_cast<u32 (*)(Cpu*, const void*)>(
        reinterpret_cast<u64>(thunks_.enter) + static_cast<u64>(code_->executable_delta()));
    forget_targets();
    statistics_.calls_by_row.resize(cpu::instruction_rows().size());
    cpu.translator = this;
    cpu.translated.engine = this;
}

Statistics Translator::statistics() {
    Statistics s = statistics_;
    s.retired = cpu_.retired();
    s.overwrites = cpu_.blocks->overwrites;
    s.overwritten_blocks = cpu_.blocks->dropped_blocks;
    s.loosened = cpu_.blocks->loosened;
    s.copies = emitter_.copies();
    for (unsigned a = 0; a < CodeMemory::kArenas; ++a) s.sites_filled += sites_filled(a);
    s.sites_forgotten = cpu_.mmu.sites().forgotten;
    s.seconds = clock_.seconds();
    return s;
}

u64 Translator::sites_filled(unsigned arena) {
    u64 n = 0;
    for (const Point& p : points_.of(arena))
        if (p.kind == Point::kAccess && p.site) n += p.site->changes;
    return n;
}

// --- translating ---

ir::BuildContext Translator::context_of(const Block& block) const {
    return {block.mode, block.rip, block.loose, cpu_.vt, cpu_.clock.tick_shift().has_value()};
}

x64::FlagUse Translator::flag_use(Block& block) {
    if (block.flags_looked_at) return {block.flags_dead, block.flags_overwritten};
    block.flags_looked_at = true;
    ir::Block& one = looked_at_;
    const ir::BuildContext context{block.mode, block.rip};
    bool faults = false;
    u16 overwritten = 0;
    for (u32 n = 0; n < block.count && n < 8; ++n) {
        one.ops.clear();
        build_ir(one, {&block.insns[n], 1}, context);
        for (const ir::Op& op : one.ops) {
            const ir::Effect effect = ir::info(op.code).effect;
            if (effect == ir::Effect::kLeaves || op.code == ir::Code::x87 ||
                ir::flags_read(one, op))
                return {};
            faults |= effect == ir::Effect::kFaults;
            if (ir::flags_replaced(one, op) == cpu::kCcAll) {
                block.flags_dead = !faults;
                block.flags_overwritten = overwritten;
                return {block.flags_dead, block.flags_overwritten};
            }
            if (op.code == ir::Code::put || op.code == ir::Code::put_if)
                overwritten |= static_cast<u16>(1u << (op.n >> 3));
        }
    }
    return {};
}

x64::FlagUse Translator::flag_use_at(Block& from, u64 rip) {
    Block* to = cpu_.blocks->known(from, rip);
    if (!to) return {};
    const x64::FlagUse use = flag_use(*to);
    if (use.dead || use.overwritten != 0xFFFF) cpu_.blocks->watch(from, *to);
    return use;
}

// One try. False: the form of another instruction has to be interpreted.
bool Translator::emit(Block& block, std::size_t& bytes) {
    const u32 points = points_.end();
    const std::size_t data = code_->data_mark();
    build_trace(block);
    const ir::Block& code = emitter_.code();
    const auto flag_use = [&](u64 rip) { return flag_use_at(block, rip); };
    const u32 owner = static_cast<u32>(arenas_[code_->arena()].translations.size());
    const auto refused = [&](unsigned insn) {
        interpret_[emitter_.part()][insn] = true;
        points_.cut(points);
        code_->cut_data(data);
        return false;
    };
    try {
        emitter_.run(parts_, flag_use, options_.trial, owner, code_->next(), kMaxBlockBytes);
    } catch (const x64::NotNative& e) {
        return refused(e.insn);
    } catch (const Xbyak::Error&) {  // a register that the form cannot name
        return refused(emitter_.insn());
    }
    bytes = emitter_.getSize();
    for (const ir::Op& op : code.ops)
        statistics_.interpreted_instructions += op.code == ir::Code::interp;
    return true;
}

Translator::Translation* Translator::translate(Block& block) {
    const PartClock::In part(clock_, Part::kTranslating);
    const bool whole =
        block.mode.code64() ||
        (block.mode.flat() && block.mode.code_size_log2() == 2 && block.mode.stack32());
    if (!whole || !block.host) {
        block.runs = kNeverHot;
        return nullptr;
    }
    if (options_.samples == 0 && block.sites == Block::Sites::kNo)
        block.sites = Block::Sites::kTried;
    make_room();
    for (auto& row : interpret_) std::fill(std::begin(row), std::end(row), false);
    if (cpu_.threads)
        for (unsigned n = 0; n < block.count; ++n)
            interpret_[0][n] = cpu::orders_threads(block.insns[n]);
    std::size_t bytes = 0;
    const u32 first_point = points_.end();
    for (unsigned tries = 0; !emit(block, bytes); ++statistics_.retries) {
        // Each refusal names another instruction; one that keeps coming back is a block for the
        // interpreter.
        if (++tries <= kMostTicks) continue;
        bytes = 0;
        break;
    }
    if (bytes == 0) {
        points_.cut(first_point);
        block.runs = kNeverHot;
        ++statistics_.untranslatable;
        return nullptr;
    }
    Translation& t = arenas_[code_->arena()].translations.emplace_back();
    t.block = &block;
    t.code = code_->next() + code_->executable_delta();
    t.bytes = static_cast<u32>(bytes);
    t.first_point = first_point;
    t.points = points_.end() - first_point;
    code_->take(bytes);
    dump(block, t);
    ++statistics_.blocks;
    statistics_.traces += parts_.size() > 1;
    u32 longest = 0;
    for (const x64::Part& p : parts_)
        longest += p.on == ir::kNoValue ? p.block->count : p.block->likely_insn + 1u;
    statistics_.instructions += longest;
    statistics_.code_bytes += bytes;
    block.translation = &t;
    block.code = t.code;
    block.longest = static_cast<u16>(longest);
    return &t;
}

// The translation that a point belongs to; null: it has been dropped.
Translator::Translation* Translator::owner(u32 number) {
    auto& all = arenas_[Points::arena_of(number)].translations;
    const u32 n = points_[number].owner;
    return n < all.size() && all[n].block ? &all[n] : nullptr;
}

// code: executable view.
void Translator::name_for_perf(const void* code, std::size_t bytes, const char* name) {
    if (!options_.perf_map) return;
    std::fprintf(options_.perf_map, "%llx %zx %s\n", reinterpret_cast<unsigned long long>(code),
                 bytes, name);
    std::fflush(options_.perf_map);
}

// For -d op, out_asm and for perf.
void Translator::dump(const Block& block, const Translation& t) {
    const auto rip = static_cast<unsigned long long>(block.rip);
    if (options_.perf_map) {
        char name[32];
        std::snprintf(name, sizeof name, "guest_%s%llx", block.mode.cpl() == 3 ? "user_" : "", rip);
        name_for_perf(t.code, t.bytes, name);
    }
    if (!log::enabled(log::Item::kOp) && !log::enabled(log::Item::kOutAsm)) return;
    if (!log::in_address_ranges(block.rip, block.rip + block.bytes - 1)) return;
    log::write(log::Item::kOp, "block %llx, %u instructions\n", rip, block.count);
    if (log::enabled(log::Item::kOp)) {
        ir::Block code;
        build_ir(code, {block.insns, block.count}, context_of(block));
        log::write(log::Item::kOp, "%s",
                   ir::print(code, {block.insns, block.count}, block.rip).c_str());
    }
    if (log::enabled(log::Item::kOutAsm)) {
        log::write(log::Item::kOutAsm, "host code of block %llx\n", rip);
        log::write(log::Item::kOutAsm, "%s", disassemble(t.code, t.bytes).c_str());
    }
}

std::string Translator::explain(Block& block) {
    ir::Block code;
    build_ir(code, {block.insns, block.count}, context_of(block));
    std::string out = ir::print(code, {block.insns, block.count}, block.rip);
    Translation* t = of(block);
    if (!t) t = translate(block);
    if (t) out += disassemble(t->code, t->bytes);
    return out;
}

// --- forgetting ---

void Translator::dropped(Block& block) {
    Translation* t = of(block);
    detach(block);
    t->block = nullptr;
    unlink_incoming(*t);
    for (u32 p = t->first_point; p < t->first_point + t->points; ++p) {
        if (points_[p].kind != Point::kExit) continue;
        Point::Exit& exit = points_[p].exit;
        if (!exit.linked || !exit.linked->translation) continue;
        u32* at = &of(*exit.linked)->incoming;
        while (*at != p) at = &points_[*at].exit.next_incoming;
        *at = exit.next_incoming;
        exit.linked = nullptr;
    }
    using State = cpu::TranslatorState;
    const u64 key = State::target_key(block.rip, block.mode.word, 0);
    auto& target = cpu_.translated.targets[State::target_slot(key)];
    if (target.code == t->code) target = no_target();
    ++statistics_.dropped;
}

// --- linking ---

void Translator::unlink_incoming(Translation& t) {
    for (u32 p = t.incoming; p != Point::kNone; p = points_[p].exit.next_incoming) unlink(p);
    t.incoming = Point::kNone;
}

void Translator::unlink(u32 number) {
    Point::Exit& exit = points_[number].exit;
    set_jump(exit.jump, exit.jump + 5 + exit.unlinked);
    exit.linked = nullptr;
}

void Translator::link(u32 number, Translation& to) {
    if (points_[number].exit.linked || !points_[number].exit.jump) return;
    u8* const code = points_[number].cross_page
                         ? guard_of(to)
                         : const_cast<u8*>(to.code) - code_->executable_delta();
    if (!code) return;
    Point::Exit& exit = points_[number].exit;
    set_jump(exit.jump, code);
    exit.linked = to.block;
    exit.next_incoming = to.incoming;
    to.incoming = number;
    ++statistics_.links;
}

// Null: there is no room left.
u8* Translator::guard_of(Translation& to) {
    if (to.guard || code_->left() < x64::Emitter::kGuardBytes || !points_.left()) return to.guard;
    Point p;
    p.recipe = kRecipeInMemory;  // exits to other pages keep no flags elsewhere
    p.block = to.block;
    p.exit.target = to.block->rip;
    const u32 number = points_.add(p);
    to.guard = code_->next();
    emitter_.emit_page_guard(*to.block, to.code - code_->executable_delta(), number, to.guard,
                             x64::Emitter::kGuardBytes);
    statistics_.code_bytes += emitter_.getSize();
    code_->take(emitter_.getSize());
    return to.guard;
}

void Translator::forget_targets() {
    std::fill(std::begin(cpu_.translated.targets), std::end(cpu_.translated.targets), no_target());
}

void Translator::update_salt() {
    const u64 epoch = cpu_.mmu.code_epoch();
    if (epoch == salt_epoch_ && cpu_.mode.word == salt_mode_) return;
    salt_epoch_ = epoch;
    salt_mode_ = cpu_.mode.word;
    const u64 key = epoch << 32 | salt_mode_;
    Salt& recent =
        recent_salts_[(epoch ^ salt_mode_ >> Mode::kCplShift) % std::size(recent_salts_)];
    if (recent.key != key) recent = {key, salt_of(key)};
    cpu_.translated.salt = recent.salt;
}

u64 Translator::salt_of(u64 key) {
    auto it = salts_.find(key);
    if (it == salts_.end()) {
        if (salts_.size() == 0xFFFE) {
            salts_.clear();
            std::fill(std::begin(recent_salts_), std::end(recent_salts_), Salt{});
            forget_targets();
        }
        const u64 number = salts_.size() + 1;
        it = salts_.emplace(key, cpu::TranslatorState::target_key(0, salt_mode_, number)).first;
    }
    return it->second;
}

void Translator::remember_target(const Block& block) {
    const u64 key = block.rip ^ cpu_.translated.salt;
    cpu_.mmu.remember_code(block.rip);
    cpu_.translated.targets[cpu::TranslatorState::target_slot(key)] = {key, block.code};
}

// --- running ---

void Translator::update_stop() {
    const u64 end = std::min<u64>(cpu_.stop_tick, cpu_.vt_due);
    cpu_.translated.stop_at = std::min(
        {until_, cpu_.tick_base + kSamplingTicks, end > kMostTicks ? end - kMostTicks : 0});
}

// From translated code, which does it by itself the next time.
void Translator::resolve(u32 number) {
    const PartClock::In part(clock_, Part::kFlags);
    if (number == kRecipeInMemory) number = cpu_.translated.flag_recipe;
    ++statistics_.flags_resolved;
    recipes_.resolve(cpu_, number);
    constexpr std::size_t kBytes = x64::Emitter::kResolverBytes;
    if (number >= kMaxRecipes || resolvers_[number] != generic_resolver_ || code_->left() < kBytes)
        return;
    u8* const at = code_->next();
    const std::size_t bytes = emitter_.emit_resolver(recipes_[number], at, kBytes);
    if (!bytes) return;
    code_->take(bytes);
    resolvers_[number] = at + code_->executable_delta();
    name_for_perf(resolvers_[number], bytes, "flags");
    arenas_[code_->arena()].resolvers.push_back(number);
}

void Translator::resolve_at(const Point& p) {
    const u32 recipe = p.recipe == kRecipeInMemory ? cpu_.translated.flag_recipe : p.recipe;
    if (recipe) ++statistics_.flags_resolved;
    recipes_.resolve(cpu_, recipe);
}

bool Translator::touch_code(u64 rip) {
    ++statistics_.code_touches;
    return cpu_.mmu.touch_code(rip);
}

// A store to a page that holds code. False: nothing has changed, the interpreter makes it.
bool Translator::store_beside_code(u64 va, const Point& p, const Block& b) {
    PhysAddr machine = 0;
    if (!cpu_.mmu.place_beside_code(va, p.size, machine)) return false;
    // The marks stay as they are until the store is made; waiting for that may have moved the
    // place.
    const MachineLock::Hold hold(cpu_.threads);
    u8* const host = cpu_.mmu.place_beside_code(va, p.size, machine);
    if (!host) return false;
    const u64 value[2] = {value_of(cpu_, p.access)};  // room for the widest copy_access() knows
    const u8* const stored = reinterpret_cast<const u8*>(value);
    ++statistics_.stores_beside_code;
    if (!std::memcmp(host, stored, p.size)) return true;
    if (!cpu_.memory.line_has_code(machine, p.size)) {
        copy_access(host, stored, p.size);
        return true;
    }
    // Code that is running must not change under it.
    if (b.host2 || (machine <= b.watch_last && machine + p.size > b.watch_first)) return false;
    cpu_.memory.write(machine, {stored, p.size});
    return true;
}

const void* Translator::touch(u32 number) {
    const PartClock::In part(clock_, Part::kRefilling);
    const Point& p = points_[number];
    const Point::Access& a = p.access;
    ++statistics_.touches;
    const u64 va = address_of(cpu_, a);
    if (a.value != Point::Access::kNotStored && cpu_.mmu.withheld_for_code(va)) {
        Translation* const t = owner(number);
        if (t && store_beside_code(va, p, *t->block)) {
            const u8* const done = a.retry + p.done;
            if (Translation* const still = owner(number)) check_more_simply(p, *still, va);
            return done;
        }
    }
    const bool passes = !p.aligned || !(va & (p.size - 1u));
    if (!passes && p.must_align) return nullptr;  // it faults, before anything of the page counts
    // Of a group, only what comes first may set D bits.
    const Access access = p.write && !p.ahead ? Access::kWrite : Access::kRead;
    const bool good = cpu_.mmu.touch(va, p.size, access) && (!p.ahead || cpu_.mmu.writable(va));
    update_salt();  // the walk may have found the page elsewhere
    // Few misses of a site tell anything.
    if (p.site && (p.site->changes % memory::PageSite::kTold == 0 ||
                   cpu_.mmu.sites().count == memory::SiteLog::kMost)) {
        Translation* const t = owner(number);
        if (t && site_missed(p, *t)) return nullptr;
    }
    if (good && passes && (!p.stack || cpu_.mmu.use_as_stack(va))) return a.retry;
    if (p.stack || p.group || p.site)
        if (Translation* const t = owner(number)) check_more_simply(p, *t, va);
    return nullptr;
}

// After an access that missed: was it only the way it is checked? Then the block is translated
// again.
void Translator::check_more_simply(const Point& p, Translation& t, LinearAddr va) {
    using Checks = Block::Checks;
    // A miss costs about as much as 1000 ticks.
    constexpr u64 kQuick = 32768;
    constexpr u8 kOften = 16;
    if (!(p.stack || p.group || p.site)) return;
    const bool crosses = (va ^ (va + p.size - 1)) & kPageMask;
    if (crosses || (p.ahead && !cpu_.mmu.writable(va))) {
        if (!p.group) return;
        if (cpu_.tick_base - t.crossed_at > kQuick) t.crossings = 0;
        t.crossed_at = cpu_.tick_base;
        if (++t.crossings < kOften) return;
        p.block->checks = p.table ? Checks::kFields : Checks::kSingle;
    } else if (p.aligned && (va & (p.size - 1u))) {
        if (p.site)
            p.block->misaligned |= u32{1} << p.insn;
        else
            p.block->checks = Checks::kPlain;
    } else if (p.site && !p.group) {
        return;
    } else if (cpu_.mmu.withheld_for_code(va)) {
        p.block->checks = p.stack ? Checks::kPlain : Checks::kSingle;
    } else {
        return;
    }
    dropped(*t.block);
}

// The jump has been made and counted: the fetch comes next.
const void* Translator::enter_page(u32 number) {
    const PartClock::In part(clock_, Part::kDispatching);
    const u64 rip = points_[number].exit.target;
    if (!cpu_.mmu.fetch_hit(rip) && !touch_code(rip)) return nullptr;
    update_salt();
    Block* block = cpu_.blocks->known(rip);
    if (!block || !block->code) return nullptr;
    ++statistics_.pages_entered;
    return block->code;
}

// The exec TLB vouches for the address; a page that it does not know is fetched only when the
// branch is certain to be followed by its target.
u32 Translator::find_target(u64 rip, u32 number) {
    const PartClock::In part(clock_, Part::kDispatching);
    const Point& p = points_[number];
    ++statistics_.target_misses;
    if (!cpu_.mmu.fetch_hit(rip)) {
        if (!p.certain || cpu_.tick_base + p.insn + 1 >= cpu_.translated.stop_at) return 0;
        if (!touch_code(rip)) return 0;
    }
    update_salt();
    Block* block = cpu_.blocks->known(rip);
    if (!block || !block->code) return 0;
    remember_target(*block);
    ++statistics_.targets_found;
    return 1;
}

// Where the block that begins at rip goes on in translated code, after an instruction that has left
// its own. Null: that is for the run loop to find out, or there is something else for it to do.
const void* Translator::next_code() {
    if (cpu_.threads || !undisturbed(cpu_)) return nullptr;
    update_stop();
    if (cpu_.tick_base >= cpu_.translated.stop_at) return nullptr;
    update_salt();
    const u64 key = cpu_.rip ^ cpu_.translated.salt;
    const auto& target = cpu_.translated.targets[cpu::TranslatorState::target_slot(key)];
    return target.key == key ? target.code : nullptr;
}

const void* Translator::interpret(u32 number) {
    const PartClock::In part(clock_, Part::kInterpreting);
    const Point& p = points_[number];
    ++statistics_.calls;
    resolve_at(p);
    const u64 generation = generation_;
    const Block& block = *p.block;
    const cpu::Insn& insn = block.insns[p.insn];
    if (insn.row < statistics_.calls_by_row.size()) ++statistics_.calls_by_row[insn.row];
    cpu_.block_rip = block.rip;
    cpu_.block_first = block.insns;
    cpu_.ip = &insn;
    const cpu::Insn* const end = block.insns + block.count;
    cpu_.ip_end = end;
    settle_x87_pointers(cpu_);
    const u64 before = cpu_.tick_base - cpu_.skipped;
    const Step step = insn.fn(cpu_, insn);
    statistics_.called += cpu_.tick_base - cpu_.skipped - before + (step != Step::kAgain);
    const bool goes_on =
        step == Step::kNext ||
        (step == Step::kRepeated && cpu_.tick_base < cpu_.translated.stop_at && undisturbed(cpu_));
    if (goes_on && &insn + 1 < end && cpu_.ip_end == end && generation == generation_) [[likely]] {
        cpu_.ip = nullptr;
        update_salt();
        return x64::kBehindCall;
    }
    cpu_.finish(insn, step);
    const void* const next = next_code();
    statistics_.call_leaves += !next;
    return next;
}

// Runs translated code: the number of the point that it left by.
u32 Translator::enter(const u8* code) {
    const PartClock::In part(clock_, Part::kTranslated);
    ++statistics_.entries;
    const u64 before = cpu_.retired() - statistics_.called;
    const u32 number = enter_(&cpu_, code);
    statistics_.in_translated_code += cpu_.retired() - statistics_.called - before;
    return number;
}

bool Translator::run_until(Cpu& cpu, Block& first, u64 tick) {
    until_ = tick;
    if (cpu.mem_checks) [[unlikely]]
        return false;
    Block* block = &first;
    if (!first.code) {
        if (first.runs == kNeverHot || ++first.runs < threshold(first)) return false;
        if (!translate(first)) return false;
    }
    if (std::min<u64>(cpu.stop_tick, cpu.vt_due) - cpu.tick_base <= first.longest) return false;
    const PartClock::In part(clock_, Part::kDispatching);
    update_stop();
    for (;;) {
        update_salt();
        remember_target(*block);
        const u32 number = enter(block->code);
        if (number == x64::kLeftDone) return true;
        if (number == x64::kLeftNoTarget) [[unlikely]] {
            recipes_.resolve(cpu, cpu.translated.flag_recipe);
            cpu.rip = cpu.translated.spill[1];
            return true;
        }
        const Point p = points_[number];
        // Going on in translated code, flags whose recipe is in memory can stay there.
        bool late = p.kind == Point::kExit && p.recipe == kRecipeInMemory;
        if (!late) resolve_at(p);
        const auto leave = [&] {
            if (late) resolve_at(p);
            return true;
        };
        switch (p.kind) {
            case Point::kAccess:
            case Point::kInstruction: {
                p.kind == Point::kAccess ? ++statistics_.access_exits
                                         : ++statistics_.instruction_exits;
                statistics_.in_translated_code += p.insn;
                const PartClock::In interpreting(clock_, Part::kInterpreting);
                const u64 end = std::min<u64>(cpu.stop_tick, cpu.vt_due);
                const Step step = cpu.run_block(*p.block, p.insn, end - cpu.tick_base);
                // On to the next block: behind a branch whose target was not in the table, in the
                // handler of a fault. Other threads' doings are seen in the run loop, which only
                // near branches need not enter.
                if ((cpu.threads && step != Step::kJump) || !undisturbed(cpu)) return true;
                update_stop();
                break;
            }
            case Point::kIndirect:
                cpu.rip = cpu.translated.spill[1];
                ++statistics_.event_exits;
                sample(*p.block);
                return true;
            case Point::kExit: cpu.rip = p.exit.target; break;
            case Point::kAgain: cpu.rip = p.block->rip; return true;
            case Point::kTrial: return true;  // never left by
            case Point::kCall: return true;
        }
        if (cpu.tick_base >= cpu.translated.stop_at || (cpu.threads && cpu.kicked)) {
            ++statistics_.event_exits;
            const bool left = leave();
            sample(*p.block);
            return left;
        }
        // Nothing comes before the fetch now. A fault or a device is the run loop's.
        if (!cpu.mmu.fetch_hit(cpu.rip) && !touch_code(cpu.rip)) return leave();
        const u64 generation = generation_;
        block = late ? cpu.blocks->known(cpu.rip) : nullptr;
        if (!block || !block->code) {
            // What is decoded or translated may empty the caches, recipes too.
            if (late) resolve_at(p);
            late = false;
            block = cpu.blocks->find();
        }
        if (!block || !block->host) return true;
        if (!block->code) {
            if (block->runs == kNeverHot || block->runs + 1 < threshold(*block)) return true;
            if (!translate(*block)) return true;
        }
        // A flush or an eviction on the way may have taken the point with it; a dropped block's
        // exits stay unlinked.
        if (p.kind == Point::kExit && generation == generation_ && owner(number))
            link(number, *of(*block));
    }
}

}  // namespace rm::jit
