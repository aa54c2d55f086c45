// Emits x86-64 code for one block of IR. Linear, one pass: values are found where they already are
// (guest registers, memory operands) and most operations become the guest's own instruction.
//
// Host registers: rax rcx rdx rbx rbp rsi rdi r8 r9 hold the guest's registers of the same name,
// r15 the guest's rsp, r10 and r14 the guest's r12 and r13; guest r10 r11 r14 r15, which compiled
// code uses least, live in the frame (thunks.h). r13 = the processor (from_r13()), r11 and r12
// scratch. XMM0-15 hold the guest's while TranslatorState::vector_live is set, the x87 unit is the
// guest's while x87_live is. Guest flags are in the host's flags between producer and consumer;
// whatever else may see them (a fault, an event, the next block) gets a recipe
// (jit/run/flag_recipe.h).
#pragma once
#include <span>

#include "base/function_ref.h"
#include "cpu/cpu.h"
#include "cpu/interpreter/block_cache.h"
#include "jit/cache/code_memory.h"
#include "jit/host/x64/assembler.h"
#include "jit/host/x64/loop_groups.h"
#include "jit/host/x64/page_uses.h"
#include "jit/host/x64/sites.h"
#include "jit/host/x64/thunks.h"
#include "jit/ir/ir.h"
#include "jit/run/flag_recipe.h"
#include "jit/run/points.h"

namespace rm::jit::x64 {

// Thrown (and caught by translate()) when instruction `insn` has a form that is not emitted: the
// caller has the interpreter run it instead. Never leaves the translator.
struct NotNative {
    unsigned insn;
};

// What stays from block to block.
struct EmitContext {
    cpu::Cpu& cpu;
    const Thunks& thunks;
    FlagRecipes& recipes;
    Points& points;
    CodeMemory& memory;  // for sites
};
// What code at an exit's target does with the flags that it finds. dead: replaces them before
// anybody can see them. Otherwise somebody may want them, by a fault if not before, until when
// these registers may be overwritten (by number).
struct FlagUse {
    bool dead = false;
    u16 overwritten = 0xFFFF;
};
using FlagUseAt = FunctionRef<FlagUse(u64 rip)>;

// A block of a trace: blocks that mostly follow one another, emitted as one. The way from one to
// the next keeps flags in the host's and in recipes, counts ticks without looking for events, and
// costs nothing else.
struct Part {
    cpu::Block* block;
    std::size_t end;  // of its operations in code()
    // The jump that leads on to the next part: Code::jump_to, or Code::jump_if (then a constant is
    // behind it: where else it leads). kNoValue: the last part.
    ir::Value on = ir::kNoValue;
};
inline constexpr unsigned kMostParts = 8;

// One for all blocks of a translator: its vectors keep their memory.
class Emitter : public Assembler {
public:
    explicit Emitter(const EmitContext& context) : context_(context), cpu_(context.cpu) {}
    // Where the caller puts the code of the block to be emitted next.
    ir::Block& code() { return ir_; }
    // Emits the parts, whose IR is in code(), all of one page and mode; throws NotNative or
    // Xbyak::Error. Nobody comes from elsewhere but to the first. A block whose sites are on trial
    // asks (Callbacks::judge) when it has run trial_runs times. owner: of its points.
    void run(std::span<const Part> parts, FlagUseAt flag_use_at, u64 trial_runs, u32 owner,
             void* memory, std::size_t bytes);
    // How often a loop has got a copy without checks.
    u64 copies() const { return copies_; }
    // The part that an exception of run() is about.
    unsigned part() const { return part_; }
    // The guard of a block that is entered from other pages; kGuardBytes are enough.
    static constexpr std::size_t kGuardBytes = 80;
    void emit_page_guard(const cpu::Block& block, const u8* code, u32 number, void* memory,
                         std::size_t bytes);
    // A function for translated code that makes CpuState::cc from the recipe: its size, or 0 where
    // that is the runtime's. kResolverBytes are enough.
    static constexpr std::size_t kResolverBytes = 512;
    std::size_t emit_resolver(const FlagRecipe& recipe, void* memory, std::size_t bytes);

    // --- for vectors.cpp ---
    struct Loc {
        enum Kind : u8 {
            kNone,
            kConstant,
            kGpr,
            kScratch,
            kPlace,
            kSpill,
            kCondition
        } kind = kNone;
        u8 n = 0;     // gpr byte offset, scratch 0/1, spill word, condition code
        u64 imm = 0;  // the constant; kGpr: 1 = computed there, ahead of its put
    };
    const ir::Block& ir() const { return ir_; }
    const cpu::Cpu& cpu() const { return cpu_; }
    unsigned insn() const { return insn_; }
    [[noreturn]] void not_native() const { throw NotNative{insn_}; }
    // Checks the access of `bytes` at IR address op `a`; afterwards r11 is part of the returned
    // host address (as a RegExp) and r12 is free. alignment: address bits that must be zero, else
    // the instruction is interpreted.
    Xbyak::RegExp checked(ir::Value a, unsigned bytes, bool write, unsigned alignment = 0,
                          ir::Value stored = ir::kNoValue);
    static Xbyak::Address sized(const Xbyak::RegExp& e, unsigned size) {
        return Xbyak::Address(8u << size, false, e);
    }
    // Is a segment base added to the address?
    static bool has_base(const ir::Op& address) {
        return address.m == cpu::kFs || address.m == cpu::kGs;
    }
    // Host register of a guest GPR, or -1: it lives at gpr_home(), at home_of() in the frame.
    static int host_of(unsigned guest);
    static int home_of(unsigned guest);
    // A member of the frame (thunks.h) by its offset.
    Xbyak::RegExp in_frame(int member) const { return rsp + (member + pushed_); }
    Xbyak::RegExp gpr_home(unsigned guest) const;
    Xbyak::RegExp state(const void* member) const { return r13 + from_r13(cpu_, member); }
    static Xbyak::Reg sized_reg(const Xbyak::Reg64& r, unsigned size);
    // A value in a register (its own, or loaded into a scratch register).
    Xbyak::Reg64 in_register(ir::Value v, unsigned size);
    // Called before host code overwrites a guest register: saves what somebody still needs of it.
    void before_write(unsigned guest);
    // Writes a register of `size` to the guest register at byte offset `offset` (as Code::put).
    void write_gpr(u8 offset, unsigned size, const Xbyak::Reg64& from);
    // The host's flags are no longer the guest's / are, as far as `exact` goes.
    void clobber_flags() { host_flags_ = 0; }
    void set_host_flags(cpu::Cc exact) { host_flags_ = exact; }
    // The guest's flags are from here on in CpuState::cc (already written).
    void flags_in_memory();
    // On this condition the instruction is interpreted, and the rest of the block.
    void interpret_if(unsigned condition);

private:
    // --- what is known about the guest's flags ---
    struct Flags {
        enum Kind : u8 { kInherited, kMemory, kRecipe } kind = kInherited;
        FlagRecipe recipe;
        bool has_before = false;
        FlagRecipe before;  // of recipe.keeps: static too, or CpuState::cc
        u8 slots = 0;       // which pair of slots this recipe uses
    };

    // The x87 instruction whose address and opcode CpuState does not hold yet, and the segment of
    // the last memory operand.
    struct X87Note {
        const cpu::Block* block = nullptr;  // of insn
        int insn = -1, segment = -1;
        bool operator==(const X87Note&) const = default;
    };
    // --- what is laid out behind the block ---
    // The taken side of a branch, with the flags as they were there.
    struct TakenSide {
        Jump from;
        u64 target;
        unsigned part, insn;
        ir::Value at;  // the jump
        Flags flags;
        cpu::Cc host_flags;
        X87Note note;
    };
    // Out by a point; salted: r11 is the key of an indirect target and becomes its address.
    struct ColdLeave {
        Jump from;
        u32 number;
        X87Note note;
        bool salted;
    };
    struct ColdExit {
        Jump event, unlinked;
        u32 number;
    };
    // The flags of `recipe` to memory, and back.
    struct ColdResolve {
        Jump from;
        u32 back;
        u32 recipe;
    };
    // An indirect target, in r11 as its key, that is not in the table.
    struct ColdTarget {
        Jump from;
        u32 number;
        u32 retry;
    };
    // A TLB miss. The registers of the address still hold what they held.
    struct ColdAccess {
        Jump from;
        u32 number;
        u32 retry;
        u16 stack_span;  // of a check against the stack page
        bool aligned;    // it is for an aligned access only
        Site site;
        X87Note note;
    };

    bool may_fault(ir::Value v) const;
    void start_block(std::span<const Part> parts, FlagUseAt flag_use_at, u32 owner);
    void enter_part(unsigned part);
    void emit_parts(std::size_t end);
    void emit_loop_start();
    void emit_way_on(ir::Value v);
    void count_exit(Point& p);
    void analyse();
    void emit_instruction(ir::Value first, ir::Value end);
    bool emit_pattern(ir::Value first, ir::Value end);
    void emit(ir::Value v);
    void emit_binary(ir::Value v);
    void emit_compare(ir::Value v);
    void operate(ir::Code code, const Xbyak::Operand& to, const Xbyak::Operand& s);
    void operate(ir::Code code, const Xbyak::Operand& to, u32 k, bool step);
    void emit_shift(ir::Value v);
    void emit_double_shift(ir::Value v);
    void emit_rotate_carry(ir::Value v);
    void divide_byte(ir::Value v, ir::Value high);
    void emit_multiply(ir::Value v);
    void emit_divide(ir::Value v);
    void emit_scan(ir::Value v);
    void emit_unary(ir::Value v);
    void emit_extend(ir::Value v);
    void emit_immediate(ir::Value v);
    void emit_put(ir::Value v);
    void emit_put_if(ir::Value v);
    void emit_store(ir::Value v);
    void emit_store_to(ir::Value v, const Xbyak::RegExp& host);
    static void describe_stored(Point::Access& access, const Loc& value);
    u32 access_point(const ir::Op& address, const PageUse& use, bool write, u32 retry,
                     ir::Value stored);
    void emit_commit(ir::Value v);
    void emit_select(ir::Value v);
    void emit_equal(ir::Value v);
    void emit_bit_of(ir::Value v);
    void emit_set_carry(ir::Value v);
    void emit_offset(ir::Value v);
    void emit_tsc(ir::Value v);
    void emit_flags_image(ir::Value v);
    void emit_mask_interrupts();
    void emit_allow_interrupts();
    void emit_swap_gs_base();
    void emit_second_page_guard();
    void emit_interp(unsigned index);
    void emit_check_target(ir::Value v);
    void emit_target_key();
    void emit_jump(ir::Value v);
    void emit_exit(u64 target, ir::Value at);
    void emit_jump_to(ir::Value v);
    void emit_jump_if(ir::Value v);
    bool match_memory_operation(ir::Value first, ir::Value end);
    bool match_exchange(ir::Value first, ir::Value end);
    bool match_exchange_add(ir::Value first, ir::Value end);
    bool match_compare_exchange(ir::Value first, ir::Value end);
    bool match_compare_exchange_register(ir::Value first, ir::Value end);
    bool match_bit_test(ir::Value first, ir::Value end);
    bool match_loop(ir::Value first, ir::Value end);
    void load_word_of_bit(const Xbyak::Reg64& to, const ir::Op& offset);
    void jump_later(Jump taken, u64 target, ir::Value at);
    static bool leaves(const ir::Op& op) { return ir::info(op.code).effect == ir::Effect::kLeaves; }
    // But for shifts by a count that may be zero, which read the flags only to keep them.
    bool reads_flags(const ir::Op& op) const;

    // --- emit_loop.cpp ---
    ir::Value way_back() const;
    bool analyse_copy();
    void emit_copy();
    void emit_look_ahead();
    void emit_runs();
    void emit_run_again();
    void return_ticks(ir::Value at);
    u64 ticks_of_run() const;
    unsigned ticks_so_far() const;
    Xbyak::RegExp checked_ahead(ir::Value a);
    static constexpr int loop_place(unsigned group) {
        return Frame::kLoopPlaces + 8 * static_cast<int>(group);
    }
    void find_lent_registers();
    void return_registers();
    void with_looked_up(int at, FunctionRef<void(const Xbyak::Operand&)> f);

    // --- x87.cpp ---
    // Calls `load` unless `live` says that the unit is in the host's registers; where it must not
    // be, the instruction is interpreted.
    void load_unless(const u32& live, const void* load);
    void ready_x87();
    void emit_x87(ir::Value v);
    void encode_x87(const cpu::Insn& i, const Xbyak::RegExp* place);
    void compare_x87(ir::Value v);
    void store_x87_note(const X87Note& note);
    void flush_x87_note();
    void before_interp_x87(const cpu::Insn& i);

    // --- values ---
    struct Destination {
        Xbyak::Reg64 reg;
        int guest = -1;  // the guest register it is, if any
        int scratch = -1;
        bool home = false;  // to be stored to the guest register's home afterwards
    };
    const ir::Op& op(ir::Value v) const { return ir_[v]; }
    bool is_constant(ir::Value v) const { return op(v).code == ir::Code::constant; }
    bool is_gpr(ir::Value v, unsigned guest) const;
    bool without_rex(ir::Value v) const;
    int last_use(ir::Value v) const { return last_[v]; }
    int put_target(ir::Value v, ir::Value& put) const;
    int high_target(ir::Value v) const;
    Destination destination(ir::Value v, std::initializer_list<ir::Value> operands);
    bool same_register(ir::Value a, ir::Value b) const {
        return loc_[a].kind == Loc::kGpr && loc_[b].kind == Loc::kGpr && loc_[a].n == loc_[b].n;
    }
    bool in_home(int target, ir::Value a, unsigned size) const;
    // Where to change it, which makes v; called once in_home() says so.
    Xbyak::Address write_in_home(ir::Value v, unsigned guest);
    Destination to_destination(ir::Value v, ir::Value a, ir::Value b);
    void finish(ir::Value v, const Destination& d);
    unsigned take_scratch(ir::Value user, int keep = -1);
    void release(unsigned scratch) { scratch_[scratch] = ir::kNoValue; }
    void spill(unsigned scratch);
    void spill_all();
    void materialize_place();
    void load_in_place(ir::Value v);
    void protect_place(unsigned guest);
    void drop_dead(ir::Value now);
    void move_to(const Xbyak::Reg64& to, ir::Value v, unsigned size);
    void load_high_byte(const Xbyak::Reg64& to, unsigned host);
    void move_constant(const Xbyak::Reg64& to, unsigned size, u64 c);
    // A constant as an immediate of its size: sign-extended.
    static u64 extended(u64 v, unsigned size) {
        const unsigned unused = 64 - (8u << size);
        return static_cast<u64>(static_cast<i64>(v << unused) >> unused);
    }
    // high: f can take AH..BH (its instruction needs no REX prefix).
    void with_source(ir::Value v, unsigned size, FunctionRef<void(const Xbyak::Operand&)> f,
                     FunctionRef<void(u64)> constant = {}, bool high = false);
    // The same for an operand of arithmetic: one that lives in memory comes in a scratch register,
    // if one is free. Zen's memory renaming makes a plain MOV from a home that was stored lately
    // free of latency; as an operand in memory it costs a store's forwarding, eight cycles.
    void with_operand(ir::Value v, unsigned size, FunctionRef<void(const Xbyak::Operand&)> f,
                      FunctionRef<void(u64)> constant = {}, bool high = false);
    static bool fits32(u64 v) {
        return static_cast<u64>(static_cast<i64>(static_cast<i32>(v))) == v;
    }
    Xbyak::Reg64 scratch_reg(unsigned n) const { return n == 0 ? r11 : r12; }
    // The guest register, loaded into the scratch register if it has none of the host's.
    Xbyak::Reg64 register_or(const Xbyak::Reg64& scratch, unsigned guest);
    Xbyak::Reg64 address_part(ir::Value v, const Xbyak::Reg64& scratch);
    void load_address(const Xbyak::Reg64& to, const ir::Op& address, u64 extra);
    Xbyak::Address segment_base(const ir::Op& address) const {
        return sized(state(&cpu_.seg_base64[address.m]), 3);
    }
    Jump check_page(unsigned span, bool write, bool aligned);
    Jump check_stack(unsigned span, bool aligned);
    Xbyak::RegExp check_constant(u64 va, unsigned bytes, bool write, unsigned alignment,
                                 Jump& missed);
    Xbyak::RegExp host_address(const ir::Op& address);
    Xbyak::RegExp beside(const ir::Op& address, const PageUse& use);
    Xbyak::RegExp with_index(const Xbyak::Reg64& place, const Xbyak::Reg64& index, unsigned scale,
                             int behind);
    Xbyak::RegExp page_addend(u8 slot) const;
    Site take_site(const ir::Op& address, const PageUse& use, unsigned bytes, unsigned alignment);
    Xbyak::Address site_member(const u8* site, int member);
    void emit_trial(u64 runs);
    void emit_cold_trial();
    Jump check_site(const Site& site, unsigned bytes);
    void load_site_addend(const Site& site);
    void check_alignment(const ir::Op& address, unsigned alignment);
    void load_address_again(const ir::Op& address);

    // --- flags ---
    bool needed_after(ir::Value v) const { return needed_after_[v] != 0; }
    Source source_of(ir::Value v) const;
    Source keep(ir::Value v, unsigned size, unsigned slot);
    void store_slot(unsigned slot, const Xbyak::Reg64& from);
    void begin_recipe(ir::Value v, FlagRecipe& r);
    void set_recipe(const FlagRecipe& r, ir::Value v, cpu::Cc exact);
    unsigned slot_a() const { return 2u * next_pair_; }
    u32 recipe_number(const Flags& f);
    u32 current_recipe() { return recipe_number(flags_); }
    bool can_compute(const FlagRecipe& r) const;
    void load_source(const Xbyak::Reg64& to, const Source& s);
    void compute_host_flags(const FlagRecipe& r);
    cpu::Cc compute_flags(const FlagRecipe& r);
    void call_resolver();
    void resolve_to_memory();
    void resolve_if_count_is_zero(unsigned size);
    void emit_cold_resolve(const ColdResolve& c);
    bool store_host_flags();
    void store_step_flags();
    void need_host_flags(cpu::Cc mask);
    bool again(const FlagRecipe& r, cpu::Cc mask);
    void load_flags_from_memory();
    void save_flags_at_exit(u16 overwritten = 0xFFFF);

    // --- leaving ---
    u32 point(Point p);
    void call_thunk(const void* thunk) { call(thunk); }
    Jump count_ticks(unsigned n);
    void leave_by(u32 number);
    void emit_cold();
    void emit_taken_side(const TakenSide& t);
    void emit_cold_exit(const ColdExit& c);
    void emit_cold_access(const ColdAccess& c);
    void emit_cold_site(const ColdAccess& c);
    Jump compare_page(u64 rip, std::size_t member, u64 value, bool load_table);

    const EmitContext context_;
    cpu::Cpu& cpu_;
    std::span<const Part> parts_;
    unsigned part_ = 0;
    cpu::Block* block_ = nullptr;  // of this part
    u32 owner_ = Point::kNone;
    static constexpr u32 kNowhere = ~u32{0};
    u32 loop_start_ = kNowhere;  // where jumps to the first part's begin go, else: to an exit
    // Of its copy without checks: the jump back, or none; the loop's own jumps there.
    ir::Value way_back_ = ir::kNoValue;
    std::vector<Jump> ways_back_;
    bool in_copy_ = false;  // being emitted
    u32 copy_start_ = 0;
    struct Lent {
        Xbyak::Reg64 reg;
        int at;  // in the frame
    };
    std::vector<Lent> lent_;
    bool vectors_at_start_ = false, x87_at_start_ = false;
    LoopGroups loop_;
    u64 copies_ = 0;
    FlagUseAt flag_use_at_;
    ir::Block ir_;
    std::vector<int> uses_, last_;
    std::vector<u8> needed_after_;
    std::vector<Loc> loc_;
    PageUses page_uses_;
    u64* trial_ = nullptr;
    Jump trial_over_;
    u32 trial_point_ = 0;
    Site slot_sites_[Frame::kPageAddendCount];  // that hold a slot's addend, if any
    // The slot has the host's address of the group's first access, not its page's addend.
    bool slot_hosts_[Frame::kPageAddendCount] = {};
    // What the first access of a slot's group, the stack page's last, has been aligned to, less
    // one.
    unsigned slot_alignment_[Frame::kPageAddendCount + 1] = {};
    ir::Value scratch_[2] = {ir::kNoValue, ir::kNoValue};
    ir::Value spilled_[4] = {ir::kNoValue, ir::kNoValue, ir::kNoValue, ir::kNoValue};
    Xbyak::RegExp place_;
    ir::Value now_ = 0;
    unsigned insn_ = 0;
    Flags flags_;
    cpu::Cc host_flags_ = 0;  // which of the guest's flags are exact in the host's
    unsigned next_pair_ = 0;
    int pushed_ = 0;  // bytes on the stack above the frame
    std::vector<TakenSide> taken_;
    std::vector<ColdLeave> leaves_;
    std::vector<ColdExit> exits_;
    std::vector<ColdAccess> accesses_;
    std::vector<ColdTarget> targets_;
    std::vector<ColdResolve> resolves_;
    u16 upper_clear_ = 0;  // guest registers whose bits 63:32 are zero here
    bool left_ = false;
    bool target_ready_ = false;  // r11 = key, r12 = table offset of the checked target
    bool vectors_ready_ = false;
    bool x87_ready_ = false;
    X87Note x87_note_;
};

}  // namespace rm::jit::x64
