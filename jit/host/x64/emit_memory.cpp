// Memory: the inline TLB hit, and what is done with the host address it leaves.
#include <bit>

#include "jit/host/x64/emitter.h"
#include "memory/tlb/tlb.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using ir::Code;
using ir::kNoValue;
using ir::Op;
using ir::Value;
using memory::TlbEntry;

namespace {
constexpr int kReadAt = 0, kWriteAt = 8, kAddendAt = 24;
static_assert(offsetof(TlbEntry, read) == kReadAt && offsetof(TlbEntry, write) == kWriteAt &&
              offsetof(TlbEntry, addend) == kAddendAt && sizeof(TlbEntry) == 32);
constexpr u32 kIndexMask = (memory::kTlbEntries - 1) << 5;
}  // namespace

// A base or index: whole registers only.
Reg64 Emitter::address_part(Value v, const Reg64& scratch) {
    if (loc_[v].kind != Loc::kGpr || (loc_[v].n & 7)) not_native();
    return register_or(scratch, loc_[v].n >> 3);
}

// The linear address (without segment base) of an address operation + extra. Uses r12 if the index
// is not in a register of its own.
void Emitter::load_address(const Reg64& to, const Op& address, u64 extra) {
    const u64 disp = address.imm + extra;
    const Reg d = sized_reg(to, address.size == 3 ? 3 : 2);
    if (address.size < 2) not_native();
    if (address.c != kNoValue) return load_word_of_bit(to, address);
    if (address.a == kNoValue && address.b == kNoValue) {
        if (address.size == 3)
            mov(to, disp);
        else
            mov(to.cvt32(), static_cast<u32>(disp));
        return;
    }
    if (!fits32(disp) && address.size == 3) not_native();
    const i32 k = static_cast<i32>(disp);
    if (address.b == kNoValue) {
        const Reg64 a = address_part(address.a, to);
        if (k == 0 && address.size == 3) {
            if (a.getIdx() != to.getIdx()) mov(to, a);
        } else {
            lea(d, ptr[a + k]);
        }
        return;
    }
    const Reg64 b = address_part(address.b, address.a == kNoValue && to.getIdx() >= 11 ? to : r12);
    if (address.a == kNoValue) {
        lea(d, ptr[b * (1 << address.n) + k]);
        return;
    }
    const bool a_home = host_of(loc_[address.a].n >> 3) < 0;
    if (a_home && (to.getIdx() == b.getIdx() || (to.getIdx() != 11 && to.getIdx() != 12))) {
        // The destination is a guest register that may be the index: go through r11.
        const Reg64 a = address_part(address.a, r11);
        lea(d, ptr[a + b * (1 << address.n) + k]);
        return;
    }
    const Reg64 a = address_part(address.a, to);
    lea(d, ptr[a + b * (1 << address.n) + k]);
}

void Emitter::check_alignment(const Op& address, unsigned alignment) {
    if (!alignment) return;
    load_address(r12, address, 0);
    if (has_base(address)) add(r12, segment_base(address));
    test(r12d, alignment);
    interpret_if(kNotEqual);
}

// host = addend in r11 + address, in as few registers as the operand allows.
RegExp Emitter::host_address(const Op& address) {
    const bool b_home = address.b != kNoValue && host_of(loc_[address.b].n >> 3) < 0;
    if (address.size != 3 || b_home) {
        load_address_again(address);
        if (has_base(address)) add(r12, segment_base(address));
        add(r11, r12);
        return RegExp(r11);
    }
    if (has_base(address)) add(r11, segment_base(address));
    if (!fits32(address.imm)) not_native();
    const int k = static_cast<int>(static_cast<i64>(address.imm));
    if (address.a != kNoValue) {
        const unsigned guest = loc_[address.a].n >> 3;
        if (host_of(guest) < 0) {  // by a plain MOV: with_operand()
            mov(r12, sized(gpr_home(guest), 3));
            add(r11, r12);
        } else if (address.b == kNoValue)
            return r11 + Reg64(host_of(guest)) + k;
        else
            add(r11, Reg64(host_of(guest)));
    }
    if (address.b == kNoValue) return r11 + k;
    return r11 + Reg64(host_of(loc_[address.b].n >> 3)) * (1 << address.n) + k;
}

// r11: where the host has the first access of the group, with operands that are small taken as
// zero. The access `use` of the same group.
RegExp Emitter::beside(const Op& address, const PageUse& use) {
    const int behind = use.role == PageUse::kLater ? use.behind : 0;
    if (use.small_base) add(r11, address_part(address.a, r12));
    if (!use.small_index) return r11 + behind;
    return with_index(r11, address_part(address.b, r12), address.n, behind);
}

// place + (index << scale) + behind. r12 is free again behind it, r11 is not.
RegExp Emitter::with_index(const Reg64& place, const Reg64& index, unsigned scale, int behind) {
    const RegExp sum = place + index * (1 << scale) + behind;
    if (index.getIdx() != r12.getIdx()) return sum;
    lea(r11, ptr[sum]);
    return RegExp(r11);
}

RegExp Emitter::page_addend(u8 slot) const {
    return slot == PageUse::kStackSlot ? state(&cpu_.mmu.stack_page()->addend)
                                       : in_frame(Frame::kPageAddends + 8 * slot);
}

RegExp Emitter::checked(Value a, unsigned bytes, bool write, unsigned alignment, Value stored) {
    target_ready_ = false;
    spill_all();
    if (in_copy_) return checked_ahead(a);
    clobber_flags();
    const Op& address = op(a);
    if (address.size != 3 && has_base(address)) not_native();
    PageUse use = page_uses_.of(a);
    if (use.bytes != bytes || use.write != write) {
        if (use.role != PageUse::kAlone) not_native();
        use.stack = false;
    }
    if (use.role == PageUse::kLater) {
        // At a distance that keeps it from one that has been looked at, it is aligned as that is.
        const unsigned known =
            slot_alignment_[use.slot == PageUse::kStackSlot ? Frame::kPageAddendCount : use.slot];
        if (alignment & ~known || use.behind & static_cast<int>(alignment) ||
            (alignment && (use.small_base || use.small_index)))
            check_alignment(address, alignment);
        if (use.slot != PageUse::kStackSlot && slot_hosts_[use.slot]) {
            mov(r11, sized(page_addend(use.slot), 3));
            return beside(address, use);
        }
        if (use.slot != PageUse::kStackSlot && slot_sites_[use.slot].at)
            load_site_addend(slot_sites_[use.slot]);
        else
            mov(r11, sized(page_addend(use.slot), 3));
        return host_address(address);
    }
    // What follows relies on the check of the first: the runtime must not do the store instead.
    if (use.role == PageUse::kFirst) stored = kNoValue;
    if (use.role == PageUse::kAlone) {
        use.first = 0;
        use.span = static_cast<u16>(bytes);
    }
    // What is looked up: for all values of an operand that is small.
    Op linear = address;
    if (use.role == PageUse::kFirst) {
        if (use.small_base) linear.a = kNoValue;
        if (use.small_index) linear.b = kNoValue;
        slot_alignment_[use.slot == PageUse::kStackSlot ? Frame::kPageAddendCount : use.slot] =
            use.small_base || use.small_index ? 0 : alignment;
    }
    use.stack = use.stack && block_->checks != cpu::Block::Checks::kPlain;
    const Site site = use.stack ? Site{} : take_site(linear, use, bytes, alignment);
    // A single access by the stack pointer is aligned nearly always; where not, Translator::touch()
    // has it checked in another way.
    // So is one that must be: a single access that is not faults, there.
    const bool alone = use.role == PageUse::kAlone && std::has_single_bit(bytes);
    const bool aligned = site.form == Site::kPage || (use.stack && alone && bytes <= 8) ||
                         (!site.at && !use.stack && alone && alignment && alignment == bytes - 1);
    const bool for_write = write || use.ahead;
    const u32 retry = position();
    Jump missed;
    RegExp host;
    if (site.form == Site::kFixed) {
        missed = check_site(site, bytes);
        host = RegExp(r11);
    } else if (address.a == kNoValue && address.b == kNoValue && address.c == kNoValue &&
               address.size == 3 && !has_base(address)) {
        host = check_constant(address.imm, bytes, write, alignment, missed);
    } else if (address.c != kNoValue) {
        // Too long to compute twice.
        const auto computed = sized(state(&cpu_.translated.spill[3]), 3);
        load_address(r11, address, 0);
        if (has_base(address)) add(r11, segment_base(address));
        mov(computed, r11);
        missed = check_page(bytes, write, false);
        add(r11, computed);
        host = RegExp(r11);
    } else {
        const bool whole = linear.a == address.a && linear.b == address.b;
        const bool together = use.first == 0 && !use.stack && whole;
        const bool checked_with_page = aligned && alignment == bytes - 1;
        if (!together) check_alignment(address, alignment);
        load_address(r11, linear, static_cast<u64>(i64{use.first}));
        if (has_base(address)) add(r11, segment_base(address));
        if (together && alignment && !checked_with_page) {
            test(r11d, alignment);
            interpret_if(kNotEqual);
        }
        if (site.at)
            missed = check_site(site, bytes);
        else if (use.stack)
            missed = check_stack(use.span, aligned);
        else
            missed = check_page(use.span, for_write, aligned);
        if (use.role == PageUse::kFirst && use.slot != PageUse::kStackSlot) {
            slot_sites_[use.slot] = site;
            slot_hosts_[use.slot] = !whole || linear.b != kNoValue ||
                                    (linear.a != kNoValue && host_of(loc_[linear.a].n >> 3) < 0);
            if (slot_hosts_[use.slot]) {
                lea(r11, ptr[host_address(linear)]);
                mov(sized(page_addend(use.slot), 3), r11);
                host = beside(address, use);
            } else if (!site.at) {
                mov(sized(page_addend(use.slot), 3), r11);
            }
        }
        if (!host.getBase().getBit()) host = host_address(address);
    }
    const u32 number = access_point(linear, use, write, retry, stored);
    Point& p = context_.points[number];
    p.aligned = aligned;
    p.site = reinterpret_cast<const memory::PageSite*>(site.at);
    p.must_align = alignment != 0;
    accesses_.push_back(
        {missed, number, retry, use.stack ? use.span : u16{0}, aligned, site, x87_note_});
    return host;
}

// r11: the first byte's address -> the page's addend.
Emitter::Jump Emitter::check_page(unsigned span, bool write, bool aligned) {
    if (span == 1 || aligned)
        mov(r12, r11);
    else
        lea(r12, ptr[r11 + static_cast<int>(span - 1)]);
    shr(r11, 7);
    and_(r11d, kIndexMask);
    add(r11, sized(state(cpu_.mmu.data_table()), 3));
    and_(r12, static_cast<u32>(-4096) | (aligned ? span - 1 : 0));
    cmp(r12, qword[r11 + (write ? kWriteAt : kReadAt)]);
    const Jump missed = jump_if(kNotEqual);
    mov(r11, qword[r11 + kAddendAt]);
    return missed;
}

// The same against the stack page, whose addend does not depend on the address.
Emitter::Jump Emitter::check_stack(unsigned span, bool aligned) {
    const memory::StackPage& stack = *cpu_.mmu.stack_page();
    Jump missed;
    if (aligned) {
        and_(r11, static_cast<u32>(-4096) | (span - 1));
        cmp(r11, sized(state(&stack.page), 3));
        missed = jump_if(kNotEqual);
    } else {
        or_(r11, sized(state(&stack.none), 3));
        sub(r11, sized(state(&stack.page), 3));
        cmp(r11, 4096 - span);
        missed = jump_if(kAbove);
    }
    mov(r11, sized(state(&stack.addend), 3));
    return missed;
}

RegExp Emitter::check_constant(u64 va, unsigned bytes, bool write, unsigned alignment,
                               Jump& missed) {
    if ((va & alignment) || ((va & 4095) + bytes > 4096)) not_native();
    mov(r11, sized(state(cpu_.mmu.data_table()), 3));
    const int at = static_cast<int>(((va >> 12) & (memory::kTlbEntries - 1)) << 5);
    const u64 page = va & kPageMask;
    const int tag = write ? kWriteAt : kReadAt;
    if (fits32(page)) {
        cmp(qword[r11 + at + tag], static_cast<u32>(page));
    } else {
        mov(r12, page);
        cmp(qword[r11 + at + tag], r12);
    }
    missed = jump_if(kNotEqual);
    mov(r11, qword[r11 + at + kAddendAt]);
    if (fits32(va)) return r11 + static_cast<int>(static_cast<i64>(va));
    mov(r12, va);
    add(r11, r12);
    return RegExp(r11);
}

void Emitter::emit_cold_access(const ColdAccess& c) {
    land(c.from);
    if (c.site.at) return emit_cold_site(c);
    if (c.stack_span && c.note == X87Note{}) {
        Jump misaligned;
        if (c.aligned && c.stack_span > 1) {
            test(r11d, c.stack_span - 1u);
            misaligned = skip_if(kNotEqual);
        }
        if (c.aligned) {  // r11: without the offset
            mov(r12, r11);
        } else {
            const Point::Access& a = context_.points[c.number].access;
            mov(r11, a.displacement);
            add(r11, register_or(r12, a.base));
            lea(r12, ptr[r11 + static_cast<int>(c.stack_span - 1)]);
        }
        push(c.number);
        call_thunk(context_.thunks.stack);
        jump_to(c.retry);
        if (!misaligned.size) return;
        land(misaligned);
    }
    store_x87_note(c.note);
    mov(r12d, c.number);
    jmp(context_.thunks.touch);
}

// An address with the offset of a bit string's word in it, to r11. Uses r12.
void Emitter::load_word_of_bit(const Reg64& to, const Op& address) {
    const Op& offset = op(address.c);
    if (offset.code != Code::bit_offset || to.getIdx() != 11) not_native();
    Op plain = address;
    plain.c = kNoValue;
    load_address(to, plain, 0);
    with_source(offset.a, offset.n, [&](const Operand& index) {
        if (offset.n == 3)
            mov(r12, index);
        else if (offset.n == 2)
            movsxd(r12, index);
        else
            movsx(r12, index);
    });
    sar(r12, 3 + offset.n);
    lea(sized_reg(to, address.size == 3 ? 3 : 2), ptr[to + r12 * (1 << offset.n)]);
}

// The address once more, into r12 (r11 holds the addend). A base that has no register is added from
// memory.
void Emitter::load_address_again(const Op& address) {
    const bool a_home = address.a != kNoValue && host_of(loc_[address.a].n >> 3) < 0;
    const bool b_home = address.b != kNoValue && host_of(loc_[address.b].n >> 3) < 0;
    if (!(a_home && address.b != kNoValue) && !(address.a == kNoValue && address.b == kNoValue) &&
        !b_home)
        return load_address(r12, address, 0);
    const int k = static_cast<int>(static_cast<i64>(address.imm));
    if (b_home) {
        mov(r12, sized(gpr_home(loc_[address.b].n >> 3), 3));
        if (address.a != kNoValue && !a_home)
            lea(r12, ptr[Reg64(host_of(loc_[address.a].n >> 3)) + r12 * (1 << address.n) + k]);
        else
            lea(r12, ptr[r12 * (1 << address.n) + k]);
    } else if (address.b != kNoValue) {
        lea(r12, ptr[Reg64(host_of(loc_[address.b].n >> 3)) * (1 << address.n) + k]);
    } else {
        return load_address(r12, address, 0);
    }
    if (a_home) {
        add(r12, sized(gpr_home(loc_[address.a].n >> 3), 3));
        clobber_flags();
    }
    if (address.size == 2) mov(r12d, r12d);
}

// What the runtime must know of a store's value to make it.
void Emitter::describe_stored(Point::Access& access, const Loc& value) {
    switch (value.kind) {
        case Loc::kConstant:
            access.value = Point::Access::kConstant;
            access.constant = value.imm;
            return;
        case Loc::kGpr: access.value = Point::Access::kRegister; break;
        default: access.value = Point::Access::kSpilled; break;
    }
    access.number = value.n;
}

// The number of the point for an access that misses the TLB and tries again at `retry`.
u32 Emitter::access_point(const Op& address, const PageUse& use, bool write, u32 retry,
                          Value stored) {
    auto guest = [this](Value v) {
        return v == kNoValue ? Point::kNoRegister : static_cast<u8>(loc_[v].n >> 3);
    };
    Point p;
    p.kind = Point::kAccess;
    p.size = use.span;
    p.write = write || use.ahead;
    p.ahead = use.ahead;
    p.stack = use.stack;
    p.group = use.role == PageUse::kFirst;
    p.table = use.role == PageUse::kFirst && use.table;
    p.recipe = current_recipe();
    p.access = {.displacement = address.imm + static_cast<u64>(i64{use.first}),
                .constant = 0,
                .retry = this->address(retry) + context_.thunks.executable,
                .base = guest(address.a),
                .index = guest(address.b),
                .scale = address.n,
                .segment = address.m,
                .narrow = address.size == 2,
                .computed = address.c != kNoValue,
                .value = Point::Access::kNotStored,
                .number = 0};
    if (stored != kNoValue) describe_stored(p.access, loc_[stored]);
    return point(p);
}

void Emitter::emit_store(Value v) {
    // Values in scratch registers are spilled by the check: then each has a place that stays.
    spill_all();
    const Loc::Kind kind = loc_[op(v).b].kind;
    const bool plain = kind == Loc::kConstant || kind == Loc::kGpr || kind == Loc::kSpill;
    const u32 retry = position();
    const std::size_t accesses = accesses_.size();
    const RegExp host = checked(op(v).a, 1u << op(v).size, true, 0, plain ? op(v).b : kNoValue);
    const u32 number = accesses_.size() != accesses ? accesses_.back().number : Point::kNone;
    emit_store_to(v, host);
    // The runtime makes it where it is beside code, and goes on behind it.
    if (number != Point::kNone) context_.points[number].done = static_cast<u16>(position() - retry);
}

void Emitter::emit_store_to(Value v, const RegExp& host) {
    const Op& o = op(v);
    const Address to = sized(host, o.size);
    const Loc l = loc_[o.b];
    if (l.kind == Loc::kConstant && (o.size < 3 || fits32(l.imm))) {
        mov(to, extended(l.imm, o.size));
        return;
    }
    if (l.kind == Loc::kGpr && (l.n & 7)) {
        load_high_byte(r12, static_cast<unsigned>(host_of(l.n >> 3)));
        mov(to, r12b);
        return;
    }
    if (l.kind == Loc::kGpr && host_of(l.n >> 3) >= 0) {
        mov(to, sized_reg(Reg64(host_of(l.n >> 3)), o.size));
        return;
    }
    scratch_[0] = v;  // the address
    loc_[v] = {Loc::kPlace, 0, 0};
    if (l.kind == Loc::kConstant)
        mov(r12, l.imm);
    else
        with_source(o.b, 3, [&](const Operand& s) { mov(r12, s); });
    mov(to, sized_reg(r12, o.size));
    scratch_[0] = kNoValue;
}

void Emitter::emit_commit(Value v) {
    const Op& o = op(v);
    const Address to = sized(place_, o.size);
    if (loc_[o.a].kind == Loc::kPlace && last_[o.a] > static_cast<int>(v)) {
        // The old value is wanted afterwards: exchanged with it.
        if (!(loc_[o.b].kind == Loc::kScratch && loc_[o.b].n == 1)) {
            if (scratch_[1] != kNoValue) not_native();
            move_to(r12, o.b, o.size);
        }
        if (scratch_[1] != kNoValue && last_[scratch_[1]] > static_cast<int>(v)) not_native();
        xchg(to, sized_reg(r12, o.size));
        scratch_[0] = kNoValue;
        scratch_[1] = o.a;
        loc_[o.a] = {Loc::kScratch, 1, 0};
        return;
    }
    with_source(
        o.b, o.size,
        [&](const Operand& s) {
            if (s.isMEM()) {
                const Reg64 r = in_register(o.b, o.size);
                mov(to, sized_reg(r, o.size));
            } else {
                mov(to, static_cast<const Reg&>(s));
            }
        },
        [&](u64 c) { mov(to, c); });
}

}  // namespace rm::jit::x64
