// Memory: the inline TLB hit, and what is done with the host address it leaves.
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

// The linear address (without segment base) of an address operation + extra. Uses r12 if the index
// is not in a register of its own.
void Emitter::load_address(const Reg64& to, const Op& address, u64 extra) {
    const u64 disp = address.imm + extra;
    const Reg d = sized_reg(to, address.size == 3 ? 3 : 2);
    if (address.size < 2) not_native();
    if (address.c != kNoValue) return load_word_of_bit(to, address);
    auto part = [&](Value v, const Reg64& home) {
        const Loc l = loc_[v];
        if (l.kind != Loc::kGpr || (l.n & 7)) not_native();
        if (host_of(l.n >> 3) >= 0) return Reg64(host_of(l.n >> 3));
        mov(home, sized(gpr_home(l.n >> 3), 3));
        return home;
    };
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
        const Reg64 a = part(address.a, to);
        if (k == 0 && address.size == 3) {
            if (a.getIdx() != to.getIdx()) mov(to, a);
        } else {
            lea(d, ptr[a + k]);
        }
        return;
    }
    const Reg64 b = part(address.b, address.a == kNoValue && to.getIdx() >= 11 ? to : r12);
    if (address.a == kNoValue) {
        lea(d, ptr[b * (1 << address.n) + k]);
        return;
    }
    const bool a_home = host_of(loc_[address.a].n >> 3) < 0;
    if (a_home && (to.getIdx() == b.getIdx() || (to.getIdx() != 11 && to.getIdx() != 12))) {
        // The destination is a guest register that may be the index: go through r11.
        const Reg64 a = part(address.a, r11);
        lea(d, ptr[a + b * (1 << address.n) + k]);
        return;
    }
    const Reg64 a = part(address.a, to);
    lea(d, ptr[a + b * (1 << address.n) + k]);
}

RegExp Emitter::checked(Value a, unsigned bytes, bool write, unsigned alignment, Value stored) {
    target_ready_ = false;
    spill_all();
    clobber_flags();
    const Op& address = op(a);
    const bool segment = address.m == cpu::kFs || address.m == cpu::kGs;
    const bool narrow = address.size != 3;
    if (narrow && segment) not_native();
    const int tag = write ? kWriteAt : kReadAt;
    const u32 retry = position();
    Jump slow;
    auto base_of_segment = [this, &address] {
        return sized(state(&cpu_.seg_base64[address.m]), 3);
    };
    const auto table = sized(state(cpu_.mmu.data_table()), 3);
    const bool constant = address.a == kNoValue && address.b == kNoValue && address.c == kNoValue &&
                          !segment && !narrow;
    const u64 va0 = address.imm;
    RegExp host;
    if (constant) {
        if ((va0 & (alignment)) || ((va0 & 4095) + bytes > 4096)) not_native();
        mov(r11, table);
        const int at = static_cast<int>(((va0 >> 12) & (memory::kTlbEntries - 1)) << 5);
        const u64 page = va0 & kPageMask;
        if (fits32(page)) {
            cmp(qword[r11 + at + tag], static_cast<u32>(page));
        } else {
            mov(r12, page);
            cmp(qword[r11 + at + tag], r12);
        }
        slow = jump_if(kNotEqual);
        mov(r11, qword[r11 + at + kAddendAt]);
        if (fits32(va0)) {
            host = r11 + static_cast<int>(static_cast<i64>(va0));
        } else {
            mov(r12, va0);
            add(r11, r12);
            host = RegExp(r11);
        }
    } else if (address.c != kNoValue) {
        // Too long to compute twice.
        const auto linear = sized(state(&cpu_.translated.spill[3]), 3);
        load_address(r11, address, 0);
        if (segment) add(r11, base_of_segment());
        mov(linear, r11);
        lea(r12, ptr[r11 + static_cast<int>(bytes - 1)]);
        shr(r11, 7);
        and_(r11d, kIndexMask);
        add(r11, table);
        and_(r12, -4096);
        cmp(r12, qword[r11 + tag]);
        slow = jump_if(kNotEqual);
        mov(r11, qword[r11 + kAddendAt]);
        add(r11, linear);
        host = RegExp(r11);
    } else {
        load_address(r11, address, 0);
        if (segment) add(r11, base_of_segment());
        if (alignment) {
            test(r11d, alignment);
            interpret_if(kNotEqual);
        }
        if (bytes == 1)
            mov(r12, r11);
        else
            lea(r12, ptr[r11 + static_cast<int>(bytes - 1)]);
        shr(r11, 7);
        and_(r11d, kIndexMask);
        add(r11, table);
        and_(r12, -4096);
        cmp(r12, qword[r11 + tag]);
        slow = jump_if(kNotEqual);
        mov(r11, qword[r11 + kAddendAt]);
        // host = addend + address, in as few registers as the operand allows.
        const bool b_home = address.b != kNoValue && host_of(loc_[address.b].n >> 3) < 0;
        if (narrow || b_home) {
            load_address_again(address);
            if (segment) add(r12, base_of_segment());
            add(r11, r12);
            host = RegExp(r11);
        } else {
            if (segment) add(r11, base_of_segment());
            const int k = static_cast<int>(static_cast<i64>(address.imm));
            if (address.a == kNoValue && address.b == kNoValue) {
                if (!fits32(address.imm)) not_native();
                host = r11 + k;
            } else if (address.b == kNoValue) {
                const unsigned guest = loc_[address.a].n >> 3;
                if (host_of(guest) >= 0) {
                    host = r11 + Reg64(host_of(guest)) + k;
                } else {
                    add(r11, sized(gpr_home(guest), 3));
                    host = r11 + k;
                }
            } else {
                if (address.a != kNoValue) {
                    const unsigned guest = loc_[address.a].n >> 3;
                    if (host_of(guest) >= 0)
                        add(r11, Reg64(host_of(guest)));
                    else
                        add(r11, sized(gpr_home(guest), 3));
                }
                host = r11 + Reg64(host_of(loc_[address.b].n >> 3)) * (1 << address.n) + k;
            }
        }
    }
    const u32 number = access_point(address, bytes, write, retry, stored);
    accesses_.push_back({slow, number, x87_note_});
    return host;
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
    if (a_home) add(r12, sized(gpr_home(loc_[address.a].n >> 3), 3));
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
u32 Emitter::access_point(const Op& address, unsigned bytes, bool write, u32 retry, Value stored) {
    auto guest = [this](Value v) {
        return v == kNoValue ? Point::kNoRegister : static_cast<u8>(loc_[v].n >> 3);
    };
    Point p;
    p.kind = Point::kAccess;
    p.size = static_cast<u8>(bytes);
    p.write = write;
    p.recipe = current_recipe();
    p.access = {.displacement = address.imm,
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
    const RegExp host = checked(op(v).a, 1u << op(v).size, true, 0, plain ? op(v).b : kNoValue);
    const u32 number = accesses_.back().number;
    emit_store_to(v, host);
    // The runtime makes it where it is beside code, and goes on behind it.
    if (plain) context_.points[number].done = static_cast<u16>(position() - retry);
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
