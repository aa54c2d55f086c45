#include "jit/host/x64/thunks.h"

#include <xbyak/xbyak.h>

#include <iterator>

#include "cpu/semantics/sse_host.h"
#include "jit/host/x64/emitter.h"
#include "jit/host/x64/x87.h"

namespace rm::jit::x64 {

namespace {

using namespace Xbyak;

class ThunkWriter : public CodeGenerator {
public:
    ThunkWriter(const cpu::Cpu& cpu, const Callbacks& callbacks, u8* memory, std::size_t bytes)
        : CodeGenerator(bytes, memory), cpu_(cpu), callbacks_(callbacks) {}

    void write(Thunks& t) {
        setDefaultJmpNEAR(true);
        // Each begins a cache line's quarter, and has a name for perf.
        const auto begin = [&](const char* name) {
            align(16);
            t.names.push_back({name, getCurr()});
            return t.names.back().begin;
        };
        t.load_vectors = begin("load_vectors");
        write_vectors();
        t.load_x87 = begin("load_x87");
        write_load_x87(*this, cpu_);
        t.retire_x87 = begin("retire_x87");
        L(retire_x87_);
        write_retire_x87(*this, cpu_);
        t.leave = begin("leave");
        write_leave();
        t.enter = begin("enter");
        write_enter();
        t.touch = begin("touch");
        L(touch_);
        write_way_on(callbacks_.touch);
        t.enter_page = begin("enter_page");
        write_way_on(callbacks_.enter_page);
        t.judge = begin("judge");
        write_way_on(callbacks_.judge);
        t.stack = begin("stack");
        write_stack();
        for (unsigned form = 0; form < Site::kForms; ++form)
            for (const bool write : {false, true}) {
                t.sites[form][write] = begin("site");
                write_site(static_cast<Site::Form>(form), write);
            }
        for (const bool moves : {false, true})
            for (unsigned size = 0; size < 4; ++size) {
                const Repeat repeat{moves, size};
                t.repeats[repeat.number()] = begin("repeat");
                write_repeat(*this, cpu_, repeat);
            }
        t.find = begin("find");
        write_find();
        t.no_target = begin("no_target");
        xor_(r11, at(&cpu_.translated.salt));
        mov(r12d, kLeftNoTarget);
        jmp(leave_);
        t.interpret = begin("interpret");
        write_interpret();
        t.resolve = begin("resolve");
        write_resolve();
        t.bytes = getSize();
    }

private:
    Address at(const void* member) const { return qword[r13 + from_r13(cpu_, member)]; }
    Address at32(const void* member) const { return Address(32, false, at(member).getRegExp()); }
    Address at128(const void* member) const { return Address(128, false, at(member).getRegExp()); }

    // depth: bytes on the stack above the frame.
    Address frame(int member, int depth) const { return qword[rsp + depth + member]; }
    void load_registers(int depth = 0) {
        mov(rax, at(&cpu_.translated.stop_at));
        sub(rax, at(&cpu_.tick_base));
        mov(frame(Frame::kTicksLeft, depth), rax);
        for (unsigned g = 0; g < 16; ++g)
            if (const int h = Emitter::home_of(g); h >= 0) {
                mov(rax, at(&cpu_.gpr[g]));
                mov(frame(h, depth), rax);
            }
        for (unsigned g = 0; g < 16; ++g)
            if (const int h = Emitter::host_of(g); h >= 0) mov(Reg64(h), at(&cpu_.gpr[g]));
    }
    // Changes rax.
    void store_ticks(int depth) {
        mov(rax, at(&cpu_.translated.stop_at));
        sub(rax, frame(Frame::kTicksLeft, depth));
        mov(at(&cpu_.tick_base), rax);
    }
    // Changes rax.
    void store_registers(int depth = 0) {
        for (unsigned g = 0; g < 16; ++g)
            if (const int h = Emitter::host_of(g); h >= 0) mov(at(&cpu_.gpr[g]), Reg64(h));
        for (unsigned g = 0; g < 16; ++g)
            if (const int h = Emitter::home_of(g); h >= 0) {
                mov(rax, frame(h, depth));
                mov(at(&cpu_.gpr[g]), rax);
            }
        store_ticks(depth);
    }
    // Clobbers nothing but flags.
    void store_vectors() {
        for (int n = 0; n < 16; ++n) movaps(at128(&cpu_.fpu.xmm[n]), Xmm(n));
    }
    void reload_vectors() {
        for (int n = 0; n < 16; ++n) movaps(Xmm(n), at128(&cpu_.fpu.xmm[n]));
    }
    // Vectors to CpuState for good, if they are in registers. Clobbers r11.
    void retire_vectors() {
        Label none;
        cmp(at32(&cpu_.translated.vector_live), 0);
        je(none);
        store_vectors();
        stmxcsr(at32(&cpu_.translated.spill[0]));
        mov(r11d, at32(&cpu_.translated.spill[0]));
        and_(r11d, 0x3F);
        or_(at32(&cpu_.fpu.mxcsr), r11d);
        ldmxcsr(at32(&cpu_.translated.host_mxcsr));
        mov(at32(&cpu_.translated.vector_live), 0);
        L(none);
    }

    void write_vectors() {
        Label masked;
        // With an exception unmasked, the interpreter does the arithmetic.
        mov(r12d, at32(&cpu_.fpu.mxcsr));
        not_(r12d);
        and_(r12d, cpu::kMxcsrMasks);
        jz(masked);
        ret();
        L(masked);
        stmxcsr(at32(&cpu_.translated.host_mxcsr));
        mov(r11d, at32(&cpu_.fpu.mxcsr));
        and_(r11d, 0xFFFF);
        mov(at32(&cpu_.translated.spill[0]), r11d);
        ldmxcsr(at32(&cpu_.translated.spill[0]));
        reload_vectors();
        mov(at32(&cpu_.translated.vector_live), 1);
        ret();
    }
    void write_enter() {
        for (const Reg64& r : {rbx, rbp, r12, r13, r14, r15}) push(r);
        static_assert(Frame::kBytes % 16 == 8);
        sub(rsp, Frame::kBytes);
        lea(r13, ptr[rdi - from_r13(cpu_, &cpu_)]);
        mov(r12, rsi);
        load_registers();
        jmp(r12);
    }
    void write_leave() {
        L(leave_);
        store_registers();
        // rip of an indirect branch's target.
        mov(at(&cpu_.translated.spill[1]), r11);
        retire_vectors();
        call(retire_x87_);
        mov(eax, r12d);
        L(epilogue_);
        add(rsp, Frame::kBytes);
        for (const Reg64& r : {r15, r14, r13, r12, rbp, rbx}) pop(r);
        ret();
    }
    // The stack must be aligned.
    template <class F>
    void call_keeping_vectors(F* callback) {
        Label vectors, after;
        mov(rax, reinterpret_cast<u64>(callback));
        cmp(at32(&cpu_.translated.vector_live), 0);
        jne(vectors);
        call(rax);
        jmp(after);
        L(vectors);
        store_vectors();
        call(rax);
        reload_vectors();
        L(after);
    }
    // Goes on where the callback says, or leaves by the point.
    void write_way_on(const void* (*callback)(cpu::Cpu*, u32)) {
        store_registers();
        lea(rdi, ptr[r13 + from_r13(cpu_, &cpu_)]);
        mov(esi, r12d);
        call_keeping_vectors(callback);
        mov(r11, rax);
        load_registers();
        test(r11, r11);
        jz(leave_);
        jmp(r11);
    }
    // Leaves all registers but r11 and r12 alone, or the block by the point.
    void write_find() {
        // The C ABI keeps rbx rbp r12-r15; the others hold guest registers.
        const Reg64 kept[] = {rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11};
        Label refused;
        for (const Reg64& r : kept) push(r);  // with the return address: aligned to 16
        lea(rdi, ptr[r13 + from_r13(cpu_, &cpu_)]);
        mov(rsi, r11);
        mov(edx, r12d);
        store_ticks(8 + 8 * static_cast<int>(std::size(kept)));
        call_keeping_vectors(callbacks_.find);
        test(eax, eax);
        for (int n = 8; n >= 0; --n) pop(kept[n]);
        jz(refused);
        ret();
        L(refused);
        add(rsp, 8);
        jmp(leave_);
    }
    // As Mmu::use_as_stack(); what is not in the TLB is `touch`'s.
    void write_stack() {
        Label other;
        const memory::StackPage& stack = *cpu_.mmu.stack_page();
        push(rax);
        xor_(r12, r11);
        test(r12, -4096);
        jnz(other);  // on two pages
        mov(rax, r11);
        shr(rax, 7);
        and_(eax, (memory::kTlbEntries - 1) * sizeof(memory::TlbEntry));
        add(rax, at(cpu_.mmu.data_table()));
        and_(r11, -4096);
        cmp(r11, qword[rax + offsetof(memory::TlbEntry, write)]);
        jne(other);
        mov(rax, qword[rax + offsetof(memory::TlbEntry, addend)]);
        mov(at(&stack.addend), rax);
        mov(at(&stack.page), r11);
        mov(at(&stack.none), 0);
        pop(rax);
        ret(8);
        L(other);
        pop(rax);
        mov(r12d, dword[rsp + 8]);
        add(rsp, 16);
        jmp(touch_);
    }
    // What is not in the TLB is `touch`'s.
    void write_site(Site::Form form, bool write) {
        using memory::PageSite;
        using memory::SiteLog;
        using memory::SpanSite;
        Label other, full;
        for (const Reg64& r : {rax, rcx, rdx}) push(r);
        if (form == Site::kPage) {
            test(r11d, 4095);
            jnz(other);  // misaligned
        } else if (form == Site::kSpan) {
            mov(eax, r11d);
            and_(eax, 4095);
            cmp(eax, dword[r12 + offsetof(SpanSite, full_limit)]);
            jae(other);  // on two pages
        }
        mov(rax, r11);
        and_(rax, -4096);
        mov(rcx, r11);
        shr(rcx, 12);
        and_(ecx, memory::kTlbEntries - 1);
        lea(rdx, ptr[rcx * 4 + memory::kTlbHeldAt]);
        shl(ecx, 5);
        add(rcx, at(cpu_.mmu.data_table()));
        add(rdx, at(cpu_.mmu.data_table()));
        cmp(rax, qword[rcx + (write ? offsetof(memory::TlbEntry, write)
                                    : offsetof(memory::TlbEntry, read))]);
        jne(other);
        inc(dword[r12 + offsetof(PageSite, changes)]);
        test(dword[r12 + offsetof(PageSite, changes)], PageSite::kTold - 1);
        jz(other);
        // Into the log, and the slot's list.
        const SiteLog& log = cpu_.mmu.sites();
        push(rcx);
        mov(rcx, at(&log.count));
        cmp(rcx, static_cast<u32>(SiteLog::kMost));
        jae(full);
        inc(at(&log.count));
        push(rsi);
        mov(esi, dword[rdx]);
        inc(ecx);
        mov(dword[rdx], ecx);
        shl(rcx, 5);
        add(rcx, at(&log.filled));
        mov(qword[rcx - 32 + offsetof(SiteLog::Entry, next)], rsi);
        mov(qword[rcx - 32 + offsetof(SiteLog::Entry, held)], rdx);
        if (form == Site::kPage) {
            mov(qword[rcx - 32 + offsetof(SiteLog::Entry, site)], r12);
        } else {
            lea(rsi, ptr[r12 + SiteLog::kZero]);
            mov(qword[rcx - 32 + offsetof(SiteLog::Entry, site)], rsi);
        }
        pop(rsi);
        pop(rcx);
        mov(rcx, qword[rcx + offsetof(memory::TlbEntry, addend)]);
        switch (form) {
            case Site::kPage:
                mov(qword[r12 + offsetof(PageSite, page)], rax);
                mov(qword[r12 + offsetof(PageSite, addend)], rcx);
                break;
            case Site::kSpan:
                mov(qword[r12 + offsetof(SpanSite, page)], rax);
                mov(qword[r12 + offsetof(SpanSite, addend)], rcx);
                mov(eax, dword[r12 + offsetof(SpanSite, full_limit)]);
                mov(qword[r12 + offsetof(SpanSite, limit)], rax);
                break;
            default:
                add(rcx, r11);
                mov(qword[r12 + offsetof(memory::FixedSite, host)], rcx);
                break;
        }
        for (const Reg64& r : {rdx, rcx, rax}) pop(r);
        ret(8);
        L(full);
        pop(rcx);
        L(other);
        for (const Reg64& r : {rdx, rcx, rax}) pop(r);
        mov(r12d, dword[rsp + 8]);
        add(rsp, 16);
        jmp(touch_);
    }
    void write_interpret() {
        Label left, elsewhere;
        store_registers(8);
        retire_vectors();
        sub(rsp, 8);
        lea(rdi, ptr[r13 + from_r13(cpu_, &cpu_)]);
        mov(esi, r12d);
        mov(rax, reinterpret_cast<u64>(callbacks_.interpret));
        call(rax);
        add(rsp, 8);
        mov(r11, rax);
        test(r11, r11);
        jz(left);
        load_registers(8);
        cmp(r11, static_cast<u32>(reinterpret_cast<u64>(kBehindCall)));
        jne(elsewhere);
        ret();
        L(elsewhere);
        add(rsp, 8);  // the return address
        jmp(r11);
        L(left);
        call(retire_x87_);
        add(rsp, 8);  // the return address
        mov(eax, kLeftDone);
        jmp(epilogue_, T_NEAR);
    }
    // Nothing but CpuState::cc changes; vectors stay in the registers.
    void write_resolve() {
        store_registers(8);
        sub(rsp, 8);
        lea(rdi, ptr[r13 + from_r13(cpu_, &cpu_)]);
        mov(esi, r12d);
        call_keeping_vectors(callbacks_.resolve);
        add(rsp, 8);
        load_registers(8);
        ret();
    }

    const cpu::Cpu& cpu_;
    const Callbacks& callbacks_;
    Label retire_x87_, leave_, touch_, epilogue_;
};

}  // namespace

Thunks make_thunks(const cpu::Cpu& cpu, const Callbacks& callbacks, u8* memory, std::size_t bytes,
                   std::ptrdiff_t executable) {
    Thunks t;
    t.executable = executable;
    ThunkWriter w(cpu, callbacks, memory, bytes);
    w.write(t);
    return t;
}

}  // namespace rm::jit::x64
